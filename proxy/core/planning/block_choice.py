"""Which of several blocks takes a body, where blocks have conditions on what stands in it."""

from __future__ import annotations

from ..compiled.block import SEALED_TYPES, Blueprint
from ..compiled.rule_table import Blueprints
from ..crypto.sealed_stream import MEDIA_TYPE, read_head
from ..errors import ForbiddenValue, InvalidBody, OpenFailed, RejectedByRule, UnsupportedBody
from ..formats.kinds import Kind
from ..http.content_coding import coding_of
from ..http.message import Head, MediaType, RequestHead, ResponseHead, SocketHead, media_type
from ..rules.model import Verdict
from .exchange import Exchange
from .find_whole import BODY_TOKEN_MAX
from .record_stream import streamed_request, streamed_response


def alternatives(exchange: Exchange, blueprint: Blueprint, head: Head) -> Blueprints:
    """Return a block that fits a message by its head, and those that may take it in its place.

    They come behind it in the rule; behind one without conditions comes none.
    """
    compiled = exchange.decision.compiled
    if blueprint.when is None or compiled is None:
        return (blueprint,)
    blocks = compiled.request if blueprint.direction == "request" else compiled.response
    found: Blueprints = ()
    for one in blocks[blocks.index(blueprint) :]:
        if fits(one, head):
            found += (one,)
            if one.when is None:
                break
    return found


def fits(blueprint: Blueprint, head: Head) -> bool:
    """Tell whether a message is for a block, by its head."""
    if isinstance(head, SocketHead):
        return blueprint.fits_message(binary=head.binary)
    status = head.status if isinstance(head, ResponseHead) else None
    return blueprint.fits(media_type(head.told), status)


def choose(
    blueprints: Blueprints, text: bytes, head: Head, *, lenient: bool = False
) -> Blueprint | None:
    """Return the first block whose conditions a JSON text meets; None where it passes.

    What is no JSON meets none where that is `lenient`. Raises UnsupportedBody where no block takes
    the text and it must not pass, ForbiddenValue where a backend may decide otherwise: then what
    only opens takes nothing of a response.
    """
    asked = head if isinstance(head, RequestHead) else None
    for one in blueprints:
        try:
            if one.when is None or one.when.met(text, asked):
                return one
        except InvalidBody:
            if not lenient:
                raise
        except ForbiddenValue:
            if not all(one.only_opens_responses for one in blueprints):
                raise
            return None
    refuse_unfit(blueprints)
    return None


def refuse_unfit(blueprints: Blueprints) -> None:
    """Raise UnsupportedBody where what fits none of these blocks must not pass."""
    if not all(one.only_opens_responses for one in blueprints):
        raise UnsupportedBody("message-fits-no-block")


def choose_response(exchange: Exchange, head: ResponseHead) -> Blueprint | None:
    """Return the block that takes a response, or None where it passes as it is.

    Raises UnsupportedBody where a block that encrypts cannot read it, RejectedByRule where the rule
    rejects all responses.
    """
    refuse_rejected(exchange)
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.response:
        return None
    encrypting = compiled.seals_response and any(
        one.block.encrypt and one.fits_status(head.status) for one in compiled.response
    )
    try:
        media = media_type(head.told)
    except UnsupportedBody:
        if encrypting:
            raise
        media = None  # of a type that nobody can tell: it fits no block that reads a type
    blueprint = fitting(compiled.response, media, head.status)
    if blueprint is not None:
        coding_of(head.told)
    elif encrypting:
        raise UnsupportedBody("response-fits-no-block")
    return blueprint


def choose_bodiless(exchange: Exchange, head: ResponseHead) -> Blueprint | None:
    """Return the block that does something in the head of a response without a body, or None."""
    compiled = exchange.decision.compiled
    for one in compiled.response if compiled is not None else ():
        if one.heeds_head and one.fits_status(head.status):
            return one
    return None


