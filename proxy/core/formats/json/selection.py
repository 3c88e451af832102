"""Selectors made ready, and the one question they answer: where do the selected values lie?"""

from __future__ import annotations

from typing import Final

from ...errors import InvalidBody
from ...selectors import JsonSelector
from .findings import Findings, Found
from .lexer import after_space, value_end
from .names import is_plain
from .probe import Probe
from .text import check
from .tree import Node, finish, insert
from .walk import Walk


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index.

    `plain` finds their values without a walk, where all are paths of plain names.
    """

    __slots__ = ("_deep", "_paths", "_root", "_size", "plain")

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
        self._paths = [path for path in paths if path is not None]
        self.plain = None if None in paths else Probe(tuple(self._paths))

    def find(self, body: bytes) -> Findings:
        """Return where the selected values lie; raise InvalidBody unless `body` is strict JSON."""
        text = check(body)
        start = 0 if text.startswith("{") else after_space(text, 0)
        findings = Findings(self._size)
        try:
            end = self._probe(text, start, findings)
            if end is None:
                findings = Findings(self._size)
                end = Walk(text, findings).value(start, (self._root,), ())
        except (ValueError, StopIteration):  # what the C scanner raises
            raise InvalidBody("not-json") from None
        if end != len(text) and after_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")
        if self._deep:
            findings.missing.update(index for index in self._deep if not findings.found[index])
        return findings

    def _probe(self, text: str, start: int, findings: Findings) -> int | None:
        """Find the values of plain paths without a walk; return None where that is not certain."""
        probed = None if self.plain is None else self.plain.find(text, start)
        if probed is None:
            return None
        end, seen = probed
        for index, one in enumerate(seen):
            if one is None:
                findings.missing.add(index)
            else:
                place = Found(self._paths[index], one.start, value_end(text, *one))
                findings.found[index].append(place)
        return end


def validate(body: bytes) -> None:
    """Raise InvalidBody unless `body` is strict JSON."""
    _NOTHING.find(body)


_NOTHING: Final = Selection(())


def _plain_path(selector: JsonSelector) -> tuple[str, ...] | None:
    """Return the names of a selector that is nothing but names which JSON spells one way."""
    names = tuple(step.key for step in selector.steps if isinstance(step.key, str))
    deep = any(step.deep for step in selector.steps)
    plain = names and len(names) == len(selector.steps) and not deep
    return names if plain and all(map(is_plain, names)) else None
