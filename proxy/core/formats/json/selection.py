"""Selectors made ready, and the one question they answer: where do the selected values lie?"""

from __future__ import annotations

from typing import Any, Final

from ...errors import InvalidBody
from ...selectors import JsonSelector
from .findings import Findings, Found
from .lexer import after_space, scan, value_end, value_start
from .names import all_plain, is_plain, quoted
from .text import check
from .tree import Node, finish, insert
from .walk import Walk

_PROBED_MAX: Final = 16 * 1024
_CROWDED: Final = 50_000


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index."""

    __slots__ = ("_deep", "_paths", "_plain", "_root", "_size")

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
        self._plain = None if None in paths else [_quoted(path) for path in self._paths]

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
        """Find the values of plain paths without a walk; return None where that is not certain.

        Most messages spell each name of a selector once. The one place where `"name"` stands, in
        any case, is then the member that the scanner has read there. Escapes could spell a name
        otherwise, and names beyond ASCII have other cases, so such messages take the walk.
        """
        if self._plain is None or ("\\" in text and "\\u" in text):
            return None
        if len(text) > _PROBED_MAX and text.count(",") < _CROWDED:
            return None  # a walk over few members costs less than a search in much text
        document: object
        end: int
        document, end = scan(text, start)
        if self._plain and not all_plain(document):
            return None
        lower = text.lower()
        for index, path in enumerate(self._plain):
            level: Any = document
            at = 0
            for name, spelled in path:
                certain = level is document or all_plain(level)
                at = lower.find(spelled)
                stands = at >= 0
                at += len(spelled)
                twice = stands and lower.find(spelled, at) >= 0
                if not certain or twice or stands != (name in level):
                    return None
                level = level.get(name)
                if level is None:
                    findings.missing.add(index)
                    break
            else:
                start = value_start(text, at)
                found = Found(self._paths[index], start, value_end(text, start, level))
                findings.found[index].append(found)
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


def _quoted(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, quoted(name)) for name in path)
