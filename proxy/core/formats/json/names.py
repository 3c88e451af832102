r"""Names that JSON spells in one way, wherever no `\u` stands, and which can so be searched for."""

from __future__ import annotations

import re
from typing import Final

from ...readings_of_a_name import squeeze

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.$@-]+")


def is_plain(name: str) -> bool:
    r"""Tell whether a name has no character that another escape than `\u` could stand for."""
    return _PLAIN.fullmatch(name) is not None


def quoted(name: str) -> str:
    """Return a plain name as it stands in a text."""
    return f'"{name}"'


def squeezed(name: str) -> bytes:
    """Return a plain name as it stands in a squeezed text, and so does every twin of it."""
    return squeeze(quoted(name).encode("ascii"))


def all_plain(value: object) -> bool:
    """Tell whether a value is an object with no name that has other cases than those of ASCII."""
    return type(value) is dict and "".join(value).isascii()
