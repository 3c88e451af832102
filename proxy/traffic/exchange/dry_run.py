"""Dry runs: what a rule that only observes would do to messages that pass unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Generic, TypeVar

from ...core.errors import TrafficError
from ...core.explain.dry_run import opening_needs, refused, try_out
from ...core.formats.graphql.body import GRAPHQL, operation_names
from ...core.http.message import Direction, ResponseHead
from ...core.planning.exchange import Exchange
from ...core.planning.plan import Plan
from ...core.planning.treatment import LookAt, Pass
from ...core.rules.model import Rule, Verdict
from ..http1.framing import Framing
from ..http1.problem import deliberate
from ..interfaces import Change, IncomingBody, Outlet, RawConnection, RequestBody, UpstreamResponse
from ..message_record import MessageRecord
from ..slices import is_long
from .admission import AdmittedExchange
from .steps import Steps

_Body = TypeVar("_Body", bound=IncomingBody)


class _Tee(Generic[_Body]):
    """Passes a body on and keeps a copy of up to `limit` bytes."""

    __slots__ = ("_body", "_limit", "_pieces", "_size")

    def __init__(self, body: _Body, limit: int) -> None:
        self._body = body
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def whole(self) -> bool:
        """Whether the copy is complete."""
        return self._size <= self._limit

    @property
    def copy(self) -> bytes:
        """The copy."""
        return b"".join(self._pieces)

    @property
    def arrived(self) -> int:
        """How many bytes have been handed out."""
        return self._body.arrived

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there."""
        data = self._body.take()
        if data:
            self._copy(data)
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        data = await self._body.read(limit)
        self._copy(data)
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        async for data in self._body.chunks():
            self._copy(data)
            yield data

    def _copy(self, data: bytes) -> None:
        self._size += len(data)
        if self.whole:
            self._pieces.append(data)
        else:
            self._pieces.clear()


class TeeBody(_Tee[RequestBody]):
    """The body of a request."""

    __slots__ = ()

    @property
    def framing(self) -> Framing:
        """How the client framed it."""
        return self._body.framing


class TeeResponse(_Tee[UpstreamResponse]):
    """A response of the upstream."""

    __slots__ = ()

    @property
    def head(self) -> ResponseHead:
        """The head as it came."""
        return self._body.head

    @property
    def framing(self) -> Framing:
        """How the upstream framed it."""
        return self._body.framing

    @property
    def bodiless(self) -> bool:
        """Whether there can be no body."""
        return self._body.bodiless

    @property
    def delimited(self) -> bool:
        """Whether a cut body can be told from a whole one."""
        return self._body.delimited

    def divert(self) -> RawConnection:
        """Return the connection after a 101."""
        return self._body.divert()

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let no piece go at once: each is copied."""

    def lasts(self, silence: float) -> None:
        """Let silences last so long; may raise Busy."""
        self._body.lasts(silence)

    def stop(self) -> None:
        """Let `chunks` end here, although more would come."""
        self._body.stop()

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._body.close()


MOST_BYTES: Final = 1024 * 1024
"""A longer body is not tried, and neither is a stream: a dry run takes memory and time."""
UNOBSERVED: Final = "too-long-to-observe"


def raised_exchange(admitted: AdmittedExchange) -> tuple[Exchange | None, str]:
    """Return an exchange as the rule that observes it would have it one step up.

    It is None where the request would be refused before its body is read, for the reason beside it.
    Raises TypeError where no rule only observes.
    """
    if admitted.raised is None:
        raise TypeError("no rule only observes")
    decision, reason = admitted.raised
    return None if decision is None else Exchange(decision, admitted.exchange.head), reason


def reads_operations(rule: Rule | None) -> bool:
    """Return whether a rule reads requests of GraphQL."""
    if rule is None or isinstance(rule.request, Verdict):
        return False
    return any(block.format == GRAPHQL.kind for block in rule.request)


class DryRun:
    """Copies a request and its response as they pass; neither waits for it or is changed."""

    def __init__(self, steps: Steps, admitted: AdmittedExchange, record: MessageRecord) -> None:
        self._steps = steps
        self._exchange, self._reason = raised_exchange(admitted)
        self._record = record
        self._request: TeeBody | None = None
        self._response: TeeResponse | None = None

    def request(self, body: RequestBody) -> TeeBody:
        """Return the request's body, to be sent in its place."""
        self._request = TeeBody(body, self._limit)
        return self._request

    def response(self, response: UpstreamResponse) -> TeeResponse:
        """Return the response, to be relayed in its place."""
        self._response = TeeResponse(response, self._limit)
        return self._response

    async def conclude(self) -> None:
        """Record what the rule would have done to both."""
        request, response, exchange = self._request, self._response, self._exchange
        if exchange is None:
            self._steps.ladder.tried(self._record, "request", refused(self._reason))
            return
        decision = exchange.decision
        if request is not None and decision.reads_request:
            copy = request.copy
            if reads_operations(decision.rule):
                async with self._steps.slices.turn(long=is_long(copy)) as run:
                    self._record.named(await run(operation_names, copy))
            await self._try(
                "request",
                request,
                plan=lambda: self._steps.plan_request(exchange, copy, request.framing),
            )
        else:
            self._try_head(exchange)
        if decision.rule is not None and decision.rule.response is Verdict.REJECT:
            self._steps.ladder.tried(self._record, "response", refused("rule-rejects-response"))
        elif response is not None and decision.may_read_response:
            plan = partial(self._plan_response, exchange, response)
            await self._try("response", response, plan=plan)

    def _try_head(self, exchange: Exchange) -> None:
        """Record it if the head of a request that passes unread would have been refused."""
        try:
            exchange.refuse_unclear()
        except TrafficError as error:
            self._steps.ladder.tried(self._record, "request", refused(error.reason))

    @property
    def _limit(self) -> int:
        if self._exchange is None:
            return 0
        return min(MOST_BYTES, self._steps.body_limit(self._exchange.decision))

    def _plan_response(self, exchange: Exchange, response: TeeResponse) -> Plan | None:
        steps, head, body = self._steps, response.head, response.copy
        treatment = steps.treat_response(exchange, response)
        if isinstance(treatment, LookAt):
            head, treatment = steps.treat_seen(exchange, treatment, response, body)
        if isinstance(treatment, Pass):
            return None
        return steps.plan_response(exchange, treatment, head, body, response.framing)

    async def _try(
        self,
        direction: Direction,
        body: TeeBody | TeeResponse,
        *,
        plan: Callable[[], Plan | None],
    ) -> None:
        result = refused(UNOBSERVED)
        try:
            if body.whole:
                # What is compressed may be long whatever its length.
                async with self._steps.slices.turn(long=is_long(body.copy, coded=True)) as run:
                    made = await run(plan)
                    if made is None:
                        return
                    if made.settle is not None:
                        made.settle()
                    keys = await self._steps.keys.resolve(opening_needs(made))
                    result = await run(try_out, made, keys, self._steps.clock())
        except Exception as error:  # noqa: BLE001 - a dry run must not fail the message
            result = refused(deliberate(error).reason)
        self._steps.ladder.tried(self._record, direction, result)
