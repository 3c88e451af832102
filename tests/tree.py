"""The tree of `proxy/` in docs/explanation/architecture.md; `python -m tests.tree` writes it anew.

Each folder has the first sentence of its `__init__` beside it.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "explanation" / "architecture.md"
BEGIN: Final = "<!-- tree: made by `./dev docs` -->\n```text\n"
END: Final = "```\n<!-- end of the tree -->"
_WIDTH: Final = 110


def tree() -> str:
    """Return one paragraph for each folder of `proxy/`: its duty, and its files."""
    return "".join(_folders(ROOT / "proxy"))


def written(page: str) -> str:
    """Return the page with the tree as it is now; raise ValueError where it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        message = f"{PAGE.name} has no tree between its two marks"
        raise ValueError(message)
    return before + begin + tree() + end + after


def _folders(folder: Path) -> Iterator[str]:
    files = sorted(one.stem for one in folder.glob("*.py") if not one.stem.startswith("__"))
    yield f"{folder.relative_to(ROOT)}/   {_duty(folder)}\n"
    if files:
        names = textwrap.fill(" ".join(files), _WIDTH - 4)
        yield textwrap.indent(names, "    ") + "\n"
    for one in sorted(folder.iterdir()):
        if (one / "__init__.py").is_file():
            yield from _folders(one)


def _duty(folder: Path) -> str:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
