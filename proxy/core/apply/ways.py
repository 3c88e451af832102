"""Ways: what is done to the messages of one head under one rule, decided once for all of them.

The general way plans each message and applies the plan. Where it would take plain JSON, a way does
the same to its body in fewer steps. All that the head decides is decided when the way is made; what
the body decides is checked for each message. A way never refuses a message: what it does not take
for certain goes the general way from its beginning, which alone tells what is wrong with it.
"""

from __future__ import annotations

from typing import TypeAlias

from ..compiled.block import CompiledBlock
from ..errors import SealyardError
from ..formats.body_format import Kind
from ..formats.markup import MARKUP, surroundings_of
from ..formats.table import RECORDS
from ..http.message import RequestHead, ResponseHead, SocketHead, media_type
from ..planning.block_choice import fits, fitting
from ..planning.exchange import Exchange, Kept, Messages
from ..planning.find import refuse_in_head
from ..planning.treatment import Pass, ReadResponse, ResponseTreatment
from .forwardable import Changed, Frame, mint_changed
from .json_way import JsonWay, WarmKeys
from .passing import pass_request, pass_response
from .record_way import KeysTogether, MessageWay, RecordWay
from .whole_way import WholeWay, is_whole


class PassingWay:
    """The way of messages whose body passes unread."""

    __slots__ = ("_changed",)

    def __init__(self, frame: Frame) -> None:
        self._changed = mint_changed(frame, None, {})

    def change(self, body: bytes, now: float, kept: Kept = ()) -> Changed:
        """Return the message, the same each time."""
        return self._changed


ChangingWay: TypeAlias = JsonWay | WholeWay
Way: TypeAlias = PassingWay | ChangingWay


class Ways:
    """Makes the ways of one rule table's messages, whose keys come from one source."""

    __slots__ = ("_keys",)

    def __init__(self, keys: WarmKeys) -> None:
        """Take where keys come from."""
        self._keys = keys

    def request(self, exchange: Exchange) -> Way | None:
        """Return the way of requests with the head of this one; None where there is none.

        Their bodies must be within the limits of the listener and of the rule.
        """
        decision = exchange.decision
        if decision.observes is not None:
            return None
        try:
            if not decision.reads_request:
                return PassingWay(pass_request(exchange).frame)
            return self._reading(exchange)
        except (SealyardError, KeyError):
            return None

    def response(
        self,
        exchange: Exchange,
        treatment: ResponseTreatment,
        head: ResponseHead,
        *,
        bodiless: bool = False,
    ) -> Way | None:
        """Return the way of responses with this head that are treated so; None for no way.

        They answer requests with the head of this exchange.
        """
        try:
            if isinstance(treatment, Pass):
                return PassingWay(pass_response(exchange, head, bodiless=bodiless).frame)
            if isinstance(treatment, ReadResponse):
                return self._changing(exchange, treatment.block, head)
        except (SealyardError, KeyError):
            pass
        return None

    def messages(self, messages: Messages, *, binary: bool) -> MessageWay | None:
        """Return the way of messages of a WebSocket; None where there is none.

        Packets that announce others are followed one by one, by the general way alone. No names are
        kept from one message for another.
        """
        exchange, blocks = messages.exchange, messages.compiled_blocks
        head = SocketHead(messages.direction, binary)
        compiled = next((one for one in blocks if fits(one, head)), None)
        if compiled is None or compiled.plain_json is None or not compiled.reads:
            return None
        if exchange.decision.observes is not None or any(one.packets for one in blocks):
            return None
        try:
            way = JsonWay(exchange, compiled, head, self._keys)
        except (SealyardError, KeyError):
            return None
        unread = () if binary else (one.sentinels for one in blocks)
        return MessageWay(way, frozenset[bytes]().union(*unread))

    def records(
        self,
        exchange: Exchange,
        compiled: CompiledBlock,
        head: RequestHead | ResponseHead,
        kind: Kind,
    ) -> RecordWay | None:
        """Return the way of the records of a stream; None where there is none.

        The names of the request's body must be known.
        """
        body_format = RECORDS[kind]
        if not body_format.finds_usual or not _reads_records(compiled, head) or exchange.elsewhere:
            return None
        keys = KeysTogether(self._keys)
        try:
            way = JsonWay(exchange, compiled, head, keys)
        except (SealyardError, KeyError):
            return None
        frame = Frame(head, changed=True, ruled=exchange.decision.may_read_response)
        return RecordWay(way, keys, frame, body_format, compiled.sentinels, exchange.kept)

    def _reading(self, exchange: Exchange) -> ChangingWay | None:
        compiled_rule = exchange.decision.compiled_rule
        blocks = compiled_rule.request if compiled_rule is not None else ()
        head = exchange.head
        # The first one, if it reads plain JSON, takes JSON of any name.
        plain = bool(blocks) and _is_plain(blocks[0], head)
        compiled = blocks[0] if plain else fitting(blocks, media_type(head.facts), None)
        if compiled is None:
            return None
        # It is read whole: the block does nothing while a body streams. And no backend looks into
        # JSON for the field that overrides a method.
        exchange.refuse_unclear()
        refuse_in_head(exchange, compiled, head)
        if exchange.elsewhere:
            return None  # a name must be the same there
        return self._changing(exchange, compiled, head)

    def _changing(
        self, exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
    ) -> ChangingWay | None:
        """Return the way of messages that a block takes, if it does nothing else to them."""
        if _is_plain(compiled, head):
            return JsonWay(exchange, compiled, head, self._keys)
        if is_whole(compiled, head, overridable=exchange.decision.overridable):
            return WholeWay(exchange, compiled, head, self._keys)
        return None


def _is_plain(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    return compiled.plain_json is not None and head.facts.plain_json


def _reads_records(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    """Return whether each record is plain JSON to a block, and nothing else is looked at."""
    media = media_type(head.facts)
    if compiled.plain_json is None or not compiled.reads or media is None or not media.is_utf8:
        return False
    if compiled.keeps or compiled.sources_elsewhere is not None:
        return False
    is_page = head.facts.as_page or surroundings_of(media) in MARKUP
    return not is_page or compiled.escape == "none"
