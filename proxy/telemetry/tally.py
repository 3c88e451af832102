"""The tally: a reporter that hands every event on to the log and counts what it tells.

It counts in plain dicts, which costs about a microsecond a message; Prometheus' own counters take a
lock for each increment. What a scraper reads is made only when it asks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from .logs import Logs
from .message_counts import MOST_SERIES, MessageCounts
from .metrics import (
    LINES_LOST,
    METRICS,
    POISON,
    REFUSAL_REASONS,
    REFUSALS,
    STORE_ERRORS,
    TRIAL_VALUES,
    TRIALS,
    UNACCEPTED,
    UNCOVERED,
    UPSTREAM_ERRORS,
    VALUES,
    Metric,
)
from .samples import Labels, Samples
from .tap import Tap

__all__ = ["MOST_SERIES", "Reporter", "Tally"]

_FATES: Final = ("sealed", "opened", "already_sealed", "plain", "kept", "cut")
_ABORTED: Final = 499
_UPSTREAM: Final = frozenset({"upstream-failed", "upstream-timeout", "busy"})


class Reporter(Protocol):
    """Where events go."""

    def report(self, event: str, **fields: object) -> None:
        """Take note of one event."""


class Tally:
    """Counts messages by what is reported of them. One object serves one process."""

    __slots__ = ("_counts", "_inner", "_messages", "tap")

    def __init__(self, inner: Reporter, tap: Tap | None = None) -> None:
        """Hand every event on to `inner`, and lines of messages to `tap` while it is watched."""
        self._inner = inner
        self.tap = tap or Tap(time.time)
        self._counts: dict[str, dict[Labels, float]] = {}
        self._messages = MessageCounts()

    @property
    def inner(self) -> Reporter:
        """Where every event goes on to."""
        return self._inner

    def report(self, event: str, **fields: object) -> None:
        """Write the event, then count it."""
        self._inner.report(event, **fields)
        if event == "message.handled":
            outcome = "aborted" if fields.get("status") == _ABORTED else "forwarded"
            self._messages.count(fields, outcome)
            self._values(fields)
            if "shape" in fields:
                self._uncovered(fields)
            elif fields.get("observed"):
                self._trials(fields)
            if self.tap.watched:
                self.tap.line(fields)
        elif event == "message.refused":
            self._messages.count(fields, "refused")
            self._values(fields)
            self._refusal(fields)
            if self.tap.watched:
                self.tap.line(fields)
        elif event == "store.failed":
            self._add(STORE_ERRORS, (_text(fields, "store"), _text(fields, "reason")))
        elif event == "poison.opened":
            self._add(POISON, (_text(fields, "listener"), _text(fields, "rule")))
        elif event == "participant.unaccepted":
            refused = "yes" if fields.get("refused") else "no"
            self._add(UNACCEPTED, (_text(fields, "use"), refused))

    def samples(self) -> Samples:
        """Return what has been counted so far."""
        made = Samples()
        for name, counts in self._counts.items():
            for labels, number in counts.items():
                made.add(METRICS[name], number, labels=labels)
        for metric, values, labels in self._messages:
            made.add(metric, *values, labels=labels)
        if isinstance(self._inner, Logs):
            made.add(LINES_LOST, self._inner.lost)
        return made

    def _values(self, fields: Mapping[str, Any]) -> None:
        listener, rule = _text(fields, "listener"), _text(fields, "rule")
        for fate in _FATES:
            if number := fields.get(fate):
                back = fields.get(f"response_{fate}", 0)
                if back:
                    self._add(VALUES, (listener, rule, "response", fate), back)
                if number > back:
                    self._add(VALUES, (listener, rule, "request", fate), number - back)

    def _trials(self, fields: Mapping[str, Any]) -> None:
        listener, rule = _text(fields, "listener"), _text(fields, "rule")
        for direction, before in (("request", ""), ("response", "response_")):
            if direction not in fields["observed"]:
                continue
            found = False
            for fate in _FATES:
                if number := fields.get(f"{before}would_be_{fate}"):
                    found = True
                    self._add(TRIAL_VALUES, (listener, rule, direction, fate), number)
            outcome = _text(fields, f"{before}would_fail") or ("changed" if found else "unchanged")
            self._add(TRIALS, (listener, rule, direction, outcome))

    def _uncovered(self, fields: Mapping[str, Any]) -> None:
        keys = ("listener", "method", "shape", "request_type", "response_type")
        self._add(UNCOVERED, tuple(_text(fields, key) for key in keys))

    def _refusal(self, fields: Mapping[str, Any]) -> None:
        listener, code = _text(fields, "listener"), _text(fields, "error")
        rule, direction = _text(fields, "rule"), _text(fields, "direction")
        self._add(REFUSALS, (listener, rule, direction, code))
        self._add(REFUSAL_REASONS, (listener, code, _text(fields, "reason")))
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


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""
