"""Tags that a backend repeats in an answer that passes: its client gets what it has sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..formats.spelled import Said, whole_of
from ..search.tags import EXACT_CHARS
from .exchange import Exchange
from .tags_cut import TagsCut

if TYPE_CHECKING:
    from ..search.queries import Query  # loaded with rules that search

_OPEN_ECHO: Final = re.compile(rb"~[a-z2-7]*+\Z")
"""The beginning of a tag that is repeated, at the end of a piece."""
_ECHO_CHARS: Final = EXACT_CHARS + len("~~")


def cutting(exchange: Exchange) -> TagsCut:
    """Return what cuts the tags from an answer that is passed, or from parts of it."""
    members = exchange.decision.tagged or frozenset()
    if not exchange.sought:
        return TagsCut(members)
    return ToldBack(members, exchange.sought.values())


class ToldBack(TagsCut):
    """The same flow for the answer to a search: tags that it repeats become what was searched for.

    They are spelled as the value of a parameter, which begins no markup in any text.
    """

    __slots__ = ("_echoes", "_late")

    def __init__(self, members: frozenset[str], queries: Iterable[Query]) -> None:
        """Begin with nothing seen."""
        super().__init__(members)
        self._echoes = [(re.compile(one.echo), one.in_link) for one in queries]
        self._late = b""

    def _cut(self, text: bytes, *, last: bool) -> bytes:
        text = self._late + super()._cut(text, last=last)
        for echo, told in self._echoes:
            said = Said(text)
            text = said.spliced((*one.span(), told) for one in echo.finditer(said.text))
        keep = len(text)
        if not last:
            keep = whole_of(text)
            said = Said(text[:keep])
            begun = _OPEN_ECHO.search(said.text, max(0, len(said.text) - _ECHO_CHARS))
            keep = keep if begun is None else said.place(begun.start())
        self._late = text[keep:]
        return text[:keep]
