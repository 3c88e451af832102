"""The same steps and the same record, with the times that spans are made of.

They are used only if traces are wanted, so that nothing is measured or kept without them.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import SealyardError
from ...core.http.message import Headers, ResponseHead, header_values
from ...core.planning.exchange import Exchange, Messages
from ...core.planning.plan import Plan
from ...core.planning.treatment import HeadOnly, ReadResponse, StreamBody
from ...core.transform import Forwardable
from ...core.values.key_needs import Keys
from ...telemetry.traces import LaneTraces, TracedMessage, TracedPart
from ..http1.forwarding_headers import Peer
from ..http1.framing import Framing
from ..http1.gate import Admitted, RawRequest
from ..message_record import MessageRecord
from ..slices import Run
from .admission import AdmittedExchange
from .steps import Steps

if TYPE_CHECKING:
    from ...telemetry.tap import Piece


class TracedRecord(MessageRecord):
    """A record that exports spans as well."""

    __slots__ = ("_answered", "_parts", "_planned", "_traces", "parent", "route")

    def __init__(self, request_id: str, listener: str, *, traces: LaneTraces) -> None:
        super().__init__(request_id, listener)
        self._traces = traces
        self._parts: list[TracedPart] = []
        self._planned: tuple[float, float] | None = None
        self._answered = 0
        self.parent = ""
        self.route = ""

    def responded(self, status: int) -> None:
        """Record the status of the upstream."""
        super().responded(status)
        self._answered = status

    def planned(self, began: float, ended: float) -> None:
        """Record how long a plan took, and that keys are looked up from now on."""
        self._part("plan", began, ended)
        self._planned = began, ended

    def resolved(self, *, error: str = "") -> None:
        """Record that the keys are there, or that none could be had."""
        if self._planned is not None:
            self._part("keys", self._planned[1], time.perf_counter(), error)
            self._planned = None

    def over(self, now: float) -> None:
        """Export the spans."""
        super().over(now)
        if exported := self._export(now):
            self.trace_id, self.sampled = exported, True
        else:
            self.sampled = False

    def _export(self, now: float) -> str:
        code = self.refusal.error if self.refusal is not None else ""
        if self._sent:
            attributes: dict[str, str | int] = {"http.request.method": self.method}
            if self._answered:
                attributes["http.response.status_code"] = self._answered
            ended, error = self._responded or now, "" if self._responded else code
            part = TracedPart(self.method, self._sent, ended, attributes, error, outward=True)
            self._parts.append(part)
        return self._traces.export(
            TracedMessage(
                self.method,
                self.route,
                self.status,
                self._began,
                now,
                self._attributes(),
                code,
                self.parent,
                tuple(self._parts),
            )
        )

    def _attributes(self) -> dict[str, str | int]:
        attributes: dict[str, str | int] = {
            "sealyard.request_id": self.request_id,
            "sealyard.listener": self.listener,
            "http.request.body.size": self.request_bytes,
            "http.response.body.size": self.response_bytes,
        }
        if self.rule is not None:
            attributes["sealyard.rule"] = self.rule
        for outcome, number in self.counts.items():
            attributes[f"sealyard.{outcome}"] = number
        if self.refusal is not None:
            attributes["sealyard.reason"] = self.refusal.reason
            attributes["sealyard.direction"] = self.refusal.direction
        return attributes

    def _part(self, name: str, began: float, ended: float, error: str = "") -> None:
        attributes = {"sealyard.direction": str(self.direction)}
        self._parts.append(TracedPart(name, began, ended, attributes, error))


class TracedSteps(Steps):
    """Steps that are timed.

    The last plan is the one in use: nothing waits between a plan and its use, long messages aside.
    Of those, the time of the plan is missing where another message was planned in between.
    """

    def __init__(self, *args: Any, traces: LaneTraces, **kwargs: Any) -> None:  # noqa: ANN401 - as Course
        super().__init__(*args, make_record=partial(TracedRecord, traces=traces), **kwargs)
        self._last: tuple[Plan, float, float] | None = None

    def admit(
        self, request: Admitted, raw: RawRequest, peer: Peer, record: MessageRecord
    ) -> AdmittedExchange:
        """Do as Steps does, and note which trace the request belongs to."""
        _belongs(record, raw.headers)
        admitted = super().admit(request, raw, peer, record)
        _goes(record, admitted)
        return admitted

    def plan_request(self, exchange: Exchange, body: bytes, framing: Framing) -> Plan:
        """Do as Steps does, and measure how long it takes."""
        began = time.perf_counter()
        return self._timed(super().plan_request(exchange, body, framing), began)

    def plan_response(
        self,
        exchange: Exchange,
        treatment: ReadResponse | StreamBody | HeadOnly,
        head: ResponseHead,
        body: bytes,
        framing: Framing,
    ) -> Plan:
        """Do as Steps does, and measure how long it takes."""
        began = time.perf_counter()
        return self._timed(super().plan_response(exchange, treatment, head, body, framing), began)

    async def at_once(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as Steps
        """Return none: what is changed is planned, which is timed."""

    def prepared_messages(self, messages: Messages, *, binary: bool) -> None:
        """Return none: what is changed is planned, which is timed."""

    def prepared_records(self, *args: Any) -> None:  # noqa: ANN401 - as Steps
        """Return none, as for messages."""

    async def resolve(self, plan: Plan, record: MessageRecord) -> Keys:
        """Do as Steps does, and measure how long it takes."""
        self._note(plan, record)
        try:
            return await super().resolve(plan, record)
        except SealyardError as error:
            if isinstance(record, TracedRecord):
                record.resolved(error=error.code)
            raise

    def apply(
        self, plan: Plan, keys: Keys, record: MessageRecord, *, piece: Piece = ""
    ) -> Forwardable:
        """Do as Steps does, and note that there are keys now."""
        self._has_keys(plan, record)
        return super().apply(plan, keys, record, piece=piece)

    async def apply_in_turn(
        self, plan: Plan, keys: Keys, record: MessageRecord, run: Run, *, piece: Piece = ""
    ) -> Forwardable:
        """Do as Steps does, and note that there are keys now."""
        self._has_keys(plan, record)
        return await super().apply_in_turn(plan, keys, record, run, piece=piece)

    def _timed(self, plan: Plan, began: float) -> Plan:
        self._last = plan, began, time.perf_counter()
        return plan

    def _has_keys(self, plan: Plan, record: MessageRecord) -> None:
        self._note(plan, record)
        if isinstance(record, TracedRecord):
            record.resolved()

    def _note(self, plan: Plan, record: MessageRecord) -> None:
        last, self._last = self._last, None  # not kept: it holds the body
        if last is not None and last[0] is plan and isinstance(record, TracedRecord):
            record.planned(*last[1:])


def _belongs(record: MessageRecord, headers: Headers) -> None:
    found = header_values(headers, b"traceparent")
    if len(found) == 1 and isinstance(record, TracedRecord):
        record.parent = found[0].decode("latin-1")


def _goes(record: MessageRecord, admitted: AdmittedExchange) -> None:
    pattern = admitted.exchange.decision.pattern
    if pattern is not None and isinstance(record, TracedRecord):
        record.route = pattern.text.split()[-1]
