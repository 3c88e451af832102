"""Which of several blocks takes a message, by its head and by conditions on its body."""

from __future__ import annotations

from ..compiled.block import CompiledBlock
from ..compiled.message_match import SEALED_TYPES
from ..compiled.rule_table import CompiledBlocks
from ..crypto.sealed_stream import MEDIA_TYPE
from ..errors import ForbiddenValue, InvalidBody, RejectedByRule, UnsupportedBody
from ..http.content_coding import coding_of
from ..http.message import Head, MediaType, RequestHead, ResponseHead, SocketHead, media_type
from ..policy import BODY_TOKEN_BYTES
from ..rules.model import Verdict
from .exchange import Exchange


def alternatives(exchange: Exchange, compiled: CompiledBlock, head: Head) -> CompiledBlocks:
    """Return a block that fits a message by its head, and those that may take it in its place.

    They come behind it in the rule; behind one without conditions comes none.
    """
    compiled_rule = exchange.decision.compiled_rule
    if compiled.when is None or compiled_rule is None:
        return (compiled,)
    blocks = compiled_rule.request if compiled.direction == "request" else compiled_rule.response
    found: CompiledBlocks = ()
    for one in blocks[blocks.index(compiled) :]:
        if fits(one, head):
            found += (one,)
            if one.when is None:
                break
    return found


def fits(compiled: CompiledBlock, head: Head) -> bool:
    """Tell whether a message is for a block, by its head."""
    if isinstance(head, SocketHead):
        return compiled.fits_message(binary=head.binary)
    status = head.status if isinstance(head, ResponseHead) else None
    return compiled.fits(media_type(head.facts), status)


def choose(
    compiled_blocks: CompiledBlocks, text: bytes, head: Head, *, lenient: bool = False
) -> CompiledBlock | None:
    """Return the first block whose conditions a JSON text meets; None where it passes.

    What is no JSON meets none where that is `lenient`. Raises UnsupportedBody where no block takes
    the text and it must not pass, ForbiddenValue where a backend may decide otherwise: then what
    only opens takes nothing of a response.
    """
    asked = head if isinstance(head, RequestHead) else None
    for one in compiled_blocks:
        try:
            if one.when is None or one.when.met(text, asked):
                return one
        except InvalidBody:
            if not lenient:
                raise
        except ForbiddenValue:
            if not all(one.traits.only_opens_responses for one in compiled_blocks):
                raise
            return None
    refuse_unfit(compiled_blocks)
    return None


def refuse_unfit(compiled_blocks: CompiledBlocks) -> None:
    """Raise UnsupportedBody where what fits none of these blocks must not pass."""
    if not all(one.traits.only_opens_responses for one in compiled_blocks):
        raise UnsupportedBody("message-fits-no-block")


def choose_response(exchange: Exchange, head: ResponseHead) -> CompiledBlock | None:
    """Return the block that takes a response, or None where it passes as it is.

    Raises UnsupportedBody where a block that encrypts cannot read it, RejectedByRule where the rule
    rejects all responses.
    """
    refuse_rejected(exchange)
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is None or not compiled_rule.response:
        return None
    encrypting = compiled_rule.seals_response and any(
        one.block.encrypt and one.fits_status(head.status) for one in compiled_rule.response
    )
    try:
        media = media_type(head.facts)
    except UnsupportedBody:
        if encrypting:
            raise
        media = None  # a malformed type fits no block that reads a type
    compiled = fitting(compiled_rule.response, media, head.status)
    if compiled is not None:
        coding_of(head.facts)
    elif encrypting:
        raise UnsupportedBody("response-fits-no-block")
    return compiled


def choose_bodiless(exchange: Exchange, head: ResponseHead) -> CompiledBlock | None:
    """Return the block that does something in the head of a response without a body, or None."""
    compiled_rule = exchange.decision.compiled_rule
    for one in compiled_rule.response if compiled_rule is not None else ():
        if one.traits.changes_head and one.fits_status(head.status):
            return one
    return None


def flows_in_parts(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    """Tell whether a message's body is a form that a block can change part by part."""
    if not compiled.traits.flows_in_parts or coding_of(head.facts) is not None:
        return False
    return compiled.body_format(media_type(head.facts)).in_parts


def flows_as_one(
    compiled: CompiledBlock, head: RequestHead | ResponseHead, length: int | None
) -> bool:
    """Tell whether a block changes a message's body as one while it passes.

    It does where the body is a sealed stream or becomes one, is not compressed, and is too long to
    be a token; and where nothing else must be read from it.
    """
    item = compiled.alone
    if item is None or (length is not None and length <= BODY_TOKEN_BYTES):
        return False
    media = media_type(head.facts)
    essence = media.essence if media is not None else ""
    if coding_of(head.facts) is not None:
        return False
    if item is compiled.whole_decrypt:
        return essence == MEDIA_TYPE
    # Whether it is sealed already is known once all of it has been looked at.
    return item.framed and (compiled.block.already_sealed == "seal" or essence not in SEALED_TYPES)


def fitting(
    compiled_blocks: CompiledBlocks, media: MediaType | None, status: int | None
) -> CompiledBlock | None:
    """Return the first block for messages of this type and, for responses, status."""
    for one in compiled_blocks:
        if one.fits(media, status):
            return one
    return None


def refuse_rejected(exchange: Exchange) -> None:
    """Raise RejectedByRule where the rule rejects all responses."""
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is not None and compiled_rule.rule.response is Verdict.REJECT:
        raise RejectedByRule("rule-rejects-response")
