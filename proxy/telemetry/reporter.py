"""The tally: a reporter that hands every event on to the log and counts what it tells.

It counts in plain dicts, which costs about a microsecond a message; Prometheus' own counters take a
lock for each increment. What a scraper reads is made only when it asks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from .logs.access_line import MessageLine, Refusal
from .logs.logger import Logs
from .metrics.message_counts import MOST_SERIES, OUTCOMES, MessageCounts
from .metrics.samples import Labels, Samples
from .metrics.table import (
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
    Metric,
)
from .tap import Tap

__all__ = ["MOST_SERIES", "CountingReporter", "MessageReporter", "Reporter"]

_ABORTED: Final = 499
_UPSTREAM: Final = frozenset({"upstream-failed", "upstream-timeout", "busy"})


class Reporter(Protocol):
    """Where events go. Fields hold names, codes, sizes and durations: never a value."""

    def report(self, event: str, **fields: object) -> None:
        """Take note of one event."""


class MessageReporter(Reporter, Protocol):
    """Where events and the lines of messages go."""

    def message(self, line: MessageLine) -> None:
        """Take note of one message that is over."""


class CountingReporter:
    """Counts messages by what is reported of them. One object serves one process."""

    __slots__ = ("_counts", "_inner", "_messages", "tap")

    def __init__(self, inner: MessageReporter, tap: Tap | None = None) -> None:
        """Hand every event on to `inner`, and lines of messages to `tap` while it is watched."""
        self._inner = inner
        self.tap = tap or Tap(time.time)
        self._counts: dict[str, dict[Labels, float]] = {}
        self._messages = MessageCounts()

    @property
    def inner(self) -> MessageReporter:
        """Where every event goes on to."""
        return self._inner

    def report(self, event: str, **fields: object) -> None:
        """Write the event, then count it."""
        self._inner.report(event, **fields)
        if event == "message.observed":
            self._told(fields, fields)
        elif event == "store.failed":
            self._add(STORE_ERRORS, (_text(fields, "store"), _text(fields, "reason")))
        elif event == "poison.opened":
            self._add(POISON, (_text(fields, "listener"), _text(fields, "rule")))
        elif event == "participant.unaccepted":
            refused = "yes" if fields.get("refused") else "no"
            self._add(UNACCEPTED, (_text(fields, "use"), refused))

    def message(self, line: MessageLine) -> None:
        """Write the line of a message, then count it."""
        self._inner.message(line)
        if line.refusal is not None:
            self._messages.count(line, "refused")
            self._refusal(line, line.refusal)
        else:
            self._messages.count(line, "aborted" if line.status == _ABORTED else "forwarded")
            if line.observations:
                who = {"listener": line.listener, "rule": line.rule, "method": line.method}
                self._told(who, {**line.counts, **line.observations})
        if self.tap.watched:
            self.tap.line(line)

    def samples(self) -> Samples:
        """Return what has been counted so far."""
        made = Samples()
        for name, counts in self._counts.items():
            for labels, number in counts.items():
                made.add(METRICS[name], number, labels=labels)
        for metric, values, labels in self._messages:
            made.add(metric, *values, labels=labels)
        for metric, labels, exemplars in self._messages.exemplars():
            made.exemplify(metric, labels, exemplars)
        if isinstance(self._inner, Logs):
            made.add(LINES_LOST, self._inner.lost)
        return made

    def _told(self, who: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Count what a rule that only observes would have done, or a message that none covers."""
        listener, rule = _text(who, "listener"), _text(who, "rule")
        if "shape" in told:
            shown = [_text(told, key) for key in ("shape", "request_type", "response_type")]
            self._add(UNCOVERED, (listener, _text(who, "method"), *shown))
            return
        for direction, before in (("request", ""), ("response", "response_")):
            if direction not in told.get("observed", ""):
                continue
            found = False
            for outcome in OUTCOMES:
                if number := told.get(f"{before}would_be_{outcome}"):
                    found = found or outcome != "unsealed"
                    self._add(TRIAL_VALUES, (listener, rule, direction, outcome), number)
            result = _text(told, f"{before}would_fail") or ("changed" if found else "unchanged")
            self._add(TRIALS, (listener, rule, direction, result))

    def _refusal(self, line: MessageLine, refusal: Refusal) -> None:
        listener, (code, reason, direction) = line.listener, refusal
        self._add(REFUSALS, (listener, line.rule or "", direction, code))
        self._add(REFUSAL_REASONS, (listener, code, reason))
        if code in _UPSTREAM:
            self._add(UPSTREAM_ERRORS, (listener, code, reason))

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
