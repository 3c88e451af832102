"""Counts of messages by outcome, in the few steps that each message can afford."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ...core.errors import Busy, UpstreamResting
from ...core.values.outcomes import Outcome
from ..logs.access_line import BACKEND_FAILURES, MessageLine, Outcomes, Refusal
from ..policy import MOST_SERIES
from .metric import Durations, Metric
from .samples import Exemplars, Labels, TraceExemplar, Values
from .table import (
    CRYPTO_DURATION,
    MESSAGES,
    REQUEST_BYTES,
    REQUEST_DURATION,
    RESPONSE_BYTES,
    RULE_MATCHED,
    UNCOVERED_WRITES,
    UPSTREAM_DURATION,
    VALUES,
)

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "sealed",
    "opened",
    "already_sealed",
    "plain",
    "kept",
    "in_markup",
    "cut",
    "masked",
    "token",
    "absent",
    "unsealed",
    "unread",
    "sentinel",
    "searched",
    "found",
    "filtered",
)
_BOUNDS: Final = tuple(seconds * 1000 for seconds in REQUEST_DURATION.bounds)
_NONE: Final = [0] * (len(_BOUNDS) + 1)
"""The counts of buckets to begin with."""
_CLIENT_CLOSED: Final = 499
_OTHER: Final = "other"
_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})
_HELD_BACK: Final = frozenset({Busy.code, UpstreamResting.code})
_UNCONNECTED: Final = frozenset({"connect", "not-redirected", "too-many-ports"})

_Key = tuple[str, str | None, str, int, Refusal | None, Outcomes, Outcomes]
"""Listener, rule, method, status, why it was refused, outcomes of its request and response."""


@dataclass(slots=True)
class _Series:
    """Messages with the same labels, and their values; times are in milliseconds.

    Of a histogram, the sum is beside the counts of the buckets. `last` is when one ended last, in
    seconds since 1970.
    """

    labels: Labels
    number: int = 0
    last: float = 0.0
    received: int = 0
    returned: int = 0
    durations: list[int] = field(default_factory=_NONE.copy)
    duration: float = 0.0
    exemplars: dict[int, TraceExemplar] = field(default_factory=dict)
    upstreams: list[int] = field(default_factory=_NONE.copy)
    upstream: float = 0.0
    upstream_exemplars: dict[int, TraceExemplar] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    responses: dict[str, int] = field(default_factory=dict)
    changes: dict[str, Durations] = field(default_factory=dict)

    def exemplify(self, line: MessageLine, now: float) -> None:
        """Keep a sampled message as the exemplar of its buckets."""
        each = ((self.exemplars, line.duration_ms), (self.upstream_exemplars, line.upstream_ms))
        for held, took in each:
            if took is not None:
                one = TraceExemplar(line.trace_id, took / 1000, round(now, 3))
                held[bisect_left(_BOUNDS, took)] = one

    def time_changes(self, line: MessageLine) -> None:
        """Count how long it took to change the bodies of a message."""
        for direction, seconds in line.changes or ():
            held = self.changes.get(direction)
            if held is None:
                held = self.changes[direction] = Durations(CRYPTO_DURATION)
            held.add(seconds)


@dataclass(slots=True)
class _Kind:
    """Messages of one series that have the same outcomes; `number` is not in the series yet."""

    series: _Series
    requests: Outcomes
    responses: Outcomes
    number: int = 0

    def fold(self) -> None:
        """Add the number to the series."""
        number, self.number = self.number, 0
        if number:
            self.series.number += number
            for outcomes, held in (
                (self.requests, self.series.requests),
                (self.responses, self.series.responses),
            ):
                for name, each in outcomes:
                    held[name] = held.get(name, 0) + each * number


def _reached(line: MessageLine) -> bool:
    """Return whether the backend got anything that a client wrote, whatever became of it then."""
    if line.switched:
        return True
    if line.upstream_ms is None or line.method not in _WRITES:
        return False
    refusal = line.refusal
    if refusal is None or refusal.direction == "response":
        return True
    return refusal.error not in _HELD_BACK and refusal.reason not in _UNCONNECTED


def outcome_of(status: int, refusal: Refusal | None) -> str:
    """Return the outcome of a message, as its metrics have it."""
    if refusal is not None:
        return "failed" if refusal.error in BACKEND_FAILURES else "refused"
    return "aborted" if status == _CLIENT_CLOSED else "forwarded"


class MessageCounts:
    """Counts messages. One look-up finds all counters of a message."""

    __slots__ = ("_kinds", "_series", "_uncovered")

    def __init__(self) -> None:
        self._uncovered: dict[str, int] = {}
        self._kinds: dict[_Key, _Kind] = {}
        self._series: dict[Labels, _Series] = {}

    def count(self, line: MessageLine, now: float) -> None:
        """Add a message, which ended at `now`, in seconds since 1970."""
        key = (
            line.listener,
            line.rule,
            line.method,
            line.status,
            line.refusal,
            line.request_outcomes,
            line.response_outcomes,
        )
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._find(key)
        kind.number += 1
        series = kind.series
        series.last = now
        series.received += line.request_bytes
        series.returned += line.response_bytes
        took = line.duration_ms
        series.durations[bisect_left(_BOUNDS, took)] += 1
        series.duration += took
        upstream = line.upstream_ms
        if upstream is not None:
            series.upstreams[bisect_left(_BOUNDS, upstream)] += 1
            series.upstream += upstream
        if line.trace_id and line.sampled:
            series.exemplify(line, now)
        if line.changes:
            series.time_changes(line)
        if line.rule is None and _reached(line):
            self._uncovered[line.listener] = self._uncovered.get(line.listener, 0) + 1

    def _find(self, key: _Key) -> _Kind:
        listener, rule, method, status, refusal, requests, responses = key
        labels: Labels = (
            listener,
            rule or "",
            method,
            f"{status // 100}xx",
            outcome_of(status, refusal),
        )
        if labels not in self._series and len(self._series) >= MOST_SERIES:
            labels = (_OTHER,) * len(labels)
        series = self._series.setdefault(labels, _Series(labels))
        if len(self._kinds) >= MOST_SERIES:
            self._fold()
            self._kinds.clear()
        kind = self._kinds[key] = _Kind(series, requests, responses)
        return kind

    def _fold(self) -> None:
        for kind in self._kinds.values():
            kind.fold()

    def __iter__(self) -> Iterator[tuple[Metric, Values, Labels]]:
        """Yield samples; those of the same metric and labels are to be added up."""
        self._fold()
        for listener, number in self._uncovered.items():
            yield UNCOVERED_WRITES, (number,), (listener,)
        for series in self._series.values():
            listener, rule, _, _, outcome = series.labels
            yield MESSAGES, (series.number,), (listener, rule, outcome)
            if rule:
                yield RULE_MATCHED, (round(series.last, 3),), (listener, rule)
            for direction, values in (
                ("request", series.requests),
                ("response", series.responses),
            ):
                for name, number in values.items():
                    yield VALUES, (number,), (listener, rule, direction, name)
            for direction, durations in series.changes.items():
                yield CRYPTO_DURATION, durations.values, (listener, rule, direction)
            yield REQUEST_BYTES, (series.received,), (listener,)
            yield RESPONSE_BYTES, (series.returned,), (listener,)
            yield REQUEST_DURATION, _in_seconds(series.durations, series.duration), series.labels
            if any(series.upstreams):
                sent = _in_seconds(series.upstreams, series.upstream)
                yield UPSTREAM_DURATION, sent, (listener, rule)

    def exemplars(self) -> Iterator[tuple[Metric, Labels, Exemplars]]:
        """Yield the exemplars of histograms, if messages are traced."""
        for series in self._series.values():
            yield REQUEST_DURATION, series.labels, series.exemplars
            yield UPSTREAM_DURATION, series.labels[:2], series.upstream_exemplars


def _in_seconds(counts: list[int], milliseconds: float) -> Values:
    return (*counts, milliseconds / 1000)
