"""The counts of the ladder are kept for as long as the process runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import load
from proxy.telemetry.metrics.samples import Facts, Samples
from proxy.wiring.admin.ladder import LadderKeeper
from tests.factories import Ear
from tests.scenarios.rig import a_configuration


async def test_counts_for_which_there_is_no_thread_are_written_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sealyard.yaml").write_text(a_configuration(1))
    settings, ear = load(tmp_path / "sealyard.yaml", {}).settings, Ear()

    async def facts(_: float) -> Facts:
        return Facts((), Samples(), {})

    async def unable(*_: Any) -> None:  # noqa: ANN401 - as asyncio.to_thread
        raise RuntimeError("can't start new thread")

    file = tmp_path / "ladder.json"
    keeper = LadderKeeper(facts, lambda: settings, ear, file=file)
    await keeper.take()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "to_thread", unable)
        await keeper.save()
        await keeper.save()
    assert ear.heard == [("ladder.unusable", {"file": str(file), "reason": "RuntimeError"})]
    await keeper.save()
    assert file.exists()
