"""From a head and a block to rows: the values of `query:name` and `header:name`."""

from __future__ import annotations

from ..crypto.token import has_prefix
from ..errors import MissingValue
from ..formats import urlencoded
from ..formats.json import FoundValue
from ..http import content_disposition
from ..http.message import RequestHead, ResponseHead
from ..rules.model import Placed
from ..values import head_values
from ..values.head_values import QUERY, HeadSpan
from ..values.hows import Open, Spell
from ..values.table import lookup
from .binding import Binder


def add_head(binder: Binder, head: RequestHead | ResponseHead, *, bodiless: bool = False) -> None:
    """Add what the block does to the head; raise MessageError where it cannot.

    In a `bodiless` response nothing is missing: a 304 need not repeat the representation's headers.
    """
    compiled = binder.compiled
    opens_at_most = compiled.direction == "response"  # there, nothing to be opened is missing
    in_query: dict[int, list[HeadSpan]] = {}
    if compiled.query is not None and isinstance(head, RequestHead):
        in_query = head_values.find_in_query(head, compiled.query, compiled.variants_checked)
    for placed, name, encrypt in compiled.in_head:
        if name == content_disposition.NAME and not encrypt:
            _open_filename(binder, placed, head)
            continue
        spans = in_query.get(placed.index, []) if name is None else _in_header(head, name)
        if placed.item.sought is not None:
            _seek(binder, placed, head, spans)
            continue
        for span in spans:
            (_seal if encrypt else _open)(binder, placed, head, span)
        if not spans and not (placed.item.optional or bodiless or (opens_at_most and not encrypt)):
            raise MissingValue("missing-value", detail=f"{placed.item.field}: a value is needed.")


def _in_header(head: RequestHead | ResponseHead, name: str) -> list[HeadSpan]:
    span = head_values.find_header(head, name)
    return [] if span is None else [span]


def _seal(binder: Binder, placed: Placed, head: RequestHead | ResponseHead, span: HeadSpan) -> None:
    text, context = _text(head, span), binder.context(placed, ())
    row = binder.seal(placed.item, context, span.start, span.end, text)
    binder.values.heads[row] = span.place


def _seek(
    binder: Binder, placed: Placed, head: RequestHead | ResponseHead, spans: list[HeadSpan]
) -> None:
    from .find_searched import add_searched  # noqa: PLC0415 - loaded with its rules

    assert isinstance(head, RequestHead)  # noqa: S101 - no answer searches
    found = [FoundValue((), one.start, one.end, one.within) for one in spans]
    text = head_values.query_bytes(head)
    for row in add_searched(binder, placed, found, text, urlencoded.FormSelection):
        binder.values.heads[row] = QUERY


def _open(binder: Binder, placed: Placed, head: RequestHead | ResponseHead, span: HeadSpan) -> None:
    in_query = span.place == QUERY
    spell = head_values.spell_in_query if in_query else head_values.spell_in_header
    _add_opened(binder, placed, span, _text(head, span, seals=False), spell)


def _open_filename(binder: Binder, placed: Placed, head: RequestHead | ResponseHead) -> None:
    """Add the row of a Content-Disposition whose filename looks sealed; others stay."""
    for span in _in_header(head, content_disposition.NAME):
        value = head.headers[span.place][1][span.start : span.end]
        read = content_disposition.read(value)
        if read is not None and has_prefix(read.filename):
            _add_opened(binder, placed, span, read.filename, read.spell)


def _add_opened(binder: Binder, placed: Placed, span: HeadSpan, text: bytes, spell: Spell) -> None:
    how = Open(binder.compiled.block, "value", placed.item, spells=(spell,))
    found = lookup(text)
    row = binder.open(how, span.start, span.end, found, lambda: binder.context(placed, ()))
    binder.values.heads[row] = span.place


def _text(head: RequestHead | ResponseHead, span: HeadSpan, *, seals: bool = True) -> bytes:
    if span.place == QUERY and isinstance(head, RequestHead):
        return urlencoded.decode(head_values.query_bytes(head)[span.start : span.end])
    value = head.headers[span.place][1][span.start : span.end]
    return head_values.text_of_header(value, seals=seals)
