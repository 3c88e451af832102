"""`./dev scorecard [--long] [--only NUMBERS] [--except NUMBERS] [--resume]`: measure the items.

It writes docs/scorecard.md. Each figure comes from a run that really took place; an item that is
not chosen keeps its own. Each item is kept as soon as it was measured, so that a run that was ended
can go on with --resume.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from . import items, results, testing
from .figures import FIGURES
from .items import Item
from .page import PAGE, render
from .results import NOTHING, Outcome


def main(arguments: list[str]) -> int:
    """Return 1 if a target that could be measured was missed, 2 for wrong arguments."""
    known = items.load()
    chosen = _choose(known, arguments)
    missed = False
    for item in chosen.items:
        began = time.monotonic()
        outcome = _measure(item, long=chosen.long)
        seconds = time.monotonic() - began
        record = results.made(item, "long" if chosen.long else "short", outcome, seconds)
        sys.stdout.write(
            f"{item.number:>2}  {record.verdict:<8} {item.name} - {record.measured}"
            f" ({seconds:.0f} s)\n"
        )
        sys.stdout.flush()
        missed = missed or record.verdict == "missed"
        if record.verdict != results.NOTHING.verdict:
            # At once: a later item may take hours, and be ended.
            if results.write(record) is None:
                sys.stdout.write("    not kept: a whole run has found no failure before\n")
            PAGE.write_text(render(known, results.read(), results.last_change()))
    results.keep_change()
    PAGE.write_text(render(known, results.read(), results.last_change()))
    return int(missed)


def _choose(known: tuple[Item, ...], arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("./dev scorecard", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--long", action="store_true", help="the long form of each item")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="without what was measured so in this state of the code",
    )
    parser.add_argument(
        "--only", metavar="NUMBERS", help="these items alone, such as 3,20; or none"
    )
    parser.add_argument("--except", dest="without", default="", metavar="NUMBERS")
    chosen = parser.parse_args(arguments)
    by_number = {str(item.number): item for item in known}
    wanted = list(by_number) if chosen.only is None else re.findall(r"[^,\s]+", chosen.only)
    if chosen.only == "none":
        wanted = []
    if unknown := [one for one in wanted if one not in by_number]:
        parser.error(f"there is no item {', '.join(unknown)}")
    without = re.findall(r"[^,\s]+", chosen.without)
    chosen.items = [by_number[one] for one in wanted if one not in without]
    if chosen.resume:
        kept = results.read()
        chosen.items = [one for one in chosen.items if not _measured(kept, one, long=chosen.long)]
    return chosen


def _measured(kept: results.Records, item: Item, *, long: bool) -> bool:
    record = kept.get(item.number, {}).get("long" if long else "short")
    return record is not None and results.unchanged_since(record)


def _measure(item: Item, *, long: bool) -> Outcome:
    if item.tests:
        return testing.run(item, long=long)
    if item.figure:
        return FIGURES[item.figure](long=long)
    return NOTHING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
