"""`./dev fuzz SECONDS [TARGET]`: every target for its share of the time, by both engines.

`--again FILE` runs the target named by a saved crash once more.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Final, NamedTuple

from . import engines
from .targets import TARGETS, timed

_ROOT: Final = Path(__file__).parents[2]
_CORPUS: Final = Path(__file__).parent / "corpus"
_CRASHES: Final = Path(__file__).parent / "crashes"
_RUNS: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_SPARE_SECONDS: Final = 60
_SHARE_OF_EXAMPLES: Final = 4
"""Hypothesis gets one part in so many: it is slower, and finds what coverage does not lead to.

A share of fewer seconds is left to coverage alone.
"""
_TOLD_LINES: Final = 30
"""Of a crash: the law, where it was broken, and the input."""
_USAGE: Final = "usage: ./dev fuzz SECONDS [TARGET] | --again FILE; targets: "


class _Outcome(NamedTuple):
    engine: str
    runs: int
    crashed: bool


def main(arguments: list[str]) -> int:
    """Return 1 if any target broke a law, 2 for wrong arguments."""
    if len(arguments) == len(("--again", "FILE")) and arguments[0] == "--again":
        name = Path(arguments[1])
        timed(TARGETS[name.name.partition("-")[0]].run, name.read_bytes())
        return 0
    chosen = arguments[1:] or list(TARGETS)
    if not arguments or not arguments[0].isdecimal() or not set(chosen) <= set(TARGETS):
        _say(_USAGE + ", ".join(TARGETS))
        return 2
    found = _engines()
    _CRASHES.mkdir(exist_ok=True)
    share = max(1, int(arguments[0]) // len(chosen))
    broken = [name for name in chosen if _fuzz(name, share, found)]
    if broken:
        _say(f"crashes of {', '.join(broken)} are in {_CRASHES.relative_to(_ROOT)}")
    return 1 if broken else 0


def _engines() -> tuple[str, ...]:
    if importlib.util.find_spec("atheris") is not None:
        return ("by_coverage", "by_examples")
    version = ".".join(str(one) for one in sys.version_info[:2])
    _say(f"no atheris in this environment (Python {version}): hypothesis alone")
    return ("by_examples",)


def _fuzz(name: str, seconds: int, chosen: tuple[str, ...]) -> bool:
    """Run one target; return whether it broke a law."""
    outcomes = []
    if seconds < _SHARE_OF_EXAMPLES:
        chosen = chosen[:1]
    for engine in chosen:
        part = seconds
        if len(chosen) > 1:
            examples = seconds // _SHARE_OF_EXAMPLES
            part = examples if engine == "by_examples" else seconds - examples
        outcomes.append(_run(name, engine, part))
    told = ", ".join(f"{one.runs:>9,} {one.engine.replace('_', ' ')}" for one in outcomes)
    crashed = any(one.crashed for one in outcomes)
    _say(f"{name:<14} {told}   {'CRASHED' if crashed else 'ok'}")
    return crashed


def _run(name: str, engine: str, seconds: int) -> _Outcome:
    arguments = [name, str(seconds), str(_CORPUS / name), str(_CRASHES)]
    status, output = engines.run(engine, arguments, seconds + _SPARE_SECONDS)
    if status is None:
        _say(f"{name}: {engine} did not end")
    elif status:
        _say("\n".join(output.splitlines()[-_TOLD_LINES:]))
    runs = _RUNS.findall(output)
    return _Outcome(engine, int(runs[-1]) if runs else 0, crashed=status != 0)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
