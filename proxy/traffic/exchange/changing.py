"""Changes the messages of an exchange: whole, record by record, or while their bodies pass."""

from __future__ import annotations

from functools import partial

from ...core.compiled.block import CompiledBlock
from ...core.errors import Busy
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
    treat_seen,
)
from ...core.transform import (
    Forwardable,
    begin_stream,
    pass_response,
    plan_flowing_request,
    plan_flowing_response,
)
from ..bodies.peeked_response import look_at
from ..bodies.record_streams import Apply, StreamedBody, StreamedResponse
from ..bodies.transformed import FlowingBody, FlowingResponse, Pieces
from ..byte_budget import Hold
from ..http1.framing import Framing
from ..interfaces import RequestBody, UpstreamResponse
from ..message_record import MessageRecord
from ..policy import STREAM_BYTES
from ..slices import is_long
from ..upstream.client import HttpUpstream
from ..upstream.permits import Permit
from .admission import AdmittedExchange
from .steps import Steps
from .streamed_steps import carried_out


class Changing:
    """Changes the messages of one listener; it waits for their bodies, turns, keys and permits."""

    __slots__ = ("_steps", "_upstream")

    def __init__(self, steps: Steps, upstream: HttpUpstream) -> None:
        self._steps = steps
        self._upstream = upstream

    async def outgoing(  # noqa: PLR0913, PLR0917 - what the handler knows of one request
        self,
        admitted: AdmittedExchange,
        body: RequestBody,
        treatment: RequestTreatment,
        limit: int,
        record: MessageRecord,
        hold: Hold,
    ) -> tuple[Forwardable, RequestBody, Permit | None]:
        """Return the request that may be forwarded, the body to send if it streams, and its permit.

        The permit is None where it is taken when the request is sent.
        """
        exchange = admitted.exchange
        match treatment:
            case StreamRecords(block, kind):
                await hold.reach(STREAM_BYTES, passes=True)
                asked = exchange.head
                way = self._steps.prepared_records(exchange, block, asked, kind, record)
                message = begin_stream(exchange, block, asked, kind, limit, way=way)
                pieces = Pieces(body, body.framing, None, record.confirm)
                whole = await pieces.beginning(bool)
                if whole:
                    streamed = StreamedBody(pieces.all(), message, self._applying(record), hold)
                    await streamed.prime()
                    return message, streamed, None
            case StreamBody(block):
                await hold.reach(STREAM_BYTES, passes=True)
                pieces = Pieces(body, body.framing, self._steps.flow_limit, record.confirm)
                whole = await pieces.beginning(treatment.suffices)
                if whole:
                    async with self._steps.slices.turn(long=is_long(whole)) as run:
                        plan = await run(plan_flowing_request, exchange, block, whole, limit)
                        message = await self._steps.carry_out(plan, record, run)
                    flowing: FlowingBody | StreamedBody
                    if isinstance(message.flow, PlannedFlow):
                        flowing = StreamedBody(pieces.all(), message, self._applying(record), hold)
                    else:
                        flowing = FlowingBody(pieces, message.flow, body.framing)
                    await flowing.prime()
                    return message, flowing, None
            case _:
                whole = await body.read(limit, hold)
                await hold.reads(len(whole))  # all of it may have come with its head
        message, permit = await self._whole(admitted, whole, body.framing, record, hold)
        hold.made(message.body)
        return message, body, permit

    async def _whole(
        self,
        admitted: AdmittedExchange,
        whole: bytes,
        framing: Framing,
        record: MessageRecord,
        hold: Hold,
    ) -> tuple[Forwardable, Permit | None]:
        """Change a request that has been read whole; return it and its permit.

        The permit is taken before the work, so that a request costs little if it is refused in an
        overload. A long request waits for its turn, so it takes its permit when it is sent.
        """
        exchange, place, permit = admitted.exchange, None, None
        coded = b"content-encoding" in exchange.head.facts
        long = is_long(whole, coded=coded)
        if long:
            place = await self._place_of_long(admitted)
        else:
            permit = await self._upstream.permits.take(admitted.claim)
        try:
            await hold.works_at(whole, limit=self._steps.body_limit(exchange.decision), coded=coded)
            changed = await self._steps.at_once(exchange, whole, record, long=long)
            if changed is not None:
                return changed, permit
            async with self._steps.slices.turn(long=long) as run:
                plan = await run(self._steps.plan_request, exchange, whole, framing, record.watch)
                return await self._steps.carry_out(plan, record, run), permit
        except BaseException:
            if permit is not None:
                permit.release("unsent")
            raise
        finally:
            if place is not None:
                place.release("unsent")

    async def incoming(
        self,
        exchange: Exchange,
        response: UpstreamResponse,
        treatment: ResponseTreatment,
        record: MessageRecord,
        hold: Hold,
    ) -> tuple[Forwardable, UpstreamResponse]:
        """Return the response that may be relayed, and the one whose body is sent if it streams."""
        steps, unread = self._steps, False
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
                if message.flow is None:
                    return message, response
                pieces = Pieces(response, response.framing, None)
                return message, FlowingResponse(response, pieces, message.flow)
            case StreamRecords(block, kind):
                way = steps.prepared_records(exchange, block, head, kind, record)
                message = begin_stream(exchange, block, head, kind, limit, way=way)
                apply = self._applying(record)
                return message, StreamedResponse(response, response.chunks(), message, apply, hold)
            case StreamBody(block):
                response = _tagless(exchange, block, response)
                pieces = Pieces(response, response.framing, steps.flow_limit)
                whole = await pieces.beginning(arriving.suffices)
                if whole:
                    async with steps.slices.turn(long=is_long(whole)) as run:
                        plan = await run(plan_flowing_response, exchange, block, head, whole, limit)
                        message = await steps.carry_out(plan, record, run)
                    flowing: FlowingResponse | StreamedResponse
                    if isinstance(message.flow, PlannedFlow):
                        apply = self._applying(record)
                        flowing = StreamedResponse(response, pieces.all(), message, apply, hold)
                    else:
                        flowing = FlowingResponse(response, pieces, message.flow)
                    await flowing.prime()
                    return message, flowing
            case _:
                whole = await response.read(limit, hold)
        coded = b"content-encoding" in head.facts
        long = is_long(whole, coded=coded)
        await hold.works_at(whole, limit=limit, coded=coded, answer=True)
        changed = await steps.at_once(exchange, whole, record, (treatment, head), long=long)
        if changed is not None:
            return changed, response
        async with steps.slices.turn(long=long, answer=True) as run:
            plan = await run(
                steps.plan_response, exchange, arriving, head, whole, response.framing, record.watch
            )
            return await steps.carry_out(plan, record, run), response

    async def _place_of_long(self, admitted: AdmittedExchange) -> Permit:
        """Wait until a long request may be worked at; raise Busy if that takes too long."""
        try:
            return await self._upstream.long_requests.take(admitted.claim)
        except Busy as busy:
            if busy.reason == "closing":
                raise
            raise Busy("long-messages") from None

    def _applying(self, record: MessageRecord) -> Apply:
        return partial(carried_out, self._steps, record)


def _tagless(
    exchange: Exchange, block: CompiledBlock, response: UpstreamResponse
) -> UpstreamResponse:
    """Return a response whose parts have lost their tags, those also that the block does not read.

    A sealed stream is passed as it is: it has none.
    """
    if exchange.decision.tagged is None or not block.traits.flows_in_parts:
        return response
    from ...core.planning.echoed_tags import cutting  # noqa: PLC0415 - loaded with its rules

    return FlowingResponse(response, Pieces(response, response.framing, None), cutting(exchange))
