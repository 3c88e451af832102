"""What a metric is."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from ..policy import BUCKETS_MS

TEXT: Final = "text/plain"
OPENMETRICS: Final = "application/openmetrics-text"
"""The formats in which metrics are exposed."""

Kind = Literal["counter", "gauge", "histogram", "latest", "soonest"]

SECONDS: Final = (*(each / 1000 for each in BUCKETS_MS), 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of a histogram of durations, in seconds."""
FINE_SECONDS: Final = (
    *(each / 1_000_000 for each in (10, 25, 50, 100, 250)),
    *SECONDS[:-4],
)
"""The same for what takes microseconds or milliseconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Counters and histograms sum all workers, also dead ones; gauges sum live ones.

    `latest`, a time, is the highest of all workers, also dead ones; `soonest` the lowest of the
    live ones. Both are exposed as gauges. `bounds` are the buckets of a histogram.
    """

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = SECONDS

    @property
    def width(self) -> int:
        """Values of a sample: of a histogram, each bucket's count, those above, and the sum."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


counter: Final = partial(Metric, "counter")
gauge: Final = partial(Metric, "gauge")
histogram: Final = partial(Metric, "histogram")
latest: Final = partial(Metric, "latest")
soonest: Final = partial(Metric, "soonest")


class Durations:
    """One histogram that is filled in: the counts of its buckets, and the sum in seconds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, metric: Metric) -> None:
        """Start empty, with the buckets of `metric`."""
        self._bounds = metric.bounds
        self._counts = [0] * (len(metric.bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def values(self) -> tuple[float, ...]:
        """The values of a sample."""
        return (*self._counts, self._sum)
