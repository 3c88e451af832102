"""Which of several blocks takes a body, where blocks have conditions on what stands in it."""

from __future__ import annotations

from .blueprint import Blueprint
from .errors import ForbiddenValue, InvalidBody, UnsupportedBody
from .exchange import Exchange
from .message import Head, RequestHead, ResponseHead, SocketHead, media_type

Blueprints = tuple[Blueprint, ...]


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
