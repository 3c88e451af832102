"""`./dev chaos [--seconds N] [--mode MODE] [--write] [NAME ...]`: take Redis away and measure.

Every outage at both kinds of sessions takes about 25 minutes at the 60 seconds that are usual.
`./dev chaos conversations [COUNT] [MODE]` measures what many conversations cost;
`./dev chaos faults [COUNT]` spoils that many replies of Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from . import conversations, faults, trial
from .outages import OUTAGES, Outage
from .page import row, write
from .sealyard import MODES, Mode
from .trial import Outcome

_ATTEMPTS: Final = 3
_QUIET_MS: Final = 50.0


def main(arguments: list[str]) -> int:
    """Return 1 if a promise was broken, 2 for wrong arguments."""
    if arguments[:1] == ["conversations"]:
        return conversations.main(arguments[1:])
    if arguments[:1] == ["faults"]:
        return faults.main(arguments[1:])
    parser = argparse.ArgumentParser("./dev chaos", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each one lasts")
    parser.add_argument("--mode", choices=MODES, help="one kind of sessions")
    parser.add_argument("--write", action="store_true", help="write docs/explanation/outages.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help="outages by their first word")
    chosen = parser.parse_args(arguments)
    wanted = [one for one in OUTAGES if one.name.startswith(tuple(chosen.names) or "")]
    if not wanted:
        parser.error(f"no such outage; one of: {', '.join(one.name for one in OUTAGES)}")
    outcomes: list[Outcome] = []
    missed = False
    for outage in wanted:
        for mode in MODES:
            if chosen.mode in {None, mode}:
                outcome = _try(outage, mode, chosen.seconds)
                if outcome is None:
                    missed = True
                    continue
                outcomes.append(outcome)
                missed = missed or bool(trial.broken(outage, outcome))
    if chosen.write:
        write(outcomes)
    return int(missed)


def _try(outage: Outage, mode: Mode, seconds: float) -> Outcome | None:
    """Try it, and try it again where the machine was too busy to tell.

    Return None where it could not be tried; the others are tried all the same.
    """
    outcome = None
    for attempt in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="sealyard-chaos-") as folder:
            try:
                outcome = asyncio.run(trial.run(outage, mode, seconds, Path(folder)))
            except (OSError, AssertionError) as error:
                sys.stdout.write(f"  BROKEN: {outage.name}, {mode}: not tried: {error!r}\n")
                continue
        sys.stdout.write(row(outcome) + "\n")
        busy = outcome.bare.at(0.99) > _QUIET_MS and attempt < _ATTEMPTS - 1
        if busy:
            sys.stdout.write("  void: without Sealyard it took long as well\n")
        for broken in () if busy else trial.broken(outage, outcome):
            statuses = dict(outcome.cached.statuses), dict(outcome.new.statuses)
            sys.stdout.write(f"  BROKEN: {broken}: {statuses}\n")
        sys.stdout.flush()
        if not busy:
            break
    return outcome


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
