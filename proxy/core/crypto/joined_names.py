"""Joined names: what several sources make together, set apart from every name that is one text.

Encoding, the same for any depth: for each part u8 kind ‖ u32be length ‖ value, where the value of a
text is its UTF-8 and that of a joined name its own encoding. Members stand in the order of their
encodings, so that they are the same name in any order. No two names have one encoding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, cast

from ..errors import InvalidExpression, MissingValue
from ..policy import JOINED_DEPTH, JOINED_PARTS

JoinKind = Literal["list", "members"]

KINDS: Final[dict[JoinKind, int]] = {"list": 1, "members": 2}
"""The kind of a joined name as one byte; the kind of a text is 0."""
LABEL_STEP: Final = 0x10
"""Added to a label for each kind: 0x10 for lists, 0x20 for members."""


_LENGTH_BYTES: Final = 4
_MEMBERS: Final = "members"


class Joined:
    """A name made of others: a list in its order, or members in any order. Immutable.

    It is hashed once, since caches look it up again and again. Its length is that of its
    texts, in characters.
    """

    __slots__ = ("_hash", "_length", "kind", "parts")

    def __init__(self, kind: JoinKind, parts: Iterable[Name]) -> None:
        """Join some names; members are put in order."""
        found = tuple(parts)
        self.kind: Final = kind
        self.parts: Final = tuple(sorted(found, key=_entry)) if kind == "members" else found
        self._hash: Final = hash((kind, self.parts))
        self._length: Final = sum(map(len, found))

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the same name; a text never is."""
        if not isinstance(other, Joined):
            return NotImplemented
        same = self._hash == other._hash and self.kind == other.kind
        return same and self.parts == other.parts

    def __hash__(self) -> int:
        """Return the hash computed at creation."""
        return self._hash

    def __len__(self) -> int:
        """Return how many characters its texts have."""
        return self._length

    def __bool__(self) -> bool:
        """Return True: a joined name is present even if its texts are empty."""
        return True

    def __repr__(self) -> str:
        """Show kind and parts."""
        return f"Joined({self.kind!r}, {self.parts!r})"

    def encode(self) -> bytes:
        """Return the encoding; raise MissingValue if a part is not Unicode text."""
        try:
            return b"".join(_entry(one, "strict") for one in self.parts)
        except UnicodeEncodeError:
            raise MissingValue("name-not-unicode") from None


Name = str | Joined


def to_json(name: Name | None) -> object:
    """Return a name as in configurations and JSON: a text, a list, or `{"members": …}`."""
    if name is None or isinstance(name, str):
        return name
    parts = [to_json(one) for one in name.parts]
    return parts if name.kind == "list" else {_MEMBERS: parts}


def from_json(value: object) -> Name:
    """Return the name that a JSON value denotes; raise InvalidExpression for anything else."""
    return _from_json(value, JOINED_DEPTH, [JOINED_PARTS])


def some_from_json(value: object) -> Name | None:
    """Return the name that a JSON value denotes, None for null; else raise InvalidExpression."""
    return None if value is None else from_json(value)


def _from_json(value: object, depth: int, left: list[int]) -> Name:
    if isinstance(value, str):
        return value
    kind: JoinKind = "list"
    if isinstance(value, dict) and set(value) == {_MEMBERS}:
        kind, value = "members", value[_MEMBERS]
    if not isinstance(value, list) or not value:
        raise InvalidExpression('a name is a text, a list of names, or {"members": [names]}')
    left[0] -= len(value)
    if not depth or left[0] < 0:
        raise InvalidExpression(
            f"a name has at most {JOINED_PARTS} parts, and {JOINED_DEPTH} names within each other"
        )
    parts = cast("list[object]", value)
    return Joined(kind, (_from_json(one, depth - 1, left) for one in parts))


def _entry(name: Name, errors: str = "surrogatepass") -> bytes:
    """Return a part's encoding; if `strict`, raise UnicodeEncodeError unless it is Unicode text."""
    if isinstance(name, str):
        kind, value = 0, name.encode(errors=errors)
    else:
        kind, value = KINDS[name.kind], b"".join(_entry(one, errors) for one in name.parts)
    return bytes((kind,)) + len(value).to_bytes(_LENGTH_BYTES) + value
