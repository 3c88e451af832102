r"""Names that JSON spells in one way, wherever no `\u` stands, and which can so be searched for."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$@-]+")


def is_plain(name: str) -> bool:
    r"""Tell whether a name has no character that another escape than `\u` could stand for."""
    return _PLAIN.fullmatch(name) is not None


def quoted(name: str) -> str:
    """Return a plain name as it stands in a text."""
    return f'"{name}"'


def fold(name: str) -> str:
    """Return a name in the one case in which names are compared, up to its first NUL.

    Parsers in C end a name there.
    """
    folded = name.casefold()
    return folded if "\0" not in folded else folded.partition("\0")[0]


def all_plain(value: object) -> bool:
    """Tell whether a value is an object with no name that has other cases than those of ASCII."""
    return type(value) is dict and "".join(value).isascii()
