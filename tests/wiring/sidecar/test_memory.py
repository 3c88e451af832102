"""What the memory of a process is divided into, from its start and over reloads."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.process import memory
from proxy.wiring.reload.material import gather
from proxy.wiring.sidecar.sidecar import Sidecar
from tests.factories import Ear
from tests.scenarios.rig import a_configuration, write_keys
from tests.servers import free_port

MEBIBYTE = 1 << 20


async def test_a_reload_beside_large_bodies_divides_what_the_start_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(tmp_path)
    text = a_configuration(3000, admin=free_port(), health=free_port())
    (tmp_path / "sealyard.yaml").write_text(f"{text}memory: 1GiB\n")
    material = gather(load(tmp_path / "sealyard.yaml", {}).settings, {})
    resident = [60 * MEBIBYTE]
    monkeypatch.setattr(memory, "resident_bytes", lambda: resident[0])
    ear = Ear()
    sidecar = Sidecar(material, ear, time.time, environ={})
    await sidecar.start()
    try:
        budget = sidecar._budget.total
        resident[0] = 900 * MEBIBYTE  # bodies, and what the allocator keeps of former ones
        await sidecar.take(material, {}, None)
    finally:
        await sidecar.close()

    assert sidecar._budget.total == budget > 600 * MEBIBYTE
    assert ear.all("memory.short") == []
