"""What a scraper reads, held against Prometheus' own client for Python."""

from __future__ import annotations

import math

import pytest
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from proxy.telemetry.metrics.prometheus_text import exposed
from proxy.telemetry.metrics.samples import WIDTH, Samples
from proxy.telemetry.metrics.table import METRICS, READY, REQUEST_DURATION, SECONDS, Metric

NASTY = 'a "quoted" \\ back\\nslash\nand {line},="\u00e9\U0001f512'
KINDS = {"latest": "gauge", "soonest": "gauge"}


def numbers(metric: Metric) -> tuple[float, ...]:
    return tuple(map(float, range(1, WIDTH + 1))) if metric.kind == "histogram" else (7.5,)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_is_read_with_its_kind_meaning_labels_and_values(metric: Metric) -> None:
    labels = tuple(f"{name}: {NASTY}" for name in metric.labels)
    samples = Samples()
    samples.add(metric, *numbers(metric), labels=labels)

    [family] = text_string_to_metric_families(exposed(samples).decode())

    told = dict(zip(metric.labels, labels, strict=True))
    assert family.type == KINDS.get(metric.kind, metric.kind)
    assert family.documentation == metric.meaning
    if metric.kind != "histogram":
        assert [(one.name, one.labels, one.value) for one in family.samples] == [
            (metric.name, told, 7.5)
        ]
    else:
        assert all(told.items() <= one.labels.items() for one in family.samples)


def test_a_bucket_holds_all_that_are_below_it() -> None:
    samples = Samples()
    samples.add(REQUEST_DURATION, *(1.0 for _ in range(WIDTH - 1)), 62.5, labels=("api",))

    [family] = text_string_to_metric_families(exposed(samples).decode())

    buckets = {
        float(one.labels["le"]): one.value for one in family.samples if one.name.endswith("_bucket")
    }
    assert buckets == {end: number for number, end in enumerate((*SECONDS, math.inf), start=1)}
    rest = {one.name: one.value for one in family.samples if "le" not in one.labels}
    assert rest == {
        f"{REQUEST_DURATION.name}_count": WIDTH - 1,
        f"{REQUEST_DURATION.name}_sum": 62.5,
    }


def test_the_client_of_prometheus_would_write_the_same() -> None:
    metric = Metric("sealyard_shown", "gauge", ("b", "a"), "A \\ and\na line.")

    class Given(Collector):
        def collect(self) -> list[GaugeMetricFamily]:
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            family.add_metric([NASTY, ""], 3)
            return [family]

    registry = CollectorRegistry()
    registry.register(Given())
    samples = Samples()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, metric.name, metric)
        samples.add(metric, 3, labels=(NASTY, ""))

        assert exposed(samples) == generate_latest(registry)


def test_a_metric_without_labels_has_no_braces() -> None:
    samples = Samples()
    samples.add(READY, 1)

    assert exposed(samples).decode().splitlines()[-1] == f"{READY.name} 1.0"


def test_nothing_counted_is_nothing_exposed() -> None:
    assert exposed(Samples()) == b""
