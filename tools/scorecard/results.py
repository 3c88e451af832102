"""Run records: one file for each item and form, so that each can be measured and committed alone.

A record says what was run (commit, seed), on what, when and for how long, and what came of it. What
a record may claim follows from its run: `least` holds a verdict down to that.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from .items import Item

ROOT: Final = Path(__file__).parents[2]
RECORDS: Final = Path(__file__).with_name("records")
VERDICTS: Final = {
    "ok": "the target is met",
    "ok short": "no failure, but the run was shorter or smaller than the target requires",
    "missed": "the target is not met",
    "due": "measured before the product was changed for the last time; the target was met then",
    "missing": "not measured yet",
}

Form = Literal["short", "long"]


class Outcome(NamedTuple):
    """What a measurement said, and what that makes of the target: one of VERDICTS."""

    measured: str
    verdict: str
    figures: Mapping[str, Any] = {}
    seed: int | None = None


NOTHING: Final = Outcome("not measured yet", "missing")


@dataclass(frozen=True, slots=True)
class Record:
    """One run. `at` is its end (UTC, to the minute); `seconds` is how long it took.

    `commit` has a `+` at its end if the tree had changes that were not committed. `seconds` and
    `commit` are unknown in records from before they were kept.
    """

    item: int
    form: Form
    at: str
    commit: str | None
    seconds: float | None
    seed: int | None
    machine: str
    measured: str
    verdict: str
    figures: dict[str, Any] = field(default_factory=dict)


Records = dict[int, dict[Form, Record]]


def made(item: Item, form: Form, outcome: Outcome, seconds: float) -> Record:
    """Return the record of a run that has just ended, with no better a verdict than it can have."""
    record = Record(
        item.number,
        form,
        dt.datetime.now(dt.UTC).strftime(_MINUTES),
        _commit(),
        round(seconds, 1),
        outcome.seed,
        _machine(),
        outcome.measured,
        outcome.verdict,
        dict(outcome.figures),
    )
    if outcome.verdict != "ok" or whole(item, record):
        return record
    return Record(**{**asdict(record), "verdict": "ok short"})


def whole(item: Item, record: Record) -> bool:
    """Whether the run was all that the target asks for: its form, its time, its numbers."""
    if item.less or (item.short and record.form != "long"):
        return False
    if item.seconds and (record.seconds or 0) < item.seconds:
        return False
    return all(number(record.figures.get(name)) >= least for name, least in item.least.items())


def number(value: object) -> float:
    """Return the number that a figure is, or begins with; 0 if it is none."""
    found = re.match(r"[\d,]+(?:\.\d+)?", str(value))
    return float(found[0].replace(",", "")) if found else 0.0


def read(folder: Path = RECORDS) -> Records:
    """Return the latest record of each item in each form."""
    records: Records = {}
    for file in sorted(folder.glob("*.json")):
        record = Record(**json.loads(file.read_text()))
        records.setdefault(record.item, {})[record.form] = record
    return records


def write(record: Record, folder: Path = RECORDS, file: Path | None = None) -> Path | None:
    """Keep a record in place of the one before it, or in a file of its own; return where.

    Returns None where the one before it stays: it found no failure in a whole run, and this one
    found none in a part.
    """
    folder.mkdir(exist_ok=True)
    place = file or folder / f"{record.item:02}-{record.form}.json"
    if file is None and record.verdict == "ok short" and place.exists():
        before = Record(**json.loads(place.read_text()))
        if before.verdict == "ok":
            return None
    place.write_text(json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")
    return place


def telling(forms: Mapping[Form, Record]) -> Record | None:
    """Return the record that speaks for an item: the long form's, unless a later short one missed.

    A short run that finds nothing says less than a long one that found nothing before it.
    """
    long, short = forms.get("long"), forms.get("short")
    if long is None or short is None:
        return long or short
    return short if short.at > long.at and short.verdict == "missed" else long


_MINUTES: Final = "%Y-%m-%d %H:%M"
_CHANGED: Final = "changed.txt"
_PRODUCT: Final = ("--", ":/proxy", ":/native")
_GIT: Final = ("git", "-C", str(ROOT))
_CODE: Final = ("--", ":/", ":!/tools/scorecard/records", ":!/docs/scorecard.md")
"""The paths whose changes are changes of what is measured; records of runs are none."""


def unchanged_since(record: Record) -> bool:
    """Whether the code is the same as in that run."""
    if record.commit is None or record.commit.endswith("+"):
        return False
    command = [*_GIT, "diff", "--quiet", record.commit, *_CODE]
    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - git, on this repository
    return done.returncode == 0


def keep_change(folder: Path = RECORDS) -> None:
    """Keep when the product was changed last, as git knows it: records before that are due."""
    command = [*_GIT, "log", "-1", "--format=%cd", f"--date=format-local:{_MINUTES}", *_PRODUCT]
    told = subprocess.check_output(command, text=True, env={**os.environ, "TZ": "UTC"})  # noqa: S603 - as above
    (folder / _CHANGED).write_text(told)


def last_change(folder: Path = RECORDS) -> str:
    """Return when the product was changed last, as `at` of a record; empty if that is not kept."""
    file = folder / _CHANGED
    return file.read_text().strip() if file.exists() else ""


def _commit() -> str | None:
    try:
        head = subprocess.check_output([*_GIT, "rev-parse", "--short=10", "HEAD"], text=True)  # noqa: S603 - as above
        changed = subprocess.check_output([*_GIT, "status", "--porcelain", *_CODE])  # noqa: S603 - as above
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if changed else "")


def _machine() -> str:
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return f"{machine}; Python {platform.python_version()}, aiohttp {version('aiohttp')}"


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown processor"
    found = re.search(r"^model name\s*:\s*(.+)$", facts, re.MULTILINE)
    return found[1] if found else platform.machine()
