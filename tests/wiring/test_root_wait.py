"""While no root opens the keyring, the configuration is read again only once its file changed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.core.errors import RootUnavailable
from proxy.wiring import root_wait
from proxy.wiring.admin.listeners import AdminListeners, WaitingView
from proxy.wiring.reload import config_files
from proxy.wiring.reload.config_files import Source
from tests.factories import Ear
from tests.scenarios.rig import a_configuration
from tests.wiring.sources import given


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


async def test_who_probes_is_not_refused_while_the_process_begins_to_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = a_configuration(1).replace("admin: ", "# admin: ")
    monkeypatch.setattr(root_wait, "pause", lambda _: 0.0)
    waiting = iter((True, False))

    async def make(source: Source) -> Source:
        if next(waiting):
            raise RootUnavailable("vault-unreachable")
        return source

    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    found = await root_wait.until_open(given(text), make, stop, Ear(), {})
    assert found is not None
    settings, bound = found[0].loaded.settings, found[2]
    following = AdminListeners(settings, Ear(), {}, bound)
    try:
        port = following.port("health")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # nobody serves it now
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await following.open()
        assert following.port("health") == port
        await following.start_waiting(WaitingView())
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
    finally:
        await following.close()


@pytest.mark.parametrize("health", ["# health: ", "health: {listen: '[::1]:0'} # "])
async def test_what_the_next_configuration_does_not_listen_at_is_closed(health: str) -> None:
    text = a_configuration(1).replace("admin: ", "# admin: ")
    waiting = AdminListeners(given(text).loaded.settings, Ear(), {})
    await waiting.start_waiting(WaitingView())
    port = waiting.port("health")
    other = given(text.replace("health: ", health)).loaded.settings
    following = AdminListeners(other, Ear(), {}, await waiting.hand_over())
    await following.open()
    try:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    finally:
        await following.close()
