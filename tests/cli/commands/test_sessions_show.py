"""`sealyard sessions show` before a real process."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp
from click.testing import CliRunner, Result

from proxy.cli import main
from tests.scenarios.rig import backend, served


async def show(folder: Path, *options: str) -> Result:
    arguments = ["sessions", "show", "--config", str(folder / "sealyard.yaml"), *options]
    return await asyncio.to_thread(CliRunner().invoke, main, arguments)


async def test_it_shows_what_seals_for_a_conversation(tmp_path: Path) -> None:
    scope = ("--tenant", "alpha", "--conversation", "c1")
    async with backend() as behind, aiohttp.ClientSession() as session:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            nothing = await show(tmp_path, *scope)
            url = f"http://127.0.0.1:{ours.port}/api/messages"
            body = {"conversationId": "c1", "content": "canary", "note": "n"}
            async with session.post(url, json=body) as answer:
                assert answer.status == 200
            shown = await show(tmp_path, *scope)
            told = json.loads((await show(tmp_path, *scope, "--json")).stdout)
            unnamed = await show(tmp_path)
        gone = await show(tmp_path, *scope)

    assert (nothing.exit_code, "no session seals" in nothing.stdout) == (1, True)
    (held,) = told["sessions"]
    assert shown.exit_code == 0
    assert f"session  {held['sid']}  KEK {held['kek']}" in shown.stdout
    assert f"{held['sealed']} sealed" in shown.stdout
    assert held["sealed"] >= 1
    assert held["began"] <= time.time() < held["soft_end"]
    assert (unnamed.exit_code, gone.exit_code) == (2, 3)
    assert "canary" not in shown.stdout + json.dumps(told)
