"""Edits of JSON that a browser may read as a page, since its type says so or says nothing.

What opens there is exact for whoever reads JSON, and spelled so that it is no markup for others.
"""

from __future__ import annotations

from .any_edit import Edit
from .carried import CarriedEdit, OwnEdit
from .edits import EmbeddedEdit, OpenEdit
from .formats import json as json_format
from .frame_edits import FrameEdit


def shielded(edit: Edit | FrameEdit) -> Edit | FrameEdit:
    """Return an edit that spells what it opens in JSON so that there is no tag in it."""
    if isinstance(edit, OwnEdit):
        return OwnEdit(_shielded(edit.edit), edit.block) if _opens(edit.edit) else edit
    return _shielded(edit) if _opens(edit) else edit


def _opens(edit: Edit | FrameEdit) -> bool:
    """Tell whether an edit opens something in JSON."""
    if isinstance(edit, CarriedEdit):
        edit = edit.edit
    if isinstance(edit, OpenEdit):
        return edit.shape == "json"
    return isinstance(edit, EmbeddedEdit) and edit.found.depth > 0


def _shielded(edit: Edit | FrameEdit) -> CarriedEdit:
    if isinstance(edit, CarriedEdit):
        spell = edit.spell
        return edit._replace(spell=lambda text: spell(json_format.shield(text)))
    assert isinstance(edit, OpenEdit | EmbeddedEdit)  # noqa: S101 - nothing else opens in JSON
    return CarriedEdit(edit, json_format.shield)
