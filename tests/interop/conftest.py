"""Node, where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
NODE: Final = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
needs_jose = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules" / "jose").is_dir(),
    reason="node or npm's jose is not installed: run `./dev setup`",
)


def node(*arguments: str, asked: object) -> list[Any]:
    """Run node in this folder; return what it answers to JSON, in JSON."""
    ran = subprocess.run(  # noqa: S603 - our own scripts, by the machine's node
        [str(NODE), *arguments],
        input=json.dumps(asked),
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers: list[Any] = json.loads(ran.stdout)
    return answers
