"""`./dev soak HOURS [--seed N] [--only WORDS]`: mixed traffic with faults at random, and an oracle.

It can be left alone: it prints a line after each fault, goes on after errors of its own, and always
writes its record and the scorecard. SIGTERM or SIGINT ends the load and begins the final check.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tools.scorecard import items, results
from tools.scorecard.page import PAGE, SOAK, render

from . import report
from .run import say

_LONG_HOURS = 2.0


def main(arguments: list[str]) -> int:
    """Return 0 if no promise was broken, 1 otherwise, 2 for wrong arguments."""
    parser = argparse.ArgumentParser("./dev soak", description=(__doc__ or "").split(":")[0])
    parser.add_argument("hours", type=float, help="how long the load lasts, such as 2 or 0.05")
    parser.add_argument("--seed", type=int, help="the choices of an earlier run")
    parser.add_argument(
        "--only",
        default="",
        metavar="WORDS",
        help="faults with these words alone, or with others after a |",
    )
    parser.add_argument("--record", type=Path, help="write the record there, and no scorecard")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    told = report.outcome(chosen.hours, chosen.seed, chosen.only)
    report.tell(told)
    item = next(one for one in items.load() if one.number == SOAK)
    form: results.Form = "long" if chosen.hours >= _LONG_HOURS else "short"
    record = results.made(item, form, told, time.monotonic() - began)
    kept = results.write(record, file=chosen.record)
    say(f"record: {kept or 'not kept, a whole run has found no failure before'}")
    if chosen.record is None:
        PAGE.write_text(render(items.load(), results.read()))
    return int(told.verdict == "missed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
