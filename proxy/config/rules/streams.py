"""Whether what a block says of streams of records fits the rest of the block."""

from __future__ import annotations

from ...core.expressions.selectors import JsonSelector, Selector, Whole
from ...core.formats.table import RECORDS
from ...core.http.message import Direction
from ...core.rules.model import Batching, Item
from ..yaml.nodes import Problems, show
from .blocks import BlockSyntax
from .item_checks import overlap, plain_in
from .options import OptionsSyntax


def check_sentinels(block: BlockSyntax, problems: Problems) -> tuple[str, ...] | None:
    """Return the records that pass unread; report them where the block reads no records."""
    if block.sentinels is None:
        return None
    texts, place = block.sentinels
    selectors: list[Selector] = [one.selector for one in block.items]
    selectors += [selector for selector, _ in plain_in(block)]
    if not any(isinstance(one, JsonSelector) or one is Whole.TEXT for one in selectors):
        problems.add(place, "only applies with JSON selectors or `text`", "delete it")
    return texts


def check_batch(
    block: BlockSyntax,
    encrypt: tuple[Item, ...],
    options: OptionsSyntax,
    direction: Direction,
    problems: Problems,
) -> Batching | None:
    """Return how the deltas of a block are joined; report where they cannot be."""
    if block.batch is None:
        return None
    said, place = block.batch
    paths = [one.selector for one in encrypt if isinstance(one.selector, JsonSelector)]
    limited = [one.field for one in encrypt if one.max_chars is not None]
    kind = None if block.format is None else block.format[0]
    if direction == "request":
        problems.add(place, "only applies to responses", "delete it")
    elif not paths or len(paths) < len(encrypt):
        problems.add(
            place, "only applies if the block seals JSON strings, and nothing else", "delete it"
        )
    elif kind is not None and (kind not in RECORDS or RECORDS[kind].splitter is None):
        problems.add(
            place, f"only applies to streams of records, which {show(kind)} is not", "delete it"
        )
    elif limited:
        problems.add(
            place,
            f"joins values without a limit, but {show(limited[0])} has `max_chars`",
            "delete one of them",
        )
    elif options.already_sealed not in {None, "seal"}:
        problems.add(
            place, "joins values before any is read as a token", "write `already_sealed: seal`"
        )
    elif any(overlap(one, path) for one in said.ignored for path in paths):
        problems.add(place, "ignores a value that the block seals", "delete one of them")
    return said
