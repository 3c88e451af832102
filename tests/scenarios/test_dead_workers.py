"""A worker that was killed holds up no verb: who has started it knows that it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp

from tests.scenarios.rig import TOKEN, Served, backend, served


async def revoked(ours: Served, conversation: str) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    scope = {"tenant": "alpha", "conversation": conversation}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://127.0.0.1:{ours.admin}/v1/sessions/revoke", json=scope) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_a_verb_is_complete_soon_after_a_worker_was_killed(tmp_path: Path) -> None:
    store = "  store: sqlite:keys.db\n"
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2", keys_more=store) as ours:
            await ours.event("server.ready")
            status, told = await revoked(ours, "c1")
            assert (status, told["complete"]) == (200, True), told
            worker = await ours.event("worker.ready")
            os.kill(int(worker["worker_pid"]), signal.SIGKILL)
            await ours.event("worker.ready", 3)
            began = time.monotonic()
            while not (await revoked(ours, "c2"))[1]["complete"]:
                assert time.monotonic() - began < 10
                await asyncio.sleep(0.2)
