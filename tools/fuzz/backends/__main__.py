"""`./dev fuzz-backends SECONDS [options]`: random messages through Sealyard to real servers.

Each server reports what it read; no secret may be read in plain, and no value be opened for another
conversation than the one that the server read. Exit status 1 if anything was found.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from . import page
from .campaign import Campaign, rigged
from .case import load, save
from .mutators import MUTATORS
from .servers import SERVERS, missing
from .sidecar import of_release, own, split

_CASES: Final = Path(__file__).parents[3] / "tests" / "fuzz_backends" / "cases"


def main(arguments: list[str]) -> int:
    """Return 1 if something was found, 2 for wrong arguments, 3 where no backend is installed."""
    parser = argparse.ArgumentParser(
        "./dev fuzz-backends", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument("seconds", type=float, help="how long")
    parser.add_argument("--seed", type=int, help="what to repeat; random unless given")
    parser.add_argument("--backends", help=f"some of: {', '.join(SERVERS)}; with commas")
    parser.add_argument(
        "--release", type=Path, metavar="PATH", help="another checkout, or its environment"
    )
    parser.add_argument("--sealyard", metavar="COMMAND", help="another command instead")
    parser.add_argument("--only", help=f"some of: {', '.join(MUTATORS)}; with commas")
    parser.add_argument(
        "--write", action="store_true", help="write the figures to docs/explanation/bypass.md"
    )
    parser.add_argument("--cases", type=Path, default=_CASES, help="where finds are written")
    chosen = parser.parse_args(arguments)
    names = chosen.backends.split(",") if chosen.backends else list(SERVERS)
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"no such backend: {', '.join(unknown)}")
    only = chosen.only.split(",") if chosen.only else []
    if unknown := [name for name in only if name not in MUTATORS]:
        parser.error(f"no such mutator: {', '.join(unknown)}")
    try:
        command = of_release(chosen.release.resolve()) if chosen.release else own()
    except FileNotFoundError as error:
        parser.error(str(error))
    command = split(chosen.sealyard) if chosen.sealyard else command
    present = [name for name in names if _present(name)]
    if not present:
        return 3
    seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
    return uvloop.run(_run(present, command, seed, only, chosen))


def _present(name: str) -> bool:
    lacking = missing(name)
    if lacking:
        _say(f"{name} is left out: {lacking} is not installed here")
    return not lacking


async def _run(
    names: list[str], command: list[str], seed: int, only: list[str], chosen: argparse.Namespace
) -> int:
    began = time.monotonic()
    async with rigged(names, command) as rig:
        took = time.monotonic() - began
        _say(f"seed {seed}; {', '.join(names)} are up after {took:.0f} s")
        campaign = Campaign(seed, rig, chosen.seconds, only)
        await campaign.replay(load(chosen.cases))
        await campaign.run()
    for kept in campaign.kept:
        save(chosen.cases, kept)
    _report(campaign)
    if chosen.write:
        page.write(page.section(campaign))
    return 1 if campaign.finds else 0


def _report(campaign: Campaign) -> None:
    _say(f"\n{'backend':<10}" + "".join(f"{one:>10}" for one in (*page.COLUMNS, "finds")))
    totals = [0] * (len(page.COLUMNS) + 1)
    for backend in campaign.rig.backends:
        row = page.figures(campaign, backend.name)
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        _say(f"{backend.name:<10}" + "".join(f"{one:>10,}" for one in row))
    _say(f"{'together':<10}" + "".join(f"{one:>10,}" for one in totals))
    rate = totals[0] / max(campaign.elapsed, 0.001)
    finds = f"{len(campaign.finds)} finds, {len(campaign.kept)} kept"
    _say(f"{rate:.0f} messages a second; seed {campaign.seed}; {finds}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
