"""Samples as a scraper reads them, written by prometheus-client: its text format or OpenMetrics.

Both formats hold the same metrics; OpenMetrics 1.0 has exemplars as well. A scraper gets the one
that its Accept header prefers (RFC 9110, section 12.5.1), and text where it prefers neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder

from .metric import OPENMETRICS, TEXT, Metric
from .samples import Labels, Samples, TraceExemplar, Values
from .table import METRICS

_VERSIONS: Final = frozenset({"", "1.0.0"})
"""The versions of OpenMetrics in an Accept header that are served as 1.0."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """The body of a response to a scraper, and its Content-Type."""

    body: bytes
    content_type: str


def exposed(samples: Samples, accept: str = "") -> Exposition:
    """Return the samples in the format that `accept` prefers, in the order of the table."""
    # Given a whole Accept header, the library ignores weights, and fails at an unknown version.
    encode, content_type = choose_encoder(OPENMETRICS if _prefers_openmetrics(accept) else TEXT)
    return Exposition(encode(_Families(samples)), content_type)


def _prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics 1.0 to the text format."""
    best = {TEXT: 0.0, OPENMETRICS: 0.0}
    for entry in accept.lower().split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media == TEXT or (media == OPENMETRICS and parameters.get("version", "") in _VERSIONS):
            best[media] = max(best[media], _weight(parameters))
    return 0 < best[OPENMETRICS] >= best[TEXT]


def _weight(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


class _Families:
    """A collector of prometheus-client, for one scrape."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        """Yield every metric that has a sample."""
        by_name: dict[str, list[tuple[Labels, Values]]] = {}
        for name, labels, values in self._samples:
            by_name.setdefault(name, []).append((labels, values))
        for name, metric in METRICS.items():
            if name in by_name:
                yield self._family(metric, by_name[name])

    def _family(self, metric: Metric, rows: list[tuple[Labels, Values]]) -> Family:
        if metric.kind == "histogram":
            return self._histogram(metric, rows)
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.meaning, labels=metric.labels)
        for labels, values in rows:
            family.add_metric(labels, values[0])
        return family

    def _histogram(self, metric: Metric, rows: list[tuple[Labels, Values]]) -> Family:
        """Return cumulative counts, as Prometheus has them: each bucket includes the lower ones."""
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        ends = (*map(str, metric.bounds), "+Inf")
        for labels, values in rows:
            held = self._samples.exemplars(metric, labels)
            buckets = [
                (end, count) if (one := held.get(at)) is None else (end, count, _exemplar(one))
                for at, (end, count) in enumerate(zip(ends, accumulate(values[:-1]), strict=True))
            ]
            family.add_metric(labels, buckets, values[-1])
        return family


def _exemplar(one: TraceExemplar) -> Exemplar:
    return Exemplar({"trace_id": one.trace_id}, one.seconds, one.at)
