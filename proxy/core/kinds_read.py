"""Which kinds of bodies selectors read: by themselves, and where a rule names the kind."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import InvalidExpression
from .formats.kinds import KINDS, RECORDS, Kind
from .message import Direction
from .rules import Block
from .selectors import JsonSelector, NamedSelector, Selector, Whole


def kinds_read(selectors: Sequence[Selector], *, names_in_json: bool) -> frozenset[Kind]:
    """Return the kinds of bodies that selectors read, none where they take any body as a whole.

    `names_in_json` says that names which bind the values stand in JSON. Raises InvalidExpression
    where no body can be read by all selectors.
    """
    json = names_in_json or any(isinstance(one, JsonSelector) for one in selectors)
    named = frozenset(kind for one in selectors if (kind := kind_by_name(one)))
    if len(named) + json > 1:
        raise InvalidExpression("`$.`, `form:` and `part:` are for different kinds of bodies")
    if named:
        return named
    if json:
        return RECORDS | {"json"}
    return KINDS if Whole.TOKENS in selectors else frozenset()


def kind_by_name(selector: Selector) -> Kind | None:
    """Return the kind of bodies in which a selector finds a name; None where it finds none."""
    if not isinstance(selector, NamedSelector) or selector.of_head:
        return None
    return "multipart" if selector.of_parts else "form"


def kinds_read_as(
    kind: Kind, selectors: Sequence[Selector], *, names_in_json: bool
) -> frozenset[Kind]:
    """Return what `kinds_read` does where a rule says that all bodies are of this kind.

    Raises InvalidExpression where the selectors do not read it.
    """
    kinds = kinds_read(selectors, names_in_json=names_in_json)
    if Whole.TEXT in selectors:
        fits = kind in kinds or (not kinds and kind in {"text", "sse"})
        found = kinds & {kind}
    else:
        fits = kind in kinds or (kind == "text" and kinds == KINDS)
        found = frozenset({kind})
    if not fits:
        raise InvalidExpression(f"`format: {kind}` is nothing that the selectors of its block read")
    return found


def reads_events(block: Block, direction: Direction) -> bool:
    """Tell whether a block reads event streams.

    A request is none by its type alone: nearly no client sends one, and a backend that does not
    look at the type reads it as JSON.
    """
    named = block.format == "sse" or "text/event-stream" in block.types
    return named or direction == "response"