def streaming_request(
    exchange: Exchange, length: int | None, limit: int
) -> tuple[Blueprint, Kind] | None:
    """Return the block that takes a request record by record, and the kind of its records.

    None: it is read whole, and so it is up to `limit` bytes where it tells its `length`. Raises
    UnsupportedBody where nobody can tell its type or coding.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.request or (length is not None and length <= limit):
        return None
    blueprint = fitting(compiled.request, media_type(exchange.head.told), None)
    kind = None if blueprint is None else streamed_request(blueprint, exchange.head)
    return None if blueprint is None or kind is None else (blueprint, kind)


def streaming_response(blueprint: Blueprint, head: ResponseHead, length: int | None) -> Kind | None:
    """Return the kind of records of a response that passes record by record; None for no such.

    `blueprint` is what `choose_response` gave, `length` what the response tells.
    """
    return streamed_response(blueprint, head, length)


def flowing_request(exchange: Exchange, length: int | None, limit: int) -> Blueprint | None:
    """Return the block that changes a request's body while it passes; None: it is read whole.

    `length` is what its message tells; a form in parts up to `limit` bytes is read whole. Raises
    UnsupportedBody where nobody can tell its type or coding.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not any(one.alone or one.flows_in_parts for one in compiled.request):
        return None
    blueprint = fitting(compiled.request, media_type(exchange.head.told), None)
    if blueprint is None:
        return None
    return blueprint if flows(blueprint, exchange.head, length, limit) else None


def flows(
    blueprint: Blueprint, head: RequestHead | ResponseHead, length: int | None, limit: int
) -> bool:
    """Tell whether a block changes a message's body while it passes.

    A form in parts up to `limit` bytes is read whole.
    """
    if blueprint.flows_in_parts:
        return flows_in_parts(blueprint, head) and (length is None or length > limit)
    return flows_as_one(blueprint, head, length)


def flows_in_parts(blueprint: Blueprint, head: RequestHead | ResponseHead) -> bool:
    """Tell whether a message's body is a form that a block can change part by part."""
    if not blueprint.flows_in_parts or coding_of(head.told) is not None:
        return False
    return blueprint.kind(media_type(head.told)) == "multipart"


def flows_as_one(
    blueprint: Blueprint, head: RequestHead | ResponseHead, length: int | None
) -> bool:
    """Tell whether a block changes a message's body as one while it passes.

    It does where the body is a frame or becomes one, is not coded, and is too long to be held as a
    token would be; and where nothing else must be read from it.
    """
    item = blueprint.alone
    if item is None or (length is not None and length <= BODY_TOKEN_MAX):
        return False
    media = media_type(head.told)
    essence = media.essence if media is not None else ""
    if coding_of(head.told) is not None:
        return False
    if item is blueprint.whole_decrypt:
        return essence == MEDIA_TYPE
    # Whether it is sealed already is known once all of it has been looked at.
    return item.framed and (blueprint.block.already_sealed == "seal" or essence not in SEALED_TYPES)


def suffices(blueprint: Blueprint, beginning: bytes) -> bool:
    """Tell whether so much of a body that flows is enough to make a plan for it.

    It never takes more than `frame.HEAD_MAX` bytes.
    """
    if blueprint.alone is None or blueprint.alone is not blueprint.whole_decrypt:
        return bool(beginning)
    try:
        return read_head(beginning) is not None
    except OpenFailed:
        return True  # nothing that follows could make a frame of it


def fitting(
    blueprints: Blueprints, media: MediaType | None, status: int | None
) -> Blueprint | None:
    """Return the first block for messages of this type and, for responses, status."""
    for one in blueprints:
        if one.fits(media, status):
            return one
    return None


def refuse_rejected(exchange: Exchange) -> None:
    """Raise RejectedByRule where the rule rejects all responses."""
    compiled = exchange.decision.compiled
    if compiled is not None and compiled.rule.response is Verdict.REJECT:
        raise RejectedByRule("rule-rejects-response")
