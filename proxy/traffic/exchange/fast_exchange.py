"""The fast path: an exchange without a task, driven by callbacks of its two connections.

It takes requests and responses that are there whole and whose keys are cached. What a head
decides is prepared (`core/transform/prepared`); for what that leaves, see `general_exchange`.

It may give up, and then the handler takes the request from its beginning. It never decides how a
message is treated. A request that there is no room for it refuses by itself, since a task would
cost more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from ...core.errors import Busy, UpstreamResting
from ...core.transform import Changed, Forwardable
from ...process.circuit_breaker import NO_TRIAL
from ..bodies.buffered import WholeResponse
from ..bodies.response_writer import Connection
from ..bodies.transformed import refuse_beside
from ..http1.fast_heads import VARYING, FastHead, FastResponseHead
from ..http1.hop_by_hop import ONE_WRITE, WHOLE, framed_whole
from ..http1.outgoing_heads import KnownLines, Lines, response_lines
from ..http1.pointing_headers import LocationRewrite
from ..interfaces import Request, UpstreamResponse
from ..message_record import MessageRecord
from ..upstream.client import HttpUpstream
from ..upstream.connection import UpstreamConnection
from ..upstream.permits import Claim, Permit
from .admission import AdmittedExchange
from .general_exchange import NO_LANE, GeneralExchange, Lane
from .known_heads import KnownHeads
from .steps import Steps

_SERVER_ERROR: Final = 500


class FastPath(ABC):
    """Sends requests of one listener upstream without a task.

    Its exchanges hold it, and it holds none of them: a former upstream is closed once it is gone.
    """

    def __init__(self, steps: Steps, heads: KnownHeads, upstream: HttpUpstream) -> None:
        self.steps: Final = steps
        self.heads: Final = heads
        self.upstream: Final = upstream
        self.adds_ids: Final = steps.request_ids.adds

    @abstractmethod
    async def finish(
        self,
        request: Request,
        admitted: AdmittedExchange,
        response: UpstreamResponse,
        record: MessageRecord,
    ) -> None:
        """Relay a response to a request that was sent by `depart`; raise only as `handle` does."""

    def depart(self, exchange: FastExchange, head: FastHead, body: bytes) -> bool:
        """Send a request upstream, or refuse it; return False if nothing was done.

        Whatever is wrong with the request, the handler finds as well, and answers it.
        """
        return exchange.depart(self, head, body)


class FastExchange(GeneralExchange):
    """The exchanges of one client's connection that take the fast path, one after the other.

    One is under way from `depart` until the response.
    """

    __slots__ = ()

    def depart(self, lane: Lane, head: FastHead, body: bytes) -> bool:
        """Send a request upstream, or refuse it; return False if nothing was done."""
        record = lane.steps.record()
        self.begun = False
        try:
            known = lane.heads.request(head, self.owner.peer, record)
            admitted = known.admitted
            if head.client is not None:
                admitted = lane.heads.admitted(known, head, self.owner.peer)
        except Exception:  # noqa: BLE001 - the handler meets it again, and answers
            return False
        self._lane, self._head, self._body = lane, head, body
        self._known, self._admitted, self._record = known, admitted, record
        try:
            permit = _permit(lane, admitted.claim)
        except (Busy, UpstreamResting) as error:
            self.refuse(error)  # nothing has been done for it, and nothing will be
            return True
        self.begun = True
        if permit is not None:
            if self._send(permit):
                return True
            permit.release("unsent")
        self.forget()
        return False

    def _send(self, permit: Permit) -> bool:
        """Send the request as its rule changes it; return False if nothing was sent.

        If it was, the connection has the permit, and the exchange is under way or has ended.
        """
        lane, known, body = self._lane, self._known, self._body
        record = self._record
        record.request_bytes = len(body)
        try:
            changed = None
            if not known.compares or known.is_clear(self._head):
                changed = known.passing or lane.heads.changed(known, known.limit, body, record)
            message = self._generally() if changed is None else changed
            if message is None:
                return False
            self._kept = self.own().exchange.kept if changed is None else changed.kept
            connection = lane.upstream.send_at_once(
                message,
                body,
                permit,
                self,
                fast=self._head,
                lines=known.lines,
                forwarding=self._admitted.forwarding,
                added=self._id_line(self._admitted.request.head) if lane.adds_ids else b"",
            )
        except Exception:  # noqa: BLE001 - the handler meets it again, and answers
            return False
        if connection is None:
            return False
        self._connection = connection
        try:
            record.sending()
            if connection.error is not None:
                self.progressed()
        except BaseException:
            self.abandon()
            raise
        return True

    def answered(self, connection: UpstreamConnection, fast: FastResponseHead, body: bytes) -> None:
        """Relay a complete response with a head that may come again."""
        self._connection = connection.asker = None
        lane, owner, record = self._lane, self.owner, self._record
        try:
            upstream, status = lane.upstream, fast.status
            health = upstream.health
            if status >= _SERVER_ERROR or not health.full or not health.breaker.calm:
                health.answered(status, NO_TRIAL)
            upstream.pool.release(connection)
            record.responded(status)
            keep = not (self._head.close or owner.last)
            known = self._known
            try:
                if lane.steps.ladder.on:
                    bodies = self._body, body
                    lane.steps.ladder.answered(known.admitted, fast.head, record, bodies)
                found = known.responses.get(fast.key)
                if found is None:
                    found = lane.heads.response(known, fast)
                message: Forwardable | None = found.passing
                if message is None:
                    message = lane.heads.changed(found, known.limit, body, record, self._kept)
                if message is None or not record.stands():
                    response = WholeResponse(fast.head, fast.framing, body)
                    message = self._incoming(response, found.treatment)
                    if message is None or not record.stands():
                        self._go_on(response)
                        return
                record.response_bytes = answer(
                    owner,
                    message,
                    body,
                    fast,
                    found.lines,
                    location_rewrite=known.admitted.location_rewrite,
                    keep=keep,
                    added=self._id_line(fast.head) if lane.adds_ids else b"",
                )
            except ConnectionError:
                self._lost()
            except Exception as error:  # noqa: BLE001 - nothing may escape into a log or an answer
                record.response_bytes = len(body)
                self.refuse(error)
                return
            self._body, self._kept, self._own, self._lane = b"", (), None, NO_LANE  # as `forget`
            owner.write_buffer.report_behind(lane.steps, record)
            owner.ended(keep=keep)
        except BaseException as error:  # noqa: BLE001 - raised again unless it is an Exception
            self._broke(lane, connection, error)


def answer(  # noqa: PLR0913 - what one response consists of
    link: Connection,
    message: Forwardable,
    body: bytes,
    fast: FastResponseHead,
    lines: Lines,
    *,
    location_rewrite: LocationRewrite,
    keep: bool,
    added: bytes = b"",
) -> int:
    """Respond to a fast request with a complete response; return how many bytes its body has.

    `fast` and `body` are the upstream's. `lines` are those of the head, for clients at this place.
    Unless the client's connection is to `keep` open, the response says that it ends. `added` is a
    line of this response alone.
    """
    if not isinstance(message, Forwardable):
        raise TypeError("only a Forwardable can be sent")
    if message.flow is not None:
        refuse_beside(message, None)
    known = lines.get(message.frame)
    if keep and known is not None and known.varying == fast.varying:
        head = known.head
    else:
        head = _head(message, fast, lines, location_rewrite, keep=keep)
    if added:
        head += added
    if message.body is not None:
        body = message.body
    size = len(body)
    try:
        if size <= ONE_WRITE:
            link.write(WHOLE % (head, size, body))
        else:
            link.write(framed_whole(head, size))
            link.write(body)
    except ConnectionError:
        raise
    except BaseException:
        link.abort()  # some of it may be on its way, and nothing must follow it
        raise
    return size


def _head(
    message: Forwardable,
    fast: FastResponseHead,
    lines: Lines,
    location_rewrite: LocationRewrite,
    *,
    keep: bool,
) -> bytes:
    """Return the head of a response, and keep it if others like it have the same."""
    known = lines.get(message.frame) if keep else None
    head = None if known is None else known.filled(fast.varying)
    if head is None:
        own = fast.head.headers if type(message) is Changed else None
        head = response_lines(
            message,
            connection=None if keep else b"close",
            location_rewrite=location_rewrite,
            headers=own,
        )
        if keep and own is not None:
            altered = message.ruled or message.changed
            lines[message.frame] = KnownLines(head, fast.varying, own, VARYING, altered=altered)
    return head


def _permit(lane: Lane, claim: Claim) -> Permit | None:
    """Return a permit, None where it takes a wait: what waits for its turn is sealed after it.

    Raises:
        Busy: There is no room for the request, not even to wait.
        UpstreamResting: The upstream has failed, and is left alone.
    """
    lag, upstream = lane.steps.lag, lane.upstream
    if lag.refuses(claim.client):
        raise Busy("loop-lag")
    if not upstream.health.breaker.calm and not upstream.health.sound:
        upstream.health.refuse_resting()
        return None  # it may be the trial, whose end the handler reports
    permit = upstream.permits.take_at_once(claim)
    if permit is None:
        if lag.stands:
            raise Busy("loop-lag")  # to wait, too, takes time that the loop does not have
        upstream.permits.refuse_if_full(claim)
    return permit
