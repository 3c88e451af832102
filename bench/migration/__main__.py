"""Measure migrations: `./dev bench-migration`. Prints a line of JSON for each part.

The short form takes a minute, and its times mean nothing; what it must leave is the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from . import measure
from .places import PLACES

_PARTS: Final = ("pipe", *PLACES)
_LONG: Final = {"postgresql": 1_000_000, "mariadb": 100_000, "sqlite": 100_000}
_SHORT_ROWS: Final = 3_000
_LETTERS: Final = 300_000
_UPDATES: Final = 200
_KILLS: Final = 200
_KILLED_ROWS: Final = 100_000
_NAIVE_ROWS: Final = 20_000


def main() -> None:
    """Measure the parts that are asked for; end with 1 where one left what it must not."""
    parser = argparse.ArgumentParser(prog="./dev bench-migration", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument("--rows", type=int, help="rows of a table, or values of a stream")
    parser.add_argument("--kills", type=int, default=None, help="how many runs are killed")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wrong = False
    for part in asked.parts or _PARTS:
        with tempfile.TemporaryDirectory(prefix="sealyard-migration-") as folder:
            wrong |= _measured(part, Path(folder), asked)
    sys.exit(1 if wrong else 0)


def _measured(part: str, folder: Path, asked: argparse.Namespace) -> bool:
    """Measure one part and print it; return whether it left what it must not."""
    if part == "pipe":
        values = asked.rows or (_SHORT_ROWS if asked.quick else _LETTERS)
        found = measure.in_pipe(folder, values)
        print(json.dumps({"part": part} | found), flush=True)  # noqa: T201 - its result
        return not found["byte_equal"]
    rows = asked.rows or (_SHORT_ROWS if asked.quick else _LONG[part])
    kills = asked.kills if asked.kills is not None else 5 if asked.quick else _KILLS
    wrong = False
    with PLACES[part](folder) as database:
        for killed in (0, kills):
            some = min(rows, _KILLED_ROWS) if killed else rows
            here = folder / f"{killed} kills"
            here.mkdir(exist_ok=True)
            found = measure.in_database(here, database, some, updates=_UPDATES, kills=killed)
            print(json.dumps({"part": part} | found), flush=True)  # noqa: T201 - its result
            wrong |= any(found[one] for one in ("plain", "doubled", "lost", "not_byte_equal"))
            wrong |= found["verify"]["status"] != 0 or found["open"]["status"] != 0
        few = min(rows, _NAIVE_ROWS)
        keyring = measure.Bench(folder, database.source).keyring()
        rate = round(measure.naive(database, keyring, few))
        print(json.dumps({"part": part, "naive_rows_per_second": rate}), flush=True)  # noqa: T201 - its result
    return wrong


if __name__ == "__main__":
    main()
