"""Items that are a figure rather than the passing of tests."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.faults.test_oracle import SEPARABLE, largest_t
from tools.bench.overload.record import Delivered
from tools.bench.overload.record import read as overload_record
from tools.soak.report import outcome as soak_outcome

from .results import Outcome
from .testing import PATIENCE, ROOT

_FUZZ_SECONDS: Final = {False: 60, True: 1200}
_WANTED_SHARE: Final = 0.9
_SOAK_HOURS: Final = {False: 0.05, True: 2.0}
_OVERLOAD_SECONDS: Final = {False: 10, True: 120}
_GOOD_SHARE, _POLITE_SHARE = 0.8, 0.95
_SERVED_MS, _PROBE_MS, _RECOVERY_SECONDS = 1000.0, 100.0, 2.0
_SAMPLES: Final = {False: 8_000, True: 100_000}


def _fuzz(*, long: bool) -> Outcome:
    """Give what reads bytes many of them, and count."""
    seconds = _FUZZ_SECONDS[long]
    done = subprocess.run(  # noqa: S603 - this repository's own command
        [str(ROOT / "dev"), "fuzz", str(seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE[long] + seconds,
        check=False,
    )
    figures = re.findall(r"([\d,]+) by (?:coverage|examples)", done.stdout)
    runs = sum(int(one.replace(",", "")) for one in figures)
    told = f"{runs:,} runs in {seconds} s, {done.stdout.count('CRASHED')} targets crashed"
    bad = done.returncode or not runs
    return Outcome(told, "missed" if bad else "ok", {"runs": runs})


def _mutants(*, long: bool) -> Outcome:
    """Change gate and rules in every way that mutmut knows; both forms are whole."""
    done = subprocess.run(  # noqa: S603 - this repository's own command
        [str(ROOT / "dev"), "mutants"],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE[long],
        check=False,
    )
    found = re.findall(rb"(\d+)/(\d+) +\S+ (\d+) +\S+ (\d+) +\S+ (\d+)", done.stdout)
    if done.returncode or not found:
        return Outcome("it could not be run", "missed")
    _, total, killed, _, slow = (int(one) for one in found[-1])
    told = f"{killed} of {total} changes killed ({killed / total:.1%}), {slow} did not end"
    return Outcome(told, "ok" if killed >= _WANTED_SHARE * total else "missed")


def _timing(*, long: bool) -> Outcome:
    """Compare the times of failed opens."""
    number = _SAMPLES[long]
    largest, which = asyncio.run(largest_t(number))
    told = f"{number:,} samples: |t| up to {largest:.0f}; {which}"
    if largest >= SEPARABLE:
        return Outcome(told, "missed")
    return Outcome(told, "ok" if long else "ok short")


def _soak(*, long: bool) -> Outcome:
    """Run a soak, which is also a command of its own: `./dev soak`."""
    return soak_outcome(_SOAK_HOURS[long])


def _overload(*, long: bool) -> Outcome:
    """Ask Sealyard for three times what a backend can do: a part of `./dev overload`."""
    command = [sys.executable, "-m", "tools.bench.overload", str(_OVERLOAD_SECONDS[long])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "record.json")
        chosen = ["--proxy", "Sealyard", "--scenario", "backend", "--record", str(file)]
        subprocess.run(  # noqa: S603 - the benchmark of this repository
            [*command, *chosen], cwd=ROOT, capture_output=True, timeout=PATIENCE[long], check=False
        )
        if not file.exists():
            return Outcome("it could not be run", "missed")
        (found,) = overload_record(file).backend
    recovery = "not in time" if found.recovery_seconds is None else f"{found.recovery_seconds} s"
    told = (
        f"of {found.capacity:.0f} a second, {found.of_capacity:.0%} served while"
        f" {found.offered:.0f} were asked; polite client {found.polite:.1%};"
        f" p99 {found.served_p99:.0f} ms; refused after {found.refused_p50:.0f} ms (p50);"
        f" recovery {recovery}; probes at most {found.probe_most:.0f} ms"
    )
    return Outcome(told, "ok" if _withstood(found) else "missed")


def _withstood(found: Delivered) -> bool:
    return (
        found.of_capacity >= _GOOD_SHARE
        and found.polite >= _POLITE_SHARE
        and found.served_p99 <= _SERVED_MS
        and found.recovery_seconds is not None
        and found.recovery_seconds <= _RECOVERY_SECONDS
        and found.probes > 0
        and found.probe_most <= _PROBE_MS
    )


FIGURES: Final[dict[str, Callable[..., Outcome]]] = {
    "fuzz": _fuzz,
    "mutants": _mutants,
    "overload": _overload,
    "soak": _soak,
    "timing": _timing,
}
