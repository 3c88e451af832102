"""What a metric is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

TEXT: Final = "text/plain"
OPENMETRICS: Final = "application/openmetrics-text"
"""The formats in which metrics are exposed."""

Kind = Literal["counter", "gauge", "histogram", "latest", "soonest"]

_MILLISECONDS: Final = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)
SECONDS: Final = (*(each / 1000 for each in _MILLISECONDS), 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of duration histograms, in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Counters and histograms sum all workers, also dead ones; gauges sum live ones.

    `latest`, a time, is the highest of all workers, also dead ones; `soonest` the lowest of the
    live ones. Both are exposed as gauges.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
