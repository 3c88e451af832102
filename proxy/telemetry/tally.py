"""The tally: a reporter that hands every event on to the log and counts what it tells.

It counts in plain dicts, which costs about a microsecond a message; Prometheus' own counters take a
lock for each increment. What a scraper reads is made only when it asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final, Protocol

from .metrics import (
    MESSAGES,
    METRICS,
    REFUSALS,
    REQUEST_BYTES,
    REQUEST_DURATION,
    RESPONSE_BYTES,
    SECONDS,
    STORE_ERRORS,
    UPSTREAM_DURATION,
    UPSTREAM_ERRORS,
    VALUES,
    Metric,
)
from .samples import WIDTH, Labels, Samples

MOST_SERIES: Final = 5000
"""Of one metric; what comes above (rules renamed by many reloads) is counted as `other`."""

_FATES: Final = ("sealed", "opened", "already_sealed", "plain", "kept", "cut")
_ABORTED: Final = 499
_UPSTREAM: Final = frozenset({"upstream-failed", "upstream-timeout", "busy"})


class Reporter(Protocol):
    """Where events go."""

    def report(self, event: str, **fields: object) -> None:
        """Take note of one event."""


class Tally:
    """Counts messages by what is reported of them. One object serves one process."""

    __slots__ = ("_counts", "_inner", "_times")

    def __init__(self, inner: Reporter) -> None:
        """Hand every event on to `inner`."""
        self._inner = inner
        self._counts: dict[str, dict[Labels, float]] = {}
        self._times: dict[str, dict[Labels, list[float]]] = {}

    def report(self, event: str, **fields: object) -> None:
        """Write the event, then count it."""
        self._inner.report(event, **fields)
        if event == "message.handled":
            outcome = "aborted" if fields.get("status") == _ABORTED else "forwarded"
            self._message(fields, outcome)
        elif event == "message.refused":
            self._message(fields, "refused")
            self._refusal(fields)
        elif event == "store.failed":
            self._add(STORE_ERRORS, (_text(fields, "store"), _text(fields, "reason")))

    def samples(self) -> Samples:
        """Return what has been counted so far."""
        made = Samples()
        for name, counts in self._counts.items():
            for labels, number in counts.items():
                made.add(METRICS[name], number, labels=labels)
        for name, times in self._times.items():
            for labels, values in times.items():
                made.add(METRICS[name], *values, labels=labels)
        return made

    def _message(self, fields: Mapping[str, Any], outcome: str) -> None:
        listener, rule = _text(fields, "listener"), _text(fields, "rule")
        self._add(MESSAGES, (listener, rule, outcome))
        self._add(REQUEST_BYTES, (listener,), fields.get("request_bytes") or 0)
        self._add(RESPONSE_BYTES, (listener,), fields.get("response_bytes") or 0)
        self._time(REQUEST_DURATION, listener, fields.get("duration_ms"))
        self._time(UPSTREAM_DURATION, listener, fields.get("upstream_ms"))
        for fate in _FATES:
            if number := fields.get(fate):
                back = fields.get(f"response_{fate}", 0)
                if back:
                    self._add(VALUES, (listener, rule, "response", fate), back)
                if number > back:
                    self._add(VALUES, (listener, rule, "request", fate), number - back)

    def _refusal(self, fields: Mapping[str, Any]) -> None:
        listener, code = _text(fields, "listener"), _text(fields, "error")
        rule, direction = _text(fields, "rule"), _text(fields, "direction")
        self._add(REFUSALS, (listener, rule, direction, code))
        if code in _UPSTREAM:
            self._add(UPSTREAM_ERRORS, (listener, code, _text(fields, "reason")))

    def _add(self, metric: Metric, labels: Labels, number: float = 1) -> None:
        # By name: a dataclass computes its hash anew each time.
        counts = self._counts.get(metric.name)
        if counts is None:
            counts = self._counts[metric.name] = {}
        held = counts.get(labels)
        if held is None and len(counts) >= MOST_SERIES:
            labels = ("other",) * len(labels)
            held = counts.get(labels)
        counts[labels] = number if held is None else held + number

    def _time(self, metric: Metric, listener: str, milliseconds: float | None) -> None:
        if milliseconds is None:
            return
        times = self._times.setdefault(metric.name, {})
        values = times.get((listener,))
        if values is None:
            values = times[listener,] = [0.0] * WIDTH
        seconds = milliseconds / 1000
        values[bisect_left(SECONDS, seconds)] += 1
        values[-1] += seconds


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""
