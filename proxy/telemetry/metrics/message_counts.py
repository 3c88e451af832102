"""Counts of messages by outcome, in the few steps that each message can afford."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from ...core.edits.edits import Outcome
from ..logs.access_line import MessageLine
from .metric import SECONDS, Metric
from .samples import WIDTH, Exemplars, Labels, TraceExemplar, Values
from .table import (
    MESSAGES,
    REQUEST_BYTES,
    REQUEST_DURATION,
    RESPONSE_BYTES,
    RULE_MATCHED,
    UPSTREAM_DURATION,
    VALUES,
)

MOST_SERIES: Final = 5000
"""Series of one metric; more (rules renamed by many reloads) are counted as `other`."""

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "sealed",
    "opened",
    "already_sealed",
    "plain",
    "kept",
    "in_markup",
    "cut",
    "unsealed",
    "unread",
    "sentinel",
)
_BOUNDS: Final = tuple(seconds * 1000 for seconds in SECONDS)


class _Listener:
    """The counts of a listener over all rules; times are in milliseconds.

    Of a histogram, the sum is beside the counts of the buckets.
    """

    __slots__ = (
        "duration",
        "durations",
        "exemplars",
        "received",
        "returned",
        "upstream",
        "upstream_exemplars",
        "upstreams",
    )

    def __init__(self) -> None:
        self.received = 0
        self.returned = 0
        self.durations = [0] * (WIDTH - 1)
        self.duration = 0.0
        self.exemplars: dict[int, TraceExemplar] = {}
        self.upstreams = [0] * (WIDTH - 1)
        self.upstream = 0.0
        self.upstream_exemplars: dict[int, TraceExemplar] = {}

    def exemplify(self, line: MessageLine, now: float) -> None:
        """Keep a traced message as the exemplar of its buckets."""
        each = ((self.exemplars, line.duration_ms), (self.upstream_exemplars, line.upstream_ms))
        for held, took in each:
            if took is not None:
                one = TraceExemplar(line.trace_id, took / 1000, round(now, 3))
                held[bisect_left(_BOUNDS, took)] = one


class _Series:
    """Messages of one rule with one outcome, their values, and the time of the last one."""

    __slots__ = ("last", "listener", "number", "requests", "responses")

    def __init__(self, listener: _Listener) -> None:
        self.listener = listener
        self.number = 0
        self.last = 0.0
        self.requests: dict[str, int] = {}
        self.responses: dict[str, int] = {}


class MessageCounts:
    """Counts messages. One look-up finds all counters of a message."""

    __slots__ = ("_listeners", "_series")

    def __init__(self) -> None:
        self._listeners: dict[str, _Listener] = {}
        self._series: dict[Labels, _Series] = {}

    def count(self, line: MessageLine, outcome: str, now: float) -> None:
        """Add a message, which ended at `now`, in seconds since 1970."""
        labels = (line.listener, line.rule or "", outcome)
        series = self._series.get(labels)
        if series is None:
            series = self._begin(labels)
        series.number += 1
        series.last = now
        listener = series.listener
        listener.received += line.request_bytes
        listener.returned += line.response_bytes
        took = line.duration_ms
        listener.durations[bisect_left(_BOUNDS, took)] += 1
        listener.duration += took
        upstream = line.upstream_ms
        if upstream is not None:
            listener.upstreams[bisect_left(_BOUNDS, upstream)] += 1
            listener.upstream += upstream
        if line.trace_id:
            listener.exemplify(line, now)
        values = series.requests
        for name, number in line.request_outcomes:
            values[name] = values.get(name, 0) + number
        values = series.responses
        for name, number in line.response_outcomes:
            values[name] = values.get(name, 0) + number

    def _begin(self, labels: Labels) -> _Series:
        listener = self._listeners.setdefault(labels[0], _Listener())
        if len(self._series) < MOST_SERIES:
            series = self._series[labels] = _Series(listener)
            return series
        labels = ("other",) * len(labels)
        other = self._series.setdefault(labels, _Series(listener))
        other.listener = listener
        return other

    def __iter__(self) -> Iterator[tuple[Metric, Values, Labels]]:
        """Yield the samples of all counts."""
        for labels, series in self._series.items():
            yield MESSAGES, (series.number,), labels
            if labels[1]:
                yield RULE_MATCHED, (round(series.last, 3),), labels[:2]
            for direction, values in (
                ("request", series.requests),
                ("response", series.responses),
            ):
                for outcome, number in values.items():
                    yield VALUES, (number,), (*labels[:2], direction, outcome)
        for name, listener in self._listeners.items():
            yield REQUEST_BYTES, (listener.received,), (name,)
            yield RESPONSE_BYTES, (listener.returned,), (name,)
            yield REQUEST_DURATION, _in_seconds(listener.durations, listener.duration), (name,)
            if any(listener.upstreams):
                yield UPSTREAM_DURATION, _in_seconds(listener.upstreams, listener.upstream), (name,)

    def exemplars(self) -> Iterator[tuple[Metric, Labels, Exemplars]]:
        """Yield the exemplars of histograms, if messages are traced."""
        for name, listener in self._listeners.items():
            yield REQUEST_DURATION, (name,), listener.exemplars
            yield UPSTREAM_DURATION, (name,), listener.upstream_exemplars


def _in_seconds(counts: list[int], milliseconds: float) -> Values:
    return (*counts, milliseconds / 1000)
