"""Items and selectors as rules write them."""

from __future__ import annotations

import re
from typing import Final, cast

from ..core.errors import InvalidExpression
from ..core.message import Direction
from ..core.selectors import JsonSelector, NamedSelector, Selector, Whole, parse_selector
from ..core.token import Form
from .fields import Fields
from .positions import Mapping, Place, Scalar
from .problems import Problems, show
from .rule_keys import FORMS, ITEM, MOST_CHARS
from .syntax import FieldSyntax, ItemSyntax
from .values import choice, one_or_more, switch, text, whole

_AS: Final = re.compile(r"(.*\S) +as +([\w.-]+)", re.DOTALL)
_FIELD: Final = re.compile(r"\S(?:.*\S)?")


def items(place: Place | None, action: str, problems: Problems) -> tuple[ItemSyntax, ...]:
    """Return the items of an action."""
    if place is None:
        return ()
    found = (_item(one, action, problems) for one in one_or_more(place, problems))
    return tuple(one for one in found if one is not None)


def selectors(
    place: Place | None, direction: Direction, problems: Problems
) -> tuple[tuple[Selector, Place], ...]:
    """Return what must be absent."""
    if place is None:
        return ()
    found: list[tuple[Selector, Place]] = []
    for one in one_or_more(place, problems):
        written = text(one, problems)
        if written is None:
            continue
        if written.startswith("optional "):
            problems.add(one, "what must be absent cannot be optional")
            continue
        selector = _selector(written, one, problems)
        if isinstance(selector, NamedSelector) and direction == "response":
            problems.add(one, f"`{selector.place}:` in a response is not supported yet")
        elif selector in {Whole.TEXT, Whole.TOKENS}:
            problems.add(one, f"{show(written)} cannot be absent", "write `body`")
        elif selector is not None:
            found.append((selector, one))
    return tuple(found)


def sealing(fields: Fields, problems: Problems) -> tuple[Form | None, int | None]:
    """Return the form and `max_chars` that an item or a field says."""
    form_place, chars_place = fields.get("form"), fields.get("max_chars")
    form = None if form_place is None else choice(form_place, FORMS, problems)
    chars = None if chars_place is None else whole(chars_place, problems, low=1, high=MOST_CHARS)
    return cast("Form | None", form), chars


def _item(place: Place, action: str, problems: Problems) -> ItemSyntax | None:
    node = place.node
    if isinstance(node, Mapping) and not _is_bare(node):
        return _long(place, action, problems)
    written = text(place, problems)
    if written is None:
        return None
    rest = written.strip()
    optional = rest.startswith("optional ")
    if optional:
        rest = rest.removeprefix("optional ").lstrip()
    match = _AS.fullmatch(rest)
    word, field = (match[1], match[2]) if match else (rest, None)
    return _checked(word, field, FieldSyntax(), optional, place, action, problems)


def _long(place: Place, action: str, problems: Problems) -> ItemSyntax | None:
    fields = Fields(place, ITEM, problems)
    form, chars = sealing(fields, problems)
    optional_place, field_place = fields.get("optional"), fields.get("field")
    optional = optional_place is not None and bool(switch(optional_place, problems))
    field = None if field_place is None else text(field_place, problems)
    if not fields.whole:
        return None
    written = text(fields["select"], problems)
    if written is None:
        return None
    return _checked(
        written, field, FieldSyntax(form, chars), optional, fields["select"], action, problems
    )


def _checked(  # noqa: PLR0913, PLR0917 - the parts of an item
    written: str,
    field: str | None,
    said: FieldSyntax,
    optional: bool,  # noqa: FBT001 - a part of an item
    place: Place,
    action: str,
    problems: Problems,
) -> ItemSyntax | None:
    selector = _selector(written, place, problems)
    if selector is None:
        return None
    if action == "decrypt" and said != FieldSyntax():
        problems.add(place, "form and max_chars are for what is sealed, not for what is opened")
    if isinstance(selector, NamedSelector):
        problems.add(place, f"`{selector.place}:` in {action} is not supported yet")
        return None
    if selector is Whole.TOKENS:
        complaint = _tokens_complaint(field, optional=optional, action=action)
        if complaint:
            problems.add(place, complaint)
            return None
        return ItemSyntax(selector, None, place)
    field = field or _field(selector)
    if field is None:
        problems.add(
            place,
            f"{show(written)} has no member name to name its field",
            f"write `{written} as NAME`",
        )
        return None
    return ItemSyntax(selector, field, place, said.form, said.max_chars, optional)


def _field(selector: Selector) -> str | None:
    if isinstance(selector, JsonSelector):
        return selector.field
    return selector.value if isinstance(selector, Whole) else selector.name


def _tokens_complaint(field: str | None, *, optional: bool, action: str) -> str:
    if action == "encrypt":
        return "`tokens` only stands in decrypt"
    if field is not None:
        return "`tokens` opens tokens of any field, so it has no field of its own"
    if optional:
        return "`tokens` is never missing, so it cannot be optional"
    return ""


def _selector(written: str, place: Place, problems: Problems) -> Selector | None:
    try:
        return parse_selector(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None


def _is_bare(node: Mapping) -> bool:
    return (
        len(node.entries) == 1
        and isinstance(node.entries[0][1], Scalar)
        and node.entries[0][1].kind == "null"
    )
