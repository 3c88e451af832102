"""From a head and a block to edits: the values of `query:name` and `header:name`."""

from __future__ import annotations

from collections.abc import Iterator

from ..compiled.block import CompiledBlock
from ..crypto.token import decoded_token, has_prefix, token_or_none
from ..edits import head_values
from ..edits.edits import OpenEdit, SealEdit
from ..edits.head_values import QUERY, HeadEdit, HeadSpan
from ..edits.wrapped import CarriedEdit
from ..errors import MissingValue
from ..formats import urlencoded
from ..http import content_disposition
from ..http.message import RequestHead, ResponseHead
from ..rules.model import Placed
from .binding import Binder, bind_token


def find_head_edits(
    compiled: CompiledBlock,
    binder: Binder,
    head: RequestHead | ResponseHead,
    *,
    bodiless: bool = False,
) -> Iterator[HeadEdit]:
    """Yield what the block does to the head; raise MessageError where it cannot.

    In a `bodiless` response nothing is missing: a 304 need not repeat the representation's headers.
    """
    opens_at_most = compiled.direction == "response"  # there, nothing to be opened is missing
    in_query: dict[int, list[HeadSpan]] = {}
    if compiled.query is not None and isinstance(head, RequestHead):
        in_query = head_values.find_in_query(head, compiled.query, compiled.variants_checked)
    for placed, name, encrypt in compiled.in_head:
        if name == content_disposition.NAME and not encrypt:
            yield from _filename_edits(compiled, binder, placed, head)
            continue
        spans = in_query.get(placed.index, []) if name is None else _in_header(head, name)
        make = _seal if encrypt else _open
        for span in spans:
            yield HeadEdit(make(compiled, binder, placed, head, span), span.place)
        if not spans and not (placed.item.optional or bodiless or (opens_at_most and not encrypt)):
            raise MissingValue("missing-value", detail=f"{placed.item.field}: a value is needed.")


def _in_header(head: RequestHead | ResponseHead, name: str) -> list[HeadSpan]:
    span = head_values.find_header(head, name)
    return [] if span is None else [span]


def _seal(
    _: CompiledBlock,
    binder: Binder,
    placed: Placed,
    head: RequestHead | ResponseHead,
    span: HeadSpan,
) -> SealEdit:
    text, context = _text(head, span), binder.context(placed, ())
    token = token_or_none(text)
    return SealEdit(
        span.start, span.end, placed.item, context, text, None, quoted=False, token=token
    )


def _open(
    compiled: CompiledBlock,
    binder: Binder,
    placed: Placed,
    head: RequestHead | ResponseHead,
    span: HeadSpan,
) -> CarriedEdit:
    token, context = bind_token(
        compiled, decoded_token(_text(head, span, seals=False)), lambda: binder.context(placed, ())
    )
    edit = OpenEdit(span.start, span.end, context, token, "value")
    in_query = span.place == QUERY
    return CarriedEdit(
        edit, head_values.spell_in_query if in_query else head_values.spell_in_header
    )


def _filename_edits(
    compiled: CompiledBlock, binder: Binder, placed: Placed, head: RequestHead | ResponseHead
) -> Iterator[HeadEdit]:
    """Yield an edit of a Content-Disposition whose filename looks sealed; others stay."""
    for span in _in_header(head, content_disposition.NAME):
        value = head.headers[span.place][1][span.start : span.end]
        read = content_disposition.read(value)
        if read is not None and has_prefix(read.filename):
            token, context = bind_token(
                compiled, decoded_token(read.filename), lambda: binder.context(placed, ())
            )
            edit = OpenEdit(span.start, span.end, context, token, "value")
            yield HeadEdit(CarriedEdit(edit, read.spell), span.place)


def _text(head: RequestHead | ResponseHead, span: HeadSpan, *, seals: bool = True) -> bytes:
    if span.place == QUERY and isinstance(head, RequestHead):
        return urlencoded.decode(head_values.query_bytes(head)[span.start : span.end])
    value = head.headers[span.place][1][span.start : span.end]
    return head_values.text_of_header(value, seals=seals)
