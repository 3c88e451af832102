"""How many messages met which end, in the few steps that each message can afford."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from time import time
from typing import Any, Final

from .metrics import (
    MESSAGES,
    REQUEST_BYTES,
    REQUEST_DURATION,
    RESPONSE_BYTES,
    RULE_MATCHED,
    SECONDS,
    UPSTREAM_DURATION,
    Metric,
)
from .samples import WIDTH, Labels, Values

MOST_SERIES: Final = 5000
"""Of one metric; what comes above (rules renamed by many reloads) is counted as `other`."""

_BOUNDS: Final = tuple(seconds * 1000 for seconds in SECONDS)


class _Listener:
    """What is counted of a listener, whatever the rule; times are in milliseconds."""

    __slots__ = ("durations", "received", "returned", "upstream")

    def __init__(self) -> None:
        self.received = 0
        self.returned = 0
        self.durations = [0.0] * WIDTH
        self.upstream = [0.0] * WIDTH


class _Series:
    """Messages of one rule that met one end, and when the last of them did."""

    __slots__ = ("last", "listener", "number")

    def __init__(self, listener: _Listener) -> None:
        self.listener = listener
        self.number = 0
        self.last = 0.0


class MessageCounts:
    """Counts messages. One look-up finds all that a message adds to."""

    __slots__ = ("_listeners", "_series")

    def __init__(self) -> None:
        self._listeners: dict[str, _Listener] = {}
        self._series: dict[Labels, _Series] = {}

    def count(self, fields: Mapping[str, Any], outcome: str) -> None:
        """Add a message, by the fields of its line."""
        labels = (fields.get("listener") or "", fields.get("rule") or "", outcome)
        series = self._series.get(labels)
        if series is None:
            series = self._begin(labels)
        series.number += 1
        series.last = time()
        listener = series.listener
        listener.received += fields.get("request_bytes") or 0
        listener.returned += fields.get("response_bytes") or 0
        if (took := fields.get("duration_ms")) is not None:
            listener.durations[bisect_left(_BOUNDS, took)] += 1
            listener.durations[-1] += took
        if (took := fields.get("upstream_ms")) is not None:
            listener.upstream[bisect_left(_BOUNDS, took)] += 1
            listener.upstream[-1] += took

    def _begin(self, labels: Labels) -> _Series:
        listener = self._listeners.setdefault(labels[0], _Listener())
        if len(self._series) < MOST_SERIES:
            series = self._series[labels] = _Series(listener)
            return series
        other = self._series.setdefault(("other",) * len(labels), _Series(listener))
        other.listener = listener
        return other

    def __iter__(self) -> Iterator[tuple[Metric, Values, Labels]]:
        """Yield what has been counted so far."""
        for labels, series in self._series.items():
            yield MESSAGES, (series.number,), labels
            if labels[1]:
                yield RULE_MATCHED, (round(series.last, 3),), labels[:2]
        for name, listener in self._listeners.items():
            yield REQUEST_BYTES, (listener.received,), (name,)
            yield RESPONSE_BYTES, (listener.returned,), (name,)
            yield REQUEST_DURATION, _in_seconds(listener.durations), (name,)
            if any(listener.upstream):
                yield UPSTREAM_DURATION, _in_seconds(listener.upstream), (name,)


def _in_seconds(values: list[float]) -> Values:
    return (*values[:-1], values[-1] / 1000)
