"""Plain messages on their way without a task, a future or a timer.

It is the handler's way, for the common case in which nothing has to be waited for but the
upstream: the head is plain, the body is there, the keys are warm and a connection is idle. When
anything else comes up, the handler takes over.
"""

from __future__ import annotations

from ..core.apply.forwardable import Forwardable
from ..core.planning.exchange import Exchange
from .course import Course
from .framing import Framing
from .plain_request import PlainRequest
from .precedent import Precedent
from .record import Record
from .trip import Finish, Station, Trip
from .upstream import HttpUpstream


class Express:
    """Sends the plain requests of one listener upstream."""

    __slots__ = ("_course", "_upstream")

    def __init__(self, course: Course, upstream: HttpUpstream) -> None:
        self._course = course
        self._upstream = upstream

    def depart(self, request: PlainRequest, station: Station, finish: Finish) -> Trip | None:
        """Send a request upstream and return its trip, or None, and then nothing was sent.

        Whatever is wrong with the request, the handler will find it too, and knows the answer.
        `finish` is the handler's, for a response that it must relay.
        """
        record = self._course.record()
        head, body = request.head, request.data
        try:
            arrival = self._course.arrive_plain(head, request.peer, record)
            exchange = arrival.exchange
            if exchange.decision.observes is not None:
                return None  # whoever overhears a message has waits
            if exchange.decision.reads_request:
                message = self._changed(exchange, body, head.framing, record)
                if message is None:
                    return None
            else:
                message = arrival.passing()
            # A head in which values were sealed is like no other.
            precedent = head.precedent if message.head is exchange.head else Precedent()
            delivery = self._upstream.delivery(
                message, body, head.framing, arrival.crossing, precedent
            )
        except Exception:  # noqa: BLE001 - the handler comes to it once more, and tells
            return None
        record.request_bytes = len(body)
        trip = Trip(self._course, self._upstream, station, finish, request, arrival, record)
        return trip if trip.start(delivery) else None

    def _changed(
        self, exchange: Exchange, body: bytes, framing: Framing, record: Record
    ) -> Forwardable | None:
        """Return a request as its rule changes it, or None where keys must be waited for."""
        course = self._course
        if len(body) > course.body_limit(exchange.decision):
            return None
        plan = course.plan_request(exchange, body, framing)
        keys = course.warm(plan)
        return course.apply(plan, keys, record) if keys is not None else None
