"""Selectors made ready, and the one question they answer: where do the selected values lie?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Self

from ...errors import InvalidBody
from ...expressions.selectors import JsonSelector, Selector
from ...slices import paused
from .lexer import Findings, FoundValue, after_space, scan, value_end
from .names import Node, finish, insert, is_plain
from .probe import NameSearch, PlainPath
from .text import check, unescape
from .walk import Walk


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index.

    `plain` finds their values without a walk, where all are paths of plain names.
    """

    __slots__ = ("_deep", "_root", "_size", "plain")
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
        self._deep = tuple(
            index for index, one in enumerate(selectors) if any(step.deep for step in one.steps)
        )
        for index, selector in enumerate(selectors):
            insert(self._root, index, selector, deep=index in self._deep)
        finish(self._root)
        paths = [_plain_path(selector) for selector in selectors]
        plain = [path for path in paths if path is not None]
        self.plain = NameSearch(tuple(plain)) if len(plain) == len(paths) else None

    def find(self, body: bytes, *, lenient: bool = False, probe: bool = True) -> Findings:
        """Return where the selected values lie; raise InvalidBody unless `body` is strict JSON.

        A selected member that occurs twice is refused alike, or reported where that is `lenient`.
        Without `probe` it is walked: searching has been tried.
        """
        text = check(body)
        start = 0 if text.startswith("{") else after_space(text, 0)
        findings = Findings(self._size)
        try:
            end = self._probe(text, start, findings) if probe else None
            if end is None:
                findings = Findings(self._size)
                end = Walk(text, findings, lenient=lenient).value(start, (self._root,), ())
        except (ValueError, StopIteration):  # what the C scanner raises
            raise InvalidBody("not-json") from None
        if end != len(text) and after_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")
        if self._deep:
            findings.missing.update(index for index in self._deep if not findings.found[index])
        return findings

    @staticmethod
    def text(raw: bytes) -> bytes | None:
        """Return the text of a JSON string, None for any other value."""
        if not raw.startswith(b'"'):
            return None
        return raw[1:-1] if b"\\" not in raw else unescape(raw).encode()

    @staticmethod
    def refuse_other(_: bytes) -> None:
        """Refuse nothing: what is strict JSON has no other reading."""

    def _probe(self, text: str, start: int, findings: Findings) -> int | None:
        """Find the values of plain paths without a walk; return None where that is not certain."""
        if self.plain is None or not self.plain.suits(text):
            return None
        probed = self.plain.find(text, start)
        if probed is None:
            return None
        document, end, (found, missing) = probed
        findings.missing = set(missing)
        for index, (places, ones) in enumerate(
            zip(self.plain.places(document), found, strict=True)
        ):
            findings.found[index] = [
                FoundValue(place, start, value_end(text, value, start))
                for place, (value, start) in paused(zip(places, ones, strict=True))
            ]
        return end


def validate(body: bytes) -> None:
    """Raise InvalidBody unless `body` is strict JSON."""
    _NOTHING.find(body)


def member_names(value: bytes) -> frozenset[str] | None:
    """Return the names in an object, None for any other value; a walk has found `value`."""
    found = scan(value.decode(), 0)[0]
    return frozenset(found) if type(found) is dict else None


_NOTHING: Final = Selection(())


def _plain_path(selector: JsonSelector) -> PlainPath | None:
    """Return the steps of a selector that ends in a name, and has only names or `*` before it.

    All of these names are spelled in one way.
    """
    path: PlainPath = ()
    for step in selector.steps:
        if step.deep or isinstance(step.key, int):
            return None
        if isinstance(step.key, str) and not is_plain(step.key):
            return None
        path += (step.key,)
    return path if path and isinstance(path[-1], str) else None
