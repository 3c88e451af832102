"""The same samples written by prometheus-client, which the product does not load."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.telemetry.metrics.metric import Metric
from proxy.telemetry.metrics.samples import Labels, Samples, TraceExemplar, Values
from proxy.telemetry.metrics.table import METRICS


def written(samples: Samples, media: str) -> tuple[bytes, str]:
    """Return the body and the Content-Type."""
    encode, content_type = choose_encoder(media)
    return encode(_Families(samples)), content_type


class _Families(Collector):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
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
