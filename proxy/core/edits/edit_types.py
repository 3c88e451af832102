"""All that can be done to a message, as one type."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import MessageError
from ..rules.model import Block
from .edits import Change, EmbeddedEdit, KeysInUse, OpenEdit, Outcome, SealEdit
from .head_values import HeadEdit
from .part_edits import BegunEdit, OpenFrameEdit, PartEdit, SealFrameEdit
from .wrapped import CarriedEdit, OwnEdit


class NothingEdit(NamedTuple):
    """No change at all: one message or record that passes, and the outcome to count it under.

    `start` and `end` say where it lies, if that is of use.
    """

    outcome: Outcome = "unsealed"
    start: int = 0
    end: int = 0
    context: None = None
    token: None = None

    def carry_out(self, _: KeysInUse, __: Block, ___: float) -> Change:
        """Return that nothing changes."""
        return Change(self.start, self.end, None, self.outcome)


class RefusedEdit(NamedTuple):
    """No change, but a refusal: a record at fault, behind others that may not open.

    What is told is what is wrong first, as if each record had come by itself.
    """

    error: MessageError
    context: None = None
    token: None = None

    def carry_out(self, _: KeysInUse, __: Block, ___: float) -> Change:
        """Raise the error."""
        raise self.error


ValueEdit = (
    SealEdit
    | OpenEdit
    | EmbeddedEdit
    | CarriedEdit
    | HeadEdit
    | OwnEdit
    | PartEdit
    | SealFrameEdit
    | OpenFrameEdit
)

Edit = ValueEdit | NothingEdit | RefusedEdit

PieceEdit = Edit | BegunEdit
"""What can be done to a piece of a message that is still coming."""
