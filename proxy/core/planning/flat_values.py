"""Values at plain paths of JSON: the names that bind them, read from the head and the body."""

from __future__ import annotations

from ..compiled.flat_json import FlatJson, GivenNames
from ..errors import MessageError
from ..expressions.sources import JsonSource, NameSource
from ..values.table import Values
from .exchange import Exchange


def given_names(exchange: Exchange, flat: FlatJson) -> GivenNames | None:
    """Return the names that lie outside of a message's body; None where one is missing.

    Raises MessageError as the exchange does.
    """
    keeps, known = exchange.keeps, flat.given
    if known is not None and known[0] is keeps:  # the rule alone decides them
        return known[1]
    names: list[str] = []
    kept: list[tuple[int, int]] = []
    for at, (source, index) in enumerate(flat.sources):
        name: str | None = ""
        if index is None and isinstance(source, JsonSource):
            kept.append((at, keeps.index(source)))
        elif isinstance(source, NameSource):
            name = exchange.name(source)
            if name is None:
                return None
        names.append(name or "")
    given = GivenNames(tuple(names), tuple(kept))
    if not flat.named_in_head:
        flat.given = keeps, given
    return given


def add_flat(values: Values, exchange: Exchange, flat: FlatJson, body: bytes) -> bool:
    """Add the values of a body, and keep its names; return whether that is certain.

    If it is not, nothing is added, and the walk tells what is wrong.
    """
    places = flat.find(body)
    if places is None:
        return False
    try:
        given = given_names(exchange, flat)
    except MessageError:
        return False
    bound = None if given is None else flat.bind(body, places, given, exchange.kept)
    if bound is None:
        return False
    if bound[1]:
        exchange.keep(bound[1])
    flat.fill(values, body, places, bound[0])
    return True
