"""What a plan says beside its counts: which columns are too narrow, and how long `seal` will take.

How long is found by a trial: rows from all over a table are copied into a temporary one, and sealed
there. What is stored stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, NamedTuple

from ..core.errors import MigrationFailed
from .engine import RowRange, total
from .job.collections import HttpCollection
from .worker import Order, Worker

_ROWS: Final = 2000
_MINUTE: Final = 60
_HOUR: Final = 3600


class Advice(NamedTuple):
    """Lines for people, and how many seconds `seal` will take with one worker, if that is known."""

    lines: tuple[str, ...]
    seconds: float | None


async def advice(order: Order, worker: Worker, parts: Sequence[RowRange], planned: float) -> Advice:
    """Return what a plan says that took so many seconds for these parts."""
    lines = [*_unsure(order, worker), *_too_narrow(order, worker, parts)]
    rows = [0] * len(order.job.tables)
    for part in parts:
        rows[part.table] += part.tally.rows
    try:
        seconds = [await _tried(worker, at, count) for at, count in enumerate(rows)]
    except MigrationFailed as failed:
        lines.append(f"how long `seal` will take is not known: a trial failed: {failed}")
        return Advice(tuple(lines), None)
    told = [one for one in seconds if one is not None]
    how = f"as a trial on a temporary copy of up to {_ROWS:,} rows of each table"
    if len(told) < len(seconds):
        told, how = [planned], "as this plan, and what it takes to write"
    least = sum(rows) / order.rate if order.rate else 0.0
    took = max(sum(told), least)
    lines.append(f"`seal` will take about {_said(took)} for {sum(rows):,} rows: {how}")
    return Advice(tuple(lines), round(took, 1))


async def _tried(worker: Worker, table: int, rows: int) -> float | None:
    """Return how many seconds it takes to seal so many rows; None where nothing can be tried."""
    copy = worker.another(table)
    if not copy.use_copy(_ROWS):
        return None
    part = RowRange(table)
    began = monotonic()
    await worker.treat_as("seal", copy, part, lambda *_: None)
    return (monotonic() - began) / max(part.tally.rows, 1) * rows


def _unsure(order: Order, worker: Worker) -> Iterator[str]:
    """Yield what a plan of a list warns of."""
    for at in range(len(order.job.tables)):
        table = worker.source(at).table
        yield from table.warnings if isinstance(table, HttpCollection) else ()


def _too_narrow(order: Order, worker: Worker, parts: Sequence[RowRange]) -> Iterator[str]:
    longest = total(parts).longest
    for at in range(len(order.job.tables)):
        source = worker.source(at)
        widths = source.widths()
        limits = source.table.limits(widths)
        for column, label in enumerate(source.table.labels):
            needed, limit, width = longest.get(label, 0), limits[column], widths[column]
            if limit is not None and needed > limit:
                yield f"{label}: up to {needed:,} characters, and {limit:,} fit"
            if width is not None and needed > width:
                yield source.widen(column, needed)


def _said(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 2 * _MINUTE:
        return f"{max(round(seconds), 1)} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"
