"""The edits of bodies of many records: each record is read by itself, with names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from ..compiled.block import CompiledBlock
from ..crypto.joined_names import Name
from ..edits.edit_types import Edit, NothingEdit, RefusedEdit
from ..edits.edits import EmbeddedEdit, OpenEdit, SealEdit
from ..edits.wrapped import CarriedEdit, OwnEdit
from ..errors import BodyTooLarge, MessageError, UnsupportedBody
from ..expressions.sources import JsonSource
from ..formats.body_format import Record
from ..formats.records.json_lines import RECORDS_MAX
from ..leaves.finder import SELECTED_MAX
from ..slices import paused
from .exchange import Attachment, Exchange
from .refusals import refuse_renamed

_BLANK: Final = b" \t\r\n"


def record_edits(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    exchange: Exchange,
    compiled: CompiledBlock,
    found: Iterable[Record],
    edits_of: Callable[[bytes], list[Edit]],
    sentinels: AbstractSet[bytes],
    announced: list[Attachment | None],
) -> tuple[list[Edit], int]:
    """Return the edits of all records, and how many records there were, `sentinels` aside.

    A sentinel passes unread, with white space around it. What is to be done to attachments that
    records announce is added to `announced`. Of names that are kept for the answer,
    only those stay in which all records agree. Behind the edits of records that go before one at
    fault comes its refusal, and it counts as a record. Raises BodyTooLarge for too many of them.
    """
    edits: list[Edit] = []
    kept: list[dict[JsonSource, Name | None]] = []
    passed = 0
    try:
        for record in paused(found):
            _refuse_more(compiled, len(kept) + passed, len(edits))
            text = record.text
            if text.strip(_BLANK) in sentinels:
                edits.append(NothingEdit("sentinel", record[0], record[len(text)]))
                passed += 1
                continue
            edits += _of_record(exchange, compiled, record, edits_of, announced)
            kept.append({source: exchange.facts[source] for source in compiled.keeps})
        _refuse_more(compiled, 0, len(edits))
    except BodyTooLarge:
        raise
    except MessageError as error:
        return [*edits, RefusedEdit(error)], len(kept) + 1
    for source in compiled.keeps:
        texts = {facts[source] for facts in kept}
        exchange.facts[source] = texts.pop() if len(texts) == 1 else None
    return edits, len(kept)


def compare_record(exchange: Exchange, compiled: CompiledBlock, text: bytes) -> None:
    """Refuse a record in which a parameter that binds it is another one."""
    if compiled.sources_elsewhere is not None:
        compiled.sources_elsewhere.compare_record(exchange, text)


def _of_record(
    exchange: Exchange,
    compiled: CompiledBlock,
    record: Record,
    edits_of: Callable[[bytes], list[Edit]],
    announced: list[Attachment | None],
) -> list[Edit]:
    """Return the edits of a record, as they are for the body; add to what is `announced`."""
    refuse_renamed(exchange, record.renamed)
    try:
        edits = edits_of(record.text)
    except UnsupportedBody as error:
        raise error if not record.name else _untaken(error, record.name) from None
    if record.attachments:
        from .attachments import apart  # noqa: PLC0415 - loaded with its rules

        edits, attached = apart(record, edits, compiled.block)
        announced += attached
    return [_move(record, one) for one in edits]


def _untaken(error: UnsupportedBody, name: str) -> UnsupportedBody:
    return UnsupportedBody(error.reason, detail=f"No block of the rule takes {name}.")


def _refuse_more(compiled: CompiledBlock, records: int, edits: int) -> None:
    """Raise BodyTooLarge where there are so many that no record may follow, or too many edits."""
    if records == RECORDS_MAX:
        raise BodyTooLarge("too-many-records")
    most = SELECTED_MAX + (compiled.block.max_tokens if compiled.traits.takes_whole else 0)
    if edits > most:
        raise BodyTooLarge("too-many-selected-values")


def _move(record: Record, edit: Edit) -> Edit:
    """Return an edit of the body in place of one of the record's text."""
    if type(edit) is NothingEdit:
        return edit
    if type(edit) is OwnEdit:
        moved = _move(record, edit.edit)
        assert isinstance(moved, SealEdit | CarriedEdit)  # noqa: S101 - nothing else is in a record
        return OwnEdit(moved, edit.block)
    if type(edit) is SealEdit:
        record.check_value(edit.start, edit.end)
        if record.in_string(edit.start):
            return CarriedEdit(edit, record.spelling(edit.start, plain=False), places=record)
        return replace(edit, start=record[edit.start], end=record[edit.end])
    if isinstance(edit, CarriedEdit):  # out of a string of the record
        if type(edit.innermost) is SealEdit:
            record.check_value(edit.at(edit.innermost.start), edit.at(edit.innermost.end))
        return CarriedEdit(edit, record.spelling(edit.at(0), plain=False), places=record)
    assert isinstance(edit, OpenEdit | EmbeddedEdit)  # noqa: S101 - nothing else is in a record
    if isinstance(edit, EmbeddedEdit):
        start, plain = edit.found.start, not edit.found.depth
    else:
        start, plain = edit.start, edit.shape == "text"
    return CarriedEdit(edit, record.spelling(start, plain=plain), places=record)
