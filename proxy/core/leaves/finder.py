r"""Plain paths searched for by name, in a text that the scanner has read: no walk over its members.

A text that the scanner has read, and in which the `"name"` of a member occurs just as often as
objects on the path have such a member, has those members at these places, one after the other, as
long as no other of their names may be read as it. Escapes (`\u`) could spell a name otherwise,
names beyond ASCII have more twins, and a name may occur elsewhere too: such texts take the walk.

In a list, the strings found so far are cut out of what is searched: they are most of its text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import compress
from typing import Any, Final

from ..errors import BodyTooLarge, InvalidBody
from ..policy import JSON_DEPTH, LISTED_BYTES, MOST_SELECTED, PROBED_BYTES, SCANNED_BYTES
from .plain_names import PlainNames, is_plain
from .strict_json import after_space, check, decoded, is_too_deep, scan

_FEW: Final = 256
_WORTH_CUTTING: Final = 64
_LOOKED_AT: Final = 1024
"""So many objects are looked at between two pauses: it takes half a millisecond."""
_LISTS: Final = frozenset({list})
_OBJECTS: Final = frozenset({dict})

PlainPath = tuple[str | None, ...]
"""Names, and None for `*`: every element of an array."""
Found = tuple[int, list[list[int]]]
_Name = tuple[str, str, int, PlainNames]
"""A name, how it is spelled, how long that is, and what must hold for the objects that have it."""
_Steps = tuple[_Name | None, ...]


class Finder:
    """Paths of plain names and `*`, made ready to be found in JSON texts; it does not change.

    `Finder(paths, pause)`: `paths` are tuples of names and None, which stands for `*`; `pause` is
    called between steps of a millisecond or so of long work.
    """

    __slots__ = ("_certain", "_longest", "_many", "_paths", "_pause")

    def __init__(self, paths: tuple[PlainPath, ...], pause: Callable[[], None]) -> None:
        """Make ready to search for `paths`: up to 64 of up to 64 steps."""
        named: dict[PlainPath, list[str]] = defaultdict(list)
        for path in paths:
            for at, step in enumerate(path):
                if step is not None:
                    named[path[:at]].append(step)
        plain = {above: PlainNames(names) for above, names in named.items()}
        self._paths = tuple(
            tuple(
                None if one is None else _name(one, plain[path[:at]]) for at, one in enumerate(path)
            )
            for path in paths
        )
        self._many = any(None in one for one in paths)
        self._certain = all(path and path[-1] is not None for path in paths) and all(
            is_plain(name) for names in named.values() for name in names
        )
        # A walk over few members costs less than a search in much text; one over a list does not.
        self._longest = LISTED_BYTES if self._many else PROBED_BYTES
        self._pause = pause

    def find(self, body: bytes, /) -> Found | None:
        """Return the paths at which something is missing, and the places of each path's values.

        The former is a bit mask: bit `n` is set where a value at path `n` is absent or null, or an
        array on it is empty. The latter is a list for each path, flat, in the order of the body:
        where a value starts, where it ends, and the index of each `*` on the path.

        None where any of it is not certain: the body is no strict JSON within the limits of a walk,
        a name may be read as another, or the search does not pay. Raises what `pause` raises.
        """
        if not self._certain or (len(body) > self._longest and _is_full(body)):
            return None
        try:
            text = decoded(body) if self._many else check(body)
            if self._paths and "\\" in text and "\\u" in text:  # one character is found much faster
                return None
            document, end = scan(text, after_space(text, 0))
        except (BodyTooLarge, InvalidBody, ValueError, StopIteration, RecursionError):
            return None
        if end != len(text) and after_space(text, end) != len(text):
            return None
        return self._in_lists(document, text) if self._many else self._by_names(document, text)

    def _by_names(self, document: Any, text: str) -> Found | None:  # noqa: ANN401 - what the scanner returns
        """Return the values at paths of names alone."""
        found: list[list[int]] = []
        missing = 0
        for path in self._paths:
            level = document
            start = 0
            for step in path:
                assert step is not None  # noqa: S101 - names alone
                name, spelled, size, plain = step
                if not plain.suit(level):
                    return None
                if name not in level:
                    level = None
                    break
                level = level[name]
                start = text.index(spelled, start) + size
                if _occurs_again(text, spelled, start, level):
                    return None
                if level is None:
                    break
            if level is None:
                missing |= 1 << len(found)
                found.append([])
            else:
                start = _value_start(text, start)
                found.append([start, _value_end(text, level, start)])
        return missing, found

    def _in_lists(self, document: Any, text: str) -> Found | None:  # noqa: ANN401 - as above
        """Return the values at paths of which some go through arrays."""
        found: list[list[int]] = []
        missing = selected = 0
        depth, shortest = len(text), text
        for path in self._paths:
            listed = _listed(document, path, text, self._pause)
            if listed is None:
                return None
            flat, count, lacks, rest, apart = listed
            if lacks:
                missing |= 1 << len(found)
            found.append(flat)
            selected += count
            depth = min(depth, rest.count("[") + rest.count("{") - apart)
            shortest = min(shortest, rest, key=len)
        if depth > JSON_DEPTH and is_too_deep(shortest.encode("latin-1")):
            return None
        return None if selected > MOST_SELECTED else (missing, found)


def _is_full(body: bytes) -> bool:
    """Return whether a text may have many values, of which the scanner would make objects."""
    return len(body) > SCANNED_BYTES or len(body) - len(body.replace(b",", b"", _FEW + 1)) > _FEW


def _occurs_again(text: str, spelled: str, at: int, value: object) -> bool:
    """Return whether a name is found once more behind `at`, where the one of `value` ends.

    A long string without quotes may be most of the text, and no name is in it.
    """
    if type(value) is str and len(value) > _WORTH_CUTTING:
        if text[at] != ":" and not text.startswith(":", after_space(text, at)):
            return True  # no name at all, so that its own follows
        start = _value_start(text, at)
        if text.find('"', start + 1, start + len(value)) < 0:
            at = start + len(value)
    return text.find(spelled, at) >= 0


def _name(name: str, plain: PlainNames) -> _Name:
    spelled = f'"{name}"'
    return name, spelled, len(spelled), plain


def _listed(
    document: Any,  # noqa: ANN401 - as above
    path: _Steps,
    text: str,
    pause: Callable[[], None],
) -> tuple[list[int], int, bool, str, int] | None:
    """Return the values at a path to a name, how many there are, and whether something is missing.

    And the text without most of these values, and how many of its objects add nothing to its
    depth: those that have such values lie beside each other, never one in the other.
    """
    levels: list[Any] = [document]
    indexes: list[tuple[int, ...]] = [()]
    lacks = False
    above: list[Any] = []
    spelled, size = "", 0
    counts: list[tuple[str, int]] = []
    for step in path:
        pause()
        above = levels
        if None in levels:
            kept = [level is not None for level in levels]
            above, indexes = list(compress(levels, kept)), list(compress(indexes, kept))
            lacks = True
        kinds = set(map(type, above))
        if step is None:
            if not kinds <= _LISTS or sum(map(len, above)) > MOST_SELECTED:
                return None
            lacks = lacks or not all(above)
            pause()
            indexes = [
                (*way, at)
                for level, way in zip(above, indexes, strict=True)
                for at in range(len(level))
            ]
            levels = [one for level in above for one in level]
        else:
            name, spelled, size, plain = step
            if not kinds <= _OBJECTS or not _suit(plain, above, pause):
                return None
            try:
                levels = [level[name] for level in above]  # as nearly always
            except KeyError:
                kept = [name in level for level in above]
                levels = [level[name] for level in compress(above, kept)]
                indexes = list(compress(indexes, kept))
            lacks = lacks or len(levels) < len(above)
            counts.append((spelled, len(levels)))
    located = _located(text, zip(levels, indexes, strict=True), spelled, size, pause)
    if located is None:
        return None
    flat, found, rest = located
    if any(rest.count(name) != count for name, count in counts):
        return None
    return flat, len(levels), lacks or found < len(levels), rest, max(len(above) - 1, 0)


def _suit(plain: PlainNames, levels: list[Any], pause: Callable[[], None]) -> bool:
    for at in range(0, len(levels), _LOOKED_AT):
        pause()
        if not all(map(plain.suit, levels[at : at + _LOOKED_AT])):
            return False
    return True


def _located(
    text: str,
    values: Iterable[tuple[Any, tuple[int, ...]]],
    spelled: str,
    size: int,
    pause: Callable[[], None],
) -> tuple[list[int], int, str] | None:
    """Return where values are, each behind the name as it is `spelled`, and the rest of the text.

    And how many are not null. None where a value reads as the name: to look from each of many such
    for the next colon would take the square of the text. What is cut out has no quotes, so that no
    name is lost with it. If each of the names found is that of its value, as their number tells in
    the end, it is a string, or the most of one.
    """
    flat: list[int] = []
    rest: list[str] = []
    at = kept = count = 0
    escapes = text.find("\\") >= 0
    for value, way in values:
        pause()
        at = text.index(spelled, at) + size  # without `\u`, it is spelled as it reads
        if text[at] != ":" and not text.startswith(":", after_space(text, at)):
            return None
        if value is None:
            continue
        count += 1
        start = at + 2 if text[at + 1] == " " else at + 1
        if type(value) is str and text[at] == ":" and text[start] == '"' and not escapes:
            end = text.index('"', start + 1) + 1
            flat += (start, end, *way)
            if end - start > _WORTH_CUTTING:
                rest.append(text[kept : start + 1])
                at = kept = end - 1
            continue
        start = _value_start(text, at)
        end = _value_end(text, value, start)
        flat += (start, end, *way)
        if (
            type(value) is str
            and len(value) > _WORTH_CUTTING
            and text.find('"', start + 1, end - 1) < 0
        ):
            rest.append(text[kept : start + 1])
            at = kept = end - 1
    rest.append(text[kept:])
    return flat, count, "".join(rest)


def _value_start(text: str, at: int) -> int:
    """Return where a member's value begins; its name ends at `at`."""
    at = at + 1 if text[at] == ":" else text.index(":", at) + 1
    if text[at] == " ":
        at += 1
    return at if text[at] > " " else after_space(text, at)


def _value_end(text: str, value: object, at: int) -> int:
    """Return where the value at `at` ends, which the scanner has read as `value`."""
    if type(value) is str:
        end = at + len(value) + 1
        # Spelled as long as it reads and without escapes: that quote closes it.
        if text.startswith('"', end) and text.find("\\", at, end) < 0:
            return end + 1
    end_of_value: int = scan(text, at)[1]
    return end_of_value
