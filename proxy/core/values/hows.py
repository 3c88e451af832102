"""How the values of an item are treated (what rows of a table share), and what replaces them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from ..formats.escaping import EXACT, TextPlace
from ..rules.audience import Mask
from ..rules.model import Block, Item

Spell = Callable[[bytes], bytes]
"""Returns a text as what holds it spells it; raises OpenFailed where it has no spelling there."""

Shape = Literal["json", "body", "bytes", "text", "value"]
"""What stands in the place of an opened value: JSON, the whole body, the bytes that a backend
decoded, the body as a text, or a value of a format in which everything is text."""


class Seal(NamedTuple):
    """How values of an item are sealed for a block.

    `quoted` says that a token is to stand there as a JSON string, `between` that the values lie
    between the quotes of one, which stay. `spells` spell the token, the innermost text first.
    """

    item: Item
    block: Block
    quoted: bool = False
    between: bool = False
    spells: tuple[Spell, ...] = ()


class Seek(Seal):
    """How what a client searches for is replaced: by tags, where `Seal` has tokens."""

    __slots__ = ()


class Open(NamedTuple):
    """How tokens of an item are opened for a block, and what is written in their place.

    Where that is `lenient`, what does not open stays. `within`: it lies in a text of the body. What
    the caller gets is the item's to say; None is for what no caller gets.
    """

    block: Block
    shape: Shape
    item: Item | None
    place: TextPlace = EXACT
    spells: tuple[Spell, ...] = ()
    lenient: bool = False
    within: bool = False

    @property
    def mask(self) -> Mask | None:
        """The mask that the caller gets of values; None where it gets no mask."""
        shown = None if self.item is None else self.item.shown
        return shown if isinstance(shown, Mask) else None

    @property
    def withholds(self) -> bool:
        """Whether the caller gets something else than the value."""
        return self.item is not None and self.item.withheld


How = Seal | Open

Span = tuple[int, int, bytes]
"""Where something is replaced, and what takes its place."""
