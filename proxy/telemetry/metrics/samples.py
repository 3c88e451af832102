"""Samples: the values of metrics in one process, and how those of several are merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from .metric import Metric
from .table import METRICS

Labels = tuple[str, ...]
Values = tuple[float, ...]

_OF_BOTH: Final = {"latest": max, "soonest": min}
"""How two values are merged, where not by their sum."""


class TraceExemplar(NamedTuple):
    """A message in a bucket of a histogram: its trace, its duration, and when it ended.

    `at` is in seconds since 1970.
    """

    trace_id: str
    seconds: float
    at: float


Exemplars = Mapping[int, TraceExemplar]
"""The latest exemplar of each bucket, by the index of the bucket."""


class Samples:
    """Values by metric and labels: one, or as many as a histogram is wide.

    Histograms have exemplars where messages are traced.
    """

    __slots__ = ("_exemplars", "_held")

    def __init__(self) -> None:
        """Start empty."""
        self._held: dict[tuple[str, Labels], Values] = {}
        self._exemplars: dict[tuple[str, Labels], Exemplars] = {}

    def add(self, metric: Metric, *values: float, labels: Labels = ()) -> None:
        """Add to the value of the metric; of times, keep the latest or the earliest.

        Raises ValueError for labels or values that the metric does not have.
        """
        if len(labels) != len(metric.labels) or len(values) != metric.width:
            message = f"{metric.name} has {metric.labels} and {metric.width} values"
            raise ValueError(message)
        key = metric.name, labels
        held = self._held.get(key)
        both = _OF_BOTH.get(metric.kind, sum)
        self._held[key] = (
            values if held is None else tuple(map(both, zip(held, values, strict=True)))
        )

    def exemplify(self, metric: Metric, labels: Labels, exemplars: Exemplars) -> None:
        """Add exemplars to a histogram; of two for one bucket, keep the later."""
        if not exemplars:
            return
        held = dict(self._exemplars.get((metric.name, labels), {}))
        for bucket, one in exemplars.items():
            if bucket not in held or held[bucket].at < one.at:
                held[bucket] = one
        self._exemplars[metric.name, labels] = held

    def exemplars(self, metric: Metric, labels: Labels) -> Exemplars:
        """Return the exemplars of a histogram."""
        return self._exemplars.get((metric.name, labels), {})

    def merge(self, other: Samples, *, gauges: bool = True) -> None:
        """Add all of `other`, its gauges only if `gauges`."""
        for name, labels, values in other:
            metric = METRICS[name]
            if gauges or metric.kind not in {"gauge", "soonest"}:
                self.add(metric, *values, labels=labels)
                self.exemplify(metric, labels, other.exemplars(metric, labels))

    def __iter__(self) -> Iterator[tuple[str, Labels, Values]]:
        """Yield name, labels and values of every sample."""
        for (name, labels), values in self._held.items():
            yield name, labels, values

    def value(self, metric: Metric, *labels: str) -> float:
        """Return the value of a counter or gauge, 0 if it was never set."""
        return self._held.get((metric.name, labels), (0.0,))[0]

    def to_json(self) -> dict[str, list[Any]]:
        """Return the samples for JSON, for another process."""
        return {
            "values": [[name, list(labels), list(values)] for name, labels, values in self],
            "exemplars": [
                [name, list(labels), list(held.items())]
                for (name, labels), held in self._exemplars.items()
            ],
        }

    @classmethod
    def from_json(cls, sent: Mapping[str, Iterable[Any]]) -> Samples:
        """Return the samples that another process of the same version sent."""
        made = cls()
        for name, labels, values in sent["values"]:
            made.add(METRICS[name], *values, labels=tuple(labels))
        for name, labels, held in sent["exemplars"]:
            exemplars = {bucket: TraceExemplar(*one) for bucket, one in held}
            made.exemplify(METRICS[name], tuple(labels), exemplars)
        return made


@dataclass(frozen=True, slots=True)
class Check:
    """One readiness check; `detail` describes its state in a few words.

    A `degraded` one still works in part, so it stays ready.
    """

    name: str
    ok: bool
    detail: str = ""
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Checks, samples and a status of names and numbers.

    `unlisted` are the rows of names that rules in mode `observe` do not list, each with its
    `process`.
    """

    checks: tuple[Check, ...]
    samples: Samples
    status: Mapping[str, Any]
    unlisted: tuple[Mapping[str, Any], ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every check is ok."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the facts for JSON."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "samples": self.samples.to_json(),
            "status": dict(self.status),
            "unlisted": list(self.unlisted),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """Return the facts that another process of the same version sent."""
        checks = tuple(Check(**check) for check in value["checks"])
        samples = Samples.from_json(value["samples"])
        return cls(checks, samples, value["status"], tuple(value["unlisted"]))
