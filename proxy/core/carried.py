"""Edits of a value that a format spells in its own way: found in what it reads as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .context import Context
from .edits import AtHand, Change, EmbeddedEdit, OpenEdit
from .errors import OpenFailed
from .rules import Block
from .token import Token


class CarriedEdit(NamedTuple):
    """An edit whose new text is to be spelled as its format does.

    `places` gives, for each place in what the edit reads, the place in what is spelled, and
    `offset` where that begins in the body.
    """

    edit: OpenEdit | EmbeddedEdit
    spell: Callable[[bytes], bytes]
    offset: int = 0
    places: Sequence[int] | None = None

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
        start, end, text, fate, session = self.edit.carry_out(keys, block, now)
        spelled = None if text is None else self.spell(text)
        return Change(self.at(start), self.at(end), spelled, fate, session)
