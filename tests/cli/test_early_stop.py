"""A stop that comes while Sealyard still starts, as the first process of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FIRST = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")

pytestmark = [
    pytest.mark.cold,
    pytest.mark.skipif(
        subprocess.run((*FIRST, "true"), capture_output=True, check=False).returncode != 0,  # noqa: S603 - a fixed command
        reason="needs a namespace of processes, in which Sealyard is the first",
    ),
]


def test_a_stop_while_modules_are_imported_ends_the_first_process(tmp_path: Path) -> None:
    # The kernel drops a signal that process 1 has no handler for: it would then be killed, late.
    began = tmp_path / "began"
    (tmp_path / "click.py").write_text(f"import time\nopen({str(began)!r}, 'w')\ntime.sleep(60)\n")
    command = (*FIRST, sys.executable, "-P", "-m", "proxy", "serve")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with subprocess.Popen(command, env=environ) as outer:  # noqa: S603 - as above
        try:
            while not began.exists():
                assert outer.poll() is None
                time.sleep(0.01)
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text()
            os.kill(int(children), signal.SIGTERM)

            assert outer.wait(10) == 128 + signal.SIGTERM
        finally:
            outer.kill()
