"""All that can be done to a message, as one type."""

from __future__ import annotations

from .carried import CarriedEdit, OwnEdit
from .edits import EmbeddedEdit, OpenEdit, SealEdit
from .finding_in_head import HeadEdit
from .nothing import NothingEdit
from .part_edits import BegunEdit, OpenFrameEdit, PartEdit, SealFrameEdit

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

Edit = ValueEdit | NothingEdit

PieceEdit = Edit | BegunEdit
"""What can be done to a piece of a message that is still coming."""
