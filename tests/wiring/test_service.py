"""The configuration in force is that of the files, once it can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.config.settings import Settings
from proxy.core.errors import (
    InternalError,
    RootUnavailable,
    SealyardError,
    UnfitEnvironment,
    WorkerGone,
)
from proxy.wiring.reload import config_files
from proxy.wiring.reload.config_files import Source
from proxy.wiring.reload.reload import require_none
from proxy.wiring.service import Service
from tests.scenarios.test_reload import Ear
from tests.wiring.sources import read_here

TEXT = """\
version: 1
keys: {store: memory, keyring: {file: keyring.jwe, passphrase: {env: P}}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: reject
    rules: []
"""
INTERVAL = 0.02


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read faster than the intervals of these tests."""
    read_here(monkeypatch)


@dataclass
class Carrier:
    """It takes every configuration, or refuses all with `refusal`."""

    settings: Settings
    refusal: SealyardError | None = None
    holds_keys: bool = True
    trail: None = None
    asked: list[float] = field(default_factory=list)

    async def prepare(self, source: Source) -> Carrier:
        self.asked.append(asyncio.get_running_loop().time())
        require_none(self.settings, source.loaded.settings, str(source.loaded.file))
        if self.refusal is not None:
            raise self.refusal
        return self

    def alive_at(self) -> float:
        return time.monotonic()

    async def _nothing(self) -> None:
        pass

    open = start = close = apply = discard = facts = look = lessen = _nothing


@dataclass
class Running:
    service: Service
    carrier: Carrier
    ear: Ear
    file: Path

    @property
    def current(self) -> bool:
        return self.service.reloader.source.text == self.file.read_text()

    async def until_current(self) -> None:
        async with asyncio.timeout(20):
            while not self.current:  # noqa: ASYNC110 - a service sets no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, change: str = "") -> AsyncIterator[Running]:
    """Run a service; the file called `change` changes after the configuration was read."""
    file = folder / "sealyard.yaml"
    file.write_text(TEXT)
    read = config_files.read(file, {})
    if change:
        (folder / change).write_text(TEXT + "# closes a leak\n")
    carrier, ear = Carrier(read.loaded.settings), Ear()
    service = Service(read, cast("Any", carrier), ear, environ={}, watch_interval=INTERVAL)
    await service.start()
    try:
        yield Running(service, carrier, ear, file)
    finally:
        await service.close()


@pytest.mark.parametrize(
    "refusal",
    [
        RootUnavailable("no-answer"),
        WorkerGone("no-worker"),
        UnfitEnvironment("too few files"),
        InternalError("OSError"),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("asked", [False, True], ids=["changed", "asked for"])
async def test_what_is_refused_for_a_while_is_tried_until_it_is_in_force(
    tmp_path: Path,
    refusal: SealyardError,
    asked: bool,  # noqa: FBT001 - by whom the reload is caused
) -> None:
    async with running(tmp_path) as ours:
        ours.carrier.refusal = refusal
        ours.file.write_text(TEXT + "# closes a leak\n")
        if asked:
            assert (await ours.service.reload("admin")).code == refusal.code
        assert (await ours.ear.hear("config.refused", 3))["reason"] == refusal.code
        ours.carrier.refusal = None
        await ours.until_current()
        await asyncio.sleep(10 * INTERVAL)
        assert len(ours.ear.all("config.loaded")) == 1


async def test_what_is_refused_in_a_row_is_tried_less_and_less_often(tmp_path: Path) -> None:
    async with running(tmp_path) as ours:
        ours.carrier.refusal = RootUnavailable("no-answer")
        await ours.service.reload("signal")
        await ours.ear.hear("config.refused", 5)
        first, *_, before, last = ours.carrier.asked
        assert last - first > (1 + 2 + 4 + 8) * INTERVAL
        assert last - before > 8 * INTERVAL


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("listeners: [", "configuration-error"),
        (TEXT.replace("name: api", "name: other"), "restart-needed"),
    ],
)
async def test_what_the_files_cause_is_refused_once(tmp_path: Path, text: str, code: str) -> None:
    async with running(tmp_path) as ours:
        ours.file.write_text(text)
        assert (await ours.ear.hear("config.refused"))["reason"] == code
        await asyncio.sleep(20 * INTERVAL)
        assert len(ours.ear.all("config.refused")) == 1


@pytest.mark.parametrize(("change", "reloads"), [("sealyard.yaml", 1), ("keyring.jwe", 1), ("", 0)])
async def test_a_change_during_the_start_is_loaded(
    tmp_path: Path, change: str, reloads: int
) -> None:
    """The start may take long: a passphrase is stretched, a key service is waited for."""
    async with running(tmp_path, change) as ours:
        await asyncio.sleep(25 * INTERVAL)
        assert ours.current
        assert len(ours.ear.all("config.loaded")) == reloads
