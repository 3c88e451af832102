from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("native", ["0", "1"])
def test_a_message_comes_by_every_stage_in_both_forms(native: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tools.bench.profile", "--json"],
        env={**os.environ, "SEALYARD_NATIVE": native},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert all(cost > 0 for cost in json.loads(done.stdout).values())
