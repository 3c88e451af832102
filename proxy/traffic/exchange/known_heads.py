"""What is known of heads that come again: what was decided, and the way that their messages go."""

from __future__ import annotations

import time
from typing import Final

from ...core.apply.forwardable import Changed
from ...core.apply.json_way import JsonWay
from ...core.apply.ways import ChangingWay, PassingWay, Way, Ways
from ...core.errors import TrafficError
from ...core.http.message import ResponseHead
from ...core.planning.exchange import Exchange, Kept
from ...core.planning.treatment import ResponseTreatment, treat_response
from ..http1.fast_heads import VARYING_BY_CLIENT, FastHead, FastResponseHead
from ..http1.forwarding_headers import Peer
from ..http1.outgoing_heads import Lines, Varying
from ..message_record import MessageRecord
from ..slices import LONG_BYTES, SHORT_BYTES, may_go_a_way
from .admission import AdmittedExchange
from .request_ids import Take
from .steps import Steps

LARGE: Final = 8192
"""A body of at most so many bytes has few values, or small ones: it is not worth a second try."""
WORTH_WAITING: Final = 32768
"""A response of at most this many bytes is relayed whole; a longer one, unless it is read whole, as
it arrives."""
MOST_CLIENTS: Final = 64
"""For so many clients it is known what differs in the head of a request that is sent for them."""
MOST_OTHERS: Final = 8
"""So many other heads are known where a rule reads a name from what varies."""
MOST_RESPONSES: Final = 8
"""So many heads of responses are known for a head of requests: a route has few."""


class KnownHead:
    """What is known of a head, whatever varies in it (see http1/fast_heads).

    Attributes:
        asked: Whether it is known which way there is: it is asked for a head that comes again.
        way: What changes the messages with this head; None where that takes the general way.
        passing: The message where it passes unread, the same for any body.
        lines: The heads as they go out.
    """

    __slots__ = ("asked", "lines", "passing", "way")

    def __init__(self) -> None:
        self.asked = False
        self.way: ChangingWay | None = None
        self.passing: Changed | None = None
        self.lines: Final[Lines] = {}

    def take(self, way: Way | None) -> None:
        """Take the way that there is, if there is one."""
        self.asked = True
        if isinstance(way, PassingWay):
            self.passing = way.change(b"", 0.0)
        else:
            self.way = way


class KnownResponse(KnownHead):
    """What is known of the responses with one head, to the requests with one head."""

    __slots__ = ("treatment",)

    def __init__(self, treatment: ResponseTreatment) -> None:
        super().__init__()
        self.treatment: Final = treatment


class KnownRequest(KnownHead):
    """What is known of the requests with one head, and of the heads of their responses.

    Attributes:
        limit: The largest body in bytes that may be read whole.
        responses: What is known of responses, by the keys of their heads.
        reads: Whether the rule reads a name from what varies: then it holds for `varying` alone.
        others: What is known of such heads with other values.
        ids: What takes the ids of a request, each from the value that varies at a place.
        clients: What was admitted for other clients than the first, by their X-Forwarded-For.
    """

    __slots__ = (
        "admitted",
        "clients",
        "ids",
        "limit",
        "method",
        "others",
        "reads",
        "responses",
        "rule",
        "varying",
    )

    def __init__(
        self,
        admitted: AdmittedExchange,
        limit: int,
        record: MessageRecord,
        varying: Varying,
        ids: tuple[tuple[Take, int], ...],
    ) -> None:
        super().__init__()
        self.admitted: Final = admitted
        self.limit: Final = limit
        self.method: Final = record.method
        self.rule: Final = record.rule
        self.varying: Final = varying
        compiled_rule = admitted.exchange.decision.compiled_rule
        names = None if compiled_rule is None else compiled_rule.names
        self.reads: Final = names is not None and names.reads(VARYING_BY_CLIENT)
        self.ids: Final = ids
        self.responses: Final[dict[bytes, KnownResponse]] = {}
        self.clients: Final[dict[bytes, AdmittedExchange]] = {}
        self.others: Final[dict[Varying, KnownRequest]] = {}

    def learn(self, fast: FastResponseHead, treatment: ResponseTreatment) -> KnownResponse:
        """Remember how responses with this head are treated."""
        known = KnownResponse(treatment)
        if fast.key:
            if len(self.responses) >= MOST_RESPONSES:
                self.responses.clear()
            self.responses[fast.key] = known
        return known


_LENGTH: Final = frozenset({b"content-length"})
_NOT_READ: Final = VARYING_BY_CLIENT | _LENGTH


def _of_all(known: KnownRequest) -> Exchange:
    """Return an exchange whose ways hold for all requests that go by what is known.

    Nothing can be read of what varies there, unless it is a name: then it is theirs, too.
    """
    exchange = known.admitted.exchange
    head, not_read = exchange.head, _LENGTH if known.reads else _NOT_READ
    kept = tuple(pair for pair in head.headers if pair[0].lower() not in not_read)
    return Exchange(exchange.decision, head.with_headers(kept))


