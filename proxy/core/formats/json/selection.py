"""Selectors made ready, and the one question they answer: where do the selected values lie?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, ClassVar, Final, Self, cast

from ...errors import BodyTooLarge, InvalidBody
from ...expressions.selectors import Inside, JsonSelector, Selector, Step
from ...leaves import Finder
from ...leaves.strict_json import after_space, check, scan
from ...policy import PIECE_BYTES
from ...slices import pause, paused
from .lexer import NOT_JSON, Findings, FoundValue, Path
from .names import Node, finish, insert
from .nested import in_string, look_within
from .text import unescaped
from .walk import Walk

if TYPE_CHECKING:  # the module is that of the Python form
    from ...leaves.finder import PlainPath


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index.

    Those that go on into texts find the texts in this walk, and have another for each of them.

    `finder` finds their values without a walk, where all are paths of names and `*`; at the indexes
    of the selectors.
    """

    __slots__ = ("_deep", "_inside", "_paths", "_root", "_size", "finder")
    spell: ClassVar[None] = None

    @classmethod
    def of(cls, selectors: Sequence[Selector], _: frozenset[int], __: frozenset[int]) -> Self:
        """Make ready what selects values in JSON, in the order of the indexes.

        Which names are checked, the caller asks of the findings.
        """
        return cls(tuple(one for one in selectors if isinstance(one, JsonSelector)))

    def __init__(self, selectors: tuple[JsonSelector, ...]) -> None:
        """Build the tree of `selectors`."""
        self._size = len(selectors)
        self._root = Node()
        parted = [one.parted for one in selectors]
        self._deep = tuple(
            index for index, (steps, _) in enumerate(parted) if any(step.deep for step in steps)
        )
        for index, (steps, _) in enumerate(parted):
            insert(self._root, index, steps, deep=index in self._deep)
        self._inside = _inside(parted)
        finish(self._root)
        paths = [_plain_path(selector) for selector in selectors]
        self._paths = tuple(path for path in paths if path is not None)
        whole = len(self._paths) == self._size
        self.finder = Finder(self._paths, pause) if whole else None

    def find(self, body: bytes, *, lenient: bool = False) -> Findings:
        """Return where the selected values lie; raise InvalidBody unless `body` is strict JSON.

        A selected member that occurs twice is refused alike, or reported where that is `lenient`.
        """
        found = self.finder.find(body) if self.finder is not None else None
        if found is None:
            return self.walk(body, lenient=lenient)
        findings = Findings(self._size)
        missing, places = found
        if missing:
            findings.missing.update(at for at in range(self._size) if missing >> at & 1)
        findings.found = list(map(_values, self._paths, places))
        return findings

    def walk(self, body: bytes, *, lenient: bool = False) -> Findings:
        """Return the same as `find`, which asks here where its search is not certain."""
        text = check(body)
        start = 0 if text.startswith("{") else after_space(text, 0)
        findings = Findings(self._size)
        try:
            end = Walk(text, findings, lenient=lenient).value(start, (self._root,), ())
        except (ValueError, StopIteration):  # what the C scanner raises
            raise _broken(text) from None
        except InvalidBody as error:
            raise (_broken(text) if error.reason == NOT_JSON else error) from None
        if end != len(text) and after_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")
        if self._deep:
            findings.missing.update(index for index in self._deep if not findings.found[index])
        for indexes, inner in self._inside:
            texts = findings.found[indexes[0]]
            for index in indexes:
                findings.found[index] = []
            for one in paused(texts):
                look_within(inner, indexes, in_string(body, one), findings, lenient=lenient)
        return findings

    @property
    def strides(self) -> tuple[int, ...]:
        """How many numbers `finder` gives for each value of a path."""
        return tuple(2 + path.count(None) for path in self._paths)

    @staticmethod
    def text(raw: bytes) -> bytes | None:
        """Return the text of a JSON string, None for any other value."""
        if not raw.startswith(b'"'):
            return None
        return raw[1:-1] if b"\\" not in raw else unescaped(raw)

    @staticmethod
    def refuse_other(_: bytes) -> None:
        """Refuse nothing: what is strict JSON has no other reading."""


def _broken(text: str) -> InvalidBody:
    """Return the error for a text that is no JSON, with the place where it ceases to be."""
    if len(text) <= PIECE_BYTES:
        try:
            json.loads(text, parse_int=str)  # one of many digits is an error of another kind
        except json.JSONDecodeError as error:
            return InvalidBody(NOT_JSON, detail=f"The JSON is broken from its byte {error.pos} on.")
        return InvalidBody(NOT_JSON, detail="A number is NaN or Infinity: `accept: nan` takes it.")
    return InvalidBody(NOT_JSON)


def validate(body: bytes) -> None:
    """Raise InvalidBody unless `body` is strict JSON."""
    _NOTHING.find(body)


def is_valid(text: bytes) -> bool:
    """Return whether a text is strict JSON that is neither too deep nor too long."""
    try:
        validate(text)
    except (InvalidBody, BodyTooLarge):
        return False
    return True


def member_names(value: bytes) -> frozenset[str] | None:
    """Return the names in an object, None for any other value; a walk has found `value`."""
    found = scan(value.decode(), 0)[0]
    return frozenset(found) if type(found) is dict else None


def _inside(
    parted: Sequence[tuple[tuple[Step, ...], JsonSelector | None]],
) -> tuple[tuple[tuple[int, ...], Selection], ...]:
    """Return what selects in texts: the indexes that share a path to these, and a selection."""
    groups: dict[tuple[Step, ...], list[tuple[int, JsonSelector]]] = {}
    for index, (steps, inner) in enumerate(parted):
        if inner is not None:
            groups.setdefault(steps, []).append((index, inner))
    return tuple(
        (tuple(index for index, _ in group), Selection(tuple(one for _, one in group)))
        for group in groups.values()
    )


def _plain_path(selector: JsonSelector) -> PlainPath | None:
    """Return the steps of a selector that has only names and `*`, which is None."""
    path: PlainPath = ()
    for step in selector.steps:
        if step.deep or isinstance(step.key, int | Inside):
            return None
        path += (step.key if isinstance(step.key, str) else None,)
    return path


def _values(path: PlainPath, places: Sequence[int]) -> list[FoundValue]:
    """Return the values at a path, whose starts, ends and indexes are `places`."""
    width = 2 + path.count(None)
    if len(places) == width == _NO_STAR:  # names alone, as nearly always
        start, end = places
        return [FoundValue(cast("Path", path), start, end)]
    values: list[FoundValue] = []
    for at in range(0, len(places), width * _SOME):
        pause()
        starts, ends, *indexes = (
            places[one : at + width * _SOME : width] for one in range(at, at + width)
        )
        column = iter(indexes)
        steps = (next(column) if step is None else repeat(step) for step in path)
        values += map(FoundValue, zip(*steps, strict=False), starts, ends)
    return values


_SOME: Final = 4096
_NO_STAR: Final = 2
_NOTHING: Final = Selection(())
