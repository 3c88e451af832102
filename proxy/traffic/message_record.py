"""What is recorded about one message: its line in the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from ..core.edits.edits import Outcome
from ..core.errors import TrafficError, Unopened
from ..core.explain.dry_run import DryRunResult
from ..core.http.message import Direction
from ..telemetry.logs.access_line import MessageLine, Refusal
from .interfaces import Reporter


class MessageRecord(MessageLine):
    """The log line of one message, while its facts are gathered. It never holds a value."""

    __slots__ = ("_began", "_cause", "_responded", "_sent", "direction", "unopened")

    def __init__(self, request_id: str, listener: str) -> None:
        self._began = time.perf_counter()
        self._sent = 0.0
        self._responded = 0.0
        self._cause: tuple[str, str] | None = None
        self.direction: Direction = "request"
        self.unopened: list[tuple[Direction, Unopened]] = []
        self.request_id = request_id
        self.listener = listener
        self.method = ""
        self.rule = None
        self.status = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.duration_ms = 0.0
        self.counts = {}
        self.observations = {}
        self.upstream_ms = None
        self.refusal = None
        self.trace_id = ""

    def count(self, outcomes: Mapping[Outcome, int]) -> None:
        """Add how many values had which outcome; those of the response separately too."""
        for outcome, number in outcomes.items():
            self.counts[outcome] = self.counts.get(outcome, 0) + number
            if self.direction == "response":
                name = f"response_{outcome}"
                self.counts[name] = self.counts.get(name, 0) + number

    def sending(self) -> None:
        """Note that the request goes upstream."""
        self._sent = time.perf_counter()

    def responded(self, status: int) -> None:
        """Note that the upstream has answered."""
        self._responded = time.perf_counter()
        self.status = status
        self.direction = "response"

    def refused(self, error: TrafficError, status: int) -> None:
        """Note that the message was refused.

        The error itself is not kept: by its traceback it would hold the body, in a cycle.
        """
        self._cause = (error.code, error.reason)
        self.status = status

    def observed(self, direction: Direction, result: DryRunResult) -> None:
        """Note what a rule that only observes would have done to one direction."""
        directions = [*self.observations.get("observed", "").split(), direction]
        counts, fields = dry_run_fields(direction, result)
        self.counts |= counts
        self.observations |= {**fields, "observed": " ".join(directions)}

    def observed_message(
        self, reporter: Reporter, direction: Direction, result: DryRunResult
    ) -> None:
        """Report now what such a rule would have done to a message of a WebSocket."""
        counts, fields = dry_run_fields(direction, result)
        reporter.report("message.observed", **self._who, **counts, **fields)

    def uncovered_messages(self, reporter: Reporter, route: str, kind: str) -> None:
        """Report now that no rule covers the messages of a WebSocket."""
        types = {"request_type": kind, "response_type": kind}
        reporter.report("message.observed", **{**self._who, "method": "WS"}, shape=route, **types)

    @property
    def _who(self) -> dict[str, object]:
        return {
            "request_id": self.request_id,
            "listener": self.listener,
            "method": self.method,
            "rule": self.rule,
        }

    def uncovered(self, route: str, request_type: str, response_type: str) -> None:
        """Note the shape and the types of a message that no rule covers."""
        self.observations["shape"] = route
        self.observations["request_type"], self.observations["response_type"] = (
            request_type,
            response_type,
        )

    def did_not_open(self, unopened: Iterable[Unopened]) -> None:
        """Note tokens that did not open."""
        self.unopened.extend((self.direction, one) for one in unopened)

    def report(self, reporter: Reporter) -> None:
        """Write the line."""
        self._over(time.perf_counter())
        reporter.message(self)

    def _over(self, now: float) -> None:
        """Set what is known only at the end of the message."""
        self.duration_ms = (now - self._began) * 1000
        if self._sent:
            self.upstream_ms = ((self._responded or now) - self._sent) * 1000
        if self._cause is not None:
            self.refusal = Refusal(*self._cause, self.direction)


def dry_run_fields(
    direction: Direction, result: DryRunResult
) -> tuple[dict[str, int], dict[str, str]]:
    """Return as fields of an event what a rule would have done to a message."""
    before = "" if direction == "request" else "response_"
    counts = {f"{before}would_be_{outcome}": number for outcome, number in result.counts.items()}
    fields = {"observed": str(direction)}
    if result.reason is not None:
        fields[f"{before}would_fail"] = result.reason
    return counts, fields
