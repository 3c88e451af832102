"""Texts of any type as a format: only a rule says so, by `format: text` or the selector `text`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..http.message import MediaType
from . import embedded_tokens
from .body_format import BodyFormat, PlacedToken
from .escaping import Escape, Manner, manner_of


class TextFormat(BodyFormat):
    """A text that may be JSON, markup or anything else."""

    kind = "text"
    example = b"secret"
    places = frozenset({"text"})

    def manner(self, escape: Escape, media: MediaType | None) -> Manner:
        """Return how values are written into a text of this type: escaped in markup."""
        return manner_of(escape, media)

    def tokens(self, body: bytes, limit: int, manner: Manner) -> Iterable[PlacedToken]:
        """Return the tokens anywhere in the text."""
        return map(PlacedToken, embedded_tokens.find_in_text(body, limit, manner))


TEXT: Final = TextFormat()
