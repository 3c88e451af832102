"""Write docs/explanation/bypass.md: `python -m tests.bypass.measure docs/explanation/bypass.md`.

What each backend does with each row by itself, and what comes of it with Sealyard in front.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from fuzz.backends.page import kept
from tests.bypass.backends import PLANS, missing, running
from tests.bypass.measuring import alone, protected
from tests.bypass.rows import Row, rows

HEAD = """\
# No way around a rule

The rule is `POST /api/pay`, which seals `$.card`, `form:card` or `part:card`, and says nothing
else: the configuration is what an author writes after reading the how-to pages
(`tests/bypass/measuring.py`). Before it stands a rule that lets `/public/**` pass, behind it
`/api/{what}` and `/**`, and what no rule takes may pass. Each row below is one request, sent to
each of these servers twice: by itself, and with Sealyard in front. Every server has a handler
for `POST /api/pay`, in a lax configuration that people do run; `tests/bypass` starts them and
holds the configurations.

In each cell, what the server does alone stands before the arrow,
and what comes of the same request through Sealyard behind it:
`plain` means that the handler ran and could read the card,
`sealed` that it ran and found a token in its place,
and a number is the status of an answer for which the handler did not run.
What must never stand behind an arrow is `plain`.

Rows f are forms, rows q names in other places, rows x extensions and scripts, rows e bodies
that are two formats; rows part- are forms in parts, their bytes in
`tests/vectors/multipart.jsonl`. The handlers record target and body, so `plain` means that the
laxest reader could find the card there. What real parsers find is asked
by `./dev fuzz-backends`.

A field `_method` in a form is another way, for which few servers here have a handler:
[what Sealyard does about it](../how-to/bodies.md) is tested by itself.

This page is measured, with `python -m tests.bypass.measure docs/explanation/bypass.md`,
and its end with `./dev fuzz-backends 1200 --write`.

"""


async def _column(name: str, folder: Path) -> dict[Row, str]:
    cells = {}
    with running(name, folder / name) as backend:
        async with protected(backend) as sealyard:
            for row in rows():
                before, after = await alone(backend, row), await sealyard.send(row)
                cells[row] = f"{before} → {after}"
    return cells


def _code(text: str) -> str:
    shown = text.replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


async def page() -> str:
    """Return the page, with a column for each backend that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        columns = {
            name: await _column(name, Path(folder)) for name in PLANS if missing(name) is None
        }
    lines = [
        "| row | request | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in rows():
        cells = " | ".join(column[row] for column in columns.values())
        lines.append(f"| {row.name} | {_code(row.spelling)} | {cells} |")
    alone_plain = {
        name: sum(cell.startswith("plain") for cell in column.values())
        for name, column in columns.items()
    }
    behind_plain = {
        name: sum(cell.endswith("plain") for cell in column.values())
        for name, column in columns.items()
    }
    for told, counts in (
        ("plain, alone", alone_plain),
        ("plain, behind Sealyard", behind_plain),
    ):
        cells = " | ".join(f"**{count}**" for count in counts.values())
        lines.append(f"| | **{told}** | {cells} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    measured = asyncio.run(page())
    target.write_text("\n".join(filter(None, (measured, kept(old)))), encoding="utf-8")
