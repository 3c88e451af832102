"""Holds the lock files to the floors of tools/release/floors.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = Path(__file__).with_name("floors.toml")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def locks() -> list[Path]:
    """Return the lock files that are held to the floors."""
    excepted = tomllib.loads(FLOORS.read_text("utf-8"))["except"]
    found = [*ROOT.glob("*.lock"), *ROOT.glob("*/requirements-*.lock")]
    found += ROOT.glob("tests/*/requirements-*.lock")
    return sorted(one for one in found if str(one.relative_to(ROOT)) not in excepted)


def below(lock: str) -> Iterator[str]:
    """Yield a sentence for each version in the text of a lock file that is below its floor."""
    floors = tomllib.loads(FLOORS.read_text("utf-8"))
    for name, version in _PINNED.findall(lock):
        floor = floors.get(re.sub(r"[-_.]+", "-", name).lower())
        if floor is not None and _numbers(version) < _numbers(floor["floor"]):
            yield f"{name} {version} is below {floor['floor']}: {floor['reason']}"


def _numbers(version: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", version)]


def found() -> list[str]:
    """Return a sentence for each version in a lock file that is below its floor."""
    return [
        f"{lock.relative_to(ROOT)}: {sentence}"
        for lock in locks()
        for sentence in below(lock.read_text("utf-8"))
    ]
