"""The fast path: an exchange without a task, driven by callbacks of the upstream connection.

It takes requests and responses that are there whole and whose keys are cached. Whatever else it
meets it leaves to the handler: it may give up, but it never decides how a message is treated. A
request that there is no room for it refuses by itself, since a task would cost more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from ...core.apply.forwardable import Forwardable
from ...core.apply.passing import pass_response
from ...core.errors import Busy, TrafficError, UpstreamFailed, UpstreamResting
from ...core.planning.exchange import Exchange
from ...core.planning.mistyped_response import holds_sealed
from ...core.planning.treatment import LookAt, Pass
from ..bodies.buffered import FastRequest, WholeResponse
from ..http1.framing import Framing
from ..http1.head_cache import HeadCacheEntry
from ..http1.problem import deliberate
from ..interfaces import Request, UpstreamResponse
from ..message_record import MessageRecord
from ..slices import is_long
from ..upstream.client import HttpUpstream
from ..upstream.connection import UpstreamConnection
from ..upstream.outgoing_request import OutgoingRequest
from ..upstream.permits import Claim, Permit
from ..write_buffer import Reports
from .admission import AdmittedExchange
from .steps import CLIENT_CLOSED, Steps

WORTH_WAITING: Final = 32768
"""A response of at most this many bytes is relayed whole; a longer one as it arrives."""

Finish = Callable[
    [Request, AdmittedExchange, UpstreamResponse, MessageRecord], Coroutine[Any, Any, None]
]


class ExchangeOwner(Protocol):
    """The client's connection, as a fast exchange sees it."""

    def ended(self, request: FastRequest) -> None:
        """Learn that the request has been answered, or that the client is gone."""

    def begin_anew(self, request: FastRequest) -> None:
        """Let the handler answer the request from the start: no upstream has acted on it."""

    def go_on(self, request: FastRequest, way: Coroutine[Any, Any, None]) -> None:
        """Let a task do the rest."""

    def report_behind(self, reports: Reports, record: MessageRecord) -> None:
        """Report a message once its answer is sent."""

    def abort(self) -> None:
        """Drop the connection: the client is gone, or must see that its response was truncated."""

    def broke(self, error: BaseException) -> None:
        """Report an unexpected error, and drop the connection."""


