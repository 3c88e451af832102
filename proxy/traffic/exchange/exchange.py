"""The exchange: the path that every request and its response take.

A request is admitted, matched to a rule, read or streamed, changed and forwarded. Its response is
read or streamed, changed and relayed. Then the exchange is reported. It is one coroutine, which the
connections to its client and to the upstream resume (`traffic/waits`). Steps that never wait are in
`Steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from ...config.ladder_settings import LadderSettings
from ...config.limits import Timeouts, TrafficLimits
from ...config.settings import Network
from ...core.callers import VerifiedCaller
from ...core.compiled.rule_table import RuleTable
from ...core.errors import Busy, TrafficError
from ...core.planning.treatment import Pass, treat_request
from ...core.transform import pass_handshake, pass_request, pass_response
from ..byte_budget import ByteBudget, passes_much
from ..http1.boundaries import streams_records
from ..http1.forwarding_headers import Forwarding, Peer
from ..http1.gate import Admitted, RawRequest
from ..http1.problem import Problem, deliberate, readable
from ..interfaces import OpensLog, Reporter, Request, RequestBody, UpstreamResponse
from ..message_record import MessageRecord
from ..policy import RECORDS_BYTES, STREAM_BYTES
from ..slices import Slices
from ..turns import LoopLag
from ..upstream.client import HttpUpstream
from ..upstream.permits import Claim
from .admission import AdmittedExchange
from .changing import Changing
from .conclusions import Conclusions, Copied
from .prepared_steps import KeySource
from .steps import CLIENT_CLOSED, Steps, Watches

if TYPE_CHECKING:  # imported with the rules that need it
    from ...telemetry.tap import Tap
    from ..callers.callers import Callers
    from .announcements import Announcements
    from .copies import Copies
    from .unlisted_names import UnlistedNames

__all__ = ["Handler", "KeySource"]

_SWITCHING: Final = HTTPStatus.SWITCHING_PROTOCOLS.value


class Handler:
    """Answers the requests of one listener; `name` is the name of that listener in the log.

    Exchanges refer to their handler, and it refers to none of them: so it is freed with the last
    one, and a former upstream is closed then.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        rule_table: RuleTable,
        keys: KeySource,
        upstream: HttpUpstream,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        name: str = "",
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
        trusted_proxies: Sequence[Network] = (),
        upstream_names: frozenset[bytes] = frozenset(),
        tap: Tap | None = None,
        lag: LoopLag | None = None,
        slices: Slices | None = None,
        budget: ByteBudget | None = None,
        announcements: Announcements | None = None,
        ladder: LadderSettings | None = None,
        add_request_id: bool = False,
        accept: frozenset[str] = frozenset(),
        origins: frozenset[str] = frozenset(),
        watches: Watches | None = None,
        opens: OpensLog | None = None,
        place_key: bytes | None = None,
        unlisted: UnlistedNames | None = None,
        callers: Callers | None = None,
        assumed: VerifiedCaller | None = None,
    ) -> None:
        self._callers = callers
        self._assumed = assumed
        self._timeouts = timeouts or Timeouts()
        self._origins = origins
        self.upstream = upstream
        self.steps = Steps(
            rule_table,
            keys,
            reporter,
            clock=clock,
            name=name,
            limits=limits or TrafficLimits(),
            trusted_proxies=trusted_proxies,
            upstream_names=upstream.names | upstream_names,
            tap=tap,
            lag=lag or LoopLag(),
            slices=slices or Slices(),
            budget=budget or ByteBudget(),
            announcements=announcements,
            ladder=ladder or LadderSettings(),
            add_request_id=add_request_id,
            accept=accept,
            watches=watches,
            opens=opens,
            place_key=place_key,
            unlisted=unlisted,
        )
        if any(one.asks for one in rule_table.rules):
            from .asking import BackendNames  # noqa: PLC0415 - loaded with its rules

            self.steps.asking = BackendNames(upstream, self.steps.budget)
        self._changing = Changing(self.steps, upstream)
        self._conclusions = Conclusions(self.steps.report)

    async def handle(self, request: Request) -> None:
        """Answer one request and report it; raise only where its client is gone."""
        record = self.steps.record()
        copied: Copied = []
        cut = True
        try:
            await self._answer(request, record, copied)
            cut = False
        except ConnectionError:
            record.status = CLIENT_CLOSED
            raise
        except Exception as error:  # noqa: BLE001 - any: its text may quote the message, and goes nowhere
            refusal = self.steps.refusal(deliberate(error), record, request.raw)
            if self._origins:
                refusal = readable(refusal, request.raw.headers, self._origins)
            # A request that did not pass the gate may have a second reading: read nothing after it.
            request.refuse(refusal, close=not record.method)
        except BaseException:  # cancelled: the client is gone, or time is up
            record.status = CLIENT_CLOSED
            raise
        finally:
            if record.written_down and self.steps.opens is not None:
                whole = not cut and record.status != CLIENT_CLOSED and record.refusal is None
                delivered = whole and not record.withheld
                self.steps.opens.over(record.request_id, delivered=delivered)
            if copied:
                await self._conclusions.conclude(copied, record, cut=cut)
            else:
                request.report(self.steps, record)

    def reject(self, error: TrafficError) -> Problem:
        """Report bytes that are no request; return the problem that answers them."""
        refusal = self.steps.refusal(error, record := self.steps.record())
        self.steps.report((record,))
        return refusal

    async def _answer(self, request: Request, record: MessageRecord, copied: Copied) -> None:
        """Answer a request; append the copies that a dry run makes of it to `copied`."""
        raw, asked = self._let_in(request, record)
        body: RequestBody = request.body(asked.framing, expects_continue=asked.expects_continue)
        caller = self._assumed
        if self._callers is not None:
            caller = await self._caller(self._callers, asked, raw, request.peer)
        busy = partial(self._refuse_if_busy, request)
        admitted = self.steps.admit(asked, raw, request.peer, record, caller, busy)
        forwarding = self.steps.request_ids.forwarding(admitted, record)
        if self.steps.asking is not None:
            await self.steps.asking.ask(admitted.exchange, admitted.claim, forwarding, record)
        copies = self._copies(admitted, record) if self.steps.ladder.on else None
        if copies is not None:
            copied.append(copies)
            body = copies.request(body)
        try:
            response = await self._sent(request, admitted, body, forwarding, record)
        finally:
            record.request_bytes = body.arrived
        if request.held is not None:
            request.held.becomes(0)  # nothing of the request is in memory any more
        seen_response = response if copies is None else copies.response(response)
        try:
            await self._respond(request, admitted, seen_response, record)
        finally:
            record.request_bytes = max(record.request_bytes, body.arrived)

    async def _sent(
        self,
        request: Request,
        admitted: AdmittedExchange,
        body: RequestBody,
        forwarding: Forwarding,
        record: MessageRecord,
    ) -> UpstreamResponse:
        """Send a request as its rule changes it; return the response once its head is there."""
        exchange, permit = admitted.exchange, None
        try:
            if admitted.reads_messages:
                from .websocket_relay import asked_upward  # noqa: PLC0415 - loaded with its rules

                message, sent = pass_handshake(exchange), body
                forwarding = asked_upward(admitted, forwarding)
            else:
                limit = self.steps.body_limit(exchange.decision)
                treatment = treat_request(exchange, body.framing.length, limit)
                if not isinstance(treatment, Pass):
                    hold = self.steps.budget.of(request, admitted.claim.client)
                    outgoing = self._changing.outgoing(
                        admitted, body, treatment, limit, record, hold
                    )
                    message, sent, permit = await outgoing
                else:
                    message, sent = pass_request(exchange), body
                    if passes_much(body.framing.length):
                        hold = self.steps.budget.of(request, admitted.claim.client)
                        await hold.reach(STREAM_BYTES, passes=True)
            await self.steps.write_down(record)
            record.sending()
            return await self.upstream.send(
                message,
                sent,
                admitted.claim,
                forwarding=forwarding,
                websocket=admitted.request.websocket,
                permit=permit,
            )
        except BaseException:
            if permit is not None:
                permit.release("unsent")
            raise

    def _let_in(self, request: Request, record: MessageRecord) -> tuple[RawRequest, Admitted]:
        """Return a request that passes the gate, as it came and as the rules read it."""
        raw = request.raw
        if self._callers is not None:
            raw = self._callers.earned(raw, request.peer)
        return raw, self.steps.let_in(raw, record)

    async def _caller(
        self, callers: Callers, asked: Admitted, raw: RawRequest, peer: Peer
    ) -> VerifiedCaller | None:
        """Return who has sent a request; it waits only where the keys of an issuer are missing."""
        shown = callers.presented(raw, peer)
        verdict = callers.known(shown)
        if verdict is None:
            client = self.steps.forwarding_headers.client(raw, peer)
            verdict = await callers.verified(shown, client)
        return verdict.caller

    def _refuse_if_busy(self, request: Request, claim: Claim) -> None:
        if not request.weighed and self.steps.lag.refuses(claim.client):
            raise Busy("loop-lag")
        self.upstream.permits.refuse_if_full(claim)

    async def _respond(
        self,
        request: Request,
        admitted: AdmittedExchange,
        response: UpstreamResponse,
        record: MessageRecord,
    ) -> None:
        """Relay the response as the rule changes it, or the WebSocket that it begins."""
        request.request_id = self.steps.request_ids.added(record)
        try:
            record.responded(response.head.status)
            if response.head.status == _SWITCHING:
                record.switched = True
                if admitted.reads_messages:
                    from .websocket_relay import relay  # noqa: PLC0415 - loaded with its rules

                    await relay(self.steps, self._timeouts, request, admitted, response, record)
                else:
                    from .tunnel import tunnelled  # noqa: PLC0415 - as above

                    await tunnelled(self.steps, self._timeouts, request, admitted, response, record)
                return
            if self.steps.ladder.on:
                self.steps.ladder.answered(admitted, response.head, record)
            if response.framing.content_length is None and streams_records(response.head.headers):
                response.lasts(self._timeouts.tunnel)
            exchange = admitted.exchange
            treatment = self.steps.treat_response(exchange, response)
            hold = None
            tagged = exchange.decision.tagged is not None and not response.bodiless
            if tagged or not isinstance(treatment, Pass):
                hold = self.steps.budget.of(request, admitted.claim.client)
                incoming = self._changing.incoming(exchange, response, treatment, record, hold)
                message, response = await incoming
            else:
                message = pass_response(exchange, response.head, bodiless=response.bodiless)
            if message.body is not None:
                if hold is not None:
                    hold.made(message.body)
            elif not response.bodiless and passes_much(response.framing.length):
                await self._passes(request, response, admitted)
            close = admitted.request.websocket or admitted.request.upgrade
            await record.confirm()
            await self.steps.write_down(record)
            record.response_bytes = await request.relay(
                message, response, location_rewrite=admitted.location_rewrite, close=close
            )
        except TrafficError:
            record.response_bytes = response.arrived
            raise
        finally:
            response.close()

    async def _passes(
        self, request: Request, response: UpstreamResponse, admitted: AdmittedExchange
    ) -> None:
        """Wait for the memory that an answer takes while it passes; records have limits of number.

        These may last for hours, and nobody could tell when there is room again.
        """
        hold = self.steps.budget.of(request, admitted.claim.client)
        if response.framing.length is None and streams_records(response.head.headers):
            hold.becomes(max(hold.size, RECORDS_BYTES))
        else:
            await hold.reach(STREAM_BYTES, answer=True, passes=True)

    def _copies(self, admitted: AdmittedExchange, record: MessageRecord) -> Copies | None:
        """Return what copies an exchange while it passes, where a dry run looks at it."""
        from .dry_run import copies_of  # noqa: PLC0415 - loaded with its rules

        return copies_of(self.steps, admitted, record)
