"""While no root opens the keyring, the configuration is read again only once its file changed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.core.errors import RootUnavailable
from proxy.wiring import root_wait
from proxy.wiring.reload import config_files
from proxy.wiring.reload.config_files import Source
from tests.factories import Ear
from tests.scenarios.rig import a_configuration


async def test_only_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sealyard.yaml"
    text = a_configuration(1).replace("admin: ", "# admin: ").replace("health: ", "# health: ")
    file.write_text(text)
    first = await asyncio.to_thread(config_files.read, file, os.environ)
    monkeypatch.setattr(root_wait, "pause", lambda _: 0.0)
    met: list[Source] = []

    async def make(source: Source) -> Source:
        met.append(source)
        if len(met) == 3:
            file.write_text(text + "# mended\n")
        if len(met) < 5:
            raise RootUnavailable("vault-unreachable")
        return source

    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    found = await root_wait.until_open(first, make, stop, Ear(), os.environ)
    assert found is not None
    assert [one is first for one in met] == [True, True, True, False, False]
    assert found[0] is met[4] is met[3]
    assert met[3].text.endswith("# mended\n")
