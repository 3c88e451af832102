"""What a scraper reads, with the parsers of Prometheus' own client for Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable

import pytest
from prometheus_client.core import Metric as Family
from prometheus_client.core import Timestamp
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.metrics.metric import FINE_SECONDS, OPENMETRICS, SECONDS, TEXT, Metric
from proxy.telemetry.metrics.prometheus_text import exposed
from proxy.telemetry.metrics.samples import Samples, TraceExemplar
from proxy.telemetry.metrics.table import CRYPTO_DURATION, METRICS, READY, REQUEST_DURATION

from .by_the_library import written

NASTY = 'a "quoted" \\ back\\nslash\nand {line},="\u00e9\U0001f512'
LABELS = ("api", "send", "POST", "2xx", "forwarded")
KINDS = {"latest": "gauge", "soonest": "gauge"}
PARSERS: dict[str, Callable[[str], Iterable[Family]]] = {
    TEXT: text_string_to_metric_families,
    OPENMETRICS: openmetrics.text_string_to_metric_families,
}
PROMETHEUS = (  # as version 3.5 asks
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def families(samples: Samples, accept: str) -> list[Family]:
    return list(PARSERS[accept](exposed(samples, accept).body.decode()))


def numbers(metric: Metric) -> tuple[float, ...]:
    return tuple(map(float, range(1, metric.width + 1))) if metric.width > 1 else (7.5,)


VALUES = (0, 1, 7.5, 1e-9, 999_999, 1_000_000, 12_345_678.25, 1e15, 1.5e22, -2, math.inf, math.nan)


@pytest.mark.parametrize("accept", PARSERS)
def test_every_byte_is_what_the_library_of_prometheus_writes(accept: str) -> None:
    samples = Samples()
    for at, metric in enumerate(METRICS.values()):
        for turn in range(3):
            labels = tuple(f"{name} {turn}: {NASTY}" for name in metric.labels)
            values = [VALUES[(at + turn + one) % len(VALUES)] for one in range(metric.width)]
            samples.add(metric, *values, labels=labels)
            if metric.kind == "histogram":
                trace = TraceExemplar(f"{turn:032x}", 0.25 * turn, 1_700_000_000.5 + turn)
                samples.exemplify(metric, labels, {turn: trace, len(metric.bounds): trace})
            if not metric.labels:
                break

    told = exposed(samples, accept)

    assert (told.body, told.content_type) == written(samples, accept)
    assert exposed(Samples(), accept).body == written(Samples(), accept)[0]


@pytest.mark.parametrize("accept", PARSERS)
@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_is_read_with_its_kind_meaning_labels_and_values(
    metric: Metric, accept: str
) -> None:
    labels = tuple(f"{name}: {NASTY}" for name in metric.labels)
    samples = Samples()
    samples.add(metric, *numbers(metric), labels=labels)

    [family] = families(samples, accept)

    told = dict(zip(metric.labels, labels, strict=True))
    assert family.type == KINDS.get(metric.kind, metric.kind)
    assert family.documentation == metric.meaning
    if metric.kind != "histogram":
        assert [(one.name, one.labels, one.value) for one in family.samples] == [
            (metric.name, told, 7.5)
        ]
    else:
        assert all(told.items() <= one.labels.items() for one in family.samples)


@pytest.mark.parametrize("accept", PARSERS)
@pytest.mark.parametrize(
    ("metric", "bounds"), [(REQUEST_DURATION, SECONDS), (CRYPTO_DURATION, FINE_SECONDS)]
)
def test_a_bucket_holds_all_that_are_below_it(
    metric: Metric, bounds: tuple[float, ...], accept: str
) -> None:
    samples = Samples()
    labels = LABELS[: len(metric.labels)]
    samples.add(metric, *(1.0 for _ in range(metric.width - 1)), 62.5, labels=labels)

    [family] = families(samples, accept)

    buckets = {
        float(one.labels["le"]): one.value for one in family.samples if one.name.endswith("_bucket")
    }
    assert buckets == {end: number for number, end in enumerate((*bounds, math.inf), start=1)}
    rest = {one.name: one.value for one in family.samples if "le" not in one.labels}
    assert rest == {
        f"{metric.name}_count": metric.width - 1,
        f"{metric.name}_sum": 62.5,
    }


def test_a_metric_without_labels_has_no_braces() -> None:
    samples = Samples()
    samples.add(READY, 1)

    assert exposed(samples).body.decode().splitlines()[-1] == f"{READY.name} 1.0"


def test_a_sample_has_the_labels_and_values_of_its_metric() -> None:
    for values, labels in (((1,), ("api",)), ((1, 2), ())):
        with pytest.raises(ValueError, match=READY.name):
            Samples().add(READY, *values, labels=labels)


def test_nothing_counted_is_nothing_exposed() -> None:
    assert exposed(Samples()).body == b""
    assert exposed(Samples(), OPENMETRICS).body == b"# EOF\n"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (PROMETHEUS, OPENMETRICS),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=x.y", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=x", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", TEXT),
        ("text/plain;version=x.y", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (";=,;q", TEXT),
    ],
)
def test_a_scraper_gets_the_format_that_it_prefers(accept: str, media_type: str) -> None:
    shown = exposed(Samples(), accept)

    versions = {TEXT: "0.0.4", OPENMETRICS: "1.0.0"}
    version = versions[media_type]
    assert shown.content_type == f"{media_type}; version={version}; charset=utf-8"


def test_openmetrics_shows_the_latest_trace_of_each_bucket_and_text_none() -> None:
    ours, theirs = Samples(), Samples()
    for samples in (ours, theirs):
        samples.add(REQUEST_DURATION, *(1.0,) * REQUEST_DURATION.width, labels=LABELS)
    ours.exemplify(
        REQUEST_DURATION,
        LABELS,
        {0: TraceExemplar("a" * 32, 0.0004, 1000.5), 2: TraceExemplar("b" * 32, 0.002, 1000.0)},
    )
    theirs.exemplify(REQUEST_DURATION, LABELS, {2: TraceExemplar("c" * 32, 0.0025, 1001.0)})
    for first, second in ((ours, theirs), (theirs, ours)):
        both = Samples()
        for sent in (first, second):
            both.merge(Samples.from_json(json.loads(json.dumps(sent.to_json()))))

        [family] = families(both, OPENMETRICS)

        shown = {
            one.labels["le"]: (one.exemplar.labels, one.exemplar.value, one.exemplar.timestamp)
            for one in family.samples
            if one.exemplar is not None
        }
        assert shown == {
            "0.0005": ({"trace_id": "a" * 32}, 0.0004, Timestamp(1000, 5e8)),
            "0.0025": ({"trace_id": "c" * 32}, 0.0025, Timestamp(1001, 0)),
        }
        assert b"trace_id" not in exposed(both).body
