"""Closed JSON: what stands in a text beside the places that a block lists.

A place is a path of names and elements. What the block seals or opens there may be any value; what
it reads, or lists as `plain`, is a scalar. The objects and lists on the way hold nothing else. So
no reading of a name has to be known: a name is listed as it is spelled, or it is not listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ...errors import BodyTooLarge, InvalidBody, UnlistedName
from ...expressions.selectors import Any as AnyStep
from ...expressions.selectors import Inside, Step
from ...leaves import Closed
from ...leaves.strict_json import after_space, check, is_json_text, scan
from ...policy import MOST_SELECTED, SHOWN_CHARS, UNLISTED_NAMES
from ...slices import pause
from .lexer import AFTER_ELEMENT, AFTER_MEMBER, LongText, Path, after, enter, member, read_name
from .text import unescaped
from .walk import SCANNED_MAX

if TYPE_CHECKING:  # only the Python form loads it
    from ...leaves.closed import ClosedPlace

_UNLISTED: Final = "Neither sealed nor `plain`"
_NO_SCALAR: Final = "A plain place has no object, no list and no JSON in a text"
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.-]{0,63}")


class Unlisted(NamedTuple):
    """A scalar at a place that is not listed: the path to it, and where it lies in the text."""

    path: Path
    start: int
    end: int


@dataclass(slots=True)
class ListedPlace:
    """A listed place, or one on the way to it.

    `whole` takes any value, `scalar` takes a text, a number or a boolean. `star` is any element of
    a list, `member` any member of an object. `text` is what the JSON may hold that the text of a
    string is. Null has nothing to hide and stands anywhere.
    """

    names: dict[str, ListedPlace] = field(default_factory=dict)
    indexes: dict[int, ListedPlace] = field(default_factory=dict)
    star: ListedPlace | None = None
    member: ListedPlace | None = None
    whole: bool = False
    scalar: bool = False
    text: ListedPlace | None = None

    def insert(self, steps: tuple[Step, ...], *, whole: bool, members: bool) -> None:
        """List what is at the end of a path of names, elements and texts of JSON.

        `whole`: any value, else a scalar. `members`: `*` is also any member of an object; else only
        on the way, where the `*` of another path is one already.
        """
        if not steps:
            self.whole, self.scalar = self.whole or whole, True
            return
        key = steps[0].key
        if isinstance(key, str):
            child = self.names.setdefault(key, ListedPlace())
        elif isinstance(key, AnyStep):
            if members or (self.member is not None and len(steps) > 1):
                self.member = self.member or ListedPlace()
                self.member.insert(steps[1:], whole=whole, members=members)
            child = self.star = self.star or ListedPlace()
        elif isinstance(key, Inside):
            child = self.text = self.text or ListedPlace()
        else:
            child = self.indexes.setdefault(key, ListedPlace())
        child.insert(steps[1:], whole=whole, members=members)

    def finish(self) -> None:
        """Let what any member or element may be also be one that has a place of its own."""
        if (star := self.star) is not None:
            for one in self.indexes.values():
                one.join(star)
        if (any_member := self.member) is not None:
            for one in self.names.values():
                one.join(any_member)
        self.scalar = self.scalar and self.text is None
        places = *self.names.values(), *self.indexes.values(), self.star, self.member, self.text
        for child in places:
            if child is not None:
                child.finish()

    @property
    def compiled(self) -> ClosedPlace:
        """The place as a leaf reads it, once all is `finish`ed."""
        return (
            self.whole,
            self.scalar,
            # A text decoded byte by byte spells these alone as they read, and others as any member.
            {name: one.compiled for name, one in self.names.items() if name.isascii()},
            {index: one.compiled for index, one in self.indexes.items()},
            None if self.star is None else self.star.compiled,
            self.member.compiled if self.member and "".join(self.names).isascii() else None,
        )

    def join(self, other: ListedPlace) -> None:
        """List here as well what another place lists."""
        self.whole, self.scalar = self.whole or other.whole, self.scalar or other.scalar
        for name, child in other.names.items():
            self.names.setdefault(name, ListedPlace()).join(child)
        for index, child in other.indexes.items():
            self.indexes.setdefault(index, ListedPlace()).join(child)
        if other.star is not None:
            self.star = self.star or ListedPlace()
            self.star.join(other.star)
        if other.member is not None:
            self.member = self.member or ListedPlace()
            self.member.join(other.member)
        if other.text is not None:
            self.text = self.text or ListedPlace()
            self.text.join(other.text)

    def child(self, name: str) -> ListedPlace | None:
        """Return the place of a member."""
        return self.names.get(name, self.member)

    def element(self, index: int) -> ListedPlace | None:
        """Return the place of an element."""
        return self.indexes.get(index, self.star) if self.indexes else self.star

    @property
    def holds_members(self) -> bool:
        """Whether an object may stand here."""
        return bool(self.names) or self.member is not None

    @property
    def holds_elements(self) -> bool:
        """Whether a list may stand here."""
        return bool(self.indexes) or self.star is not None


class ClosedJson:
    """The places of JSON that a block lists."""

    __slots__ = ("_closed", "_root")

    def __init__(
        self,
        changed: Iterable[tuple[Step, ...]] = (),
        read: Iterable[tuple[Step, ...]] = (),
        plain: Iterable[tuple[Step, ...]] = (),
    ) -> None:
        """List the places of what is `changed` for any value, of what is `read` for scalars.

        So for what is `plain`, where `*` is a member only on the way, if others take any there.
        """
        self._root = ListedPlace()
        for steps in changed:
            self._root.insert(steps, whole=True, members=True)
        for steps in read:
            self._root.insert(steps, whole=False, members=True)
        for steps in plain:
            self._root.insert(steps, whole=False, members=False)
        self._root.finish()
        self._closed = Closed(self._root.compiled)

    def is_clear(self, body: bytes) -> bool:
        """Return whether strict JSON certainly holds nothing that is not listed.

        False also where a name has to be read more closely.
        """
        if len(body) > SCANNED_MAX:
            try:
                self.refuse_others(body)
            except (InvalidBody, BodyTooLarge, UnlistedName):
                return False
            return True
        return self._closed.is_clear(body)

    def refuse_others(self, body: bytes, above: Path = ()) -> None:
        """Raise UnlistedName for the first name or value that is not listed.

        `above` is the path to the text. Raises InvalidBody where it is no strict JSON.
        """
        _Walk(body, seals=False).run(self._root, above)

    def lists(self, path: Path) -> bool:
        """Return whether a scalar may stand at a path, as far as its place says."""
        place: ListedPlace | None = self._root
        for step in path:
            if place is None or place.whole:
                break
            place = place.element(step) if isinstance(step, int) else place.child(step)
        return place is not None and (place.whole or place.scalar or place.text is not None)

    def others(self, body: bytes) -> list[Unlisted]:
        """Return every unlisted scalar but null, in the order of the body.

        Raises UnlistedName for a name that is none but data, for more than UNLISTED_NAMES, and for
        what is not listed in the JSON of a text; InvalidBody where it is no strict JSON,
        BodyTooLarge for more than MOST_SELECTED values.
        """
        if self.is_clear(body):
            return []
        walk = _Walk(body, seals=True)
        walk.run(self._root, ())
        return walk.found


class ClosedNames:
    """The names that a block lists.

    `changed` are those that it seals or opens, `plain` those whose texts pass, `inner` those whose
    texts are JSON with places of their own. `seals`: values of other names are sealed.
    """

    __slots__ = ("_inner", "_known", "_plain", "seals")

    def __init__(
        self,
        changed: Iterable[str],
        plain: Iterable[str],
        inner: Mapping[str, ClosedJson],
        *,
        seals: bool,
    ) -> None:
        """List the names."""
        self._plain = frozenset(plain)
        self._inner = inner
        self._known = frozenset({*changed, *self._plain, *inner})
        self.seals = seals

    def lists(self, name: str) -> bool:
        """Return whether a name is listed.

        Raises UnlistedName where it is not, unless values are sealed and it is no data itself.
        """
        if name in self._known:
            return True
        if not self.seals:
            refuse((name,))
        look_like_a_name((name,))
        return False

    def refuse(self, name: str) -> None:
        """Raise UnlistedName for a name that is not listed, whatever becomes of values."""
        if not self.knows(name):
            refuse((name,))

    def knows(self, name: str) -> bool:
        """Return whether a name is listed, whatever becomes of values."""
        return name in self._known

    def reads(self, name: str) -> bool:
        """Return whether `look_at` has to read the text of a name."""
        return name in self._plain or name in self._inner

    def look_at(self, name: str, text: bytes) -> None:
        """Raise UnlistedName for a text of a plain name that is JSON, and for what JSON holds.

        Raises InvalidBody for what is to be JSON and is not.
        """
        inner = self._inner.get(name)
        if inner is not None:
            inner.refuse_others(text, (name,))
        elif name in self._plain and is_json_text(text.decode(errors="replace")):
            refuse((name,), told=_NO_SCALAR)


def scalars(body: bytes) -> list[Unlisted]:
    """Return every scalar of a JSON text but null; raise InvalidBody where it is no strict JSON."""
    walk = _Walk(body, seals=True, any_name=True)
    walk.run(None, ())
    return walk.found


def refuse(path: Path, reason: str = "unlisted-name", told: str = _UNLISTED) -> NoReturn:
    """Raise UnlistedName for the place at a path."""
    shown = "".join(_shown(step) for step in path)
    if len(shown) > SHOWN_CHARS:
        shown = f"{shown[: SHOWN_CHARS - 1]}…"
    raise UnlistedName(reason, detail=f"{told}: ${shown}", path=path)


def look_like_a_name(path: Path) -> None:
    """Raise UnlistedName where the last name of a path is none but data."""
    if not _NAME.fullmatch(str(path[-1])):
        refuse(path, "name-as-data")


def note_unlisted(names: set[str], path: Path) -> None:
    """Add the last name of a path to the unlisted ones of a message.

    Raises UnlistedName where they are more than UNLISTED_NAMES: so many are data.
    """
    names.add(str(path[-1]))
    if len(names) > UNLISTED_NAMES:
        refuse(path, "name-as-data")


def _shown(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _NAME.fullmatch(step) else f"[{json.dumps(step)}]"


class _Walk:
    """A walk over one text that tells what is not listed, each with its path.

    Where it `seals`, unlisted scalars are `found`; else the first unlisted name is refused.
    `any_name`: names may be data.
    """

    __slots__ = ("_any_name", "_names", "_pieces", "_seals", "_text", "found")

    def __init__(self, body: bytes, *, seals: bool, any_name: bool = False) -> None:
        self._text = check(body)
        self._pieces = LongText(self._text) if len(self._text) > SCANNED_MAX else None
        self._seals = seals
        self._any_name = any_name
        self._names: set[str] = set()
        self.found: list[Unlisted] = []

    def run(self, root: ListedPlace | None, above: Path) -> None:
        text = self._text
        try:
            end = self._value(after_space(text, 0), root, above)
        except (ValueError, StopIteration):  # what the C scanner raises
            raise InvalidBody("not-json") from None
        if after_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")

    def _value(self, at: int, place: ListedPlace | None, path: Path) -> int:
        if place is not None and place.whole:
            return self._end(at)
        opening = self._text[at : at + 1]
        if opening == "{" and (self._seals or (place is not None and place.holds_members)):
            return self._object(at, place, path)
        if opening == "[" and (self._seals or (place is not None and place.holds_elements)):
            return self._array(at, place, path)
        end = self._end(at)
        if self._text.startswith("null", at):
            return end
        if place is not None and place.text is not None:
            self._look_within(place.text, at, end, path)
        elif place is None or not place.scalar or opening in "{[" or self._is_json(at, end):
            self._tell(path, at, end, listed=place is not None and place.scalar)
        return end

    def _object(self, at: int, place: ListedPlace | None, path: Path) -> int:
        text = self._text
        at, closing = enter(text, at, "}")
        while closing == ",":
            pause()
            name, start, at, closing = member(text, at)
            if "\\" in name or not name.isascii():
                name = read_name(name)
            child = None if place is None else place.child(name)
            if child is None and not self._any_name:
                self._look_at(name, path)
            end = self._value(start, child, (*path, name))
            if not closing:
                at, closing = after(AFTER_MEMBER, text, end)
        return at

    def _array(self, at: int, place: ListedPlace | None, path: Path) -> int:
        text, index = self._text, 0
        at, closing = enter(text, at, "]")
        while closing == ",":
            pause()
            child = None if place is None else place.element(index)
            if child is None and not self._seals:
                refuse((*path, index))
            end = self._value(after_space(text, at), child, (*path, index))
            at, closing = after(AFTER_ELEMENT, text, end)
            index += 1
        return at

    def _look_at(self, name: str, path: Path) -> None:
        """Refuse an unlisted name; where values are sealed, only one that may be data itself."""
        if not self._seals:
            refuse((*path, name))
        look_like_a_name((*path, name))
        note_unlisted(self._names, (*path, name))

    def _look_within(self, place: ListedPlace, at: int, end: int, path: Path) -> None:
        literal = self._text[at:end].encode("latin-1")
        if not literal.startswith(b'"'):
            refuse(path)
        inner = _Walk(unescaped(literal), seals=False)
        inner.run(place, (*path, Inside.JSON.value))

    def _is_json(self, at: int, end: int) -> bool:
        """Return whether a value is a text that is JSON itself."""
        if not self._text.startswith('"', at):
            return False
        literal = self._text[at:end].encode("latin-1")
        text = unescaped(literal) if b"\\" in literal else literal[1:-1]
        return is_json_text(text.decode())

    def _tell(self, path: Path, at: int, end: int, *, listed: bool) -> None:
        if not self._seals:
            refuse(path, told=_NO_SCALAR if listed else _UNLISTED)
        self.found.append(Unlisted(path, at, end))
        if len(self.found) > MOST_SELECTED and not self._any_name:
            raise BodyTooLarge("too-many-selected-values")

    def _end(self, at: int) -> int:
        if self._pieces is not None:
            return self._pieces.end(at)
        end: int = scan(self._text, at)[1]
        return end
