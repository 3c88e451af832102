"""Names of form fields as the laxest known backends read them.

PHP, Rails and Express nest at brackets; PHP trims and turns dots and spaces into `_`; C libraries
end a name at NUL; some drop a byte order mark; some decode again, ASP also `%u0063`. The
URLSearchParams of JavaScript drop a question mark before the first name.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

_DECODES: Final = 4
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.\[\] -]*")
_WIDE_TRIPLET: Final = re.compile(r"%[uU]([0-9A-Fa-f]{4})")
_BRACKETS: Final = re.compile(r"[\[\]]+")
_JOINTS: Final = re.compile(r"[\s.]+")


class LaxName:
    """A name in its laxest reading: the steps of its nesting."""

    __slots__ = ("_folded", "_parts")

    def __init__(self, name: str) -> None:
        """Read `name`, decoded once already."""
        if not _PLAIN.fullmatch(name):
            name = _decoded(name)
        steps = (_JOINTS.sub("_", one.strip()) for one in _BRACKETS.split(name))
        self._parts = tuple(one for one in steps if one)
        self._folded = tuple(one.casefold() for one in self._parts)

    def may_be(self, other: LaxName, *, any_case: bool) -> bool:
        """Tell whether some backend would read `other` as this name or as a part of its value."""
        if any_case:
            return _meets(self._folded, other._folded)
        return _meets(self._parts, other._parts)


def _decoded(name: str) -> str:
    for _ in range(_DECODES):
        decoded = unquote(_WIDE_TRIPLET.sub(_wide, name), errors="replace")
        if decoded == name:
            break
        name = decoded
    return unicodedata.normalize("NFKC", name).replace("\ufeff", "").partition("\0")[0].lstrip("?")


def _wide(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _meets(mine: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return bool(mine) and (other[: len(mine)] == mine or "_".join(other) == "_".join(mine))
