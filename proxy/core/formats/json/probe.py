r"""Plain paths searched for by name, in a text that the scanner has read: no walk over its members.

Most messages spell each name of a selector once. The one place where `"name"` stands, in any case,
is then the member that the scanner has read there. Escapes (`\u`) could spell a name otherwise,
names beyond ASCII have other cases, and a name may stand twice: such texts take the walk.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .lexer import scan, value_start
from .names import all_plain, quoted

_PROBED_MAX: Final = 16 * 1024
_CROWDED: Final = 50_000


class Seen(NamedTuple):
    """A value as the scanner has read it, and where it begins."""

    value: object
    start: int


class Probe:
    """A set of plain paths, each by its place in the set."""

    __slots__ = ("_paths",)

    def __init__(self, paths: tuple[tuple[str, ...], ...]) -> None:
        """Make ready to search for `paths`, the names of each from the outermost on."""
        self._paths = tuple(
            tuple((name, quoted(name), len(quoted(name))) for name in one) for one in paths
        )

    def find(self, text: str, start: int) -> tuple[int, list[Seen | None]] | None:
        """Return where the value at `start` ends, and what stands at each path (None: nothing).

        null counts as nothing. None where that is not certain. Raises ValueError or StopIteration
        for what the scanner does not read, as it does.
        """
        if "\\" in text and "\\u" in text:  # one character is looked for much faster than two
            return None
        if len(text) > _PROBED_MAX and text.count(",") < _CROWDED:
            return None  # a walk over few members costs less than a search in much text
        document: Any
        end: int
        document, end = scan(text, start)
        plain = text.isascii()
        if self._paths and (type(document) is not dict or not (plain or all_plain(document))):
            return None
        lower = text.lower()
        found: list[Seen | None] = []
        for path in self._paths:
            level = document
            at = 0
            for name, spelled, size in path:
                if level is not document and (
                    type(level) is not dict or not (plain or all_plain(level))
                ):
                    return None
                at = lower.find(spelled)
                stands = at >= 0
                at += size
                if stands != (name in level) or (stands and lower.find(spelled, at) >= 0):
                    return None
                level = level.get(name)
                if level is None:
                    found.append(None)
                    break
            else:
                found.append(Seen(level, value_start(text, at)))
        return end, found
