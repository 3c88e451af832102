"""Files of config/examples that the scenarios run, each as it stands, with its passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.examples import as_it_stands


@pytest.mark.parametrize(
    "name",
    [
        "clinic",
        "end-to-end",
        "fhir",
        "matrix",
        "matrix-room-bound",
        "transit-egress",
        "transit-ingress",
    ],
)
async def test_an_example_starts_as_it_stands(tmp_path: Path, name: str) -> None:
    async with as_it_stands(tmp_path, f"{name}.yaml", 1) as ours:
        assert "sealyard_ready 1" in await ours.metrics()
