"""Tokens in the filenames and texts of a form in parts; files stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .binding import Binder
from .carried import CarriedEdit
from .edits import EmbeddedEdit
from .formats import multipart, tokens
from .formats.multipart import Part
from .message import Told
from .part_edits import PartEdit
from .rules import Item


class _Text(NamedTuple):
    """A text of a part: where it lies, and how another would be spelled there."""

    start: int
    end: int
    spell: Callable[[bytes], bytes]
    part: Part | None


def token_edits(
    binder: Binder, item: Item, told: Told, body: bytes, limit: int
) -> Iterator[CarriedEdit | PartEdit]:
    """Yield an edit for each token in a body with these headers; raise InvalidBody above `limit`.

    Raises as `multipart.parts` does where there are any.
    """
    if not tokens.any_in(body):
        return
    context = binder.embedded_context(item)
    boundary = multipart.read_boundary(told.get(b"content-type", ()))
    for text in (one for part in multipart.parts(body, boundary) for one in _texts(part)):
        for one in tokens.find_in_text(body[text.start : text.end], limit):
            limit -= 1
            edit = CarriedEdit(EmbeddedEdit(one, context, one.token), text.spell, text.start)
            yield edit if text.part is None else PartEdit(edit, text.part)


def _texts(part: Part) -> Iterator[_Text]:
    found, media = part.filename, part.media
    if found is not None:
        yield _Text(found.start, found.end, found.spell, None)
    elif media is None or (media.is_utf8 and (part.is_text or media.is_json)):
        yield _Text(part.start, part.end, _as_it_is, part)


def _as_it_is(text: bytes) -> bytes:
    return text
