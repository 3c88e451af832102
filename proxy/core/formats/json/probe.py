r"""Plain paths searched for by name, in a text that the scanner has read: no walk over its members.

A text that the scanner has read, and in which the `"name"` of a member stands just as often, in any
case, as objects on the path have such a member, has those members at these places, one after the
other. Escapes (`\u`) could spell a name otherwise, names beyond ASCII have other cases, and a name
may stand elsewhere too: such texts take the walk.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ...selectors import Any as Every
from .lexer import scan, value_start
from .names import all_plain, quoted
from .walk import SELECTED_MAX

_PROBED_MAX: Final = 16 * 1024
_LISTED_MAX: Final = 512 * 1024
_CROWDED: Final = 50_000

PlainPath = tuple[str | Every, ...]
"""Names, the last of them included, and `*` for every element of an array."""


class Seen(NamedTuple):
    """A value as the scanner has read it, where it begins, and the indexes on the way to it."""

    value: object
    start: int
    indexes: tuple[int, ...] = ()


class Probe:
    """A set of plain paths, each known by its place in the set."""

    __slots__ = ("_longest", "_many", "_paths")

    def __init__(self, paths: tuple[PlainPath, ...]) -> None:
        """Make ready to search for `paths`."""
        self._paths = tuple(
            (
                tuple((name, quoted(name)) if isinstance(name, str) else None for name in one),
                any(isinstance(name, Every) for name in one),
            )
            for one in paths
        )
        # A walk over few members costs less than a search in much text; one over a list does not.
        self._many = any(many for _, many in self._paths)
        self._longest = _LISTED_MAX if self._many else _PROBED_MAX

    def suits(self, text: str | bytes) -> bool:
        """Tell whether a text is of a size that `find` is worth it."""
        if len(text) <= self._longest:
            return True
        return (
            not self._many
            and (text.count(",") if isinstance(text, str) else text.count(b",")) >= _CROWDED
        )

    def find(self, text: str, start: int) -> tuple[int, list[list[Seen]], set[int]] | None:
        """Return where the value at `start` ends, the values at each path, and what is missing.

        A path is missing where one of its values is absent or null, or an array on it is empty.
        None where any of it is not certain. Raises ValueError or StopIteration for what the scanner
        does not read, as it does.
        """
        if "\\" in text and "\\u" in text:  # one character is looked for much faster than two
            return None
        document: Any
        end: int
        document, end = scan(text, start)
        if not self._paths:
            return end, [], set()
        lower = text.lower()
        plain = text.isascii()
        found: list[list[Seen]] = []
        missing: set[int] = set()
        for index, (path, many) in enumerate(self._paths):
            if many:
                seen = _listed(document, path, text, lower, plain=plain)
            else:
                seen = _single(document, path, text, lower, plain=plain)
            if seen is None:
                return None
            ones, lacks = seen
            found.append(ones)
            if lacks:
                missing.add(index)
        if self._many and sum(map(len, found)) > SELECTED_MAX:
            return None
        return end, found, missing


_Steps = tuple[tuple[str, str] | None, ...]
_Levels = list[tuple[Any, tuple[int, ...]]]
"""Values, with the indexes on the way to each."""
_Selected = tuple[list[Seen], bool]
"""What stands at one path, and whether something is missing there."""


def _single(
    document: Any,  # noqa: ANN401 - what the scanner returns
    path: _Steps,
    text: str,
    lower: str,
    *,
    plain: bool,
) -> _Selected | None:
    """Return the value at a path of names; `plain` says that all of the text is ASCII."""
    level = document
    at = 0
    for step in path:
        assert step is not None  # noqa: S101 - such a path is listed
        name, spelled = step
        if type(level) is not dict or not (plain or all_plain(level)):
            return None
        at = lower.find(spelled)
        stands = at >= 0
        at += len(spelled)
        if stands != (name in level) or (stands and lower.find(spelled, at) >= 0):
            return None
        level = level.get(name)
        if level is None:
            return [], True
    return [Seen(level, value_start(text, at))], False


def _listed(
    document: Any,  # noqa: ANN401 - as above
    path: _Steps,
    text: str,
    lower: str,
    *,
    plain: bool,
) -> _Selected | None:
    """Return the values at a path that goes through arrays and ends in a name."""
    levels: _Levels = [(document, ())]
    lacks = False
    spelled = ""
    for step in path:
        above = [one for one in levels if one[0] is not None]
        lacks = lacks or len(above) < len(levels)
        if step is None:
            if any(type(level) is not list for level, _ in above):
                return None
            if sum(len(level) for level, _ in above) > SELECTED_MAX:
                return None
            lacks = lacks or not all(level for level, _ in above)
            levels = [(one, (*way, at)) for level, way in above for at, one in enumerate(level)]
        else:
            if not all(type(level) is dict and (plain or all_plain(level)) for level, _ in above):
                return None
            name, spelled = step
            levels = [(level[name], way) for level, way in above if name in level]
            lacks = lacks or len(levels) < len(above)
            if lower.count(spelled) != len(levels):
                return None
    seen: list[Seen] = []
    at = 0
    for value, way in levels:
        at = lower.find(spelled, at) + len(spelled)
        if value is not None:
            seen.append(Seen(value, value_start(text, at), way))
    return seen, lacks or len(seen) < len(levels)
