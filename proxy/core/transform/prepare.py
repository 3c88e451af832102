"""Which messages are changed at once, decided by their heads."""

from __future__ import annotations

from ..compiled.block import CompiledBlock
from ..compiled.message_match import SEALED_TYPES
from ..crypto.sealed_stream import MEDIA_TYPE
from ..errors import SealyardError
from ..expressions.selectors import Whole
from ..expressions.sources import NameSource
from ..formats.body_format import Kind
from ..formats.markup import MARKUP, surroundings_of
from ..formats.table import RECORDS
from ..http.content_coding import coding_of
from ..http.digests import promised
from ..http.message import RequestHead, ResponseHead, SocketHead, media_type
from ..planning.block_choice import fits, fitting
from ..planning.exchange import Exchange, Messages
from ..planning.find import refuse_in_head
from ..planning.treatment import Pass, ReadResponse, ResponseTreatment
from ..rules.model import NAMED_PARTS
from .forwardable import Changed, Frame
from .passing import pass_request, pass_response, passes
from .prepared import Prepared, PreparedJson, PreparedMessages, PreparedRecords, PreparedWhole


def prepare_request(exchange: Exchange) -> Prepared | Changed | None:
    """Return what is done to requests with the head of this one, or the message where it passes.

    None where they are to be planned. Their bodies must be within the limits of the listener and of
    the rule.
    """
    decision = exchange.decision
    if decision.observes is not None or decision.takes_no_body:
        return None
    try:
        if not decision.reads_request:
            return passes(pass_request(exchange))
        return _reading(exchange)
    except (SealyardError, KeyError):
        return None


def prepare_response(
    exchange: Exchange, treatment: ResponseTreatment, head: ResponseHead
) -> Prepared | Changed | None:
    """Return what is done to responses with this head that are treated so, or one that passes.

    They answer requests with the head of this exchange. None where they are to be planned.
    """
    try:
        if isinstance(treatment, Pass):
            message = pass_response(exchange, head, bodiless=False)
            return passes(message) if message.flow is None else None
        if isinstance(treatment, ReadResponse):
            return _changing(exchange, treatment.block, head)
    except (SealyardError, KeyError):
        pass
    return None


def prepare_messages(messages: Messages, *, binary: bool) -> PreparedMessages | None:
    """Return what is done to messages of a WebSocket; None where they are to be planned.

    Packets that announce others are followed one by one, by plans alone. No names are kept from one
    message for another.
    """
    exchange, blocks = messages.exchange, messages.compiled_blocks
    head = SocketHead(messages.direction, binary)
    compiled = next((one for one in blocks if fits(one, head)), None)
    if compiled is None or compiled.flat is None or not compiled.reads:
        return None
    if exchange.decision.observes is not None or any(one.packets for one in blocks):
        return None
    if messages.direction == "request" and exchange.sees_less:
        return None  # it must not change what its caller does not see
    try:
        prepared = PreparedJson(exchange, compiled, compiled.flat, head)
    except (SealyardError, KeyError):
        return None
    unread = () if binary else (one.sentinels for one in blocks)
    return PreparedMessages(prepared, frozenset[bytes]().union(*unread))


def prepare_records(
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    kind: Kind,
) -> PreparedRecords | None:
    """Return what is done to the records of a stream; None where they are to be planned.

    The names of the request's body must be known.
    """
    body_format = RECORDS[kind]
    if not body_format.finds_usual or not _reads_records(compiled, head) or exchange.elsewhere:
        return None
    assert compiled.flat is not None  # noqa: S101 - as was just looked at
    try:
        prepared = PreparedJson(exchange, compiled, compiled.flat, head)
    except (SealyardError, KeyError):
        return None
    frame = Frame(head, changed=True, ruled=exchange.decision.may_read_response)
    return PreparedRecords(prepared, frame, body_format, compiled.sentinels, exchange.kept)


def _reading(exchange: Exchange) -> Prepared | None:
    compiled_rule = exchange.decision.compiled_rule
    blocks = compiled_rule.request if compiled_rule is not None else ()
    head = exchange.head
    # The first one, if it reads plain JSON, takes JSON of any name.
    plain = bool(blocks) and blocks[0].flat is not None and head.facts.plain_json
    compiled = blocks[0] if plain else fitting(blocks, media_type(head.facts), None)
    if compiled is None:
        return None
    # It is read whole: the block does nothing while a body streams. And no backend looks into
    # JSON for the field that overrides a method.
    exchange.refuse_unclear()
    refuse_in_head(exchange, compiled, head)
    if exchange.elsewhere or exchange.sees_less:
        return (
            None  # a name must be the same there, or a caller must not change what it does not see
        )
    return _changing(exchange, compiled, head)


def _changing(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
) -> Prepared | None:
    """Return what is done to messages that a block takes, if it does nothing else to them."""
    if compiled.flat is not None and head.facts.plain_json:
        return PreparedJson(exchange, compiled, compiled.flat, head)
    if _is_whole(compiled, head, overridable=exchange.decision.overridable):
        return PreparedWhole(exchange, compiled, head)
    return None


def _reads_records(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    """Return whether each record is plain JSON to a block, and nothing else is looked at."""
    media = media_type(head.facts)
    if compiled.flat is None or not compiled.reads or media is None or not media.is_utf8:
        return False
    if compiled.keeps or compiled.sources_elsewhere is not None:
        return False
    is_page = head.facts.as_page or surroundings_of(media) in MARKUP
    return not is_page or compiled.escape == "none"


def _is_whole(
    compiled: CompiledBlock, head: RequestHead | ResponseHead, *, overridable: bool
) -> bool:
    """Return whether a block does nothing to a message but seal or open its body as a token.

    What is sealed or opened as a stream, or may be sealed already, is none of it. `overridable`
    says that a field of an opened form may name another method. Raises UnsupportedBody for a type
    or a coding that is malformed.
    """
    facts, media = head.facts, media_type(head.facts)
    if not _takes_whole(compiled) or coding_of(facts) is not None or promised(facts):
        return False
    essence = media.essence if media is not None else ""
    if compiled.whole_encrypt is not None:
        return essence not in SEALED_TYPES
    if essence == MEDIA_TYPE or (isinstance(head, RequestHead) and overridable):
        return False
    is_page = facts.as_page or surroundings_of(media) in MARKUP
    return not is_page or compiled.escape == "none"


def _takes_whole(compiled: CompiledBlock) -> bool:
    """Return whether a block takes whole bodies alone, bound by names that lie outside of them."""
    item = compiled.alone
    if item is None or item.selector is not Whole.BODY or item.parties or item.withheld:
        return False
    named = (compiled.sources.get(part) for part in NAMED_PARTS if part in item.bind)
    if not all(isinstance(one, NameSource) for one in named):
        return False
    return not (compiled.traits.changes_head or compiled.keeps or compiled.deltas)
