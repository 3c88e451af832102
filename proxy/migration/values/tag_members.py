"""Members of tags in the body of a write: taken out before it is planned, then put in again.

A client must not write such a member itself, so the rule of the write refuses a body that has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...core.errors import UnfitValue
from ...core.expressions.selectors import JsonSelector, Step
from ...core.formats.json import FoundValue, Selection
from ...core.leaves.tokens import TAGS
from ...core.rules.model import Item
from ...core.values.hows import Span
from .write_body import WriteBody, quoted

EMPTY: Final = b'"~"'
"""The member of a value without tags."""
NONE: Final = frozenset({None, b'""', b"null", EMPTY})
"""What a member without tags may be: a column has a default."""
_TAGS: Final = re.compile(rb"\"(?:%b|~)?\"|null" % TAGS)
_COLON: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_COMMA: Final = re.compile(rb"[ \t\r\n]*,")


@dataclass(slots=True)
class TagsHolder:
    """An object of a body with its member of tags: `raw` is the JSON of that, None without one."""

    name: bytes
    start: int
    end: int
    raw: bytes | None

    def put_in(self) -> Iterable[Span]:
        """Return the change of the body that puts the member in."""
        if self.raw is None:
            return ()
        at = self.start + 1
        return ((at, at, b"%b:%b," % (self.name, self.raw)),)


def taken_out(body: WriteBody, items: Iterable[Item]) -> tuple[WriteBody, list[TagsHolder]]:
    """Return a body without the members in which items keep their tags, and what holds them.

    What a member holds that is no tags stays: the rule refuses it. Raises InvalidBody for what is
    no JSON, UnfitValue for an object that has no other member.
    """
    named = [(item.selector, item.tags_member) for item in items]
    members = {  # several blocks may say the same
        (selector.steps[:-1], name): None
        for selector, name in named
        if name is not None and isinstance(selector, JsonSelector)
    }
    had: dict[tuple[object, ...], bytes] = {}
    for above, name in members:
        strings, nulls = _found(body.text, (*above, Step(name))), _nulls(body.text, above, name)
        for one in sorted((*strings, *nulls), key=_start, reverse=True):
            raw, span = one.raw(body.text), _span(body.text, quoted(name), one)
            if span is not None and _TAGS.fullmatch(raw):
                had[one.path] = raw
                body = body.without(*span)
    holders = [
        TagsHolder(quoted(name), one.start, one.end, had.get((*one.path, name)))
        for above, name in members
        for one in _found(body.text, above)
        if body.text.startswith(b"{", one.start)
    ]
    for holder in holders:
        if holder.raw is not None and not body.text[holder.start + 1 : holder.end - 1].strip():
            raise UnfitValue("tags-in-a-member")
    return body, holders


def holder_of(
    holders: Sequence[TagsHolder], name: str | None, start: int, end: int
) -> TagsHolder | None:
    """Return what holds the tags of a value between two places, in the member of a name."""
    around = [
        one
        for one in holders
        if name is not None and one.name == quoted(name) and one.start < start and end <= one.end
    ]
    return max(around, key=_start, default=None)


def _start(one: FoundValue | TagsHolder) -> int:
    return one.start


def _found(body: bytes, steps: tuple[Step, ...]) -> Sequence[FoundValue]:
    if not steps:
        return [FoundValue((), len(body) - len(body.lstrip()), len(body.rstrip()))]
    return Selection((JsonSelector("", steps),)).find(body).found[0]


def _nulls(body: bytes, above: tuple[Step, ...], name: str) -> Iterator[FoundValue]:
    """Yield the members of a name that are null, which no selector finds.

    Raises UnfitValue for an object in which another object has such a member, too.
    """
    pattern = re.compile(rb"%b[ \t\r\n]*:[ \t\r\n]*(null)" % re.escape(quoted(name)))
    for one in _found(body, above):
        found = list(pattern.finditer(body, one.start, one.end))
        holder = json.loads(one.raw(body)) if found else None
        if isinstance(holder, dict) and name in holder and holder[name] is None:
            if len(found) > 1:
                raise UnfitValue("tags-in-a-member")
            yield FoundValue((*one.path, name), *found[0].span(1))


def _span(body: bytes, name: bytes, value: FoundValue) -> tuple[int, int] | None:
    """Return where a member is with its comma; None where its name is spelled otherwise."""
    start = body.rfind(name, 0, value.start)
    if start < 0 or not _COLON.fullmatch(body, start + len(name), value.start):
        return None
    before = body[:start].rstrip(b" \t\r\n")
    if before.endswith(b","):
        return len(before) - 1, value.end
    comma = _COMMA.match(body, value.end)
    return start, value.end if comma is None else comma.end()
