"""The exchange: the one way of a request and its response, whatever they are.

Request: admit, match, read or stream, change, forward. Response: treat, read or stream, change,
answer. Then the message is reported. It is one coroutine, which the connections of its client and
of the upstream resume (`traffic/waits`). What never waits is in `Steps`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from ...config.ladder_settings import LadderSettings
from ...config.limits import Timeouts, TrafficLimits
from ...config.settings import Network
from ...core.compiled.rule_table import RuleTable
from ...core.errors import Busy, TrafficError
from ...core.planning.exchange import Exchange
from ...core.planning.plan import PlannedFlow
from ...core.planning.treatment import (
    LookAt,
    Pass,
    RequestTreatment,
    ResponseTreatment,
    StreamBody,
    StreamRecords,
    as_it_arrives,
    treat_request,
    treat_seen,
)
from ...core.transform import (
    Forwardable,
    begin_stream,
    pass_handshake,
    pass_request,
    pass_response,
    plan_flowing_request,
    plan_flowing_response,
)
from ..bodies.peeked_response import look_at
from ..bodies.record_streams import Apply, StreamedBody, StreamedResponse
from ..bodies.transformed import FlowingBody, FlowingResponse, Pieces
from ..http1.boundaries import streams_records
from ..http1.framing import Framing
from ..http1.outgoing_heads import switching_head
from ..http1.problem import Problem, deliberate
from ..interfaces import Reporter, Request, RequestBody, UpstreamResponse
from ..message_record import MessageRecord
from ..slices import Slices, is_long
from ..turns import LoopLag
from ..upstream.client import HttpUpstream
from ..upstream.permits import Permit
from .admission import AdmittedExchange
from .conclusions import Conclusions, Copied
from .prepared_steps import KeySource
from .steps import CLIENT_CLOSED, Steps, Watches
from .streamed_steps import carried_out
from .tunnel import Tunnel

if TYPE_CHECKING:  # imported with the rules that need it
    from ...telemetry.tap import Tap
    from .announcements import Announcements
    from .copies import Copies
    from .websocket_dry_run import TeeSocket

__all__ = ["Handler", "KeySource"]


class Handler:
    """Answers the requests of one listener. `name` is the listener's, for the log.

    Its exchanges hold it, and it holds none of them: a former upstream is closed once it is gone.
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
        announcements: Announcements | None = None,
        ladder: LadderSettings | None = None,
        add_request_id: bool = False,
        watches: Watches | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
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
            announcements=announcements,
            ladder=ladder or LadderSettings(),
            add_request_id=add_request_id,
            watches=watches,
        )
        if any(one.asks for one in rule_table.rules):
            from .asking import BackendNames  # noqa: PLC0415 - loaded with its rules

            self.steps.asking = BackendNames(upstream)
        self._conclusions = Conclusions(self.steps.report)

    async def handle(self, request: Request) -> None:
        """Answer one request, whatever happens; raise only if the client is gone."""
        record = self.steps.record()
        copied: Copied = []
        cut = True
        try:
            await self._answer(request, record, copied)
            cut = False
        except ConnectionError:
            record.status = CLIENT_CLOSED
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold a message's: neither log nor answer may
            refusal = self.steps.refusal(deliberate(error), record)
            # What did not pass the gate may have several readings: read nothing after it.
            request.refuse(refusal, close=not record.method)
        except BaseException:  # cancelled: the client is gone, or time is up
            record.status = CLIENT_CLOSED
            raise
        finally:
            if copied:
                await self._conclusions.conclude(copied, record, cut=cut)
            else:
                request.report(self.steps, record)

    def reject(self, error: TrafficError) -> Problem:
        """Return the problem that answers what could not be parsed as a request."""
        refusal = self.steps.refusal(error, record := self.steps.record())
        self.steps.report((record,))
        return refusal

    async def _answer(self, request: Request, record: MessageRecord, copied: Copied) -> None:
        """Answer a request; the copies that are made of it are `copied`."""
        asked = self.steps.let_in(request.raw, record)
        body: RequestBody = request.body(asked.framing, expects_continue=asked.expects_continue)
        admitted = self.steps.admit(asked, request.raw, request.peer, record)
        if self.steps.lag.refuses(admitted.claim.client):
            raise Busy("loop-lag")
        self.upstream.permits.refuse_if_full(admitted.claim)
        forwarding = self.steps.request_ids.forwarding(admitted, record)
        if self.steps.asking is not None:
            await self.steps.asking.ask(admitted.exchange, admitted.claim, forwarding, record)
        permit: Permit | None = None
        copies = self._copies(admitted, record) if self.steps.ladder.on else None
        if copies is not None:
            copied.append(copies)
            body = copies.request(body)
        try:
            if admitted.reads_messages:
                from .websocket_relay import asked_upward  # noqa: PLC0415 - loaded with its rules

                message, sent = pass_handshake(admitted.exchange), body
                forwarding = asked_upward(admitted, forwarding)
            else:
                exchange = admitted.exchange
                limit = self.steps.body_limit(exchange.decision)
                treatment = treat_request(exchange, body.framing.length, limit)
                if isinstance(treatment, Pass):
                    message, sent = pass_request(exchange), body
                else:
                    outgoing = self._outgoing(admitted, body, treatment, limit, record)
                    message, sent, permit = await outgoing
            record.sending()
            response = await self.upstream.send(
                message,
                sent,
                admitted.claim,
                forwarding=forwarding,
                websocket=asked.websocket,
                permit=permit,
            )
        except BaseException:
            if permit is not None:
                permit.release("unsent")
            raise
        finally:
            record.request_bytes = body.arrived
        seen_response = response if copies is None else copies.response(response)
        try:
            await self._respond(request, admitted, seen_response, record)
        finally:
            record.request_bytes = max(record.request_bytes, body.arrived)

    async def _respond(
        self,
        request: Request,
        admitted: AdmittedExchange,
        response: UpstreamResponse,
        record: MessageRecord,
    ) -> None:
        request.request_id = self.steps.request_ids.added(record)
        try:
            record.responded(response.head.status)
            if response.head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                record.switched = True
                if admitted.reads_messages:
                    from .websocket_relay import relay  # noqa: PLC0415 - loaded with its rules

                    await relay(self.steps, self._timeouts, request, admitted, response, record)
                else:
                    await self._tunnel(request, admitted, response, record)
                return
            if self.steps.ladder.on:
                self.steps.ladder.answered(admitted, response.head, record)
            if response.framing.content_length is None and streams_records(response.head.headers):
                response.lasts(self._timeouts.tunnel)
            exchange = admitted.exchange
            treatment = self.steps.treat_response(exchange, response)
            if isinstance(treatment, Pass):
                message = pass_response(exchange, response.head, bodiless=response.bodiless)
            else:
                incoming = self._incoming(exchange, response, treatment, record)
                message, response = await incoming
            close = admitted.request.websocket or admitted.request.upgrade
            await record.confirm()
            record.response_bytes = await request.relay(
                message, response, location_rewrite=admitted.location_rewrite, close=close
            )
        except TrafficError:
            record.response_bytes = response.arrived
            raise
        finally:
            response.close()

    async def _outgoing(
        self,
        admitted: AdmittedExchange,
        body: RequestBody,
        treatment: RequestTreatment,
        limit: int,
        record: MessageRecord,
    ) -> tuple[Forwardable, RequestBody, Permit | None]:
        """Return the request as it may be forwarded, its body if it is still to come, its permit.

        It has one already where there was work to do for all of it.
        """
        exchange = admitted.exchange
        match treatment:
            case StreamRecords(block, kind):
                asked = exchange.head
                way = self.steps.prepared_records(exchange, block, asked, kind, record)
                message = begin_stream(exchange, block, asked, kind, limit, way=way)
                pieces = Pieces(body, body.framing, None)
                whole = await pieces.beginning(bool)
                if whole:
                    streamed = StreamedBody(pieces.all(), message, self._applying(record))
                    await streamed.prime()
                    return message, streamed, None
            case StreamBody(block):
                pieces = Pieces(body, body.framing, self.steps.flow_limit)
                whole = await pieces.beginning(treatment.suffices)
                if whole:
                    async with self.steps.slices.turn(long=is_long(whole)) as run:
                        plan = await run(plan_flowing_request, exchange, block, whole, limit)
                        message = await self.steps.carry_out(plan, record, run)
                    flowing: FlowingBody | StreamedBody
                    if isinstance(message.flow, PlannedFlow):
                        flowing = StreamedBody(pieces.all(), message, self._applying(record))
                    else:
                        flowing = FlowingBody(pieces, message.flow, body.framing)
                    await flowing.prime()
                    return message, flowing, None
            case _:
                whole = await body.read(limit)
        message, permit = await self._whole(admitted, whole, body.framing, record)
        return message, body, permit

    async def _whole(
        self, admitted: AdmittedExchange, whole: bytes, framing: Framing, record: MessageRecord
    ) -> tuple[Forwardable, Permit | None]:
        """Return a request that is there whole as it may be forwarded, and the permit for it.

        The permit is taken before the work: in an overload, what is refused after its wait has cost
        little. A long request waits for its turn, so it takes its permit when it is sent.
        """
        exchange, place, permit = admitted.exchange, None, None
        long = is_long(whole, coded=b"content-encoding" in exchange.head.facts)
        if long:
            place = await self._place_of_long(admitted)
        elif self.upstream.health.sound:
            permit = await self.upstream.permits.take(admitted.claim)
        try:
            changed = await self.steps.at_once(exchange, whole, record, long=long)
            if changed is not None:
                return changed, permit
            async with self.steps.slices.turn(long=long) as run:
                plan = await run(self.steps.plan_request, exchange, whole, framing, record.watch)
                return await self.steps.carry_out(plan, record, run), permit
        except BaseException:
            if permit is not None:
                permit.release("unsent")
            raise
        finally:
            if place is not None:
                place.release("unsent")

    async def _incoming(
        self,
        exchange: Exchange,
        response: UpstreamResponse,
        treatment: ResponseTreatment,
        record: MessageRecord,
    ) -> tuple[Forwardable, UpstreamResponse]:
        """Return the response as it may be relayed, and its body if it is still to come."""
        steps, unread = self.steps, False
        if isinstance(treatment, LookAt):
            look = steps.look(exchange, treatment, response)
            response = seen = await look_at(response, look, steps.slices)
            reports = treatment.reports
            seen.head, treatment = treat_seen(exchange, seen.head, look)
            if reports and isinstance(treatment, Pass):
                unread = seen.watch(partial(steps.unread.note, record))
        head, limit = response.head, steps.body_limit(exchange.decision)
        length = response.framing.content_length
        match arriving := as_it_arrives(treatment, head, length, limit):
            case Pass():
                message = pass_response(exchange, head, bodiless=response.bodiless, unread=unread)
                return message, response
            case StreamRecords(block, kind):
                way = steps.prepared_records(exchange, block, head, kind, record)
                message = begin_stream(exchange, block, head, kind, limit, way=way)
                apply = self._applying(record)
                return message, StreamedResponse(response, response.chunks(), message, apply)
            case StreamBody(block):
                pieces = Pieces(response, response.framing, steps.flow_limit)
                whole = await pieces.beginning(arriving.suffices)
                if whole:
                    async with self.steps.slices.turn(long=is_long(whole)) as run:
                        plan = await run(plan_flowing_response, exchange, block, head, whole, limit)
                        message = await self.steps.carry_out(plan, record, run)
                    flowing: FlowingResponse | StreamedResponse
                    if isinstance(message.flow, PlannedFlow):
                        apply = self._applying(record)
                        flowing = StreamedResponse(response, pieces.all(), message, apply)
                    else:
                        flowing = FlowingResponse(response, pieces, message.flow)
                    await flowing.prime()
                    return message, flowing
            case _:
                whole = await response.read(limit)
        long = is_long(whole, coded=b"content-encoding" in head.facts)
        changed = await steps.at_once(exchange, whole, record, (treatment, head), long=long)
        if changed is not None:
            return changed, response
        async with steps.slices.turn(long=long, answer=True) as run:
            plan = await run(
                steps.plan_response, exchange, arriving, head, whole, response.framing, record.watch
            )
            return await steps.carry_out(plan, record, run), response

    async def _place_of_long(self, admitted: AdmittedExchange) -> Permit:
        """Return the right of a long request to be worked at; raise Busy if it waits too long."""
        try:
            return await self.upstream.long_requests.take(admitted.claim)
        except Busy as busy:
            if busy.reason == "closing":
                raise
            raise Busy("long-messages") from None

    def _applying(self, record: MessageRecord) -> Apply:
        return partial(carried_out, self.steps, record)

    def _copies(self, admitted: AdmittedExchange, record: MessageRecord) -> Copies | None:
        """Return what copies an exchange as it passes, for a ladder that is on."""
        from .dry_run import copies_of  # noqa: PLC0415 - loaded with its rules

        return copies_of(self.steps, admitted, record)

    async def _tunnel(
        self,
        request: Request,
        admitted: AdmittedExchange,
        response: UpstreamResponse,
        record: MessageRecord,
    ) -> None:
        """Let a WebSocket through unread; the upstream has accepted it."""
        self.steps.ladder.tunnelled(admitted, record)
        tee: TeeSocket | None = None
        overheard: AbstractAsyncContextManager[None] = contextlib.nullcontext()
        if admitted.exchange.decision.observes is not None:
            from .websocket_dry_run import overhearing, tee_socket  # noqa: PLC0415 - loaded with its rules

            tee = tee_socket(self.steps, admitted, record, response.head)
            overheard = overhearing(tee)
        upstream = response.divert()
        client = await request.switch(switching_head(response.head))
        tunnel = Tunnel(client, upstream, (None, None) if tee is None else tee.ears)
        try:
            async with overheard:
                try:
                    await tunnel.run(idle=self._timeouts.tunnel, linger=self._timeouts.linger)
                finally:
                    response.close()  # trials may last longer
        finally:
            record.request_bytes, record.response_bytes = tunnel.received, tunnel.sent
            if tunnel.abandoned:
                record.status = CLIENT_CLOSED
