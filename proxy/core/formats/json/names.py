r"""Names that JSON spells in one way, wherever no `\u` stands, and which can so be searched for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ...readings_of_a_name import are_plain, fold_member

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$@-]+")
_REMEMBERED: Final = 128
_REMEMBERED_MAX: Final = 32


def is_plain(name: str) -> bool:
    r"""Tell whether a name has no character that another escape than `\u` could stand for."""
    return _PLAIN.fullmatch(name) is not None


def quoted(name: str) -> str:
    """Return a plain name as it stands in a text."""
    return f'"{name}"'


class PlainNames:
    """Tells of objects whether their names are all plain beside some names that are looked for.

    Most objects of a rule have the same names, so what was told of them is remembered, up to 32
    names of 128 objects.
    """

    __slots__ = ("_folded", "_known", "_told")

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with the names that are looked for."""
        self._known = frozenset(names)
        self._folded = frozenset(map(fold_member, self._known))
        self._told: dict[tuple[str, ...], bool] = {}

    def suit(self, value: object) -> bool:
        """Tell whether a value is an object in which nothing else may be read as one of the names.

        Beyond ASCII there may be more spellings than are known here: then it is not told.
        """
        if type(value) is not dict:
            return False
        names = tuple(value)
        told = self._told.get(names)
        if told is None:
            told = are_plain(names, self._known, self._folded)
            if len(names) <= _REMEMBERED_MAX:
                if len(self._told) >= _REMEMBERED:
                    self._told.clear()
                self._told[names] = told
        return told
