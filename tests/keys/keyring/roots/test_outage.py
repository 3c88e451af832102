"""The short form of `outage`: three seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from .outage import outage
from .test_aws_kms import MOTO


@pytest.mark.timing
async def test_a_fleet_does_not_miss_its_key_service(tmp_path: Path) -> None:
    if not MOTO.exists():
        pytest.skip("no moto here: `./dev test tests/keys` installs it")
    result = await outage(tmp_path, 3.0, 60)

    assert result.failed == 0
    assert result.answered > 50
    assert (result.calls, result.reloads) == (3, 3)
