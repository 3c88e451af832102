"""`./dev bench`: measure Sealyard and its peers, print tables, and write the pages if asked to.

The whole takes three quarters of an hour. CASE is one of {names}.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import pages, parts, report, results
from .cases import QUICK_PEERS
from .cells import Pace, say
from .check import NotDone
from .load import LoadFailed
from .parts import Run
from .peers import PEERS, Peer, sealyard
from .peers.base import needs
from .results import Results
from .running import DidNotStart, leave_a_core

_ROUNDS: Final = 5
_NEEDED: Final = ("wrk", "taskset")


def main() -> int:
    """Measure, print, and write.

    Returns 1 if a peer did not do its work, 3 if a program that all of it needs is missing.
    """
    options = _options()
    if options.render:
        pages.write(Results({}, {}))
        return 0
    if lacking := needs(*_NEEDED):
        say(lacking)
        return 3
    leave_a_core()
    try:
        found = _measured(options)
    except (DidNotStart, NotDone, LoadFailed) as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    sys.stdout.write(report.measured(found) + "\n")
    return 0


def _options() -> argparse.Namespace:
    about = (__doc__ or "").format(names=", ".join(parts.NAMES))
    parser = argparse.ArgumentParser(prog="./dev bench", description=about)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="see in three minutes that it runs, every row once; the figures mean nothing",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the pages, the plots and the record, case by case; the others stay as they are",
    )
    parser.add_argument(
        "--missing",
        action="store_true",
        help="only what the record does not have of this commit: goes on with a run that has ended",
    )
    parser.add_argument("--render", action="store_true", help="write them from the record")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep it in FILE, case by case")
    parser.add_argument(
        "--only", action="append", default=[], metavar="CASE", choices=parts.NAMES, help="only this"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME", help="only such peers, and Sealyard"
    )
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, metavar="N", help=f"unless given, {_ROUNDS}"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round is needed")
    if options.write and (options.quick or options.peer):
        parser.error("only full rounds of all peers are written")
    return options


def _measured(options: argparse.Namespace) -> Results:
    wanted = frozenset(options.only) or (parts.QUICK if options.quick else frozenset(parts.NAMES))
    if options.missing:
        wanted -= {name for name, run in _recorded().items() if run["commit"] == _commit()}
    pace = Pace(1, quick=True) if options.quick else Pace(options.rounds)
    peers, absent = _present(options.peer)
    if options.quick:
        peers = [peer for peer in peers if peer.name in QUICK_PEERS]
    versions = {peer.name: peer.version() for peer in peers if peer.name != sealyard.UNLOGGED}
    found = Results(versions, absent)

    def keep() -> None:
        if options.record:
            found.write(options.record)
        if options.write:
            pages.write(found)

    parts.measure(Run(wanted, peers, pace, lambda: _about(pace)), found, keep)
    return found


def _recorded() -> dict[str, dict[str, str]]:
    return results.read(pages.FOUND).runs


def _present(names: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that can run here, and why others cannot."""
    present, absent = [], {}
    for peer in PEERS:
        if names and peer not in sealyard.PEERS and not any(name in peer.name for name in names):
            continue
        if reason := peer.absent():
            absent[peer.name] = reason
            say(f"{peer.name}: skipped, {reason}")
        else:
            present.append(peer)
    return present, absent


def _about(pace: Pace) -> dict[str, str]:
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "rounds": str(pace.rounds),
    }


@functools.cache
def _commit() -> str:
    """Return the commit, with a mark where other files than the pages differ from it."""
    of = ("git", "describe", "--always"), ("git", "status", "--porcelain", "-uno", "--", ":!docs")
    commit, changed = (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        for command in of
    )
    return (commit or "unknown") + "-dirty" * bool(changed)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


if __name__ == "__main__":
    sys.exit(main())