class FastExchange:
    """Owns one upstream connection from `start` until `over`.

    Every way out of it returns the connection to the pool or drops it, and answers the client or
    lets the handler answer.
    """

    __slots__ = (
        "_admitted",
        "_connection",
        "_finish",
        "_outgoing",
        "_owner",
        "_record",
        "_request",
        "_steps",
        "_upstream",
        "over",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place
        self,
        steps: Steps,
        upstream: HttpUpstream,
        owner: ExchangeOwner,
        finish: Finish,
        request: FastRequest,
        admitted: AdmittedExchange,
        record: MessageRecord,
    ) -> None:
        self._steps = steps
        self._upstream = upstream
        self._owner = owner
        # A bound method of the handler, which lives as long as the exchange for that reason.
        self._finish = finish
        self._request = request
        self._admitted = admitted
        self._record = record
        self._outgoing: OutgoingRequest | None = None
        self._connection: UpstreamConnection | None = None
        self.over = False

    def start(self, outgoing: OutgoingRequest, permit: Permit) -> bool:
        """Send the request; return whether there was a connection for it, which has the permit."""
        connection = self._upstream.send_at_once(outgoing, permit, self.progressed)
        if connection is None:
            return False
        self._connection, self._outgoing = connection, outgoing
        try:
            self._record.sending()
            if connection.error is not None:
                self.progressed()
        except BaseException:
            self.abandon()
            raise
        return True

    def refuse(self, error: TrafficError) -> None:
        """Answer the request here: nothing has been done for it, and nothing will be."""
        self.over = True
        self._refuse(error)
        self._end()

    def progressed(self) -> None:
        """Act on what has arrived from the upstream."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.error is None and connection.reader.complete:
                self._arrived(connection)
            else:
                self._look(connection)
        except BaseException as error:
            self._leave(connection)
            self._upstream.pool.drop(connection)
            self._owner.broke(error)
            if not isinstance(error, Exception):
                raise

    def abandon(self) -> None:
        """End the exchange: the client is gone."""
        connection = self._connection
        if connection is not None:
            self._leave(connection)
            self._upstream.pool.drop(connection)
            self._record.status = CLIENT_CLOSED
            self._steps.report((self._record,))

    def _look(self, connection: UpstreamConnection) -> None:
        """Act on a response that is incomplete, or on a connection that failed."""
        reader = connection.reader
        if connection.error is not None:
            # First: after an error, the reader may still hold the previous response.
            self._failed(connection, connection.error)
        elif reader.head is not None:
            framing = reader.framing
            if framing.present and framing.length is not None and framing.length <= WORTH_WAITING:
                connection.await_body()
            else:
                # It is relayed while it arrives, which takes waits.
                self._leave(connection)
                self._go_on(self._upstream.response(connection))

    def _leave(self, connection: UpstreamConnection) -> None:
        """Stop watching the connection."""
        self._connection = connection.progressed = None
        self.over = True

    def _go_on(self, response: UpstreamResponse) -> None:
        """Let the handler relay the response."""
        way = self._finish(self._request, self._admitted, response, self._record)
        self._owner.go_on(self._request, way)

    def _failed(self, connection: UpstreamConnection, error: BaseException) -> None:
        """Answer in place of an upstream that failed."""
        self._leave(connection)
        self._upstream.pool.drop(connection)
        if (
            isinstance(error, UpstreamFailed)
            and self._outgoing is not None
            and self._outgoing.repeatable(connection)
            and self._upstream.health.may_retry()
        ):
            self._owner.begin_anew(self._request)
            return
        self._refuse(error)
        self._end()

    def _arrived(self, connection: UpstreamConnection) -> None:
        """Relay a complete response."""
        self._leave(connection)
        record = self._record
        response = self._upstream.whole_response(connection)
        record.responded(response.head.status)
        try:
            if self._steps.finds_uncovered:
                self._steps.uncovered(self._admitted.exchange, response.head, record)
            message = self._incoming(response)
            if message is None:
                self._go_on(response)
                return
            entry = response.entry if message.head is response.head else None
            sent = self._request.relay_whole(
                message, response, self._admitted.location_rewrite, entry
            )
            record.response_bytes = sent or 0
        except ConnectionError:
            self._lost()
        except Exception as error:  # noqa: BLE001 - nothing may escape into a log or an answer
            record.response_bytes = response.arrived
            self._refuse(error)
        self._end()

    def _lost(self) -> None:
        self._record.status = CLIENT_CLOSED
        self._owner.abort()

    def _end(self) -> None:
        self._owner.report_behind(self._steps, self._record)
        self._owner.ended(self._request)

    def _incoming(self, response: WholeResponse) -> Forwardable | None:
        """Return the response as it may be relayed, or None if the handler must do it."""
        steps, exchange = self._steps, self._admitted.exchange
        treatment = steps.treat_repeated(exchange, response)
        unread = False
        if isinstance(treatment, LookAt):
            body = response.take()
            response.head, treatment = steps.treat_seen(exchange, treatment, response, body)
            unread = isinstance(treatment, Pass) and holds_sealed(body)
            if unread:
                steps.unread.note(self._record)
        head = response.head
        if isinstance(treatment, Pass):
            return pass_response(exchange, head, bodiless=response.bodiless, unread=unread)
        if response.size > steps.body_limit(exchange.decision):
            return None  # the handler streams it, or refuses it
        body = response.take()
        if is_long(body, coded=b"content-encoding" in head.facts):
            return None
        plan = steps.plan_response(exchange, treatment, head, body, response.framing)
        keys = steps.warm(plan)
        return steps.apply(plan, keys, self._record) if keys is not None else None

    def _refuse(self, error: BaseException) -> None:
        refusal = self._steps.refusal(deliberate(error), self._record)
        try:
            self._request.refuse_whole(refusal)
        except ConnectionError:
            self._lost()


class FastPath:
    """Sends requests of one listener upstream without a task."""

    __slots__ = ("_steps", "_upstream")

    def __init__(self, steps: Steps, upstream: HttpUpstream) -> None:
        self._steps = steps
        self._upstream = upstream

    def depart(
        self, request: FastRequest, owner: ExchangeOwner, finish: Finish
    ) -> FastExchange | None:
        """Send a request upstream and return its exchange, or None if nothing was sent.

        Whatever is wrong with the request, the handler finds as well, and answers it. `finish` is
        the handler's, for a response that it must relay.
        """
        record = self._steps.record()
        try:
            admitted = self._steps.admit_fast(request.head, request.peer, record)
        except Exception:  # noqa: BLE001 - the handler meets it again, and answers
            return None
        fast_exchange = FastExchange(
            self._steps, self._upstream, owner, finish, request, admitted, record
        )
        try:
            permit = self._permit(admitted.claim)
        except (Busy, UpstreamResting) as error:
            fast_exchange.refuse(error)
            return fast_exchange
        if permit is None:
            return None
        outgoing = self._outgoing(request, admitted, record)
        if outgoing is not None and fast_exchange.start(outgoing, permit):
            return fast_exchange
        permit.release("unsent")
        return None

    def _permit(self, claim: Claim) -> Permit | None:
        """Return a permit, None where it takes a wait: what waits for its turn is sealed after it.

        Raises:
            Busy: There is no room for the request, not even to wait.
            UpstreamResting: The upstream has failed, and is left alone.
        """
        if self._steps.lag.refuses(claim.client):
            raise Busy("loop-lag")
        upstream = self._upstream
        if not upstream.health.sound:
            upstream.health.refuse_resting()
            return None  # it may be the trial, whose end the handler reports
        permit = upstream.permits.take_at_once(claim)
        if permit is None:
            if self._steps.lag.stands:
                raise Busy("loop-lag")  # to wait, too, takes time that the loop does not have
            upstream.permits.refuse_if_full(claim)
        return permit

    def _outgoing(
        self, request: FastRequest, admitted: AdmittedExchange, record: MessageRecord
    ) -> OutgoingRequest | None:
        """Return a request as it goes out, or None where it takes waits or fails."""
        head, body, exchange = request.head, request.data, admitted.exchange
        record.request_bytes = len(body)
        try:
            if exchange.decision.observes is not None:
                return None  # a dry run takes waits
            if exchange.decision.reads_request:
                message = self._changed(exchange, body, head.framing, record)
                if message is None:
                    return None
            else:
                message = admitted.passing()
            # A head in which values were sealed is never repeated.
            entry = head.entry if message.head is exchange.head else HeadCacheEntry()
            return self._upstream.outgoing(message, body, head.framing, admitted.forwarding, entry)
        except Exception:  # noqa: BLE001 - the handler meets it again, and answers
            return None

    def _changed(
        self, exchange: Exchange, body: bytes, framing: Framing, record: MessageRecord
    ) -> Forwardable | None:
        """Return a request as its rule changes it, or None if the handler must do it."""
        steps = self._steps
        if len(body) > steps.body_limit(exchange.decision):
            return None
        if is_long(body, coded=b"content-encoding" in exchange.head.facts):
            return None
        plan = steps.plan_request(exchange, body, framing)
        keys = steps.warm(plan)
        return steps.apply(plan, keys, record) if keys is not None else None
