"""One `seal` of a large table, killed and begun again beside an application, and what it costs.

Where the other runs show how fast it is, this one shows what is left in rows and in files, and how
far what `plan` told is from what was taken.
"""

from __future__ import annotations

import mmap
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from .clinic import CANARY, Writer, changed, examine
from .measure import Bench, Cost, job_of
from .places import Database

FACTOR: Final = 1.5
"""By how much what a run costs may differ from what its plan says."""
_ALONE_SECONDS: Final = 3.0
"""For so long the application is alone, to tell what it takes itself."""
_LEFT: Final = ("lost", "plain", "doubled", "not_byte_equal", "canaries_after_scrub")


def run(  # noqa: PLR0913 - each is one thing that is varied
    folder: Path,
    database: Database,
    rows: int,
    *,
    updates: float,
    kills: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Seal a table with kills all over it, prove it, scrub the files, and take everything out.

    It takes many minutes: `say` hears what begins, and how each run ended.
    """

    def ran(*arguments: str) -> Cost:
        say(f"`{' '.join(arguments[:2])}`")
        cost = bench.run(*arguments)
        say(f"status {cost.status} after {cost.seconds:.0f} s")
        return cost

    say(f"{rows:,} rows are filled in")
    database.fill(rows)
    bench = Bench(folder, job_of(database))
    keyring = bench.keyring()
    alone = Writer(database.connect, keyring, rows, updates)
    each = _logged_alone(alone, database)
    plan = bench.planned()
    (cost,) = plan["costs"]
    planted = canaries(database.folder)
    starts = bench.run("migrate", "status", "job.yaml").seconds
    between = plan["seconds"] / (kills + 1)
    before = database.sizes()
    writer = Writer(database.connect, keyring, rows, updates, alone.versions)
    with writer:
        began, hit = time.monotonic(), 0
        for _ in range(kills):
            after = starts + between * (0.5 + secrets.randbelow(1000) / 1000)
            hit += bench.killed_once("seal", after) < 0
            say(f"{hit} killed")
        sealed = ran("migrate", "seal", "job.yaml")
        seconds = time.monotonic() - began
        taken = database.sizes()  # while the writer is connected: SQLite keeps the log as long
    proven = ran("migrate", "verify", "job.yaml", "--report", "proof.jws")
    stale = canaries(database.folder)
    where = ("--data-dir", str(database.folder))
    scrubbed = ran("migrate", "scrub", "job.yaml", "--run", *where, "--report", "scrub.jws")
    left = canaries(database.folder)
    with database.connect() as execute:
        found = examine(execute, keyring, rows, writer.versions)
    opened = ran("migrate", "open", "job.yaml")
    with database.connect() as execute:
        wrong = changed(execute, rows, writer.versions)
    return {
        "updates": writer.updates,
        "updates_per_second": round(writer.updates / writer.seconds),
        "kills": hit,
        "seconds": seconds,
        "seal": asdict(sealed),
        "verify": asdict(proven),
        "scrub": asdict(scrubbed),
        "open": asdict(opened),
        "planned": {
            "seconds": plan["seconds"], "files": cost["disk"], "log": cost["log"],
        },
        "taken": {
            "seconds": seconds,
            "files": taken.files - before.files,
            "log": round(taken.log - before.log - each * writer.updates),
        },
        "canaries": planted,
        "canaries_after_verify": stale,
        "canaries_after_scrub": left,
        **asdict(found),
        "not_byte_equal": wrong,
    }  # fmt: skip


def _logged_alone(writer: Writer, database: Database) -> float:
    """Return how many bytes the log receives of an update of the application."""
    before = database.sizes().log
    with writer:
        time.sleep(_ALONE_SECONDS)
        after, count = database.sizes().log, max(writer.updates, 1)
    return (after - before) / count if database.log_grows else 0.0


def broken(found: Mapping[str, Any], *, rows: int, kills: int) -> Iterator[str]:
    """Yield what a run of so many rows and kills left or took that it must not.

    How long it took is told beside it: kills, the application and other work are in it.
    """
    yield from (f"{one}: {found[one]}" for one in _LEFT if found[one])
    for one, wanted in (("rows", rows), ("kills", kills)):
        if found[one] != wanted:
            yield f"{one}: {found[one]}"
    if not found["updates"] or not found["canaries"]:
        yield "no updates beside it, or no canaries to be found"
    for verb in ("seal", "verify", "scrub", "open"):
        if found[verb]["status"] not in ({0, 1} if verb == "seal" else {0}):
            yield f"{verb}: status {found[verb]['status']}"
    for one in ("files", "log"):
        told, taken = found["planned"][one], found["taken"][one]
        if not told / FACTOR <= taken <= told * FACTOR:
            yield f"{one}: {taken:,} bytes, and {told:,} were told"


def canaries(folder: Path) -> int:
    """Return how many beginnings of letters the files of a folder have."""
    return sum(map(_in_file, folder.rglob("*")))


def _in_file(file: Path) -> int:
    if not file.is_file() or not file.stat().st_size:
        return 0
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sum(1 for _ in re.finditer(CANARY, data))
