"""Sources as rules write them: a text, a list, `{members: […]}`, `{first: […]}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..core.errors import InvalidExpression
from ..core.expressions.sources import FirstSource, ListSource, MembersSource, Source, parse_source
from ..core.rules.model import NAMED_PARTS
from .fields import Fields
from .positions import Mapping, Place, Scalar, Sequence
from .problems import Problems
from .rule_keys import SOURCES
from .syntax import NamesSyntax, SourceSyntax
from .values import elements, expected, text

Joined = ListSource | MembersSource | FirstSource
_KINDS: Final[dict[str, Callable[[tuple[Source, ...]], Joined]]] = {
    "members": MembersSource,
    "first": FirstSource,
}


def names(fields: Fields, problems: Problems) -> NamesSyntax:
    """Return the sources of a rule or block."""
    return NamesSyntax(**{part: _named(fields.get(part), problems) for part in NAMED_PARTS})


def source(place: Place, problems: Problems) -> Source | None:
    """Return a source, or None after telling what is wrong."""
    node = place.node
    if isinstance(node, Sequence):
        return _joined(place, ListSource, problems)
    if isinstance(node, Mapping) and _is_joined(node):
        fields = Fields(place, SOURCES, problems)
        found = [name for name in _KINDS if fields.get(name) is not None]
        if len(found) == 1:
            return _joined(fields[found[0]], _KINDS[found[0]], problems)
        if found:
            problems.add(place, "give one of `members` and `first`")
        return None
    written = text(place, problems)
    if written is None:
        return None
    try:
        return parse_source(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None


def _is_joined(node: Mapping) -> bool:
    """Tell whether a mapping was meant: `{id}` is a text without its quotes."""
    return not (
        len(node.entries) == 1
        and isinstance(node.entries[0][1], Scalar)
        and node.entries[0][1].kind == "null"
    )


def _joined(
    place: Place, kind: Callable[[tuple[Source, ...]], Joined], problems: Problems
) -> Source | None:
    if not isinstance(place.node, Sequence):
        expected(place, "a list of sources", problems)
        return None
    places = elements(place, problems)
    parts = [source(one, problems) for one in places]
    whole = tuple(one for one in parts if one is not None)
    return kind(whole) if whole and len(whole) == len(parts) else None


def _named(place: Place | None, problems: Problems) -> SourceSyntax | None:
    if place is None:
        return None
    found = source(place, problems)
    return None if found is None else SourceSyntax(found, place)
