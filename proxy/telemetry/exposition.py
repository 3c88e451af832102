"""Samples as a scraper reads them. Imported only where metrics are served."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from .metrics import METRICS, SECONDS, Metric
from .samples import Labels, Samples, Values

__all__ = ["CONTENT_TYPE_LATEST", "exposed"]


def exposed(samples: Samples) -> bytes:
    """Return the samples in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(samples))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        """Yield each metric that has samples, in the order of the table."""
        by_name: dict[str, list[tuple[Labels, Values]]] = {}
        for name, labels, values in self._samples:
            by_name.setdefault(name, []).append((labels, values))
        for name, metric in METRICS.items():
            if name in by_name:
                yield _family(metric, by_name[name])


def _family(metric: Metric, rows: list[tuple[Labels, Values]]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, values in rows:
            histogram.add_metric(labels, buckets=_buckets(values), sum_value=values[-1])
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, values in rows:
        family.add_metric(labels, values[0])
    return family


def _buckets(values: Values) -> list[tuple[str, float]]:
    """Return the counts as Prometheus wants them: each bucket holds all that are below it."""
    ends = [*map(str, SECONDS), "+Inf"]
    return list(zip(ends, accumulate(values[:-1]), strict=True))
