"""Edits around edits: of a value that a format spells in its own way, or of a block of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..crypto.context import Context
from ..crypto.token import Token
from ..errors import OpenFailed
from ..formats.json.lexer import Layer, PlaceMap
from ..rules.model import Block
from .edits import Change, EmbeddedEdit, KeysInUse, OpenEdit, SealEdit


class CarriedEdit(NamedTuple):
    """An edit whose new text is to be spelled as its format does.

    `places` gives, for each place in what the edit reads, the place in what is spelled, and
    `offset` where that begins in the body. The edit may be carried itself, out of a text in that
    text.
    """

    edit: SealEdit | OpenEdit | EmbeddedEdit | CarriedEdit
    spell: Callable[[bytes], bytes]
    offset: int = 0
    places: PlaceMap | None = None

    @property
    def context(self) -> Context | None:
        """What the value is bound to."""
        return self.edit.context

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token, or what was met in its place."""
        return self.edit.token

    @property
    def innermost(self) -> SealEdit | OpenEdit | EmbeddedEdit:
        """The edit that is carried, out of however many texts."""
        edit = self.edit
        while isinstance(edit, CarriedEdit):
            edit = edit.edit
        return edit

    def at(self, place: int) -> int:
        """Return where in the body a place of the edit is."""
        return self.offset + (place if self.places is None else self.places[place])

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the value after the edit, spelled; raise as the edit does."""
        change = self.edit.carry_out(keys, block, now)
        start, end = self.at(change.start), self.at(change.end)
        if change.text is None:
            return Change(start, end, None, change.outcome, change.session)
        try:
            return Change(start, end, self.spell(change.text), change.outcome, change.session)
        except OpenFailed:
            # A text that has no spelling here is as good as one that does not open.
            if type(self.innermost) is OpenEdit and not block.keep_unopened:
                raise
            return Change(start, end, None, "kept")


def carried(edit: SealEdit | OpenEdit, layers: tuple[Layer, ...]) -> CarriedEdit:
    """Return an edit of a text as one of what holds that, through all its layers."""
    *outer, innermost = layers
    found = CarriedEdit(edit, innermost.spell, places=innermost.places)
    for layer in reversed(outer):
        found = CarriedEdit(found, layer.spell, places=layer.places)
    return found


class OwnEdit(NamedTuple):
    """An edit of a record that another block takes than the one that the message was given."""

    edit: SealEdit | OpenEdit | EmbeddedEdit | CarriedEdit
    block: Block

    @property
    def context(self) -> Context | None:
        """What the value is bound to."""
        return self.edit.context

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token, or what was met in its place."""
        return self.edit.token

    def carry_out(self, keys: KeysInUse, _: Block, now: float) -> Change:
        """Return the value after the edit by its own block; raise as the edit does."""
        return self.edit.carry_out(keys, self.block, now)
