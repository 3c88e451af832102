"""Measure migrations: `./dev bench-migration`. Prints a line of JSON for each part.

The short form takes a minute, and its times mean nothing; what it must leave is the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from . import interrupted, kinto, laws, measure, page
from .places import PLACES

_KILLED: Final = {f"{one}-killed": one for one in PLACES}
"""Parts that are kept whatever else the machine does: they show what is left and what it takes."""
_PARTS: Final = ("pipe", *PLACES, "kinto", *_KILLED)
_LONG: Final = {"postgresql": 1_000_000, "mariadb": 100_000, "sqlite": 100_000}
_SHORT_ROWS: Final = 3_000
_LETTERS: Final = 300_000
_KILLS: Final = 200
_SHORT_KILLS: Final = 5
_KILLED_ROWS: Final = 100_000
_WHOLE_KILLS: Final = 10
_NAIVE_ROWS: Final = 20_000
_RECORDS: Final = 5_000
_SHORT_RECORDS: Final = 300
_WORKERS: Final = 2


def main() -> None:
    """Measure the parts that are asked for; end with 1 where one left what it must not."""
    parser = argparse.ArgumentParser(prog="./dev bench-migration", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument("--rows", type=int, help="rows of a table, or values of a stream")
    parser.add_argument("--kills", type=int, help=f"how many runs are killed; {_KILLS} by default")
    parser.add_argument(
        "--write", action="store_true", help="keep the record, and write docs/benchmarks.md"
    )
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    whole = not (asked.quick or asked.rows or asked.kills is not None)
    if asked.write and not whole:
        parser.error("only whole parts are written")
    wrong, about = False, page.about()
    for part in asked.parts or _PARTS:
        if part == "kinto" and not kinto.PROGRAM.exists():
            _say(f"{part}: {kinto.PROGRAM} is missing: `./dev setup` installs it")
            wrong |= part in asked.parts
            continue
        with tempfile.TemporaryDirectory(prefix="sealyard-migration-") as folder:
            found, broken = _measured(part, Path(folder), asked)
        busy = page.busy(about) and part not in _KILLED
        for one in broken:
            _say(f"{part}: broken: {one}")
        missed = (
            []
            if part in _KILLED
            else [one for run in found["runs"] for one in laws.missed(part, run)]
        )
        for one in missed if whole else ():
            _say(f"{part}: missed: {one}")
        wrong |= bool(broken or (whole and missed and not busy))
        if busy:
            _say(f"{part}: the machine was busy, load average {about['load']}: times mean little")
        elif asked.write and not broken:
            page.keep(part, {"about": about} | found)
    sys.exit(1 if wrong else 0)


def _measured(
    part: str, folder: Path, asked: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Measure one part and print each run as it ends; return it, and what it left."""
    if part == "pipe":
        values = asked.rows or (_SHORT_ROWS if asked.quick else _LETTERS)
        run = _printed(part, measure.in_pipe(folder, values))
        return {"runs": [run]}, list(laws.broken(run, rows=values))
    if part == "kinto":
        records = asked.rows or (_SHORT_RECORDS if asked.quick else _RECORDS)
        run = _printed(part, kinto.in_kinto(folder, records))
        return {"runs": [run]}, list(laws.broken(run, rows=records))
    if part in _KILLED:
        return _interrupted(part, folder, asked)
    rows = asked.rows or (_SHORT_ROWS if asked.quick else _LONG[part])
    kills = asked.kills if asked.kills is not None else _SHORT_KILLS if asked.quick else _KILLS
    runs: list[dict[str, Any]] = []
    broken: list[str] = []
    with PLACES[part](folder) as database:
        for killed, workers in ((0, 1), (0, _WORKERS), (kills, _WORKERS)):
            some = min(rows, _KILLED_ROWS) if killed else rows
            here = folder / str(len(runs))
            here.mkdir()
            found = measure.in_database(
                here, database, some, updates=laws.UPDATES, kills=killed, workers=workers
            )
            runs.append(_printed(part, found))
            broken += laws.broken(found, rows=some, kills=killed)
        keyring = measure.Bench(folder, measure.job_of(database)).keyring()
        naive = round(measure.naive(database, keyring, min(rows, _NAIVE_ROWS)))
        _printed(part, {"naive_rows_per_second": naive})
    return {"runs": runs, "naive_rows_per_second": naive}, broken


def _interrupted(
    part: str, folder: Path, asked: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Measure a run that is killed and begun again."""
    rows = asked.rows or (_KILLED_ROWS if asked.quick else _LONG[_KILLED[part]])
    kills = asked.kills if asked.kills is not None else _WHOLE_KILLS
    data, here = folder / "data", folder / "job"
    for one in (data, here):
        one.mkdir()
    with PLACES[_KILLED[part]](data) as database:
        run = interrupted.run(
            here,
            database,
            rows,
            updates=laws.UPDATES,
            kills=kills,
            say=lambda at: _say(f"{part}: {at}"),
        )
    return {"runs": [_printed(part, run)]}, list(interrupted.broken(run, rows=rows, kills=kills))


def _printed(part: str, found: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps({"part": part} | found), flush=True)  # noqa: T201 - its result
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
