"""What an exchange without a task does in the general way, and how it ends.

What is not changed at once is planned and applied in the same steps as the handler takes. Whatever
waits is left to the handler.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, cast

from ...core.compiled.flat_json import Kept
from ...core.errors import UpstreamFailed
from ...core.http.message import Head
from ...core.planning.mistyped_response import holds_sealed
from ...core.planning.treatment import LookAt, Pass, ResponseTreatment
from ...core.transform import Forwardable, pass_request, pass_response
from ..bodies.buffered import FastRequest, WholeResponse
from ..bodies.response_writer import Connection
from ..http1.fast_heads import FastHead, FastResponseHead
from ..http1.outgoing_heads import added_line
from ..http1.problem import deliberate
from ..interfaces import Request, UpstreamResponse
from ..message_record import MessageRecord
from ..slices import is_long
from ..timers import NEVER
from ..turns import WriteBuffer
from ..upstream.client import HttpUpstream
from ..upstream.connection import UpstreamConnection
from ..upstream.outgoing_request import repeatable
from .admission import AdmittedExchange
from .known_heads import WORTH_WAITING, KnownHeads, KnownRequest
from .steps import CLIENT_CLOSED, Steps

Finish = Callable[
    [Request, AdmittedExchange, UpstreamResponse, MessageRecord], Coroutine[Any, Any, None]
]


class ExchangeOwner(Connection, Protocol):
    """The client's connection, as a fast exchange sees it."""

    write_buffer: WriteBuffer

    def ended(self, *, keep: bool) -> None:
        """Learn that the request has been answered, and whether another may follow."""

    def begin_anew(self, request: FastRequest) -> None:
        """Let the handler answer the request from the start: no upstream has acted on it."""

    def go_on(self, request: FastRequest, way: Coroutine[Any, Any, None]) -> None:
        """Let a task do the rest."""

    def broke(self, error: BaseException) -> None:
        """Report an unexpected error, and drop the connection."""


class Lane(Protocol):
    """What the exchanges of one listener have in common."""

    @property
    def steps(self) -> Steps:
        """The steps of its messages."""

    @property
    def heads(self) -> KnownHeads:
        """What is known of their heads."""

    @property
    def upstream(self) -> HttpUpstream:
        """Where they go."""

    @property
    def adds_ids(self) -> bool:
        """Whether messages without a request id get one."""

    @property
    def finish(self) -> Finish:
        """Let the handler relay a response."""


NO_LANE: Final = cast("Lane", None)  # a former upstream is closed once nothing holds its lane


