"""From an element of a list to the body that writes it back, and where its bytes are there."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from ...core.errors import UnfitValue
from ...core.expressions.selectors import parse_json_selector
from ...core.formats.json import FoundValue, Selection
from ...core.leaves import quote
from ..job.collections import HttpCollection

_MEMBERS: Final = Selection((parse_json_selector("$.*"),))


class Segment(NamedTuple):
    """Bytes of the element that are bytes of the body, at another place."""

    start: int
    end: int
    begins: int


class WriteBody(NamedTuple):
    """The body of a write; `segments` are where it has bytes of the element."""

    text: bytes
    segments: tuple[Segment, ...]

    def shift(self, start: int, end: int) -> int | None:
        """Return how far behind a span of the element is in the body; None where it is not."""
        for one in self.segments:
            if one.start <= start and end <= one.end:
                return one.begins - one.start
        return None

    def without(self, start: int, end: int) -> WriteBody:
        """Return the body without the bytes between two places of it."""
        left: list[Segment] = []
        for one in self.segments:
            first, last = one.begins, one.begins + one.end - one.start
            if first < (stop := min(last, start)):
                left.append(Segment(one.start, one.start + stop - first, first))
            if last > (again := max(first, end)):
                left.append(Segment(one.start + again - first, one.end, again - end + start))
        return WriteBody(self.text[:start] + self.text[end:], tuple(left))


def write_body(collection: HttpCollection, element: bytes) -> WriteBody:
    """Return the body that writes an element as it is.

    A PATCH leaves out members that are null, which it would delete. Raises InvalidBody for what is
    no JSON, UnfitValue for what no body of this method can say.
    """
    before = b"".join(b"{%b:" % quoted(name) for name in collection.at)
    behind = b"}" * len(collection.at)
    patches = collection.write.method == "PATCH"
    if not (collection.members or collection.without or patches):
        segment = Segment(0, len(element), len(before))
        return WriteBody(b"".join((before, element, behind)), (segment,))
    if not element.startswith(b"{"):
        raise UnfitValue("not-an-object")
    text, segments = before + b"{", list[Segment]()
    for found in _MEMBERS.find(element).found[0]:
        name, raw = str(found.path[-1]), found.raw(element)
        if not _is_written(collection, name) or (patches and raw == b"null"):
            continue
        if patches:
            _refuse_nulls(raw)
        text += b"%b%b:" % (b"," if segments else b"", quoted(name))
        segments.append(Segment(found.start, found.end, len(text)))
        text += raw
    return WriteBody(text + b"}" + behind, tuple(segments))


def value_at(names: tuple[str, ...], body: bytes) -> bytes | None:
    """Return the value that names lead to in a body; None where there is none.

    Raises InvalidBody for what is no JSON.
    """
    selector = parse_json_selector("$" + "".join(f"[{json.dumps(one)}]" for one in names))
    found: list[FoundValue] = Selection((selector,)).find(body).found[0]
    return found[0].raw(body) if found else None


def _is_written(collection: HttpCollection, name: str) -> bool:
    if collection.members:
        return name in collection.members
    return name not in collection.without


def quoted(name: str) -> bytes:
    """Return the name of a member as JSON has it."""
    text = quote(name.encode())
    assert text is not None  # noqa: S101 - strict JSON has no half of a surrogate pair
    return text


def _refuse_nulls(raw: bytes) -> None:
    """Refuse an object with a member that is null: a patch would delete it (RFC 7396)."""
    if raw.startswith(b"{") and b"null" in raw and _has_null(json.loads(raw)):
        raise UnfitValue("null-in-patch")


def _has_null(value: object) -> bool:
    return isinstance(value, dict) and any(one is None or _has_null(one) for one in value.values())
