"""Whether a JSON text holds nothing but what is listed, by one glance at all of it."""

from __future__ import annotations

import json
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # the C scanner itself
from string import ascii_letters, digits
from typing import Any, Final, TypeAlias

from .strict_json import after_space, is_json_text

ClosedPlace: TypeAlias = """tuple[
    bool,
    bool,
    dict[str, ClosedPlace],
    dict[int, ClosedPlace],
    ClosedPlace | None,
    ClosedPlace | None,
]"""
"""A place: whether any value may stand there, and whether a scalar may; then its members with names
in ASCII, its elements with numbers, any other element, and any other member."""

_USUAL: Final = frozenset(ascii_letters + digits)
# Objects become tuples of pairs, so that a name that occurs twice is seen twice.
_PAIRS: Final = c_make_scanner(
    json.JSONDecoder(parse_int=len, parse_float=len, object_pairs_hook=tuple)
)


class Closed:
    """Places made ready to be compared with JSON texts; it does not change.

    `Closed(root)`: the places have at most 64 steps. Null may stand anywhere.
    """

    __slots__ = ("_root",)

    def __init__(self, root: ClosedPlace) -> None:
        """Take the place of a text as a whole."""
        self._root = root

    def is_clear(self, body: bytes, /) -> bool:
        """Return whether a strict JSON text holds nothing that is not listed.

        Whoever calls sees to it that it is strict. Of another text, nothing is certain.
        """
        text = body.decode("latin-1")
        try:
            document, _ = _PAIRS(text, after_space(text, 0))
        except (ValueError, StopIteration, RecursionError):
            return False
        return _is_clear(document, self._root)


def _is_clear(value: Any, place: ClosedPlace) -> bool:  # noqa: ANN401, C901, PLR0911 - what the scanner returns, a case for each kind
    whole, scalar, names, indexes, star, member = place
    if whole or value is None:
        return True
    kind = type(value)
    if kind is tuple:
        for key, one in value:
            child = names.get(key, member)
            if child is None:
                return False
            # Most values are sealed, or are texts at plain places: those take no call.
            if child[0]:
                continue
            if type(one) is str and child[1]:
                if one[:1] not in _USUAL and is_json_text(one):
                    return False
            elif not _is_clear(one, child):
                return False
        return bool(names) or member is not None
    if kind is list:
        for index, one in enumerate(value):
            child = indexes.get(index, star)
            if child is None or not _is_clear(one, child):
                return False
        return bool(indexes) or star is not None
    return scalar and (kind is not str or not is_json_text(value))
