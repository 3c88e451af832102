"""What a soak found, as figures for its record and as lines for people."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import statistics
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final

from tools.scorecard.results import Outcome

from .faults import table
from .journal import BUSY, Journal
from .run import SHORT, Pace, Soak, say, soak

_SHORT_SECONDS: Final = 300
_SLOPES_FROM_SECONDS: Final = 1500
"""A slope of a shorter run says nothing: caches fill, and the allocator settles."""
_MOST_BUSY: Final = 0.05
"""The share of the time that the machine may have been too busy; above it, what Sealyard promises
about time was not tried."""
_MOST_GROWN_MIB: Final = 5.0
_MOST_GROWN_DESCRIPTORS: Final = 5.0


def outcome(hours: float, seed: int | None = None, only: str = "") -> Outcome:
    """Run a soak and return what came of it, also if the harness itself failed.

    Progress goes to stdout. The folder of the run is kept where a promise was broken.
    """
    seed = secrets.randbelow(10**9) if seed is None else seed
    seconds = hours * 3600
    pace = SHORT if seconds < _SHORT_SECONDS else Pace()
    folder = Path(tempfile.mkdtemp(prefix="sealyard-soak-"))
    say(f"seed {seed}, {seconds:.0f} s, files in {folder}")
    began = time.monotonic()
    made = Soak(folder, seed, seconds, pace, only)
    try:
        asyncio.run(soak(made))
    except BaseException as error:  # noqa: BLE001 - the record is written, whatever happened
        made.journal.breach(
            "the soak was cut short", f"{error!r}\n{traceback.format_exc()[-1500:]}"
        )
    told = _judge(made, seed, time.monotonic() - began)
    if told.verdict == "missed":
        say(f"the files of this run are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return told


def _judge(made: Soak, seed: int, lasted: float) -> Outcome:
    journal, processes = made.journal, made.watch.slopes(lasted / 2)
    if made.load_seconds >= _SLOPES_FROM_SECONDS:
        _slopes(journal, processes)
    kinds = table()
    missing = [name for name in kinds if not journal.rows[name].times]
    figures = {
        "load_seconds": round(made.load_seconds, 1),
        "busy_seconds": round(journal.busy_seconds, 1),
        "requests": sum(row.requests for row in journal.rows.values()),
        "acknowledged": sum(map(len, journal.acknowledged.values())),
        "opened_at_the_end": made.checked,
        "lost": journal.breaches["lost"] + journal.breaches["lost at the backend"],
        "plain": journal.breaches["plaintext"],
        "faults": _rows(journal),
        "faults_not_tried": missing,
        "operations": dict(sorted(made.operator.done.items())),
        "processes": processes,
        "session_keys_cached": made.cached,
        "breaches": dict(+journal.breaches),
        "examples": {kind: found[:4] for kind, found in journal.examples.items()},
    }
    late = journal.rows[BUSY].recoveries
    recoveries = [
        one for name, row in journal.rows.items() if name != BUSY for one in row.recoveries
    ]
    grown = [float(one["grown_MiB"]) for one in processes]
    told = (
        f"{figures['requests']:,} requests, {figures['acknowledged']:,} messages acknowledged,"
        f" {len(recoveries) + len(late)} faults of {len(kinds) - len(missing)} kinds;"
        f" {figures['lost']} lost, {figures['plain']} plain,"
        f" {sum(journal.breaches.values())} broken promises;"
        f" recovery at most {max(recoveries, default=0):.1f} s;"
        f" memory at most {max(grown, default=0):+.1f} MiB;"
        f" machine too busy for {journal.busy_seconds / max(lasted, 1):.1%} of the time"
        + (f", and then recovery at most {max(late):.1f} s" if late else "")
    )
    whole = not missing and journal.busy_seconds <= _MOST_BUSY * lasted
    verdict = "missed" if +journal.breaches else "ok" if whole else "ok short"
    return Outcome(told, verdict, figures, seed)


def _slopes(journal: Journal, processes: list[dict[str, Any]]) -> None:
    for one in processes:
        if one["grown_MiB"] > _MOST_GROWN_MIB:
            journal.breach("memory grows", str(one))
        if one["grown_descriptors"] > _MOST_GROWN_DESCRIPTORS:
            journal.breach("descriptors grow", str(one))


def _rows(journal: Journal) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "times": row.times,
            "requests": row.requests,
            "acknowledged": row.acknowledged,
            "refused": dict(sorted(row.refused.items())),
            "cut": row.cut,
            "recovery": [round(statistics.median(row.recoveries), 2), round(max(row.recoveries), 2)]
            if row.recoveries
            else [],
        }
        for name, row in sorted(journal.rows.items())
    }


def tell(told: Outcome) -> None:
    """Print what a soak found."""
    figures = told.figures
    for name, row in figures["faults"].items():
        if row["requests"]:
            say(f"{name}: {row}")
    for process in figures["processes"]:
        say(str(process))
    say(f"operations: {figures['operations']}")
    for kind, count in figures["breaches"].items():
        say(f"BROKEN {count} x {kind}")
        for one in figures["examples"].get(kind, []):
            say(f"    {one}")
    say(f"{told.verdict}: {told.measured}")
