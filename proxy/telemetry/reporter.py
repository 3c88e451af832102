"""A reporter that passes every event to the log and counts it.

It counts in plain dicts, at about a microsecond a message; the counters of prometheus-client take a
lock for each increment. Samples are made only for a scrape.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from .logs.access_line import BACKEND_FAILURES, MessageLine, Refusal
from .logs.logger import Logs
from .metrics.message_counts import OUTCOMES, MessageCounts
from .metrics.metric import Metric
from .metrics.samples import Labels, Samples
from .metrics.table import (
    LINES_LOST,
    METRICS,
    POISON,
    REFUSAL_REASONS,
    REFUSALS,
    SENSITIVE,
    STORE_ERRORS,
    TRIAL_VALUES,
    TRIALS,
    UNACCEPTED,
    UNCOVERED,
    UPSTREAM_ERRORS,
    WOULD_REFUSE,
)
from .policy import MOST_SERIES

if TYPE_CHECKING:  # imported where the configuration has it
    from .tap import Tap

__all__ = ["MOST_SERIES", "CountingReporter", "MessageReporter", "Reporter"]

_BY_FIELDS: Final = {"message.would_refuse": WOULD_REFUSE, "member.unruled": SENSITIVE}
"""Events that are counted by the fields which are the labels of their metric."""


class Reporter(Protocol):
    """Takes events. Fields hold names, codes, sizes and durations: never a value."""

    def report(self, event: str, **fields: object) -> None:
        """Report one event."""


class MessageReporter(Reporter, Protocol):
    """Takes events and the lines of messages."""

    def messages(self, lines: Sequence[MessageLine]) -> None:
        """Report messages that have ended."""


class CountingReporter:
    """Counts messages and events. One object serves one process."""

    __slots__ = ("_counts", "_messages", "inner", "tap")

    def __init__(self, inner: MessageReporter, tap: Tap | None = None) -> None:
        """Pass every event to `inner`, and lines of messages to `tap` while it is watched."""
        self.inner = inner
        """The reporter that gets every event."""
        self.tap = tap
        self._counts: dict[str, dict[Labels, float]] = {}
        self._messages = MessageCounts()

    def report(self, event: str, **fields: object) -> None:
        """Write the event, then count it."""
        self.inner.report(event, **fields)
        if event == "message.observed":
            self._dry_run(fields, fields)
        elif (counted := _BY_FIELDS.get(event)) is not None:
            self._add(counted, tuple(_text(fields, key) for key in counted.labels))
        elif event == "store.failed":
            self._add(STORE_ERRORS, (_text(fields, "store"), _text(fields, "reason")))
        elif event == "poison.opened":
            self._add(POISON, (_text(fields, "listener"), _text(fields, "rule")))
        elif event == "participant.unaccepted":
            refused = "yes" if fields.get("refused") else "no"
            self._add(UNACCEPTED, (_text(fields, "use"), refused))

    def messages(self, lines: Sequence[MessageLine]) -> None:
        """Write the lines of messages, then count them."""
        self.inner.messages(lines)
        now = time.time()
        for line in lines:
            if line.refusal is not None:
                self._refusal(line, line.refusal)
            elif line.observations:
                labels = {"listener": line.listener, "rule": line.rule, "method": line.method}
                self._dry_run(labels, line.observations)
            self._messages.count(line, now)
        if self.tap is not None and self.tap.watched:
            for line in lines:
                self.tap.line(line)

    def samples(self) -> Samples:
        """Return the samples of all counts."""
        made = Samples()
        for name, counts in self._counts.items():
            for labels, number in counts.items():
                made.add(METRICS[name], number, labels=labels)
        for metric, values, labels in self._messages:
            made.add(metric, *values, labels=labels)
        for metric, labels, exemplars in self._messages.exemplars():
            made.exemplify(metric, labels, exemplars)
        if isinstance(self.inner, Logs):
            made.add(LINES_LOST, self.inner.lost)
        return made

    def _dry_run(self, labels: Mapping[str, Any], observations: Mapping[str, Any]) -> None:
        """Count the result of a dry run, or a message that no rule covers."""
        listener, rule = _text(labels, "listener"), _text(labels, "rule")
        if "shape" in observations:
            shapes = [
                _text(observations, key) for key in ("shape", "request_type", "response_type")
            ]
            self._add(UNCOVERED, (listener, _text(labels, "method"), *shapes))
            return
        for direction, before in (("request", ""), ("response", "response_")):
            if direction not in observations.get("observed", ""):
                continue
            found = False
            for outcome in OUTCOMES:
                if number := observations.get(f"{before}would_be_{outcome}"):
                    found = found or outcome not in {"unsealed", "sentinel"}
                    self._add(TRIAL_VALUES, (listener, rule, direction, outcome), number)
            result = _text(observations, f"{before}would_fail") or (
                "changed" if found else "unchanged"
            )
            self._add(TRIALS, (listener, rule, direction, result))

    def _refusal(self, line: MessageLine, refusal: Refusal) -> None:
        listener, rule, (code, reason, direction) = line.listener, line.rule or "", refusal
        if code in BACKEND_FAILURES:
            self._add(UPSTREAM_ERRORS, (listener, rule, code, reason))
            return
        self._add(REFUSALS, (listener, rule, direction, code))
        self._add(REFUSAL_REASONS, (listener, direction, code, reason))

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
