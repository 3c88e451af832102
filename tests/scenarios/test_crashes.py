"""A process that dies, or says all that Python lets it say, tells nothing of a message."""

from __future__ import annotations

import asyncio
import secrets
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.rig import backend, served

TALKATIVE = {
    "PYTHONFAULTHANDLER": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONWARNINGS": "always",
}


@pytest.mark.parametrize(
    "death", [signal.SIGABRT, pytest.param(signal.SIGSEGV, marks=pytest.mark.slow)]
)
async def test_a_crash_with_a_message_under_way_shows_where_and_nothing_of_it(
    tmp_path: Path, death: signal.Signals
) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind:
        behind.pause = 30.0
        with served(tmp_path, behind.port, variables=TALKATIVE) as ours:
            await ours.event("server.ready")
            loop = asyncio.get_running_loop()
            sending = loop.create_task(post(ours.port, canary))
            async with asyncio.timeout(20):
                while not behind.bodies:  # noqa: ASYNC110 - a backend sets no event
                    await asyncio.sleep(0.02)
            ours.process.send_signal(death)
            assert await ours.ended() == -death
            await sending
            text = ours.log.read_text()

    # The handler of faults wrote: the stack is there, and with it nothing that lay on it.
    assert "Fatal Python error" in text
    assert "uvloop" in text or "asyncio" in text
    assert canary not in text
    assert canary.encode() not in b"".join(behind.bodies)
    assert not cores(tmp_path)


def cores(folder: Path) -> list[Path]:
    return list(folder.rglob("core*"))


async def post(port: int, canary: str) -> None:
    body = {"conversationId": "c1", "content": canary, "note": canary}
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(f"http://127.0.0.1:{port}/api/messages", json=body):
                pass
        except aiohttp.ClientError:
            return  # as it must: the process is gone
