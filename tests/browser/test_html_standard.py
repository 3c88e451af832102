"""No place in which a token opens is anything but text to a parser of the HTML standard."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-isso" / "bin" / "python"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="no html5lib here: `./dev setup` installs it with isso"
)


@pytest.mark.parametrize(
    "snippets", [2000, pytest.param(30_000, marks=pytest.mark.slow)], ids=["short", "long"]
)
async def test_what_is_opened_is_text_to_a_parser_of_the_standard(snippets: int) -> None:
    seed = int.from_bytes(os.urandom(4))
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(Path(__file__).with_name("against_html5lib.py")),
        str(seed),
        str(snippets),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()

    assert process.returncode == 0, told.decode()
    assert told.decode().endswith(" tokens opened, 0 read as no text\n"), f"{seed}: {told.decode()}"
    assert told.count(b"\n") == 1
