"""What a plan says beside its counts: which columns are too narrow, and how long `seal` will take.

How long is found by a trial: rows from all over a table are copied into a temporary one, and sealed
there. Of a backend, elements are read, since it takes requests to write them. What is stored stays
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, NamedTuple

from ..core.errors import MigrationFailed
from .engine import RowRange, total
from .job.collections import HttpCollection
from .job.places import Http, Pipe
from .policy import TRIED_ROWS
from .sources.keepers import Change, Cost
from .sources.sql_table import SqlTable
from .values.states import State, Tally
from .worker import Order, Worker

_MINUTE: Final = 60
_HOUR: Final = 3600
_TO_SEAL: Final[tuple[State, ...]] = ("plain", "lookalike")


class Advice(NamedTuple):
    """Lines for people, how many seconds `seal` will take with one worker, and what tables cost."""

    lines: tuple[str, ...]
    seconds: float | None
    costs: tuple[Cost, ...] = ()


async def advice(order: Order, worker: Worker, parts: Sequence[RowRange], planned: float) -> Advice:
    """Return what a plan says that took so many seconds for these parts."""
    lines = [*_unsure(order, worker), *_too_narrow(order, worker, parts)]
    found = [total(one for one in parts if one.table == at) for at in range(len(order.job.tables))]
    rows = sum(one.rows for one in found)
    costs: list[Cost] = []
    for at, tally in enumerate(found):
        inspection = worker.source(at).inspection()
        if inspection is not None:
            costs.append(inspection.cost(change := Change(*tally.planned)))
            lines += _priced(order.job.tables[at].name, change, costs[-1])
            lines.append(
                f"`verify` reads one snapshot for about {_said(planned)}:"
                f" meanwhile {inspection.snapshot}"
            )
    try:
        took, how = await _estimated(order, worker, found, planned)
    except MigrationFailed as failed:
        lines.append(f"how long `seal` will take is not known: a trial failed: {failed}")
        return Advice(tuple(lines), None, tuple(costs))
    took = max(took, rows / order.rate if order.rate else 0.0)
    lines.append(f"`seal` will take about {_said(took)} for {rows:,} rows: {how}")
    return Advice(tuple(lines), round(took, 1), tuple(costs))


async def _estimated(
    order: Order, worker: Worker, found: Sequence[Tally], planned: float
) -> tuple[float, str]:
    """Return how many seconds `seal` will take for what a plan found in each table, and how so."""
    if isinstance(order.job.place, Pipe):
        return planned, "as this plan, and what it takes to write"
    if isinstance(order.job.place, Http):
        each = [_requested(worker, at, tally) for at, tally in enumerate(found)]
        how = "as this plan, and requests for each row as long as reading one"
        return planned + sum(each), how
    tried = [await _tried(worker, at, tally.rows) for at, tally in enumerate(found)]
    return sum(tried), f"as a trial on a temporary copy of up to {TRIED_ROWS:,} rows of each table"


async def _tried(worker: Worker, table: int, rows: int) -> float:
    """Return how many seconds it takes to seal so many rows, by some of them."""
    copy = worker.another(table)
    assert isinstance(copy, SqlTable)  # noqa: S101 - all that is neither a stream nor a backend
    copy.use_copy(TRIED_ROWS)
    part = RowRange(table)
    began = monotonic()
    await worker.treat_as("seal", copy, part, lambda *_: None)
    return (monotonic() - began) / max(part.tally.rows, 1) * rows


def _requested(worker: Worker, table: int, found: Tally) -> float:
    """Return how many seconds the requests take that write what would be sealed."""
    rows = min(found.rows, sum(map(found.of, _TO_SEAL)))
    if not rows:
        return 0.0
    from .sources.http import HttpSource  # noqa: PLC0415 - rules take memory

    source = worker.another(table)
    assert isinstance(source, HttpSource)  # noqa: S101 - no other has a collection
    each = source.request_seconds()
    if each is None:
        raise MigrationFailed("not-read", detail="an element has no GET")
    return rows * each


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


def _priced(table: str, change: Change, cost: Cost) -> Iterator[str]:
    """Yield what `seal` takes of the disk; where that is not free, it says so."""
    grown = f" ({change.after / change.before:.1f} times)" if change.before else ""
    free = "what is free is not known here" if cost.free is None else f"{_bytes(cost.free)} free"
    yield (
        f"{table}: cells of {change.rows:,} rows grow from {_bytes(change.before)} to"
        f" {_bytes(change.after)}{grown}; files by about {_bytes(cost.disk)}, and"
        f" {_bytes(cost.log)} of {cost.log_name}; {free}"
    )
    if cost.free is not None and cost.disk + cost.log > cost.free:
        yield f"{table}: the disk is too full for this run"


def _bytes(number: int) -> str:
    """Return a size as people say it."""
    return f"{number / (1 << 20):,.1f} MiB"


def _said(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 2 * _MINUTE:
        return f"{max(round(seconds), 1)} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"
