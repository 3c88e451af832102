"""`python -m tools.words`: words of the pages of docs/ that people write, counted.

Left out are the decisions, pages that a program writes, and parts of pages between marks of a
program. Everything else counts as `wc -w` counts it: commands, files, bars of tables.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
MOST: Final = 95_000
"""Upper bound of the words."""
WRITTEN: Final = {
    "docs/explanation/bypass.md": "tests.bypass.measure",
    "docs/scorecard.md": "tools.scorecard",
}
"""Pages that a program writes as a whole and that do not say so in their head, and the program."""
_HEAD: Final = re.compile(r"\A# .+\n\n<!-- (?:Made|Generated) by ")
_PART: Final = re.compile(
    r"^<!-- (?!end)[a-z]+: [^>]+ -->\n.*?^<!-- .*?\bend\b.*?-->$", re.MULTILINE | re.DOTALL
)


def counted() -> dict[str, int]:
    """Return how many words each page has that people write, by its path."""
    pages = {str(one.relative_to(ROOT)): one.read_text("utf-8") for one in _pages()}
    return {
        name: len(_PART.sub("", text).split())
        for name, text in pages.items()
        if name not in WRITTEN and not _HEAD.match(text)
    }


def _pages() -> list[Path]:
    return sorted(one for one in ROOT.glob("docs/**/*.md") if one.parent.name != "adr")


def main() -> None:
    """Print the words of each page, most first, and of all."""
    found = counted()
    for name, words in sorted(found.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"{words:>7,} {name}\n")
    sys.stdout.write(f"{sum(found.values()):>7,} in all (at most {MOST:,})\n")


if __name__ == "__main__":
    main()
