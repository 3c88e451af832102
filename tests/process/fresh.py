"""A process that has not imported anything of Sealyard, aiohttp or the tests yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def said(script: str, *folders: Path) -> str:
    """Return what a script prints that finds Sealyard, and what is in these folders."""
    done = subprocess.run(  # noqa: S603 - this interpreter, and scripts of the tests
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(map(str, (ROOT, *folders)))},
    )
    return done.stdout.strip()
