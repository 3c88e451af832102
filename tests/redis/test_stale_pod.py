"""A pod whose keyring is out of date: it seals under nothing that the fleet has taken away."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from .pods import CANARY
from .server import Server, needs_redis
from .test_keyrings import ready
from .test_operator import a_fleet, a_scene, url

pytestmark = needs_redis


async def test_a_stale_pod_seals_nothing_under_a_kek_that_is_disabled_and_destroyed(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (mine, places, session),
        a_fleet(places, session=session) as (current, stale),
    ):
        old = (await asyncio.to_thread(mine.sealyard, "keys", "list"))["keks"][0]["id"]
        new = (await asyncio.to_thread(mine.keys, "add")).strip()
        # The stale pod's Secret is mounted by subPath: it never changes.
        refusal = await asyncio.to_thread(mine.keys, "promote", new, status=1)
        assert f"do not have {new} yet" in refusal
        await asyncio.to_thread(mine.keys, "promote", new, "--anyway")
        shutil.copy2(mine.folder / "keyring.jwe", places[0].folder / "keyring.jwe")
        assert await stale.sealed()

        await asyncio.to_thread(mine.keys, "disable", old, "--yes", "--expect", "2")
        body = {"conversation": "c1", "content": CANARY}
        url_of_write = f"http://127.0.0.1:{stale.served.port}/write"
        for _ in range(3):
            async with session.post(url_of_write, json=body) as response:
                assert response.status == 503
                assert response.headers["Sealyard-Error"] == "key-unavailable"
                assert CANARY not in await response.text()
        status, told = await ready(stale)
        assert status == 503
        assert "have disabled or destroyed the KEK that would seal here" in told
        async with asyncio.timeout(10):  # it reads the files that it was given a moment ago
            while (await ready(current))[0] != 200:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.1)
        assert await current.opens(await current.sealed())

        refusal = await asyncio.to_thread(
            mine.keys, "destroy", old, "--yes", "--expect", "3", status=1
        )
        assert "it is not known whether all" in refusal
        await asyncio.to_thread(mine.keys, "destroy", old, "--yes", "--expect", "2")


@pytest.mark.parametrize("command", ["promote", "destroy"])
async def test_nobody_is_not_everybody(server: Server, tmp_path: Path, command: str) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, _, _):
        kek = (await asyncio.to_thread(mine.keys, "add")).strip()
        if command == "destroy":
            await asyncio.to_thread(mine.keys, "disable", kek, "--yes")
        more = ["--yes"] if command == "destroy" else []
        refusal = await asyncio.to_thread(mine.keys, command, kek, *more, status=1)
        assert "0 processes answer in the store: it is not known whether all" in refusal
        await asyncio.to_thread(mine.keys, command, kek, *more, "--expect", "0")
