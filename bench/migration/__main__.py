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

from . import measure, page
from .places import PLACES

_PARTS: Final = ("pipe", *PLACES)
_LONG: Final = {"postgresql": 1_000_000, "mariadb": 100_000, "sqlite": 100_000}
_SHORT_ROWS: Final = 3_000
_LETTERS: Final = 300_000
_UPDATES: Final = 200
_KILLS: Final = 200
_KILLED_ROWS: Final = 100_000
_NAIVE_ROWS: Final = 20_000
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
    if asked.write and (asked.quick or asked.rows or asked.kills is not None):
        parser.error("only whole parts are written")
    wrong, about = False, page.about()
    for part in asked.parts or _PARTS:
        with tempfile.TemporaryDirectory(prefix="sealyard-migration-") as folder:
            found = {"about": about} | _measured(part, Path(folder), asked)
        failed = any(map(_is_wrong, found["runs"]))
        wrong |= failed
        if page.busy(found):
            said = f"{part}: the machine was busy, load average {about['load']}: times mean little"
            print(said, file=sys.stderr)  # noqa: T201 - its result
        elif asked.write and not failed:
            page.keep(part, found)
    sys.exit(1 if wrong else 0)


def _measured(part: str, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure one part; print each run as it ends."""
    if part == "pipe":
        values = asked.rows or (_SHORT_ROWS if asked.quick else _LETTERS)
        return {"runs": [_printed(part, measure.in_pipe(folder, values))]}
    rows = asked.rows or (_SHORT_ROWS if asked.quick else _LONG[part])
    kills = asked.kills if asked.kills is not None else 5 if asked.quick else _KILLS
    runs: list[dict[str, Any]] = []
    with PLACES[part](folder) as database:
        for killed, workers in ((0, 1), (0, _WORKERS), (kills, _WORKERS)):
            some = min(rows, _KILLED_ROWS) if killed else rows
            here = folder / str(len(runs))
            here.mkdir()
            found = measure.in_database(
                here, database, some, updates=_UPDATES, kills=killed, workers=workers
            )
            runs.append(_printed(part, found))
        keyring = measure.Bench(folder, database.source).keyring()
        naive = round(measure.naive(database, keyring, min(rows, _NAIVE_ROWS)))
        _printed(part, {"naive_rows_per_second": naive})
    return {"runs": runs, "naive_rows_per_second": naive}


def _printed(part: str, found: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps({"part": part} | found), flush=True)  # noqa: T201 - its result
    return found


def _is_wrong(run: dict[str, Any]) -> bool:
    """Return whether a run left what it must not."""
    if "byte_equal" in run:
        return not run["byte_equal"]
    left = any(run[one] for one in ("plain", "doubled", "lost", "not_byte_equal"))
    return left or run["verify"]["status"] != 0 or run["open"]["status"] != 0


if __name__ == "__main__":
    main()