class KnownHeads:
    """Finds out what is known of heads, by the steps of one listener."""

    __slots__ = ("_steps", "_ways")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._ways = Ways(steps.keys)

    def request(self, head: FastHead, peer: Peer, record: MessageRecord) -> KnownRequest:
        """Let a request through as `Steps.admit` does, by what is known of its head.

        Raises:
            TrafficError: The gate or a rule refuses it.
        """
        entry, steps = head.entry, self._steps
        first: KnownRequest | None = entry.decision if entry.owner is self else None
        known = first
        if first is not None and first.reads and first.varying != head.varying:
            known = first.others.get(head.varying)
        if known is None:
            admitted = steps.admit(head.raw, peer, record)
            limit = steps.body_limit(admitted.exchange.decision)
            ids = steps.request_ids.places(head.raw.headers, VARYING_BY_CLIENT)
            known = KnownRequest(admitted, limit, record, head.varying, ids)
            if first is None:
                entry.decision, entry.owner = known, self
            else:
                if len(first.others) >= MOST_OTHERS:
                    first.others.clear()
                first.others[head.varying] = known
            return known
        record.method, record.rule = known.method, known.rule
        for take, place in known.ids:
            take(record, head.varying[place])
        if steps.keys.shut:
            steps.refuse_shut(known.rule)  # it may have been shut meanwhile
        if not known.asked:
            known.take(self._ways.request(_of_all(known)))
        return known

    def admitted(self, known: KnownRequest, head: FastHead, peer: Peer) -> AdmittedExchange:
        """Return what was admitted, as it is for the client that this request is sent for."""
        if head.client is None or head.varying == known.varying:
            return known.admitted
        value = head.varying[head.client]
        found = known.clients.get(value)
        if found is None:
            if len(known.clients) >= MOST_CLIENTS:
                known.clients.clear()
            headers, host = self._steps.forwarding_headers, known.admitted.request.host
            found = known.admitted.sent_for(headers.forwarding(head.raw, peer, host))
            known.clients[value] = found
        return found

    def response(self, request: KnownRequest, fast: FastResponseHead) -> KnownResponse:
        """Return how responses with a head are treated, and their way where it comes again.

        Raises:
            TrafficError: The response cannot be read.
        """
        exchange, known = request.admitted.exchange, request.responses.get(fast.key)
        if known is None:
            return request.learn(fast, treat_response(exchange, fast.head, length=fast.length))
        if not known.asked:
            known.take(self._ways.response(_of_all(request), known.treatment, fast.head))
        return known

    def awaits(self, request: KnownRequest, fast: FastResponseHead) -> bool:
        """Return whether all of a response is to be there: it is short, or goes a way."""
        if fast.length <= WORTH_WAITING:
            return True
        if fast.length > min(request.limit, LONG_BYTES):
            return False
        try:
            return self.response(request, fast).way is not None
        except TrafficError:  # whoever reads it meets it again
            return False

    def changed(
        self, known: KnownHead, limit: int, body: bytes, record: MessageRecord, kept: Kept = ()
    ) -> Changed | None:
        """Return a message with a known head as it may go on; None where it takes the general way.

        `limit` is the largest body in bytes that may be read whole; `kept` are the names of the
        request's body.
        """
        if known.passing is not None:
            return known.passing
        way, steps = known.way, self._steps
        # Whoever watches sees what the general way has found.
        if way is None or len(body) > limit or (steps.tap is not None and steps.tap.watched):
            return None
        if len(body) > SHORT_BYTES and not may_go_a_way(body):
            return None
        if record.changes is not None:
            return self._timed(way, body, record, kept)
        changed = way.change(body, steps.clock(), kept)
        if changed is not None and changed.counts:
            record.count(changed.counts)
        return changed

    def _timed(
        self, way: ChangingWay, body: bytes, record: MessageRecord, kept: Kept
    ) -> Changed | None:
        """Return a message that goes its way, and note how long that took."""
        began = time.perf_counter()
        changed = way.change(body, self._steps.clock(), kept)
        if changed is not None and changed.counts:
            record.count(changed.counts)
            record.changed(began)
        return changed

    def lone_way(
        self, exchange: Exchange, body: bytes, answer: tuple[ResponseTreatment, ResponseHead] | None
    ) -> JsonWay | None:
        """Return the way of one large message, whether or not its head is known; None for no way.

        It is that of the request, or of the `answer` that is treated so. Smaller ones have been
        tried before.
        """
        if len(body) <= LARGE or (self._steps.tap is not None and self._steps.tap.watched):
            return None
        if exchange.decision.observes is not None:
            return None
        if answer is None:
            way = self._ways.request(exchange)
        else:
            way = self._ways.response(exchange, *answer)
        return way if isinstance(way, JsonWay) else None
