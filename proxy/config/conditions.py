"""What a block asks of the values in its bodies: `when`."""

from __future__ import annotations

from ..core.errors import InvalidExpression
from ..core.expressions.selectors import parse_json_selector
from ..core.rules.conditions import Condition, text_value
from .positions import Mapping, Place, Scalar
from .problems import Problems, show
from .values import expected, one_or_more


def conditions(place: Place | None, problems: Problems) -> tuple[Condition, ...]:
    """Return the conditions of a block on values of the body."""
    if place is None:
        return ()
    if not isinstance(place.node, Mapping):
        expected(place, "a mapping of selectors and values", problems)
        return ()
    found = (
        _condition(key.text, place.member(key.text, node), problems)
        for key, node in place.node.entries
    )
    return tuple(one for one in found if one is not None)


def _condition(written: str, place: Place, problems: Problems) -> Condition | None:
    if not written.startswith("$"):
        problems.add(place, f"{show(written)} is not a JSON selector", "it begins with `$`")
        return None
    try:
        selector = parse_json_selector(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None
    values = [_value(one, problems) for one in one_or_more(place, problems)]
    known = frozenset(one for one in values if one is not None)
    return Condition(selector, known) if known else None


def _value(place: Place, problems: Problems) -> bytes | None:
    node = place.node
    if isinstance(node, Scalar):
        if node.kind in {"text", "substituted"}:
            return text_value(node.text)
        if node.kind == "number" and node.text.isdecimal():
            return node.text.encode()
        if node.kind == "boolean" and node.text in {"true", "false"}:
            return node.text.encode()
        if node.kind == "broken":
            return None
        problems.add(place, f"{show(node.text)} is no text, whole number, `true` or `false`")
    else:
        expected(place, "a value", problems)
    return None
