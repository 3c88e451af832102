"""From a multipart form and a block to edits: contents and filenames of the selected parts.

A plain field is sealed as a text, as in any other form. A file, or what has a type of its own, is
sealed as a body is: as a token up to 64 KiB, a sealed stream above, its type within and another in
its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..compiled.block import CompiledBlock
from ..compiled.message_match import JOSE
from ..crypto import sealed_stream
from ..crypto.context import KIND_BODY, KIND_STREAM, Context
from ..crypto.sealed_stream import StreamHead
from ..crypto.token import Token, decoded_token, token_or_none
from ..edits.edits import OpenEdit, SealEdit
from ..edits.part_edits import OpenFrameEdit, PartEdit, SealFrameEdit
from ..edits.wrapped import CarriedEdit
from ..errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    OpenFailed,
    UnfitValue,
    UnsupportedBody,
)
from ..expressions.selectors import NamedSelector
from ..formats.json import Selection as JsonSelection
from ..formats.multipart.reader import Part
from ..formats.multipart.selection import PartFindings
from ..rules.model import Item, Placed
from .binding import Binder, bind_token
from .find_values import found_token, open_value, seal_value
from .find_whole import BODY_TOKEN_MAX, sealable_type

FoundEdit = SealEdit | CarriedEdit | PartEdit | SealFrameEdit | OpenFrameEdit


def part_edits(
    compiled: CompiledBlock, binder: Binder, findings: PartFindings, body: bytes
) -> Iterator[FoundEdit]:
    """Yield what the block does to the parts; raise MessageError where it cannot."""
    for index, selector in compiled.absent:
        if findings.found[index] or findings.values.found[index]:
            raise ForbiddenValue("value-present", detail=f"The rule forbids {selector.text}.")
    for placed in compiled.encrypt:
        for part in findings.found[placed.index]:
            make = _seal_filename if _is_filename(placed.item) else _seal_content
            yield make(binder, placed, part, body)
        for value in findings.values.found[placed.index]:
            part = findings.text_of(value)
            if part.vouched:
                raise UnsupportedBody("part-digest")
            context = binder.context(placed, value.path)
            yield _in_text(seal_value(JsonSelection, placed.item, context, body, value), part)
    for placed in compiled.decrypt:
        for part in findings.found[placed.index]:
            open_ = _open_filename if _is_filename(placed.item) else _open_content
            yield open_(compiled, binder, placed, part, body)
        for value in findings.values.found[placed.index]:
            token = found_token(JsonSelection, binder, placed, value, body)
            place = compiled.whole_place
            edit = open_value(compiled, JsonSelection, binder, placed, value, token, place)
            yield _in_text(edit, findings.text_of(value))


def _in_text(edit: SealEdit | OpenEdit | CarriedEdit, part: Part) -> PartEdit:
    """Return an edit of a value in the JSON text that a part is."""
    assert isinstance(edit, CarriedEdit)  # noqa: S101 - a value in a text is carried out of it
    return PartEdit(edit, part)


def _is_filename(item: Item) -> bool:
    return isinstance(item.selector, NamedSelector) and item.selector.place == "filename"


def _seal_content(
    binder: Binder, placed: Placed, part: Part, body: bytes
) -> PartEdit | SealFrameEdit:
    if part.vouched:
        raise UnsupportedBody("part-digest")
    item, content = placed.item, body[part.start : part.end]
    if part.is_text:
        _require_text(part, content)
        context = binder.context(placed, ())
        sealed = token_or_none(content)
        return PartEdit(_seal(part.start, part.end, item, context, content, None, sealed), part)
    if item.min_chars is not None:
        raise UnfitValue("not-a-string", detail=f"{item.field}: a text is needed, not a file.")
    if item.form == "short":
        raise UnsupportedBody(
            "file-in-short-form", detail=f"{item.field}: a file cannot be sealed in the short form."
        )
    media = sealable_type(part.media)
    head = _frame_head(part, content)
    known = head if isinstance(head, StreamHead) else None
    if len(content) > BODY_TOKEN_MAX and not item.framed:
        raise BodyTooLarge(
            "part-above-token",
            detail=f"{item.field}: at most {BODY_TOKEN_MAX} bytes can be sealed.",
        )
    if len(content) > BODY_TOKEN_MAX or (known is not None and item.framed):
        context = binder.whole_context(item, kind=KIND_STREAM)
        return SealFrameEdit(part, item, context, content, media or "", known)
    context = binder.whole_context(item, kind=KIND_BODY)
    is_jose = part.media is not None and part.media.essence == JOSE
    sealed = token_or_none(content) if is_jose else None
    edit = _seal(part.start, part.end, item, context, content, media, sealed)
    return PartEdit(edit, part, JOSE)


def _open_content(
    compiled: CompiledBlock, binder: Binder, placed: Placed, part: Part, body: bytes
) -> PartEdit | OpenFrameEdit:
    content = body[part.start : part.end]
    head = _frame_head(part, content)
    if head is not None:
        named, context = bind_token(
            compiled,
            head.token if isinstance(head, StreamHead) else head,
            lambda: binder.whole_context(placed.item, kind=KIND_STREAM),
        )
        return OpenFrameEdit(
            part, context, content, named if isinstance(named, OpenFailed) else head
        )
    is_jose = part.media is not None and part.media.essence == JOSE
    if not is_jose and not part.is_utf8:
        raise UnsupportedBody("part-charset")
    make = (
        partial(binder.whole_context, placed.item, kind=KIND_BODY)
        if is_jose
        else partial(binder.context, placed, ())
    )
    token, context = bind_token(compiled, decoded_token(content), make)
    if not is_jose:
        place = compiled.whole_place
        return PartEdit(OpenEdit(part.start, part.end, context, token, "value", place), part)
    media = token.cty or "" if isinstance(token, Token) else None
    return PartEdit(OpenEdit(part.start, part.end, context, token, "body"), part, media)


def _seal_filename(
    binder: Binder, placed: Placed, part: Part, body: bytes
) -> SealEdit | CarriedEdit:
    found = part.filename
    assert found is not None  # noqa: S101 - only such parts are found for it
    text = found.read(body)
    context = binder.context(placed, ())
    edit = _seal(found.start, found.last, placed.item, context, text, None, token_or_none(text))
    return edit if found.again is None else CarriedEdit(edit, found.spell_all)


def _open_filename(
    compiled: CompiledBlock, binder: Binder, placed: Placed, part: Part, body: bytes
) -> CarriedEdit:
    found = part.filename
    assert found is not None  # noqa: S101 - only such parts are found for it
    token, context = bind_token(
        compiled, decoded_token(found.read(body)), lambda: binder.context(placed, ())
    )
    edit = OpenEdit(found.start, found.last, context, token, "value")
    return CarriedEdit(edit, found.spell_all)


def _seal(  # noqa: PLR0913, PLR0917 - what an edit is made of
    start: int,
    end: int,
    item: Item,
    context: Context,
    text: bytes,
    cty: str | None,
    sealed: Token | None,
) -> SealEdit:
    return SealEdit(start, end, item, context, text, cty, quoted=False, token=sealed)


def _frame_head(part: Part, content: bytes) -> StreamHead | OpenFailed | None:
    """Return the head of the sealed stream that a part is by its type, or why it is none."""
    if part.media is None or part.media.essence != sealed_stream.MEDIA_TYPE:
        return None
    try:
        return sealed_stream.read_head(content) or OpenFailed("malformed-frame")
    except OpenFailed as error:
        return error


def _require_text(part: Part, content: bytes) -> None:
    if not part.is_utf8:
        raise UnsupportedBody("part-charset")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None
