"""Instructions counted by callgrind, which are the same on a busy machine and on an idle one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

VALGRIND: Final = shutil.which("valgrind")
_ROOT: Final = Path(__file__).parents[2]
_TOTAL: Final = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def counted(
    names: Sequence[str],
    sizes: Sequence[int],
    *,
    patience: float = 1200,
    module: str = "tests.linear.counted",
) -> dict[str, list[int]]:
    """Return for each named work how many instructions each size of it takes.

    `module` does the works, with a call of `os.getloadavg` before and behind each.

    Raises CalledProcessError where a work fails, TimeoutExpired after `patience` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        subprocess.run(  # noqa: S603 - it starts this Python under valgrind
            [
                VALGRIND or "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                "--dump-before=getloadavg",
                sys.executable,
                "-m",
                module,
                ",".join(map(str, sizes)),
                *names,
            ],
            check=True,
            capture_output=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            timeout=patience,
        )
        # The first dump is what stands before the first mark, and each second one a work.
        works = [
            int(_TOTAL.findall(Path(f"{out}.{2 * (at + 1)}").read_text("latin-1"))[-1])
            for at in range(len(names) * len(sizes))
        ]
    return {name: works[at * len(sizes) : (at + 1) * len(sizes)] for at, name in enumerate(names)}