class GeneralExchange:
    """The exchange of one client's connection that is under way, for as long as it takes no task.

    It owns a connection to the upstream. Every way out of it returns that connection to the pool or
    drops it, and answers the client or lets the handler answer.
    """

    __slots__ = (
        "_admitted",
        "_body",
        "_connection",
        "_head",
        "_kept",
        "_known",
        "_lane",
        "_own",
        "_record",
        "begun",
        "owner",
    )
    # Set for each exchange.
    _admitted: AdmittedExchange
    _body: bytes
    _head: FastHead
    _known: KnownRequest
    _lane: Lane
    _record: MessageRecord

    def __init__(self, owner: ExchangeOwner) -> None:
        self.owner: Final = owner
        self._connection: UpstreamConnection | None = None
        self._own: AdmittedExchange | None = None
        self._kept: Kept = ()
        self.begun = False
        """Whether the loop's lag has let the last request begin."""

    @property
    def under_way(self) -> bool:
        """Whether the response of the upstream is still to come."""
        return self._connection is not None

    def request(self) -> FastRequest:
        """Return the request, and the means to respond to it."""
        return FastRequest(self.owner, self._head, self._body, begun=True)

    def forget(self) -> None:
        """Hold nothing of a message that is over, or that the handler has, nor the lane."""
        self._body, self._kept, self._own, self._lane = b"", (), None, NO_LANE

    def own(self) -> AdmittedExchange:
        """Return what was admitted, with an exchange that no other request has."""
        own = self._own
        if own is None:
            own = self._own = self._admitted.again(self._head)
            if self._kept:
                own.exchange.keep(self._kept)
            self._lane.steps.ladder.called(own, self._record)
        return own

    def abandon(self) -> None:
        """End the exchange: the client is gone."""
        connection = self._connection
        if connection is not None:
            lane = self._lane
            self._leave(connection)
            lane.upstream.pool.drop(connection)
            self.forget()
            self._record.status = CLIENT_CLOSED
            lane.steps.report((self._record,))

    # --- called by the upstream connection ------------------------------------------------------

    def awaits(self, fast: FastResponseHead) -> bool:
        """Return whether all of a response with this head is to be there."""
        return self._lane.heads.awaits(self._known, fast)

    def progressed(self) -> None:
        """Act on what else has arrived from the upstream."""
        connection = self._connection
        if connection is None:
            return
        lane = self._lane
        try:
            if connection.error is not None:
                # First: after an error, the reader may still hold the previous response.
                self._failed(connection, connection.error)
            elif connection.reader.complete:
                self._parsed(connection)
            else:
                self._look(connection)
        except BaseException as error:  # noqa: BLE001 - raised again unless it is an Exception
            self._broke(lane, connection, error)

    # --------------------------------------------------------------------------------------------

    def _generally(self) -> Forwardable | None:
        """Return the request as the general way changes it, or None if the handler must do it."""
        steps, decision = self._lane.steps, self._known.admitted.exchange.decision
        if decision.observes is not None:
            return None  # a dry run takes waits
        if steps.reads_packets(decision):
            return None  # they settle once, and without an idle connection it is all done again
        exchange, body = self.own().exchange, self._body
        if not decision.reads_request:
            return pass_request(exchange)
        if len(body) > self._known.limit:
            return None
        if is_long(body, coded=b"content-encoding" in exchange.head.facts):
            return None
        plan = steps.plan_request(exchange, body, self._head.framing)
        keys = steps.warm(plan)
        return steps.apply(plan, keys, self._record) if keys is not None else None

    def _leave(self, connection: UpstreamConnection) -> None:
        """Stop watching the connection."""
        self._connection = connection.asker = None

    def _broke(self, lane: Lane, connection: UpstreamConnection, error: BaseException) -> None:
        self._leave(connection)
        lane.upstream.pool.drop(connection)
        self.owner.broke(error)
        if not isinstance(error, Exception):
            raise error

    def _look(self, connection: UpstreamConnection) -> None:
        """Act on a response that is incomplete."""
        reader = connection.reader
        if reader.head is None:
            return
        length = reader.framing.content_length
        if length is not None and length <= WORTH_WAITING and not connection.paused:
            connection.await_body()
        else:
            # It is relayed while it arrives, which takes waits; where it has filled the window,
            # nothing more arrives before.
            self._leave(connection)
            connection.deadline = NEVER  # that of the head
            self._go_on(self._lane.upstream.response(connection))

    def _go_on(self, response: UpstreamResponse) -> None:
        """Let the handler relay the response."""
        request = self.request()
        way = self._lane.finish(request, self.own(), response, self._record)
        self.forget()
        self.owner.go_on(request, way)

    def _failed(self, connection: UpstreamConnection, error: BaseException) -> None:
        """Answer in place of an upstream that failed."""
        self._leave(connection)
        upstream = self._lane.upstream
        upstream.pool.drop(connection)
        if (
            isinstance(error, UpstreamFailed)
            and repeatable(connection, self._known.admitted.request.head.method, self._body)
            and upstream.health.may_retry()
        ):
            request = self.request()
            self.forget()
            self.owner.begin_anew(request)
        else:
            self.refuse(error)

    def _parsed(self, connection: UpstreamConnection) -> None:
        """Relay a complete response that only the parser could read."""
        self._leave(connection)
        steps, record = self._lane.steps, self._record
        response = self._lane.upstream.whole_response(connection)
        record.responded(response.head.status)
        request = self.request()
        request.request_id = steps.request_ids.added(record)
        try:
            if steps.ladder.on:
                bodies = self._body, response.take()
                steps.ladder.answered(self._known.admitted, response.head, record, bodies)
            treatment = steps.treat_response(self.own().exchange, response)
            message = self._incoming(response, treatment)
            if message is None or not record.stands():
                self._go_on(response)
                return
            sent = request.relay_whole(message, response, self._known.admitted.location_rewrite)
            record.response_bytes = sent or 0
        except ConnectionError:
            self._lost()
        except Exception as error:  # noqa: BLE001 - nothing may escape into a log or an answer
            record.response_bytes = response.arrived
            self.refuse(error, request)
            return
        self._end(keep=request.keep)

    def _lost(self) -> None:
        self._record.status = CLIENT_CLOSED
        self.owner.abort()

    def _end(self, *, keep: bool) -> None:
        steps = self._lane.steps
        self.forget()
        self.owner.write_buffer.report_behind(steps, self._record)
        self.owner.ended(keep=keep)

    def _incoming(
        self, response: WholeResponse, treatment: ResponseTreatment
    ) -> Forwardable | None:
        """Return the response as it may be relayed, or None if the handler must do it."""
        steps, exchange = self._lane.steps, self.own().exchange
        unread = False
        if isinstance(treatment, LookAt):
            body, reports = response.take(), treatment.reports
            response.head, treatment = steps.treat_seen(exchange, treatment, response, body)
            unread = reports and isinstance(treatment, Pass) and holds_sealed(body)
            if unread:
                steps.unread.note(self._record)
        head = response.head
        if isinstance(treatment, Pass):
            return pass_response(exchange, head, bodiless=response.bodiless, unread=unread)
        if steps.as_it_arrives(exchange, treatment, response) is not treatment:
            return None  # it passes piece by piece, although all of it has come
        if response.size > self._known.limit:
            return None  # the handler refuses it
        body = response.take()
        if is_long(body, coded=b"content-encoding" in head.facts):
            return None
        plan = steps.plan_response(exchange, treatment, head, body, response.framing)
        keys = steps.warm(plan)
        return steps.apply(plan, keys, self._record) if keys is not None else None

    def _id_line(self, head: Head) -> bytes:
        """Return the line that this message gets if its head has no request id."""
        added = self._lane.steps.request_ids.added(self._record)
        return added_line(added, head.headers)

    def refuse(self, error: BaseException, request: FastRequest | None = None) -> None:
        """Respond with a refusal, unless the client is gone, and end."""
        request = request or self.request()
        refusal = self._lane.steps.refusal(deliberate(error), self._record)
        try:
            request.refuse_whole(refusal)
        except ConnectionError:
            self._lost()
        self._end(keep=request.keep)
