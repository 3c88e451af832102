"""The pages of the documentation, and the examples in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")))
COMMANDS: Final = ("console", "sh")
"""Languages of blocks with commands: a session with `$` and what is printed, and a script."""
DATA: Final = ("json", "yaml")
PROGRAMS: Final = ("go", "java", "js", "promql", "python", "sql")
OTHERS: Final = ("text", "{toctree}")
"""Pictures, forms of bytes, and what a program prints."""
_FENCE: Final = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its page from the root of the repository, its line, language and text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """What a test is called that is for this block alone."""
        return f"{self.page}:{self.line}"


def without_blocks(text: str) -> str:
    """Return the text of a page without its fenced blocks."""
    return _FENCE.sub("", text)


def prose(page: Path) -> str:
    """Return what a page says beside its fenced blocks."""
    return without_blocks(page.read_text("utf-8"))


def blocks() -> Iterator[Block]:
    """Give every fenced block of every page, in the order of the page."""
    for page in PAGES:
        yield from blocks_of(page)


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return blocks_in(page.read_text("utf-8"), str(page.relative_to(ROOT)))


def blocks_in(text: str, name: str) -> list[Block]:
    """Return the fenced blocks of a text, each without the indentation that it has there."""
    return [
        Block(name, text[: one.start()].count("\n") + 1, one[2], _without(one[1], one[3]))
        for one in _FENCE.finditer(text)
    ]


def _without(indentation: str, text: str) -> str:
    return "".join(line.removeprefix(indentation) for line in text.splitlines(keepends=True))
