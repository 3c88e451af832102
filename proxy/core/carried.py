"""Edits of a value that a format spells in its own way: found in what it reads as."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from .context import Context
from .edits import AtHand, Change, EmbeddedEdit, OpenEdit
from .errors import OpenFailed
from .rules import Block
from .token import Token


class Places(Protocol):
    """For each place in what is read, the place in what is spelled."""

    def __getitem__(self, place: int, /) -> int:
        """Return where a place lies."""


class CarriedEdit(NamedTuple):
    """An edit whose new text is to be spelled as its format does.

    `places` gives, for each place in what the edit reads, the place in what is spelled, and
    `offset` where that begins in the body.
    """

    edit: OpenEdit | EmbeddedEdit
    spell: Callable[[bytes], bytes]
    offset: int = 0
    places: Places | None = None

    @property
    def context(self) -> Context | None:
        """What the value is bound to."""
        return self.edit.context

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token, or what was met in its place."""
        return self.edit.token

    def at(self, place: int) -> int:
        """Return where a place that the edit tells of lies in the body."""
        return self.offset + (place if self.places is None else self.places[place])

    def carry_out(self, keys: AtHand, block: Block, now: float) -> Change:
        """Return what becomes of the value, spelled; raise as the edit does."""
        start, end, text, fate, session, _ = self.edit.carry_out(keys, block, now)
        start, end = self.at(start), self.at(end)
        if text is None:
            return Change(start, end, None, fate, session)
        try:
            return Change(start, end, self.spell(text), fate, session)
        except OpenFailed:
            # A text that has no spelling here is as good as one that does not open.
            if type(self.edit) is OpenEdit and not block.keep_unopened:
                raise
            return Change(start, end, None, "kept")
