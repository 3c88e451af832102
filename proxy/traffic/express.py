"""Plain messages on their way without a task, a future or a timer.

It is the handler's way, for the common case in which nothing has to be waited for but the
upstream: the head is plain, the body is there, the keys are warm and a connection is idle. When
anything else comes up, the handler takes over.
"""

from __future__ import annotations

from ..core import pipeline
from ..core.forwardable import Forwardable
from .course import Arrival, Course
from .plain_request import PlainRequest, WholeBody
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
        try:
            arrival = self._course.arrive_plain(request.head, request.peer, record)
            if arrival.exchange.decision.observes is not None:
                return None  # whoever overhears a message has waits
            body = request.body(arrival.admitted.framing)
            message = self._outgoing(arrival, body, record)
            if message is None:
                return None
            # A head in which values were sealed is like no other.
            unedited = message.head is arrival.exchange.head
            delivery = self._upstream.delivery(
                message,
                body,
                crossing=arrival.crossing,
                precedent=request.head.precedent if unedited else Precedent(),
            )
        except Exception:  # noqa: BLE001 - the handler comes to it once more, and tells
            return None
        record.received = body.arrived
        trip = Trip(self._course, self._upstream, station, finish, request, arrival, record)
        return trip if trip.start(delivery) else None

    def _outgoing(self, arrival: Arrival, body: WholeBody, record: Record) -> Forwardable | None:
        """Return the request as it may be forwarded, or None where keys must be waited for."""
        exchange = arrival.exchange
        if not exchange.decision.reads_request:
            return pipeline.pass_request(exchange)
        whole = body.take_up_to(self._course.body_limit(exchange.decision))
        plan = self._course.plan_request(exchange, whole, body.framing)
        keys = self._course.warm(plan)
        return self._course.apply(plan, keys, record) if keys is not None else None
