"""The edits of bodies of many records: each record is read by itself, with names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ..compiled.block import CompiledBlock
from ..crypto.joined_names import Name
from ..edits.edit_types import Edit, NothingEdit
from ..edits.edits import EmbeddedEdit, OpenEdit, SealEdit
from ..edits.wrapped import CarriedEdit, OwnEdit
from ..errors import BodyTooLarge
from ..expressions.sources import JsonSource
from ..formats.json.walk import SELECTED_MAX
from ..formats.kinds import Kind
from ..formats.records import json_lines, socketio, sse
from ..formats.records.sse import SseEvent
from .exchange import Exchange


class PlannedRecord(NamedTuple):
    """One record as it reads: `move` makes of an edit of it one of the body."""

    text: bytes
    move: Callable[[Edit], Edit]


def records_in(body: bytes, kind: Kind, *, strict: bool) -> Iterator[PlannedRecord]:
    """Yield the records of a body of some kind.

    `strict` refuses what lax readers alone would take for part of a record.

    Raises InvalidBody, BodyTooLarge and ForbiddenValue as the formats do.
    """
    if kind == "sse":
        for event in sse.find(body, strict=strict):
            yield PlannedRecord(event.text, partial(_moved_in_event, event))
        return
    spell = json_lines.on_one_line if kind == "ndjson" else json_lines.as_it_is
    for start, end in json_lines.find(body, kind):
        yield PlannedRecord(body[start:end], partial(_moved, start, spell))


def packets_in(body: bytes, awaited: int) -> Iterator[PlannedRecord]:
    """Yield the events and acks of a body of packets, where `awaited` attachments come first.

    Raises InvalidBody and BodyTooLarge as the format does.
    """
    for start, end, attachments in socketio.find(body, awaited):
        text = body[start:end]
        yield PlannedRecord(text, partial(_moved_in_packet, start, text if attachments else b""))


def record_edits(
    exchange: Exchange,
    compiled: CompiledBlock,
    found: Iterable[PlannedRecord],
    edits_of: Callable[[bytes], list[Edit]],
) -> tuple[list[Edit], int]:
    """Return the edits of all records, and how many records there were.

    Of names that are kept for the answer, only those stay in which all records agree.
    """
    edits: list[Edit] = []
    kept: list[dict[JsonSource, Name | None]] = []
    for record in found:
        if len(kept) == json_lines.RECORDS_MAX:
            raise BodyTooLarge("too-many-records")
        edits += (_move(record, one) for one in edits_of(record.text))
        kept.append({source: exchange.facts[source] for source in compiled.keeps})
        if len(edits) > _most_edits(compiled):
            raise BodyTooLarge("too-many-selected-values")
    for source in compiled.keeps:
        texts = {facts[source] for facts in kept}
        exchange.facts[source] = texts.pop() if len(texts) == 1 else None
    return edits, len(kept)


def _most_edits(compiled: CompiledBlock) -> int:
    return SELECTED_MAX + (compiled.block.max_tokens if compiled.takes_whole else 0)


def _move(record: PlannedRecord, edit: Edit) -> Edit:
    if type(edit) is NothingEdit:
        return edit
    if type(edit) is OwnEdit:
        moved = record.move(edit.edit)
        assert isinstance(moved, SealEdit | CarriedEdit)  # noqa: S101 - nothing else is in a record
        return OwnEdit(moved, edit.block)
    return record.move(edit)


def _moved_in_packet(offset: int, attached: bytes, edit: Edit) -> Edit:
    """Return an edit of the body; `attached` is the text of a packet with attachments."""
    if attached and type(edit) is SealEdit:
        socketio.refuse_placeholders(attached[edit.start : edit.end])
    return _moved(offset, json_lines.as_it_is, edit)


def _moved(offset: int, spell: Callable[[bytes], bytes], edit: Edit) -> Edit:
    if type(edit) is SealEdit:
        return replace(edit, start=edit.start + offset, end=edit.end + offset)
    return CarriedEdit(_carried(edit), spell, offset)


def _moved_in_event(event: SseEvent, edit: Edit) -> Edit:
    if type(edit) is SealEdit:
        event.refuse_parted(edit.start, edit.end)
        return replace(edit, start=event[edit.start], end=event[edit.end])
    opened = _carried(edit)
    if isinstance(opened, EmbeddedEdit):
        place, plain = opened.found.start, not opened.found.depth
    else:
        place, plain = opened.start, opened.shape == "text"
    spell = partial(sse.spell_text, first=event.bare(place)) if plain else sse.spell_json
    return CarriedEdit(opened, spell, places=event)


def _carried(edit: Edit) -> OpenEdit | EmbeddedEdit:
    assert isinstance(edit, OpenEdit | EmbeddedEdit)  # noqa: S101 - nothing else is in a record
    return edit
