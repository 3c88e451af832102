"""From a selected value to its edit: in a body as it is, or in a text that the body holds."""

from __future__ import annotations

from ..compiled.block import CompiledBlock
from ..crypto.context import Context
from ..crypto.token import CTY_JSON, Token, decoded_token, token_or_none
from ..edits.edits import OpenEdit, SealEdit
from ..edits.wrapped import CarriedEdit, carried
from ..errors import OpenFailed
from ..formats.body_format import Selection
from ..formats.escaping import TextPlace
from ..formats.json import FoundValue
from ..formats.json import Selection as JsonSelection
from ..rules.model import Item, Placed
from .binding import Binder, bind_token

Reads = Selection | type[JsonSelection]
"""What reads and spells values; that of JSON needs no selectors for it."""


def found_token(
    selection: Reads,
    binder: Binder,
    placed: Placed,
    found: FoundValue,
    body: bytes,
) -> Token | OpenFailed:
    """Return the token that a value is, or why it is none or must stay."""
    text = _reads(selection, found).text(found.raw(body))
    token = OpenFailed("not-a-token") if text is None else decoded_token(text)
    return binder.taken(placed, found.path, token)


def is_text(selection: Reads, found: FoundValue, body: bytes) -> bool:
    """Return whether a value reads as a text, as a token does."""
    return _reads(selection, found).text(found.raw(body)) is not None


def _reads(selection: Reads, found: FoundValue) -> Reads:
    """Return what reads a value: in a text it is JSON, whatever the body is."""
    return selection if found.within is None else JsonSelection


def seal_value(
    selection: Reads,
    item: Item,
    context: Context,
    body: bytes,
    found: FoundValue,
) -> SealEdit | CarriedEdit:
    """Return the edit that seals a value."""
    _, start, end, within = found
    raw, reads = found.raw(body), _reads(selection, found)
    if within is not None:
        start, end = within.start, within.end
    quoted, text = reads.spell is None, reads.text(raw)
    if text is None:
        edit = SealEdit(start, end, item, context, raw, CTY_JSON, quoted=quoted)
    else:
        token = token_or_none(text)
        edit = SealEdit(start, end, item, context, text, None, quoted=quoted, token=token)
    return edit if within is None else carried(edit, within.layers)


def open_value(  # noqa: PLR0913, PLR0917 - what an edit is made of
    compiled: CompiledBlock,
    selection: Reads,
    binder: Binder,
    placed: Placed,
    found: FoundValue,
    token: Token | OpenFailed,
    place: TextPlace,
) -> OpenEdit | CarriedEdit:
    """Return the edit that opens a value; `token` is what it was found to be."""
    path, start, end, within = found
    bound, context = bind_token(compiled, token, lambda: binder.context(placed, path))
    if within is not None:
        start, end = within.start, within.end
        return carried(OpenEdit(start, end, context, bound, "json", place), within.layers)
    if selection.spell is None:
        return OpenEdit(start, end, context, bound, "json", place)
    return CarriedEdit(OpenEdit(start, end, context, bound, "value", place), selection.spell)
