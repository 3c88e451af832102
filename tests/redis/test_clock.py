"""Pods whose clock is 40 days from Redis': no key is accepted early or late by Redis' clock."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode

from .server import Server, needs_redis
from .test_fleet import CANARY, PATIENT, ROOT, a_process, opened, sealed

FAKETIME = shutil.which("faketime")
DAYS = 40
MODES = pytest.mark.parametrize("mode", ["durable", "ephemeral"])

pytestmark = [
    needs_redis,
    pytest.mark.usefixtures("patient"),
    pytest.mark.skipif(FAKETIME is None, reason="no faketime here: apt-get install faketime"),
]


class Pod:
    """A process with another clock."""

    def __init__(self, process: subprocess.Popen[str], mode: SessionMode) -> None:
        self.process = process
        self.mode = mode
        self.notices: list[str] = []
        self.ahead = self._read()["now"] - time.time()

    def ask(self, conversation: str, **more: str) -> Any:  # noqa: ANN401 - JSON
        assert self.process.stdin is not None
        asked = {"mode": self.mode, "conversation": conversation, **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        self.notices = answer["notices"]
        return answer["answer"]

    def _read(self) -> Any:  # noqa: ANN401 - JSON
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@contextmanager
def a_pod(server: Server, mode: SessionMode, days: int) -> Iterator[Pod]:
    """Run a process whose clock is that many days ahead."""
    command = [str(FAKETIME), "-f", f"{days:+d}d", sys.executable]
    with subprocess.Popen(  # noqa: S603 - our own code
        [*command, "-m", "tests.redis.clock_worker", str(server.port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Pod(process, mode)
        finally:
            process.kill()


@MODES
@pytest.mark.parametrize("days", [DAYS, -DAYS])
async def test_a_pod_with_a_wrong_clock_puts_nothing_into_redis(
    server: Server, mode: SessionMode, days: int
) -> None:
    with a_pod(server, mode, days) as pod:
        text = pod.ask("c1")
        assert abs(pod.ahead - days * 86400) < 60
        assert (text is None) == (mode == "ephemeral")
        assert set(pod.notices) == {"store-clock-skew"}
        assert server.command("DBSIZE") == b":0\r\n"


@pytest.mark.parametrize("days", [DAYS, -DAYS])
async def test_a_pod_with_a_wrong_clock_opens_no_ephemeral_key_out_of_its_time(
    server: Server, days: int
) -> None:
    async with a_process(server, "ephemeral", PATIENT) as (sessions, *_):
        text = await sealed(sessions, Scope("t", "c1"))
        with a_pod(server, "ephemeral", days) as pod:
            # By its own clock the key has ended, or is yet to be made.
            assert pod.ask("c1", open=text.decode()) is False
            assert pod.ask("c1") is None
        assert await opened(sessions, text, Scope("t", "c1")) == CANARY


@pytest.mark.parametrize("days", [DAYS, -DAYS])
async def test_what_redis_says_has_ended_has_ended_whatever_a_pod_thinks(
    server: Server, days: int
) -> None:
    async with a_process(server, "ephemeral", PATIENT) as (sessions, *_):
        text = await sealed(sessions, Scope("t", "c1"))
        keys = server.command("KEYS", "*:k:*").split(b"\r\n")[2::2]
        for key in keys:
            server.command("PEXPIRE", key, "1")
        await asyncio.sleep(0.02)
        with a_pod(server, "ephemeral", days) as pod:
            assert pod.ask("c1", open=text.decode()) is False
        async with a_process(server, "ephemeral", PATIENT) as (other, *_rest):
            assert await opened(other, text, Scope("t", "c1")) is None


async def test_a_session_from_the_future_does_not_escape_a_revocation(server: Server) -> None:
    scope = Scope("t", "c1")
    with a_pod(server, "durable", DAYS) as pod:
        early = pod.ask("c1").encode()
    assert decode(early).key_id.created > time.time() + (DAYS - 1) * 86400
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        assert await opened(sessions, early, scope) == b"canary"
        assert await session_control.revoke(sessions, scope, int(time.time()))
        assert await opened(sessions, early, scope) is None
        after = await sealed(sessions, scope)
        assert await opened(sessions, after, scope) == CANARY


@MODES
async def test_a_pod_with_a_wrong_clock_ends_no_session_of_the_others(
    server: Server, mode: SessionMode
) -> None:
    async with a_process(server, mode, PATIENT) as (sessions, *_):
        text = await sealed(sessions, Scope("t", "c1"))
        before = server.command("PTTL", *server.command("KEYS", "*:cur").split(b"\r\n")[2:3])
        with a_pod(server, mode, DAYS) as pod:
            pod.ask("c1")
        after = server.command("PTTL", *server.command("KEYS", "*:cur").split(b"\r\n")[2:3])
        sessions._forget()
        again = await sealed(sessions, Scope("t", "c1"))
    assert int(before[1:]) >= int(after[1:]) > int(before[1:]) - 60_000
    assert decode(again).key_id.sid == decode(text).key_id.sid
