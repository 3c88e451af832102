"""`./dev bench`: measure Sealyard and its peers, print tables, and write the page if asked to."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import cells, conversations, frames, plots, report, results, scale, transform, weight
from .cells import Pace, say
from .check import NotDone
from .load import LoadFailed
from .peers import PEERS, Peer, sealyard
from .peers.base import needs
from .results import Results
from .running import DidNotStart, a_backend, leave_a_core

_DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = _DOCS / "benchmarks.md"
FOUND: Final = _DOCS / "assets" / "benchmarks.json"
PLOTS: Final = {"throughput.svg": plots.throughput, "growth.svg": plots.growth}
_ROUNDS: Final = 4
_NEEDED: Final = ("wrk", "taskset")


def main() -> int:
    """Measure, print, and write.

    Returns 1 if a peer did not do its work, 3 if a program that all of it needs is missing.
    """
    options = _options()
    if options.render:
        _write(results.read(FOUND))
        return 0
    if lacking := needs(*_NEEDED):
        say(lacking)
        return 3
    leave_a_core()
    try:
        found = _measure(options)
    except (DidNotStart, NotDone, LoadFailed) as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    sys.stdout.write(report.measured(found) + "\n")
    if options.write:
        _write(found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="see that all of it runs; the figures mean nothing"
    )
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks.md and its plots"
    )
    parser.add_argument("--render", action="store_true", help="write them from the last figures")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME",
        help="only peers so named, and Sealyard",
    )
    parser.add_argument(
        "--side-by-side", action="store_true", help="only the peers: no curves and no weights"
    )
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, metavar="N", help=f"unless given, {_ROUNDS}"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round is needed")
    if options.write and (options.quick or options.peer or options.side_by_side):
        parser.error("only a whole run is written")
    return options


def _measure(options: argparse.Namespace) -> Results:
    quick: bool = options.quick
    pace = Pace(1, 1) if quick else Pace(options.rounds, 2)
    growing = Pace(min(pace.rounds, 3), 1)
    about = _about(pace)
    peers, absent = _present(options.peer)
    others = [peer for peer in peers if peer.name != sealyard.UNLOGGED]
    found = Results(about, {peer.name: peer.version() for peer in others}, absent)
    with a_backend() as backend:
        found.cells.extend(
            cells.measure(cells.QUICK if quick else cells.FULL, peers, backend, pace)
        )
        if options.side_by_side:
            return found
        found.curves.extend(
            scale.measure(backend, scale.QUICK if quick else scale.Sizes(), growing)
        )
        found.workers.extend(scale.workers(backend, growing))
        found.weights.extend(weight.measure(others, backend, growing.rounds, pace.seconds))
    found.frames.extend(frames.measure(frames.MEBIBYTES[: 1 if quick else None], growing.rounds))
    found.curves.extend(conversations.measure(conversations.COUNTS[: 2 if quick else None]))
    if not quick:
        found.steps.extend(transform.run())
    return found


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
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "rounds": str(pace.rounds),
        "seconds": str(pace.seconds),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


def _write(found: Results) -> None:
    FOUND.parent.mkdir(exist_ok=True)
    found.write(FOUND)
    for name, plot in PLOTS.items():
        (FOUND.parent / name).write_text(plot(found))
    PAGE.write_text(report.page(found, PAGE.read_text()))


if __name__ == "__main__":
    sys.exit(main())
