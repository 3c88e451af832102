"""From a multipart form and a block to rows: contents and filenames of the selected parts.

A plain field is sealed as a text, as in any other form. A file, or what has a type of its own, is
sealed as a body is: as a token up to 64 KiB, a sealed stream above, its type within and another in
its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from ..compiled.message_match import JOSE
from ..crypto import sealed_stream
from ..crypto.context import KIND_BODY, KIND_STREAM
from ..crypto.sealed_stream import StreamHead
from ..crypto.token import type_of
from ..errors import (
    BodyTooLarge,
    InvalidBody,
    OpenFailed,
    UnfitValue,
    UnsupportedBody,
)
from ..expressions.selectors import NamedSelector
from ..formats.json import Selection as JsonSelection
from ..formats.json.closed import refuse
from ..formats.multipart.reader import Part
from ..formats.multipart.selection import PartFindings
from ..policy import BODY_TOKEN_BYTES
from ..rules.model import Item, Placed
from ..values.hows import Open, Seal
from ..values.part_streams import PartStream
from ..values.table import InPart, lookup
from .binding import Binder
from .find_values import ItemSealing, OtherItems, found_token, how_to_open, open_value
from .find_whole import sealable_type

FILENAME: Final = "filename"
"""The field of filenames that no item selects."""
_EXTENSION: Final = re.compile(rb"\.[A-Za-z0-9]{1,5}\Z")


def add_parts(binder: Binder, findings: PartFindings, body: bytes) -> None:
    """Add what the block does to the parts; raise MessageError where it cannot."""
    compiled, values = binder.compiled, binder.values
    for placed in compiled.encrypt:
        for part in findings.found[placed.index]:
            seal = _seal_filename if _is_filename(placed.item) else _seal_content
            seal(binder, placed, part, body)
        sealing = ItemSealing(JsonSelection, placed.item, compiled)
        for value in findings.values.found[placed.index]:
            part = findings.text_of(value)
            if part.vouched:
                raise UnsupportedBody("part-digest")
            row = sealing.add(values, binder.context(placed, value.path), body, value)
            values.parts[row] = InPart(part, within=True)
    for placed in compiled.decrypt:
        for part in findings.found[placed.index]:
            open_ = _open_filename if _is_filename(placed.item) else _open_content
            open_(binder, placed, part, body)
        in_json = how_to_open(JsonSelection, compiled, placed.item, compiled.whole_place)
        for value in findings.values.found[placed.index]:
            token = found_token(JsonSelection, binder, placed, value, body)
            row = open_value(binder, in_json, placed, value, token)
            values.parts[row] = InPart(findings.text_of(value), within=True)
    if findings.named:
        _hide_filenames(binder, findings.named, body)


def _hide_filenames(binder: Binder, parts: Sequence[Part], body: bytes) -> None:
    """Seal filenames that no item selects, or replace them."""
    compiled = binder.compiled
    if compiled.block.filenames == "seal":
        assert compiled.block.rest is not None  # noqa: S101 - as configured with it
        placed = OtherItems(compiled, compiled.block.rest).placed((FILENAME,))
        for part in parts:
            _seal_filename(binder, placed, part, body)
        return
    for part in parts:
        found = part.filename
        assert found is not None  # noqa: S101 - only such parts are found
        extension = _EXTENSION.search(body[found.start : found.end])  # the rest goes nowhere
        name = b"file" if extension is None else b"file" + extension[0].lower()
        binder.values.replaced.append((found.start, found.last, found.spell_all(name)))


def add_other_parts(binder: Binder, others: Sequence[Part], body: bytes) -> None:
    """Add a row for the content of each part that is neither selected nor listed.

    Raises UnlistedName for one with a filename, which would pass.
    """
    closed = binder.compiled.closed
    if not others or closed is None or closed.rest is None:
        return
    items = OtherItems(binder.compiled, closed.rest)
    for part in others:
        if part.filename is not None:
            refuse((part.name,))
        closed.refuse_label((part.name,))
        _seal_content(binder, items.placed((part.name,)), part, body)


def _is_filename(item: Item) -> bool:
    return isinstance(item.selector, NamedSelector) and item.selector.place == "filename"


def _seal_content(binder: Binder, placed: Placed, part: Part, body: bytes) -> None:
    if part.vouched:
        raise UnsupportedBody("part-digest")
    values, item, content = binder.values, placed.item, body[part.start : part.end]
    if part.is_text:
        _require_text(part, content)
        context = binder.context(placed, ())
        values.parts[binder.seal(item, context, part.start, part.end, content)] = InPart(part)
        return
    if item.min_chars is not None:
        raise UnfitValue("not-a-string", detail=f"{item.field}: a text is needed, not a file.")
    if item.form in {"short", "equal"}:
        raise UnsupportedBody(
            "file-in-short-form", detail=f"{item.field}: a file cannot be sealed in the short form."
        )
    media = sealable_type(part.media)
    head = _frame_head(part, content)
    known = head if isinstance(head, StreamHead) else None
    if len(content) > BODY_TOKEN_BYTES and not item.framed:
        raise BodyTooLarge(
            "part-above-token",
            detail=f"{item.field}: at most {BODY_TOKEN_BYTES} bytes can be sealed.",
        )
    if len(content) > BODY_TOKEN_BYTES or (known is not None and item.framed):
        context = binder.whole_context(item, kind=KIND_STREAM)
        stream = PartStream(part, content, known, item, media or "")
        values.add(Seal(item, binder.compiled.block), context, part.start, part.end, stream)
        return
    context = binder.whole_context(item, kind=KIND_BODY)
    is_jose = part.media is not None and part.media.essence == JOSE
    row = binder.seal(item, context, part.start, part.end, content, media, looks=is_jose)
    values.parts[row] = InPart(part, JOSE)


def _open_content(binder: Binder, placed: Placed, part: Part, body: bytes) -> None:
    compiled, item, content = binder.compiled, placed.item, body[part.start : part.end]
    head = _frame_head(part, content)
    if head is not None:
        named, context = binder.bound(
            head.token if isinstance(head, StreamHead) else head,
            lambda: binder.whole_context(item, kind=KIND_STREAM),
        )
        stream = PartStream(part, content, named if isinstance(named, OpenFailed) else head)
        how = Open(compiled.block, "body", item)
        binder.values.add(how, context, part.start, part.end, stream)
        return
    is_jose = part.media is not None and part.media.essence == JOSE
    if not is_jose and not part.is_utf8:
        raise UnsupportedBody("part-charset")
    token = lookup(content)
    if is_jose:
        bind = partial(binder.whole_context, item, kind=KIND_BODY)
        row = binder.open(Open(compiled.block, "body", item), part.start, part.end, token, bind)
        media = None if isinstance(token, OpenFailed) else type_of(token) or ""
        binder.values.parts[row] = InPart(part, media)
        return
    how = Open(compiled.block, "value", item, compiled.whole_place)
    row = binder.open(how, part.start, part.end, token, partial(binder.context, placed, ()))
    binder.values.parts[row] = InPart(part)


def _seal_filename(binder: Binder, placed: Placed, part: Part, body: bytes) -> None:
    found = part.filename
    assert found is not None  # noqa: S101 - only such parts are found for it
    text, context = found.read(body), binder.context(placed, ())
    spells = () if found.again is None else (found.spell_all,)
    binder.seal(placed.item, context, found.start, found.last, text, spells=spells)


def _open_filename(binder: Binder, placed: Placed, part: Part, body: bytes) -> None:
    found = part.filename
    assert found is not None  # noqa: S101 - only such parts are found for it
    how = Open(binder.compiled.block, "value", placed.item, spells=(found.spell_all,))
    token = lookup(found.read(body))
    binder.open(how, found.start, found.last, token, lambda: binder.context(placed, ()))


def _frame_head(part: Part, content: bytes) -> StreamHead | OpenFailed | None:
    """Return the head of the sealed stream that a part is by its type, or why it is none."""
    if part.media is None or part.media.essence != sealed_stream.MEDIA_TYPE:
        return None
    try:
        return sealed_stream.read_head(content) or OpenFailed("malformed-frame")
    except OpenFailed as error:
        return error


def _require_text(part: Part, content: bytes) -> None:
    if not part.reads_as_utf8(content):
        raise UnsupportedBody("part-charset")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None
