"""`python -m tools.size`: lines of the product, counted and bounded; a part of `./dev lint`.

The product is all Python of the distribution: `proxy/`. Code that moved from there to tools/,
native/ or a data file still counts if `MOVED` names it: moving is not removing. The sizes of tests,
tools, native sources and data files are printed beside the figure. Exits with 1 above `MOST`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
MOST: Final = 116_680
"""Upper bound of the lines of the product."""
LINE_LENGTH: Final = 100
"""Columns a line may have: longer lines would make fewer of the same code."""
MOVED: Final[tuple[str, ...]] = ()
"""Files outside proxy/ whose content was product code before."""
_BESIDE: Final = {
    "tests": ("tests/*.py",),
    "tools": ("tools/*.py",),
    "native": ("native/*.rs", "native/*.pyi"),
    "data of the distribution": ("proxy/*", ":!proxy/*.py"),
}


def lines(files: Iterable[Path]) -> int:
    """Return the number of lines in these files; one that is deleted but not committed has none."""
    return sum(one.read_bytes().count(b"\n") for one in files if one.is_file())


def tracked(*patterns: str) -> list[Path]:
    """Return the files under these patterns that git tracks, or would add."""
    command = (
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        *patterns,
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # noqa: S603 - git
    return [ROOT / one for one in set(done.stdout.decode().split("\0")) if one]


def product() -> int:
    """Return the lines of the product, with what moved out of it."""
    return lines(tracked("proxy/*.py", *MOVED))


def main() -> int:
    """Print the sizes; return the exit status."""
    length = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    found = product()
    beside = ", ".join(f"{name} {lines(tracked(*where)):,}" for name, where in _BESIDE.items())
    moved = f", {lines(tracked(*MOVED)):,} of them moved out of proxy/" if MOVED else ""
    sys.stdout.write(
        f"{found:,} lines of the product{moved} (at most {MOST:,}); beside it: {beside}\n"
    )
    if length != LINE_LENGTH:
        sys.stderr.write(
            f"size: lines have {length} columns, not {LINE_LENGTH}: the bound is void.\n"
        )
        return 1
    if found > MOST:
        sys.stderr.write(
            f"size: {found - MOST:,} lines above the bound. Remove some, or tell why not.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
