"""The rows of bodies of many records: each record is read by itself, with names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from ..compiled.block import CompiledBlock
from ..crypto.joined_names import Name
from ..errors import BodyTooLarge, MessageError, UnsupportedBody
from ..expressions.sources import JsonSource
from ..formats.body_format import Record
from ..policy import MOST_SELECTED, RECORDS
from ..slices import paused
from ..values.table import Values
from .exchange import Attachment, Exchange
from .find_values import take_record
from .refusals import refuse_renamed

ValuesOf = Callable[[bytes], tuple[Values, CompiledBlock | None]]
"""Returns what is done to the text of a record, and the block that takes it, if one does."""
_BLANK: Final = b" \t\r\n"


def add_records(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    values: Values,
    exchange: Exchange,
    compiled: CompiledBlock,
    found: Iterable[Record],
    values_of: ValuesOf,
    sentinels: AbstractSet[bytes],
    announced: list[Attachment | None],
) -> int:
    """Add the rows of all records; return how many records there were, `sentinels` aside.

    A sentinel passes unread, with white space around it. What is to be done to attachments that
    records announce is added to `announced`. Of names that are kept for the answer,
    only those stay in which all records agree. A record at fault is refused behind the values of
    those that go before it, and counts as one. Raises BodyTooLarge for too many of them.
    """
    kept: list[dict[JsonSource, Name | None]] = []
    passed = 0
    try:
        for record in paused(found):
            _refuse_more(compiled, len(kept) + passed, values)
            text = record.text
            if text.strip(_BLANK) in sentinels:
                values.noted.append(("sentinel", record[0], record[len(text)]))
                passed += 1
                continue
            _add_record(values, exchange, record, values_of, announced)
            kept.append({source: exchange.facts[source] for source in compiled.keeps})
        _refuse_more(compiled, 0, values)
    except BodyTooLarge:
        raise
    except MessageError as error:
        values.refusal = error, len(values)
        return len(kept) + 1
    for source in compiled.keeps:
        texts = {facts[source] for facts in kept}
        exchange.facts[source] = texts.pop() if len(texts) == 1 else None
    return len(kept)


def compare_record(exchange: Exchange, compiled: CompiledBlock, text: bytes) -> None:
    """Refuse a record in which a parameter that binds it is another one."""
    if compiled.sources_elsewhere is not None:
        compiled.sources_elsewhere.compare_record(exchange, text)


def _add_record(
    values: Values,
    exchange: Exchange,
    record: Record,
    values_of: ValuesOf,
    announced: list[Attachment | None],
) -> None:
    """Add the rows of a record, as they are for the body; add to what is `announced`."""
    refuse_renamed(exchange, record.renamed)
    try:
        found, taker = values_of(record.text)
    except UnsupportedBody as error:
        raise error if not record.name else _untaken(error, record.name) from None
    rows = list(range(len(found)))
    if record.attachments:
        from .attachments import apart  # noqa: PLC0415 - loaded with its rules

        rows, attached = apart(record, found, taker)
        announced += attached
    take_record(values, record, found, rows)


def _untaken(error: UnsupportedBody, name: str) -> UnsupportedBody:
    return UnsupportedBody(error.reason, detail=f"No block of the rule takes {name}.")


def _refuse_more(compiled: CompiledBlock, records: int, values: Values) -> None:
    """Raise BodyTooLarge where there are so many that no record may follow, or too many values."""
    if records == RECORDS:
        raise BodyTooLarge("too-many-records")
    most = MOST_SELECTED + (compiled.block.max_tokens if compiled.traits.takes_whole else 0)
    if len(values) + len(values.noted) > most:
        raise BodyTooLarge("too-many-selected-values")
