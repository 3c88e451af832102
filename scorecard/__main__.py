"""`./dev scorecard [--long] [--only NUMBERS]`: measure items, and write the page.

Each figure comes from a run that really took place; an item that is not chosen keeps its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

from . import items, results, testing
from .figures import FIGURES
from .items import Item
from .page import PAGE, render
from .results import NOTHING, Outcome, Result


def main(arguments: list[str]) -> int:
    """Return 1 if a target that could be measured was missed, 2 for wrong arguments."""
    known = items.load()
    chosen = _choose(known, arguments)
    missed = False
    for item in chosen.items:
        began = time.monotonic()
        outcome = _measure(item, long=chosen.long)
        seconds = time.monotonic() - began
        sys.stdout.write(
            f"{item.number:>2}  {outcome.verdict:<8} {item.name} - {outcome.measured}"
            f" ({seconds:.0f} s)\n"
        )
        sys.stdout.flush()
        missed = missed or outcome.verdict == "missed"
        _keep(item, outcome, long=chosen.long)
    PAGE.write_text(render(known, results.read()))
    return int(missed)


def _choose(known: tuple[Item, ...], arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("./dev scorecard", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--long", action="store_true", help="the long form of each item")
    parser.add_argument(
        "--only", metavar="NUMBERS", help="these items alone, such as 3,20; or none"
    )
    chosen = parser.parse_args(arguments)
    by_number = {str(item.number): item for item in known}
    wanted = list(by_number) if chosen.only is None else re.findall(r"[^,\s]+", chosen.only)
    if chosen.only == "none":
        wanted = []
    if unknown := [one for one in wanted if one not in by_number]:
        parser.error(f"there is no item {', '.join(unknown)}")
    chosen.items = [by_number[one] for one in wanted]
    return chosen


def _measure(item: Item, *, long: bool) -> Outcome:
    if item.tests:
        return testing.run(item, long=long)
    if item.figure:
        return FIGURES[item.figure](long=long)
    return NOTHING


def _keep(item: Item, outcome: Outcome, *, long: bool) -> None:
    """Keep an outcome at once: a later item may take hours, and be ended."""
    if outcome.verdict == NOTHING.verdict:
        return
    form: results.Form = "long" if long else "short"
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
    kept = results.read()
    kept.setdefault(item.number, {})[form] = Result(form, now, _machine(), *outcome)
    results.write(kept)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
