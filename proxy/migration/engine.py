"""The engine: one table after the other, one batch after the other, by any source.

What a batch makes is written before the next is read, and where it ended is kept after that. So a
run that ends at any point is gone on with: what was written is found sealed, and is not sealed
again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..keys.fleet.command_lease import SealingLease
from .job.model import WRITING, StoredTable, Verb
from .policy import BATCH_TRIES
from .sources.source import Look, Source, nothing
from .values.states import Outcome, Tally
from .values.treatment import Key, RowTreatment, Treated

_CHANGED: Final = Outcome("changed")


@dataclass(slots=True)
class RowRange:
    """Rows with a key above `after`, up to `until`, and what has become of them so far."""

    table: int
    after: Key | None = None
    until: Key | None = None
    done: bool = False
    tally: Tally = field(default_factory=Tally)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "table": self.table,
            "after": _key_said(self.after),
            "until": _key_said(self.until),
            "done": self.done,
            "tally": self.tally.to_json(),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> RowRange:
        """Return what `to_json` gave."""
        return cls(
            said["table"],
            _key_read(said["after"]),
            _key_read(said["until"]),
            said["done"],
            Tally.from_json(said["tally"]),
        )


def _key_said(key: Key | None) -> object:
    if key is None:
        return None
    return [{"hex": one.hex()} if isinstance(one, bytes) else one for one in key]


def _key_read(said: Any) -> Key | None:  # noqa: ANN401 - what `_key_said` made
    if said is None:
        return None
    return tuple(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in said)


def total(parts: Iterable[RowRange]) -> Tally:
    """Return the counts of parts together."""
    made = Tally()
    for part in parts:
        made.take(part.tally)
    return made


Reached = Callable[[RowRange, int], None]
"""Called with a part that has come further, by so many rows."""


async def run(  # noqa: PLR0913 - what a worker has, and the lease by name
    part: RowRange,
    verb: Verb,
    source: Source,
    treatment: RowTreatment,
    reached: Reached,
    *,
    lease: SealingLease,
    look: Look = nothing,
) -> None:
    """Treat the rows of a part that are left.

    `look` is called before what was written counts, and raises where it must not. What was sealed
    before rights were taken away is sealed again before it is written. Raises MigrationFailed where
    rows cannot be read or written, KeyUnavailable where the `lease` has ended: then all that was
    reached is done.
    """
    batch = _Batch(verb, source, source.table.limits(source.widths()))

    def looked() -> None:
        look()
        lease.look()

    source.look = looked
    while page := source.page(part.after, part.until):
        counted, last = Tally(), page[-1].key
        counted.rows = len(page)
        for attempt in range(BATCH_TRIES):
            stands = False
            while not stands:
                epoch = lease.require()
                treated = await treatment.treat(page)
                with lease.writing(epoch) as stands:
                    left = batch.finish(treated, counted) if stands else []
            if not left:
                break
            if attempt == BATCH_TRIES - 1:
                for one in left:
                    batch.count_left(one, counted)
                break
            page = source.again(part.after, last, {one.row.key for one in left})
        part.after = last
        part.tally.take(counted)
        reached(part, counted.rows)
    part.done = True


@dataclass(frozen=True, slots=True)
class _Batch:
    """Writes what a verb makes of batches, and counts it."""

    verb: Verb
    source: Source
    limits: tuple[int | None, ...]

    def finish(self, treated: Sequence[Treated], counted: Tally) -> list[Treated]:
        """Write and count; return the rows that another writer changed meanwhile, uncounted."""
        changing = [one for one in treated if one.changed]
        writes = self.verb in WRITING
        keys: Collection[Key] = ()
        if writes:
            keys = set(self.source.write([(one.row, one.cells) for one in changing]))
        left: list[Treated] = []
        labels = self.source.table.labels
        for one in treated:
            if one.changed and writes and one.row.key not in keys:
                refused = self.source.refused.get(one.row.key)
                if refused is None:
                    left.append(one)
                else:
                    self.count_left(one, counted, refused)
                continue
            for at, outcome in one.kept:
                counted.add(labels[at], outcome)
            for at, before, after in one.changed:
                counted.add(labels[at], after if writes else self._planned(one, at, before))
            for at, cell in enumerate(one.cells):
                if cell is not None:
                    counted.grew(labels[at], len(cell.decode()))
            if one.changed and not writes and isinstance(self.source.table, StoredTable):
                pairs = zip(one.row.cells, one.cells, strict=True)
                sizes = [
                    (len(old), len(new)) for old, new in pairs if isinstance(old, bytes) and new
                ]
                counted.plans(1, sum(old for old, _ in sizes), sum(new for _, new in sizes))
        return left

    def count_left(self, one: Treated, counted: Tally, refused: str | None = None) -> None:
        """Count a row that was refused, or changed whenever it was to be written."""
        labels = self.source.table.labels
        for at, outcome in one.kept:
            counted.add(labels[at], outcome)
        for at, before, _ in one.changed:
            why = _CHANGED if refused is None else Outcome("refused", before.kek, refused)
            counted.add(labels[at], why)

    def _planned(self, one: Treated, at: int, before: Outcome) -> Outcome:
        """Return what a value is that would change, or that it would not fit."""
        limit = self.limits[at]
        if limit is not None:
            cell = one.cells[at]
            if cell is not None and len(cell.decode()) > limit:
                return Outcome("too-long")
        return before._replace(state="lookalike") if before.state == "unreadable" else before
