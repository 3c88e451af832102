r"""Plain paths searched for by name, in a text that the scanner has read: no walk over its members.

A text that the scanner has read, and in which the `"name"` of a member occurs just as often as
objects on the path have such a member, has those members at these places, one after the other, as
long as no other of their names may be read as it. Escapes (`\u`) could spell a name otherwise,
names beyond ASCII have more twins, and a name may occur elsewhere too: such texts take the walk.

In a list, the strings found so far are cut out of what is searched: they are most of its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ...expressions.selectors import Any as Every
from ...leaves.plain_names import PlainNames
from ...leaves.strict_json import MAX_DEPTH, after_space, check, decoded, is_too_deep, scan
from ...slices import paused
from .lexer import Path, value_start
from .names import quoted
from .walk import SELECTED_MAX

_PROBED_MAX: Final = 16 * 1024
_LISTED_MAX: Final = 512 * 1024  # too small for more values than a text may have
_WORTH_CUTTING: Final = 64
_NOTHING: Final = frozenset[int]()
_LISTS: Final = frozenset({list})
_OBJECTS: Final = frozenset({dict})

PlainPath = tuple[str | Every, ...]
"""Names, the last of them included, and `*` for every element of an array."""
Seen = tuple[object, int]
"""A value as the scanner has read it, and where it begins."""
Selected = tuple[Sequence[Sequence[Seen]], AbstractSet[int]]
"""The values at each path, and the paths at which something is missing."""


class NameSearch:
    """A set of plain paths, each known by its place in the set."""

    __slots__ = ("_longest", "_many", "_named", "_paths", "_plain")

    def __init__(self, paths: tuple[PlainPath, ...]) -> None:
        """Make ready to search for `paths`."""
        self._paths = tuple(tuple(map(_step, one)) for one in paths)
        self._many = any(None in one for one in self._paths)
        self._plain = PlainNames(step for one in paths for step in one if isinstance(step, str))
        self._named = tuple(tuple(step for step in one if step) for one in self._paths)
        # A walk over few members costs less than a search in much text; one over a list does not.
        self._longest = _LISTED_MAX if self._many else _PROBED_MAX

    def suits(self, text: str | bytes) -> bool:
        """Return whether a text is of a size that `find` is worth it."""
        return len(text) <= self._longest

    def read(self, body: bytes) -> str:
        """Return the text that `find` takes, once it is in order as far as it must be before.

        Raises MessageError as `check` does.
        """
        return decoded(body) if self._many else check(body)

    def find(self, text: str, start: int) -> tuple[object, int, Selected] | None:
        """Return the value at `start` as it is read, where it ends, and the values at the paths.

        A path is missing where one of its values is absent or null, or an array on it is empty.
        None where any of it is not certain. Raises ValueError, StopIteration or RecursionError for
        what the scanner does not read, as it does.
        """
        if "\\" in text and "\\u" in text:  # one character is looked for much faster than two
            return None
        document: Any
        end: int
        document, end = scan(text, start)
        if not self._paths:
            return document, end, ((), _NOTHING)
        if self._many:
            selected = _in_lists(document, self._paths, text, self._plain)
        else:
            selected = _by_names(document, self._named, text, self._plain)
        return None if selected is None else (document, end, selected)

    def places(self, document: object) -> list[list[Path]]:
        """Return the path to each value that was found in a document, in the same order."""
        return [list(_places(document, path, ())) for path in paused(self._paths)]


_Name = tuple[str, str, int]
"""A name, how it is spelled, and how long that is."""
_Steps = tuple[_Name | None, ...]


def _step(step: str | Every) -> _Name | None:
    if not isinstance(step, str):
        return None
    spelled = quoted(step)
    return step, spelled, len(spelled)


def _by_names(
    document: Any,  # noqa: ANN401 - what the scanner returns
    paths: tuple[tuple[_Name, ...], ...],
    text: str,
    plain: PlainNames,
) -> Selected | None:
    """Return the values at paths of names alone."""
    if not plain.suit(document):
        return None
    found: list[list[Seen]] = []
    missing: AbstractSet[int] = _NOTHING
    for path in paths:
        level = document
        behind = 0
        for name, spelled, size in path:
            if level is not document and not plain.suit(level):
                return None
            if name not in level:
                level = None
                break
            level = level[name]
            behind = text.index(spelled) + size
            if text.find(spelled, behind) >= 0:
                return None
            if level is None:
                break
        if level is None:
            missing |= {len(found)}
            found.append([])
        else:
            found.append([(level, value_start(text, behind))])
    return found, missing


def _in_lists(
    document: Any,  # noqa: ANN401 - as above
    paths: tuple[_Steps, ...],
    text: str,
    plain: PlainNames,
) -> Selected | None:
    """Return the values at paths of which some go through arrays."""
    found: list[list[Seen]] = []
    missing: AbstractSet[int] = _NOTHING
    depth, shortest = len(text), text
    for index, path in enumerate(paused(paths)):
        listed = _listed(document, path, text, plain)
        if listed is None:
            return None
        seen, lacks, rest, apart = listed
        found.append(seen)
        if lacks:
            missing |= {index}
        depth = min(depth, rest.count("[") + rest.count("{") - apart)
        shortest = min(shortest, rest, key=len)
    if depth > MAX_DEPTH and is_too_deep(shortest.encode("latin-1")):
        return None
    return None if sum(map(len, found)) > SELECTED_MAX else (found, missing)


def _listed(
    document: Any,  # noqa: ANN401 - as above
    path: _Steps,
    text: str,
    plain: PlainNames,
) -> tuple[list[Seen], bool, str, int] | None:
    """Return the values at a path to a name, and whether something is missing there.

    And the text without most of these values, and how many of its objects add nothing to its
    depth: those that have such values lie beside each other, never one in the other.
    """
    levels: list[Any] = [document]
    lacks = False
    above: list[Any] = []
    spelled, size = "", 0
    counts: list[tuple[str, int]] = []
    for step in path:
        above = [level for level in levels if level is not None]
        lacks = lacks or len(above) < len(levels)
        kinds = set(map(type, above))
        if step is None:
            if not kinds <= _LISTS or sum(map(len, above)) > SELECTED_MAX:
                return None
            lacks = lacks or not all(above)
            levels = [one for level in above for one in level]
        else:
            if not kinds <= _OBJECTS or not all(map(plain.suit, above)):
                return None
            name, spelled, size = step
            levels = [level[name] for level in above if name in level]
            lacks = lacks or len(levels) < len(above)
            counts.append((spelled, len(levels)))
    located = _located(text, levels, spelled, size)
    if located is None:
        return None
    seen, rest = located
    if any(rest.count(name) != count for name, count in counts):
        return None
    return seen, lacks or len(seen) < len(levels), rest, max(len(above) - 1, 0)


def _located(
    text: str, values: list[Any], spelled: str, size: int
) -> tuple[list[Seen], str] | None:
    """Return where values begin, each behind the name as it is `spelled`, and the rest of the text.

    None where a value reads as the name: to look from each of many such for the next colon would
    take the square of the text. What is cut out has no quotes, so that no name is lost with it. If
    each of the names found is that of its value, as their number tells in the end, it is a string,
    or the most of one.
    """
    seen: list[Seen] = []
    rest: list[str] = []
    at = kept = 0
    for value in paused(values):
        at = text.index(spelled, at) + size  # without `\u`, it is spelled as it reads
        if text[at] != ":" and not text.startswith(":", after_space(text, at)):
            return None
        if value is None:
            continue
        start = value_start(text, at)
        seen.append((value, start))
        if type(value) is str and len(value) > _WORTH_CUTTING:
            start += 1
            end = start + len(value)
            if text.find('"', start, end) < 0 and text.find("\\", start, end) < 0:
                rest.append(text[kept:start])
                at = kept = end
    rest.append(text[kept:])
    return seen, "".join(rest)


def _places(
    level: Any,  # noqa: ANN401 - as above
    path: _Steps,
    way: Path,
) -> Iterator[Path]:
    """Yield the path to each value below a level, which was found there."""
    if level is None:
        return
    if not path:
        yield way
        return
    step, rest = path[0], path[1:]
    if step is None:
        for at, one in enumerate(level):
            yield from _places(one, rest, (*way, at))
    elif step[0] in level:
        yield from _places(level[step[0]], rest, (*way, step[0]))
