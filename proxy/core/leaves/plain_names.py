"""Which members of an object some readers take for others, as far as their names are ASCII.

`expressions/name_readings` explains why, and has the rest.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Final

from ..policy import KEPT_MEMBER_NAMES

PROTOTYPES: Final = frozenset({"__proto__", "constructor", "prototype"})
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$@-]+")
_PATH: Final = re.compile(r"(?:[\[\]][.\[\]]*)?([^.\[\]]+)")
_QUOTED: Final = re.compile(r"(?:[\[\]][.\[\]]*)?\[(['\"])(.+?)\1\]", re.DOTALL)
_NUMBERED: Final = re.compile(r"(.+)\([0-9]*[a-z]?\)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_JOINTS: Final = str.maketrans("", "", "_- ")
_REMEMBERED: Final = 128
_REMEMBERED_CHARS: Final = 4096


def is_plain(name: str) -> bool:
    r"""Return whether a name has no character that another escape than `\u` could spell."""
    return _PLAIN.fullmatch(name) is not None


def folded(name: str) -> str:
    """Return the common form of all twins of a name in ASCII, or in its compatibility form.

    Leading `_` and `-` stay: `id` and `_id` are two names, and many messages have both.
    """
    if name.isascii() and name.isalnum():  # as nearly always
        return name.lower()
    if "\0" in name:
        name = name.partition("\0")[0]
    name = name.strip()
    bare = name.lstrip("_-")
    return name[: len(name) - len(bare)] + bare.translate(_JOINTS).casefold()


def first_step(name: str) -> str | None:
    """Return the first step of a name that some read as a path: of `a.b`, `a[b]`, `['a']`: `a`.

    lodash passes over brackets that belong to no step (`[]a`, `][a`). To Rails `a(1)` is a part
    of `a`.
    """
    quoted = _QUOTED.match(name)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[2])
    is_path = "." in name or "[" in name or "]" in name
    match = _PATH.match(name) if is_path else _NUMBERED.fullmatch(name)
    return None if match is None else match[1]


class PlainNames:
    """Checks whether the names of an object are all plain beside the names that are searched.

    Most objects of a rule have the same names, so the result for them is cached, up to 32
    names of 128 objects, of 4096 characters together in each.
    """

    __slots__ = ("_folded", "_known", "_told")

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with the names that are looked for."""
        self._known = frozenset(names)
        self._folded = frozenset(map(folded, self._known))
        self._told: dict[tuple[str, ...], bool] = {}

    def suit(self, value: object) -> bool:
        """Return whether a value is an object in which nothing else is read as one of the names.

        Beyond ASCII there may be more spellings than are known here: then the result is unknown.
        """
        if type(value) is not dict:
            return False
        names = tuple(value)
        result = self._told.get(names)
        if result is None:
            result = _are_plain(names, self._known, self._folded)
            if len(names) <= KEPT_MEMBER_NAMES and sum(map(len, names)) <= _REMEMBERED_CHARS:
                if len(self._told) >= _REMEMBERED:
                    self._told.clear()
                self._told[names] = result
        return result


def _are_plain(names: Iterable[str], known: Container[str], twins: Container[str]) -> bool:
    """Return whether no names of an object but the `known` are read as one; `twins` are folded."""
    for name in names:
        if name in known:
            continue
        # A NUL, which can only come as an escape, has twins of its own.
        if not name.isascii() or "\0" in name or name in PROTOTYPES or folded(name) in twins:
            return False
        if not name.isalnum() and (step := first_step(name)) and folded(step) in twins:
            return False
    return True
