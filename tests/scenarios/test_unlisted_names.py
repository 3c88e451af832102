"""Names of honest traffic under `observe`: counted by real processes, and told by evidence."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp

from proxy.traffic.policy import LOOKED_AT_PER_SECOND
from tests.scenarios.rig import PATIENCE_SECONDS, TOKEN, Served, backend, served, write_keys
from tests.servers import await_log

RULES = """\
      - name: send
        match: POST /rooms/{room}/messages
        mode: observe
        conversation: path:room
        others: refuse
        request: {encrypt: $.content}
"""
HONEST = {"content": "hello", "urgent": True}


async def _counted(running: Served, messages: int) -> dict[str, Any]:
    """Return what is told of each unlisted name, once so many messages are counted."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{running.admin}/v1/status/steps"
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(url) as answer:
                rule = (await answer.json())["rules"][0]
            seen = {one["selector"] or one["place"][:4]: one for one in rule["unlisted"]}
            if max((one["messages"] for one in seen.values()), default=0) == messages:
                return seen
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.1)


async def test_names_of_honest_traffic_are_proposed_after_a_restart_too(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    write_keys(folder)
    async with backend() as behind:
        for messages, options in ((30, ()), (60, ("--workers", "2"))):
            with served(
                folder,
                behind.port,
                *options,
                rules=RULES,
                admin_more="ladder_file: ladder.json",
                keyring_more="key: {file: root.key}",
            ) as running:
                await asyncio.to_thread(await_log, running.process, running.log, "server.ready")
                url = f"http://127.0.0.1:{running.port}/rooms/7/messages"
                for number in range(30):
                    source = (f"127.0.0.{1 + number % 3}", 0)
                    body = HONEST if number % 10 else {**HONEST, "hostile": 1}
                    connector = aiohttp.TCPConnector(local_addr=source)
                    session = aiohttp.ClientSession(connector=connector)
                    async with session, session.post(url, json=body) as answer:
                        assert answer.status == 200
                    await asyncio.sleep(1.5 / LOOKED_AT_PER_SECOND)  # each belongs to the sample
                seen = await _counted(running, messages)
            assert set(seen) == {"$.urgent", "$.*#"}
            assert len(seen["$.urgent"]["clients"]) == 3

    row = json.loads((folder / "ladder.json").read_bytes())["rules"][0]
    assert {one["selector"]: one["messages"] for one in row["unlisted"]} == {"$.urgent": 60, "": 6}
    assert b"hostile" not in (folder / "ladder.json").read_bytes()
