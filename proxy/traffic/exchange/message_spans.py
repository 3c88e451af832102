"""The spans of a message: when it was planned, got its keys, went upstream and was answered.

They are made only if traces are wanted, so that nothing is measured or kept without them.
"""

from __future__ import annotations

import time

from ...core.compiled.rule_table import Decision
from ...core.http.message import Headers, header_values
from ...core.planning.plan import Plan
from ...core.values.key_needs import Keys
from ...telemetry.traces import LaneTraces, TracedMessage, TracedPart
from ..message_record import MessageRecord, MessageWatch


class MessageSpans(MessageWatch):
    """Gathers the times of a message, and exports its spans once it is over."""

    __slots__ = ("_answered", "_parent", "_parts", "_planned", "_record", "_route", "_traces")

    def __init__(self, traces: LaneTraces, record: MessageRecord) -> None:
        self._traces = traces
        self._record = record
        self._parts: list[TracedPart] = []
        self._planned: float | None = None
        self._answered = 0
        self._parent = ""
        self._route = ""

    def arrived(self, headers: Headers) -> None:
        """Note which trace the request belongs to."""
        found = header_values(headers, b"traceparent")
        if len(found) == 1:
            self._parent = found[0].decode("latin-1")

    def admitted(self, decision: Decision) -> None:
        """Note its route."""
        if decision.pattern is not None:
            self._route = decision.pattern.text.split()[-1]

    def responded(self, status: int) -> None:
        """Note the status of the upstream."""
        self._answered = status

    def planned(self, began: float, ended: float) -> None:
        """Note how long a plan took, and that keys are looked up from now on."""
        self._part("plan", began, ended)
        self._planned = ended

    def without_keys(self, error: str) -> None:
        """Note how long it took to find that there are no keys."""
        self._resolved(error)

    def carrying_out(self, plan: Plan, keys: Keys, now: float) -> None:
        """Note how long the keys took."""
        self._resolved("")

    def _resolved(self, error: str) -> None:
        if self._planned is not None:
            self._part("keys", self._planned, time.perf_counter(), error)
            self._planned = None

    def over(self, now: float) -> None:
        """Export the spans."""
        record = self._record
        if exported := self._export(now):
            record.trace_id, record.sampled = exported, True
        else:
            record.sampled = False

    def _export(self, now: float) -> str:
        record = self._record
        began, sent, responded = record.times
        code = record.refusal.error if record.refusal is not None else ""
        if sent:
            attributes: dict[str, str | int] = {"http.request.method": record.method}
            if self._answered:
                attributes["http.response.status_code"] = self._answered
            ended, error = responded or now, "" if responded else code
            part = TracedPart(record.method, sent, ended, attributes, error, outward=True)
            self._parts.append(part)
        return self._traces.export(
            TracedMessage(
                record.method,
                self._route,
                record.status,
                began,
                now,
                self._attributes(),
                code,
                self._parent,
                tuple(self._parts),
            )
        )

    def _attributes(self) -> dict[str, str | int]:
        record = self._record
        attributes: dict[str, str | int] = {
            "sealyard.request_id": record.request_id,
            "sealyard.listener": record.listener,
            "http.request.body.size": record.request_bytes,
            "http.response.body.size": record.response_bytes,
        }
        if record.rule is not None:
            attributes["sealyard.rule"] = record.rule
        for outcome, number in record.counts.items():
            attributes[f"sealyard.{outcome}"] = number
        if record.refusal is not None:
            attributes["sealyard.reason"] = record.refusal.reason
            attributes["sealyard.direction"] = record.refusal.direction
        return attributes

    def _part(self, name: str, began: float, ended: float, error: str = "") -> None:
        attributes = {"sealyard.direction": str(self._record.direction)}
        self._parts.append(TracedPart(name, began, ended, attributes, error))
