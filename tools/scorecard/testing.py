"""An item that is the passing of tests."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .items import Item
from .results import NOTHING, Outcome

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = {False: 900, True: 14_400}
"""How many seconds a short and a long form may take."""
_FIGURE: Final = re.compile(r"(\d+(?:\.\d+)?) (\S+)")
_MANY: Final = 4
"""From so many figures on of one name, the least and the largest are told."""


def run(item: Item, *, long: bool) -> Outcome:
    """Run the item's tests, those marked slow only in the long form."""
    paths = [one for one in item.tests if (ROOT / one).exists()]
    if not paths:
        return NOTHING
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        try:
            subprocess.run(  # noqa: S603 - pytest of this environment
                _command(item, paths, report, long=long),
                cwd=ROOT,
                capture_output=True,
                timeout=PATIENCE[long],
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome("did not end", "missed")
        if not report.exists():
            return Outcome("the tests could not be run", "missed")
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - written by pytest
    if suite is None:
        return Outcome("the tests could not be run", "missed")
    for one in suite.iter("testcase"):
        if one.find("failure") is not None or one.find("error") is not None:
            sys.stderr.write(f"failed: {one.get('classname')}::{one.get('name')}\n")
    noted = [
        (name, str(one.get("value")))
        for one in suite.iter("property")
        if not (name := str(one.get("name"))).startswith("hypothesis-")  # its plugin notes much
    ]
    return judge(item, suite.attrib, noted, long=long)


def _command(item: Item, paths: list[str], report: Path, *, long: bool) -> list[str]:
    chosen = ["-k", item.only, "-m", "" if long else "not slow"]
    told = [f"--junitxml={report}", "-o", "junit_family=xunit1"]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths, *chosen, *told]


def judge(
    item: Item, counts: Mapping[str, str], noted: Sequence[tuple[str, str]], *, long: bool
) -> Outcome:
    """Return what the counts of a run, and what its tests noted beside, make of the item."""
    total, skipped = (int(counts.get(name, 0)) for name in ("tests", "skipped"))
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    passed = total - skipped - failed
    told = f"{passed} tests passed, {failed} failed"
    if skipped:
        told += f", {skipped} skipped"
    noted = _in_short(noted)
    told += "".join(f"; {name} {value}" for name, value in noted)
    if item.short and not long:
        told += f"; short form: {item.short}"
    if item.less:
        told += f"; only {item.less}"
    if failed:
        return Outcome(told, "missed", dict(noted))
    if not passed:
        return Outcome(f"not measured here: all {skipped} tests were skipped", "missing")
    whole = not skipped and not item.less and (long or not item.short)
    return Outcome(told, "ok" if whole else "ok short", dict(noted))


def _in_short(noted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what was noted, each only once, and of many figures of one kind their range."""
    values: dict[str, dict[str, None]] = {}
    for name, value in noted:
        values.setdefault(name, {})[value] = None
    short: list[tuple[str, str]] = []
    for name, some in values.items():
        found = [_FIGURE.fullmatch(one) for one in some]
        figures = [(float(one[1]), one[1]) for one in found if one is not None]
        units = {one[2] for one in found if one is not None}
        if len(figures) == len(some) >= _MANY and len(units) == 1:
            least, most = min(figures)[1], max(figures)[1]
            short.append((name, f"{least} to {most} {units.pop()}"))
        else:
            short += [(name, one) for one in some]
    return short
