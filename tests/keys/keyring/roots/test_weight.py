"""What a key service as the root adds to an idle process: at most 1 MiB."""

from __future__ import annotations

from pathlib import Path

import pytest

from .weight import measure

MOST_MEBIBYTES = 1.0
pytestmark = pytest.mark.cold


def test_a_key_service_adds_little_to_an_idle_process(tmp_path: Path) -> None:
    found = measure(tmp_path, 3, ("file", "aws-kms"))
    base, idle = (min(found[name].mebibytes) for name in ("file", "aws-kms"))

    assert 20 < base < 200  # it is the memory of a running process
    assert idle - base <= MOST_MEBIBYTES
