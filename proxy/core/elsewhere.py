"""Names that a rule reads in one place of a request, looked for in the others.

Many backends make one set of parameters of query, body and cookies: Rails and PHP merge them, and a
parameter wins over a member. A value that the rule would have sealed then comes in plain from where
the rule does not look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NoReturn

from .errors import BodyTooLarge, ForbiddenValue
from .fields_of_head import COOKIE, cookies, decode_field, fields_of_body, fields_of_query
from .formats import form
from .formats.field_names import FieldNames
from .formats.json import Selection
from .formats.kinds import Kind
from .kinds_read import kind_by_name
from .message import Direction, RequestHead
from .readings_of_a_name import NAME_MAX, fold_field, squeeze_fields, steps_of_field
from .rules import Block
from .selectors import Any, JsonSelector, NamedSelector, Selector, Step

_PARTED: Final = re.compile(rb"[&;]")


class Elsewhere:
    """What a block selects in one place of a request and must not stand in another.

    `in_body` are the names of what it selects in the body, by their first steps, `within` those
    that may stand within any other (`$.*.card`); `in_query` those of parameters.
    """

    __slots__ = ("_in_body", "_in_query", "_members", "_needles", "_within")

    def __init__(
        self, in_body: Iterable[str], within: Iterable[str], in_query: Iterable[str]
    ) -> None:
        """Make the names ready."""
        self._within = frozenset(map(fold_field, within))
        self._in_body = FieldNames(dict(enumerate(in_body)))
        self._in_query = FieldNames(dict(enumerate(in_query)))
        self._needles = self._in_body.needles | self._in_query.needles | {b"proto"}
        self._needles |= {squeeze_fields(one.encode()) for one in self._within}
        self._members = _members(self._in_query.names)

    def refuse_in_head(self, head: RequestHead) -> None:
        """Raise ForbiddenValue where a name stands in the query or in a cookie as well."""
        told = head.told
        query, lines = head.query, told.get(COOKIE)
        if (not query and lines is None) or self in told.cleared:
            return
        text = query.encode("latin-1", errors="replace") if query else b""
        if lines is not None:
            text = b";".join((text, *lines))
        if self._is_clear(text):
            told.cleared.add(self)
            return
        for name, _ in fields_of_query(query or ""):
            if self._in_body.readings(name) or self._is_within(name):
                _refuse("query")
        for name, _ in cookies(head):
            if self._in_body.readings(name) or self._in_query.readings(name):
                _refuse("cookie")

    def _is_within(self, name: str) -> bool:
        return bool(self._within) and not self._within.isdisjoint(steps_of_field(name))

    def refuse_in_body(self, head: RequestHead, kind: Kind, body: bytes) -> None:
        """Raise ForbiddenValue where a selected parameter has its like in the body.

        Raises as the format does where the body cannot be read.
        """
        if not self._in_query:
            return
        if self._members is not None and kind == "json":
            findings = self._members.find(body)
            if findings.twins or any(findings.found):
                _refuse("body")
        elif any(self._in_query.readings(name) for name, _ in fields_of_body(head, kind, body)):
            _refuse("body")

    def refuse_behind_first(self, body: bytes) -> None:
        """Raise ForbiddenValue where JSON, read as a form, has a pair of a selected name.

        Its first pair begins with a brace, so that is none. Raises BodyTooLarge where it has more
        pairs than a form may have.
        """
        pairs = _PARTED.split(body)[1:]
        if len(pairs) >= form.PAIRS_MAX:
            raise BodyTooLarge("too-many-pairs")
        for one in pairs:
            name, equals, _ = one.partition(b"=")
            # No framework allows names as long, and without `=` there is no value.
            if equals and len(name) <= NAME_MAX and self._in_body.readings(decode_field(name)):
                _refuse("form")

    def _is_clear(self, text: bytes) -> bool:
        """Tell whether query and cookies hold no spelling of any name, as nearly always."""
        if b"%" in text or not text.isascii():
            return False
        lean = squeeze_fields(text)
        for needle in self._needles:  # noqa: SIM110 - twice as fast as any(), for every message
            if needle in lean:
                return False
        return True


def elsewhere(block: Block, direction: Direction) -> Elsewhere | None:
    """Return what of a block's names must stand in no other place of a request, if anything."""
    if direction == "response" or block.elsewhere_allowed:
        return None
    items = (*block.encrypt, *block.decrypt)
    selectors = [one.selector for one in items if not one.elsewhere_allowed]
    forbidden = [one for one in block.absent if kind_by_name(one) is not None]
    in_body = (_first_name(one) for one in (*selectors, *forbidden))
    names = dict.fromkeys(one for one in in_body if one is not None)
    within = {one for selector in selectors for one in _inner_names(selector)}
    named = [one for one in selectors if isinstance(one, NamedSelector)]
    in_query = dict.fromkeys(one.name for one in named if one.place == "query")
    return Elsewhere(names, within, in_query) if names or within or in_query else None


def _first_name(selector: Selector) -> str | None:
    """Return the name by which a value of a body may stand in another place; None for none."""
    if isinstance(selector, NamedSelector):
        return None if selector.of_head else selector.name
    if isinstance(selector, JsonSelector) and selector.steps:
        key = selector.steps[0].key
        return key if isinstance(key, str) else None
    return None


def _inner_names(selector: Selector) -> Iterator[str]:
    """Yield the name that stands within any other, if a selector has one so."""
    steps = selector.steps if isinstance(selector, JsonSelector) else ()
    if steps and (steps[0].deep or steps[0].key is Any.MEMBER):
        name = next((one.key for one in steps if isinstance(one.key, str)), None)
        if name is not None:
            yield name


def _refuse(place: str) -> NoReturn:
    raise ForbiddenValue(
        f"name-in-{place}", detail=f"A name that the rule selects stands in the {place} as well."
    )


def _members(names: Mapping[int, str]) -> Selection | None:
    """Return what finds members of such names at the root of a JSON text."""
    if not names:
        return None
    return Selection(tuple(JsonSelector(f"$[{name!r}]", (Step(name),)) for name in names.values()))
