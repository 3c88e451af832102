"""Old values in files: what removes them, and a search of the files as evidence that it has.

Values are drawn from all over a table by opening what is sealed. Their tokens are sought too: where
none is found, the search was of other files, or could not have found a value either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..core.errors import MigrationFailed
from .policy import DRAWN_PLACES, DRAWN_VALUES, SOUGHT_BYTES
from .report import MigrationRun
from .search import Searched, Sought, below, is_there, search, sought
from .sources.keepers import Inspection, ScrubStep
from .sources.source import Source
from .values.states import Tally
from .worker import Order, Worker

_NOT_SEARCHED: Final = (
    "free blocks of the disk: files that were removed or shortened are not overwritten",
    "backups, snapshots, replicas and archives, and what other programs have copied",
    "values that a file holds compressed, encrypted or in an encoding of two bytes",
)


@dataclass(frozen=True, slots=True)
class ScrubRun(MigrationRun):
    """What was done, what was left and why, and what a search of the files found.

    `searched` is None without files to search; `control` says whether a token of a drawn value was
    found.
    """

    done: tuple[ScrubStep, ...] = ()
    undone: tuple[tuple[ScrubStep, str], ...] = ()
    searched: Searched | None = None
    control: bool = False

    @property
    def left(self) -> int:
        """How much is missing: steps, files that have old values, and evidence."""
        found = 0 if self.searched is None else len(self.searched.found)
        return len(self.undone) + found + (self.searched is None or not self.control)

    @property
    def proves(self) -> str:
        """What the search shows; empty where there is no evidence."""
        if self.searched is None or not self.control:
            return ""
        files, size, found = self.searched
        those = f"all but {len(found):,} of {files:,} files" if found else f"{files:,} files"
        return (
            f"of {self.tally.rows:,} old values that were drawn, none is in {those}"
            f" of {size:,} bytes, in which tokens of them were found"
        )

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What keeps old values, or may."""
        found = () if self.searched is None else self.searched.found
        lacks = () if self.proves else ("no evidence: no token of a drawn value was in the files",)
        if self.searched is None:
            lacks = ("no evidence: no files were searched; give --data-dir",)
        return (
            *lacks,
            *(f"{one.file}: {one.values} of the drawn values" for one in found),
            *(f"not done: {step.sql}: {step.removes}" for step, _ in self.undone),
            *(f"{one.name}: {one.told}" for one in self.keepers if "migrate scrub" not in one.cure),
            *_NOT_SEARCHED,
        )


async def scrub(order: Order, folders: Sequence[Path], *, runs: bool) -> ScrubRun:
    """Do what removes old values if `runs`, and search files below folders, or those known.

    Raises MigrationFailed for a place without a database, and where it cannot be read; OSError for
    files that cannot be.
    """
    began, tally = int(order.clock()), Tally()
    with closing(Worker(order)) as worker:
        sources = [worker.source(at) for at in range(len(order.job.tables))]
        inspections = [one.inspection() for one in sources]
        asked = [one for one in inspections if one is not None]
        if not asked:
            raise MigrationFailed("no-files", detail="only databases have files to scrub")
        for one in {one.name: one for one in sources if runs}.values():
            one.exclude()  # VACUUM gives rows other numbers
        values: list[Sought] = []
        tokens: list[Sought] = []
        for source in sources:
            async for text, sealed in _drawn(worker, source):
                values.append(text)
                tokens.append(sealed)
        tally.rows = len(values)
        done, undone = _clean(asked, runs=runs)
        keepers = tuple(dict.fromkeys(each for one in asked for each in one.keepers()))
        files = [each for one in folders for each in below(one)]
        files = files or list(dict.fromkeys(each for one in asked for each in one.files()))
        searched = search(files, values) if files else None
        control = bool(values) and is_there(files, tokens)
        places = tuple(one.name for one in sources)
    return ScrubRun(
        verb="scrub",
        job=order.job,
        places=places,
        tally=tally,
        proof="pages",
        began=began,
        ended=int(order.clock()),
        keepers=keepers,
        done=done,
        undone=undone,
        searched=searched,
        control=control,
    )


def _clean(
    inspections: Sequence[Inspection], *, runs: bool
) -> tuple[tuple[ScrubStep, ...], tuple[tuple[ScrubStep, str], ...]]:
    """Do each step once, those that several tables share last; return those done, and the rest."""
    steps: dict[ScrubStep, Inspection] = {}
    for inspection in inspections:
        for step in inspection.steps():
            steps.pop(step, None)
            steps[step] = inspection
    done: list[ScrubStep] = []
    undone: list[tuple[ScrubStep, str]] = []
    for step, inspection in steps.items():
        if not runs:
            undone.append((step, "--run does it"))
            continue
        try:
            inspection.clean(step)
        except MigrationFailed as failed:
            undone.append((step, failed.reason))
        else:
            done.append(step)
    return tuple(done), tuple(undone)


async def _drawn(worker: Worker, source: Source) -> AsyncIterator[tuple[Sought, Sought]]:
    """Yield values from all over a table, each with the end of its token."""
    places = [None, *source.borders(DRAWN_PLACES)]
    each = -(-DRAWN_VALUES // len(places))
    for after in places:
        found = 0
        for sealed, value in await worker.opened(source, source.page(after, None)[:DRAWN_VALUES]):
            text, ending = sought(value.text), sought(sealed.string[-SOUGHT_BYTES:])
            if text is not None and ending is not None and found < each:
                found += 1
                yield text, ending
