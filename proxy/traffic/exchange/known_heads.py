"""What is known of heads that come again: what was decided, and what is done to their messages."""

from __future__ import annotations

import time
from typing import Final

from ...core import transform
from ...core.compiled.flat_json import Kept
from ...core.errors import TrafficError
from ...core.formats.parameters import COOKIE
from ...core.http.message import ResponseHead
from ...core.planning.exchange import Exchange
from ...core.planning.treatment import ResponseTreatment, treat_response
from ...core.transform import Changed, Prepared, is_unclear, prepare_request, prepare_response
from ..http1.fast_heads import VARYING_BY_CLIENT, FastHead, FastResponseHead
from ..http1.forwarding_headers import Peer
from ..http1.outgoing_heads import Lines, Varying
from ..message_record import MessageRecord
from ..slices import LONG_BYTES, SHORT_BYTES, may_go_at_once
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
        prepared: What changes the messages with this head; None where they are planned.
        passing: The message where it passes unread, the same for any body.
        lines: The heads as they go out.
    """

    __slots__ = ("lines", "passing", "prepared")

    def __init__(self, prepared: Prepared | Changed | None) -> None:
        self.prepared: Final = prepared if isinstance(prepared, Prepared) else None
        self.passing: Final = prepared if isinstance(prepared, Changed) else None
        self.lines: Final[Lines] = {}


class KnownResponse(KnownHead):
    """What is known of the responses with one head, to the requests with one head."""

    __slots__ = ("treatment",)

    def __init__(self, treatment: ResponseTreatment, prepared: Prepared | Changed | None) -> None:
        super().__init__(prepared)
        self.treatment: Final = treatment


class KnownRequest(KnownHead):
    """What is known of the requests with one head, and of the heads of their responses.

    Attributes:
        limit: The largest body in bytes that may be read whole.
        responses: What is known of responses, by the keys of their heads.
        compares: Whether there are cookies, which a rule compares with its names: `is_clear` says
            whether something in the head takes a plan.
        reads: Whether the rule reads a name from what varies: then it holds for `varying` alone.
        others: What is known of such heads with other values.
        ids: What takes the ids of a request, each from the value that varies at a place.
        clients: What was admitted for other clients than the first, by their X-Forwarded-For.
    """

    __slots__ = (
        "_unclear",
        "admitted",
        "clients",
        "compares",
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
        super().__init__(prepare_request(_of_all(admitted.exchange, reads=self._reads(admitted))))
        self.admitted: Final = admitted
        self.limit: Final = limit
        self.method: Final = record.method
        self.rule: Final = record.rule
        self.varying: Final = varying
        self.reads: Final = self._reads(admitted)
        self.ids: Final = ids
        exchange = admitted.exchange
        self.compares: Final = COOKIE in exchange.head.facts
        self._unclear: Final = self.compares and is_unclear(exchange)
        self.responses: Final[dict[bytes, KnownResponse]] = {}
        self.clients: Final[dict[bytes, AdmittedExchange]] = {}
        self.others: Final[dict[Varying, KnownRequest]] = {}

    def is_clear(self, head: FastHead) -> bool:
        """Return whether a request needs no plan because of its cookies, and what they are like."""
        if head.varying == self.varying:
            return not self._unclear
        known = self.admitted.exchange
        return not is_unclear(Exchange(known.decision, known.head.with_headers(head.raw.headers)))

    @staticmethod
    def _reads(admitted: AdmittedExchange) -> bool:
        compiled_rule = admitted.exchange.decision.compiled_rule
        names = None if compiled_rule is None else compiled_rule.names
        return names is not None and names.reads(VARYING_BY_CLIENT)

    def learn(self, fast: FastResponseHead, treatment: ResponseTreatment) -> KnownResponse:
        """Remember how responses with this head are treated."""
        exchange = _of_all(self.admitted.exchange, reads=self.reads)
        known = KnownResponse(treatment, prepare_response(exchange, treatment, fast.head))
        if fast.key:
            if len(self.responses) >= MOST_RESPONSES:
                self.responses.clear()
            self.responses[fast.key] = known
        return known


_LENGTH: Final = frozenset({b"content-length"})
_NOT_READ: Final = VARYING_BY_CLIENT | _LENGTH


def _of_all(exchange: Exchange, *, reads: bool) -> Exchange:
    """Return an exchange that stands for all requests that go by what is known.

    Nothing can be read of what varies there, unless it is a name (`reads`): then it is theirs, too.
    """
    head, not_read = exchange.head, _LENGTH if reads else _NOT_READ
    kept = tuple(pair for pair in head.headers if pair[0].lower() not in not_read)
    return Exchange(exchange.decision, head.with_headers(kept))


class KnownHeads:
    """Finds out what is known of heads, by the steps of one listener."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

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
        """Return how responses with a head are treated, and what is done to them.

        Raises:
            TrafficError: The response cannot be read.
        """
        exchange, known = request.admitted.exchange, request.responses.get(fast.key)
        if known is None:
            return request.learn(fast, treat_response(exchange, fast.head, length=fast.length))
        return known

    def awaits(self, request: KnownRequest, fast: FastResponseHead) -> bool:
        """Return whether all of a response is to be there: it is short, or changed at once."""
        if fast.length <= WORTH_WAITING:
            return True
        if fast.length > min(request.limit, LONG_BYTES):
            return False
        try:
            return self.response(request, fast).prepared is not None
        except TrafficError:  # whoever reads it meets it again
            return False

    def changed(
        self, known: KnownHead, limit: int, body: bytes, record: MessageRecord, kept: Kept = ()
    ) -> Changed | None:
        """Return a message with a known head as it may go on; None where it is planned.

        `limit` is the largest body in bytes that may be read whole; `kept` are the names of the
        request's body.
        """
        if known.passing is not None:
            return known.passing
        prepared, steps = known.prepared, self._steps
        # Whoever watches sees what was planned.
        watched = steps.tap is not None and steps.tap.watched
        if prepared is None or len(body) > limit or watched:
            return None
        if len(body) > SHORT_BYTES and not may_go_at_once(body):
            return None
        if record.changes is not None:
            return self._timed(prepared, body, record, kept)
        changed = prepared.change(body, steps.keys, steps.clock(), kept)
        if changed is not None and changed.counts:
            record.count(changed.counts, changed.keys)
        return changed

    def _timed(
        self, prepared: Prepared, body: bytes, record: MessageRecord, kept: Kept
    ) -> Changed | None:
        """Return a message changed, and note how long that took."""
        began = time.perf_counter()
        changed = prepared.change(body, self._steps.keys, self._steps.clock(), kept)
        if changed is not None and changed.counts:
            record.count(changed.counts, changed.keys)
            record.changed(began)
        return changed

    def prepared_alone(
        self, exchange: Exchange, body: bytes, answer: tuple[ResponseTreatment, ResponseHead] | None
    ) -> transform.PreparedJson | None:
        """Return what changes one large message, whether or not its head is known; None: a plan.

        It is the request, or the `answer` that is treated so. Smaller ones have been tried before.
        """
        if len(body) <= LARGE or (self._steps.tap is not None and self._steps.tap.watched):
            return None
        if exchange.decision.observes is not None:
            return None
        if answer is None:
            prepared = prepare_request(exchange)
        else:
            prepared = prepare_response(exchange, *answer)
        return prepared if isinstance(prepared, transform.PreparedJson) else None
