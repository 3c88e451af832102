"""`./dev scorecard [--long]`: measure every item that can be measured, and write the page.

Each figure comes from this very run. What nothing measures yet is missing, never passed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.test_oracle import SEPARABLE, largest_t

from .items import ITEMS, Item

_ROOT: Final = Path(__file__).parents[1]
_PAGE: Final = _ROOT / "docs" / "scorecard.md"
_FUZZ_SECONDS: Final = {False: 60, True: 1200}
_SAMPLES: Final = {False: 8_000, True: 100_000}
_PATIENCE: Final = {False: 900, True: 7200}
_NOTED: Final = frozenset({"memory", "p99"})
"""What tests note of themselves beside passing."""
_WANTED_RUNS: Final = 100_000_000


class Result(NamedTuple):
    """What was measured, and what that makes of the target."""

    measured: str
    verdict: str


def main(arguments: list[str]) -> int:
    """Return 1 if a target that could be measured was missed."""
    long = "--long" in arguments
    if set(arguments) - {"--long"}:
        sys.stderr.write("usage: ./dev scorecard [--long]\n")
        return 2
    rows = []
    for item in ITEMS:
        began = time.monotonic()
        result = _measure(item, long=long)
        rows.append((item, result))
        seconds = time.monotonic() - began
        sys.stdout.write(
            f"{item.number:>2}  {result.verdict:<8} {item.name} - {result.measured}"
            f" ({seconds:.0f} s)\n"
        )
        sys.stdout.flush()
    _PAGE.write_text(_page(rows, long=long))
    return int(any(result.verdict == "missed" for _, result in rows))


def _measure(item: Item, *, long: bool) -> Result:
    if item.kind == "tests":
        return _tests(item, long=long)
    if item.kind == "fuzz":
        return _fuzz(long=long)
    if item.kind == "timing":
        return _timing(long=long)
    return Result("nothing measures it yet", "missing")


def _tests(item: Item, *, long: bool) -> Result:
    paths = [one for one in item.what if (_ROOT / one).exists()]
    if not paths:
        return Result("nothing measures it yet", "missing")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
        command += [
            "-k",
            item.only,
            f"--junitxml={report}",
            "-o",
            "junit_family=xunit1",
            "-m",
            "" if long else "not slow",
        ]
        try:
            subprocess.run(  # noqa: S603 - pytest of this environment
                command, cwd=_ROOT, capture_output=True, timeout=_PATIENCE[long], check=False
            )
        except subprocess.TimeoutExpired:
            return Result("did not end", "missed")
        if not report.exists():
            return Result("the tests could not be run", "missed")
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - written by pytest
    if suite is None:
        return Result("the tests could not be run", "missed")
    noted = [
        f"{one.get('name')} {one.get('value')}"
        for one in suite.iter("property")
        if one.get("name") in _NOTED
    ]
    return _of_suite(item, dict(suite.attrib), noted, long=long)


def _of_suite(item: Item, counts: dict[str, str], noted: list[str], *, long: bool) -> Result:
    total, skipped = (int(counts.get(name, 0)) for name in ("tests", "skipped"))
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    passed = total - skipped - failed
    told = f"{passed} tests passed, {failed} failed"
    if skipped:
        told += f", {skipped} skipped"
    told += "".join(f"; {one}" for one in noted)
    if item.short and not long:
        told += f"; short form: {item.short}"
    if item.less:
        told += f"; only {item.less}"
    if failed:
        return Result(told, "missed")
    if not passed:
        return Result(f"not measured here: all {skipped} tests were skipped", "missing")
    whole = not skipped and not item.less and (long or not item.short)
    return Result(told, "ok" if whole else "ok short")


def _fuzz(*, long: bool) -> Result:
    seconds = _FUZZ_SECONDS[long]
    done = subprocess.run(  # noqa: S603 - this repository's own command
        [str(_ROOT / "dev"), "fuzz", str(seconds)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE[long] + seconds,
        check=False,
    )
    figures = re.findall(r"([\d,]+) by (?:coverage|examples)", done.stdout)
    runs = sum(int(one.replace(",", "")) for one in figures)
    told = f"{runs:,} runs in {seconds} s, {done.stdout.count('CRASHED')} targets crashed"
    if done.returncode or not runs:
        return Result(told, "missed")
    return Result(told, "ok" if runs >= _WANTED_RUNS else "ok short")


def _timing(*, long: bool) -> Result:
    number = _SAMPLES[long]
    largest, which = asyncio.run(largest_t(number))
    told = f"{number:,} samples: |t| up to {largest:.0f}; {which}"
    if largest >= SEPARABLE:
        return Result(told, "missed")
    return Result(told, "ok" if long else "ok short")


def _page(rows: list[tuple[Item, Result]], *, long: bool) -> str:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    software = f"Python {platform.python_version()}, aiohttp {version('aiohttp')}"
    counts = {one: sum(result.verdict == one for _, result in rows) for one in _VERDICTS}
    lines = [
        "# Scorecard",
        "",
        f"Measured by `./dev scorecard{' --long' if long else ''}` on {now}.",
        f"{machine}; {software}.",
        "",
        "; ".join(f"{counts[one]} {one}" for one in _VERDICTS) + ".",
        "",
        *(f"- **{one}**: {meaning}" for one, meaning in _VERDICTS.items()),
        "",
        "| # | item | target | measured | verdict |",
        "|--:|---|---|---|---|",
    ]
    lines += [
        f"| {item.number} | {item.name} | {_cell(item.target)} | {_cell(result.measured)}"
        f" | {result.verdict} |"
        for item, result in rows
    ]
    return "\n".join([*lines, ""])


_VERDICTS: Final = {
    "ok": "the target is met",
    "ok short": "nothing wrong in what was tried, which is less than the target asks for",
    "missed": "the target is not met",
    "missing": "nothing measures it yet",
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown processor"
    found = re.search(r"^model name\s*:\s*(.+)$", facts, re.MULTILINE)
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
