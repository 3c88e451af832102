"""The record of the runs that were kept, and the part of docs/benchmarks.md that is made of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_DOCS: Final = Path(__file__).parents[3] / "docs"
FOUND: Final = _DOCS / "assets" / "migration.json"
PAGE: Final = _DOCS / "benchmarks.md"
_MEASURED: Final = re.compile(
    r"(<!-- migration: begin -->\n).*(<!-- migration: end -->)", re.DOTALL
)
_QUIET: Final = 0.5
"""The load average up to which a machine does nothing else."""
_MEBIBYTE: Final = 1024
TITLES: Final = {
    "pipe": "CSV, from stdin to stdout",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "sqlite": "SQLite",
    "kinto": "Kinto, over HTTP",
    "postgresql-killed": "PostgreSQL, killed and begun again",
    "mariadb-killed": "MariaDB, killed and begun again",
    "sqlite-killed": "SQLite, killed and begun again",
}
_VERBS: Final = ("seal", "verify", "open")
_WRONG: Final = ("lost", "plain", "doubled", "not_byte_equal")

Found = Mapping[str, Any]
"""What was measured of one part: `about`, `runs`, and of a database `naive_rows_per_second`."""


def about() -> dict[str, str]:
    """Return where and when a part is measured, before it is."""
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "commit": commit or "unknown",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def busy(said: Mapping[str, str]) -> bool:
    """Return whether the machine had other work, so that times say little."""
    return float(said["load"]) > _QUIET


def keep(part: str, found: Found) -> None:
    """Keep what was measured of a part, and write the page."""
    held = read()
    FOUND.write_text(json.dumps(held | {part: found}, indent=1) + "\n")
    PAGE.write_text(render(read(), PAGE.read_text()))


def read() -> dict[str, Found]:
    """Return what was kept, by part."""
    held: dict[str, Found] = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    return held


def render(held: Mapping[str, Found], page: str) -> str:
    """Return the page with its part about migration made anew."""
    inside = "\n".join(_lines(held)).strip()
    return _MEASURED.sub(lambda at: f"{at[1]}\n{inside}\n\n{at[2]}", page)


def _lines(held: Mapping[str, Found]) -> Iterator[str]:
    if not held:
        yield "No run on a machine without other work has been kept yet."
        return
    for part, title in TITLES.items():
        if part in held:
            yield from ("", f"### {title}", "", _where(held[part]["about"]), "")
            yield from _OF.get(part, _database)(held[part])


def _where(said: Mapping[str, str]) -> str:
    return (
        f"Measured on {said['date']} at commit {said['commit']}, {said['cores']} cores,"
        f" {said['system']}, Python {said['python']}, load average before {said['load']}."
    )


def _pipe(found: Found) -> Iterator[str]:
    return _table(
        {
            "values of 200 bytes": f"{run['values']:,}",
            "`seal`": _seconds(run["seal"]),
            "`open`": _seconds(run["open"]),
            "values / CPU s": f"{run['values_per_cpu_second']:,}",
            "memory": _memory(run, ("seal", "open")),
            "comes back": "byte for byte" if run["byte_equal"] else "**not byte for byte**",
        }
        for run in found["runs"]
    )


def _kinto(found: Found) -> Iterator[str]:
    return _table(
        {
            "records": f"{run['rows']:,}",
            "`plan` said": _planned(run),
            "`seal`": _seconds(run["seal"]),
            "records / s": _rate(run),
            "`verify`": _seconds(run["verify"]),
            "`open`": _seconds(run["open"]),
            "memory": _memory(run, _VERBS),
            "plain, not byte-equal": f"{run['plain']:,}, {run['not_byte_equal']:,}",
        }
        for run in found["runs"]
    )


def _database(found: Found) -> Iterator[str]:
    yield from _table(
        {
            "rows": f"{run['rows']:,}",
            "workers": str(run["workers"]),
            "updates beside it": f"{run['updates']:,}, {run['updates_per_second']:,} / s",
            "killed": f"{run['kills']:,}",
            "`plan` said": _planned(run),
            "`seal`": _seconds(run["seal"]),
            "rows / s": "" if run["kills"] else _rate(run),
            "`verify`": _seconds(run["verify"]),
            "`open`": _seconds(run["open"]),
            "memory": _memory(run, _VERBS),
            "lost, plain, doubled, not byte-equal": ", ".join(f"{run[one]:,}" for one in _WRONG),
        }
        for run in found["runs"]
    )
    yield ""
    yield f"A script that goes row by row seals {found['naive_rows_per_second']:,} rows / s."


def _killed(found: Found) -> Iterator[str]:
    (run,) = found["runs"]
    yield from _table(
        {
            "rows": f"{run['rows']:,}",
            "updates beside it": f"{run['updates']:,}, {run['updates_per_second']:,} / s",
            "killed": f"{run['kills']:,}",
            "lost, plain, doubled, not byte-equal": ", ".join(f"{run[one]:,}" for one in _WRONG),
            "old values in files: before, after `verify`, after `scrub`": ", ".join(
                f"{run[one]:,}"
                for one in ("canaries", "canaries_after_verify", "canaries_after_scrub")
            ),
        }
        for run in found["runs"]
    )
    yield ""
    yield from _table(
        {
            "": one,
            "`plan` said": size(run["planned"][one]),
            "`seal` took": size(run["taken"][one]),
            "factor": f"{run['taken'][one] / max(run['planned'][one], 1):.2f}",
        }
        for one, size in (("files", _bytes), ("log", _bytes), ("seconds", _clock))
    )


_OF: Final = {
    "pipe": _pipe,
    "kinto": _kinto,
    **dict.fromkeys(("postgresql-killed", "mariadb-killed", "sqlite-killed"), _killed),
}


def _bytes(size: float) -> str:
    return f"{size / _MEBIBYTE**2:,.1f} MiB"


def _clock(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _planned(run: Mapping[str, Any]) -> str:
    said = run["planned_seconds"]
    return "" if said is None else _clock(said)


def _rate(run: Mapping[str, Any]) -> str:
    return f"{run['rows'] / run['seal']['seconds']:,.0f}"


def _seconds(cost: Mapping[str, float]) -> str:
    return _clock(cost["seconds"])


def _memory(run: Mapping[str, Any], verbs: Sequence[str]) -> str:
    most: int = max(run[verb]["memory_kib"] for verb in verbs)
    return _bytes(most * _MEBIBYTE)


def _table(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield f"| {' | '.join(row)} |"
            yield "|---" * len(row) + "|"
        yield f"| {' | '.join(row.values())} |"
