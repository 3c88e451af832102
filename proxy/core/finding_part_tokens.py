"""Tokens in the filenames and texts of a form in parts; files stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .binding import Binder
from .blueprint import Blueprint
from .carried import CarriedEdit
from .context import Context
from .edits import EmbeddedEdit
from .formats import multipart, tokens
from .formats.multipart import Part
from .formats.writing import Escape, Manner, manner_of
from .message import Told
from .part_edits import PartEdit
from .rules import Item
from .selectors import Whole


class _Text(NamedTuple):
    """A text of a part: where it lies, and how another would be spelled there."""

    start: int
    end: int
    spell: Callable[[bytes], bytes]
    part: Part | None
    manner: Manner


def token_edits(
    blueprint: Blueprint, binder: Binder, item: Item, told: Told, body: bytes
) -> Iterator[CarriedEdit | PartEdit]:
    """Yield an edit for each token in a body with these headers.

    Raises InvalidBody for more of them than the block allows.

    Raises as `multipart.parts` does where there are any.
    """
    if not tokens.any_in(body):
        return
    context, limit = binder.embedded_context(item), blueprint.block.max_tokens
    boundary = multipart.read_boundary(told.get(b"content-type", ()))
    parts = multipart.parts(body, boundary)
    for text in (one for part in parts for one in _texts(part, blueprint.escape)):
        for edit in _edits_in(text, body, context, limit):
            limit -= 1
            yield edit


class PartTokens:
    """Finds the tokens in the parts of a form that comes part by part, if its block opens any."""

    __slots__ = ("_binder", "_escape", "_item", "_left")

    def __init__(self, blueprint: Blueprint, binder: Binder) -> None:
        """Begin before the first part."""
        item = blueprint.whole_decrypt
        self._item = item if item is not None and item.selector is Whole.TOKENS else None
        self._binder = binder
        self._escape = blueprint.escape
        self._left = blueprint.block.max_tokens

    def looks_at(self, part: Part) -> bool:
        """Tell whether the content of a part is searched, so that all of it must be there."""
        texts = _texts(part, self._escape)
        return self._item is not None and any(one.part is not None for one in texts)

    def edits(self, part: Part, text: bytes, *, whole: bool) -> Iterator[CarriedEdit | PartEdit]:
        """Yield an edit for each token in a part that lies in `text`.

        Where it is not `whole`, it is one that is not searched but for its filename. Raises
        InvalidBody where all parts have more tokens than the block allows.
        """
        if self._item is None or not tokens.any_in(text[: part.end if whole else part.start]):
            return
        context = self._binder.embedded_context(self._item)
        for one in _texts(part, self._escape):
            for edit in _edits_in(one, text, context, self._left):
                self._left -= 1
                yield edit


def _edits_in(
    text: _Text, body: bytes, context: Context | None, limit: int
) -> Iterator[CarriedEdit | PartEdit]:
    for one in tokens.find_in_text(body[text.start : text.end], limit, text.manner):
        edit = CarriedEdit(EmbeddedEdit(one, context, one.token), text.spell, text.start)
        yield edit if text.part is None else PartEdit(edit, text.part)


def _texts(part: Part, escape: Escape) -> Iterator[_Text]:
    found, media = part.filename, part.media
    if found is not None:
        yield _Text(found.start, found.end, found.spell, None, Manner(escape))
    elif media is None or (media.is_utf8 and (part.is_text or media.is_json)):
        manner = Manner(escape) if media is None else manner_of(escape, media)
        yield _Text(part.start, part.end, _as_it_is, part, manner)


def _as_it_is(text: bytes) -> bytes:
    return text
