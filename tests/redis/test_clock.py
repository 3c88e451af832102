"""Pods whose clock is not that of Redis.

Up to 90 s, all is as if it were: sessions begin, end and are revoked by Redis' clock. Beyond,
sessions are not shared and nothing is revoked, and 40 days away no key is accepted early or late.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode
from tests.keys.builders import Time
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import Process, a_held_key
from tests.servers import free_port

from .pods import CANARY as POD_CANARY
from .pods import Pod as Sidecar
from .server import Server, another_clock, needs_faketime, needs_redis
from .test_fleet import CANARY, PATIENT, ROOT, a_process, opened, sealed
from .test_operator import a_scene, refused_by

DAYS = 40
MODES = pytest.mark.parametrize("mode", ["durable", "ephemeral"])

pytestmark = [
    needs_redis,
    pytest.mark.usefixtures("patient"),
    needs_faketime,
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
def a_pod(server: Server, mode: SessionMode, days: int = 0, *, seconds: int = 0) -> Iterator[Pod]:
    """Run a process whose clock is that many days and seconds ahead."""
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-m", "tests.redis.clock_worker", str(server.port)],
        cwd=ROOT,
        env={**os.environ, **another_clock(days * 86400 + seconds)},
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
    # One that reaches Redis goes by its clock; where none is, there is nothing else to go by.
    with a_pod(replace(server, port=free_port()), "durable", DAYS) as pod:
        early = pod.ask("c1").encode()
    assert decode(early).key_id.created > time.time() + (DAYS - 1) * 86400
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        assert await opened(sessions, early, scope) == b"canary"
        assert await session_control.revoke(sessions, scope, int(time.time()))
        assert await opened(sessions, early, scope) is None
        after = await sealed(sessions, scope)
        assert await opened(sessions, after, scope) == CANARY


@pytest.mark.parametrize("days", [DAYS, -DAYS])
async def test_a_pod_with_a_wrong_clock_seals_nothing_end_to_end(server: Server, days: int) -> None:
    """Its package would begin in the future for every reader, or have ended."""
    async with a_process(server) as (_, store, *_rest):
        pod = Process(store, Time(time.time() + days * 86400))
        await pod.add("alice", a_held_key("alice-sig", created=0))
        await pod.add("bob", a_held_key("bob-enc", created=0))
        with pytest.raises(KeyUnavailable) as refused:
            await pod.seal(b"hello", "alice", ["bob"])
        assert refused.value.reason == "store-clock-skew"
        assert server.command("KEYS", "*:k:*") == b"*0\r\n"


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


# --- up to 90 s -----------------------------------------------------------------------------------

SKEWS = (-90, 0, 90)


@MODES
async def test_pods_whose_clocks_differ_share_a_session(server: Server, mode: SessionMode) -> None:
    with ExitStack() as stack:
        pods = [stack.enter_context(a_pod(server, mode, seconds=skew)) for skew in SKEWS]
        texts = [pod.ask("c1") for pod in pods]
        assert len({decode(text.encode()).key_id.sid for text in texts}) == 1
        assert [pod.ask("c1", open=text) for pod in pods for text in texts] == [True] * 9
        assert [pod.notices for pod in pods] == [[], [], []]


@MODES
@pytest.mark.parametrize("revoker", range(3))
async def test_a_revocation_binds_whatever_the_clock_of_who_revokes(
    server: Server, mode: SessionMode, revoker: int
) -> None:
    """What was sealed before opens nowhere and seals nowhere, what begins after it at once."""
    with ExitStack() as stack:
        pods = [stack.enter_context(a_pod(server, mode, seconds=skew)) for skew in SKEWS]
        before = [pods[0].ask("c1"), pods[2].ask("c1"), pods[1].ask("c2"), pods[2].ask("c3")]
        conversations = ["c1", "c1", "c2", "c3"]
        for name in ("c1", "c2", "c3"):
            assert pods[revoker].ask(name, revoke="now") == "store"
        await asyncio.sleep(0.1)
        for pod in pods:
            for name, text in zip(conversations, before, strict=True):
                assert pod.ask(name, open=text) is False
        after = [pod.ask(name) for pod in pods for name in ("c1", "c2", "c3")]
        for pod in pods:
            for name, text in zip(("c1", "c2", "c3") * 3, after, strict=True):
                assert pod.ask(name, open=text) is True
        # And a revocation of these, by another pod, binds them too.
        assert pods[revoker - 1].ask("c1", revoke="now") == "store"
        await asyncio.sleep(0.1)
        assert [pod.ask("c1", open=after[0]) for pod in pods] == [False] * 3
        last = pods[revoker].ask("c1")
        assert [pod.ask("c1", open=last) for pod in pods] == [True] * 3


@pytest.mark.parametrize("skew", [-90, 90])
async def test_a_revocation_binds_the_sessions_that_a_pod_made_without_redis(
    server: Server, skew: int
) -> None:
    """Such a pod does not know Redis' clock: its sessions begin early enough by any of them."""
    scope = Scope("t", "c1")
    with a_pod(replace(server, port=free_port()), "durable", seconds=skew) as pod:
        text = pod.ask("c1").encode()
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        assert await opened(sessions, text, scope) == b"canary"
        answer = await Desk(sessions).run("revoke", scope)
        assert answer.store
        assert await opened(sessions, text, scope) is None
        after = await sealed(sessions, scope)
        assert await opened(sessions, after, scope) == CANARY


@pytest.mark.parametrize("skew", [-86_400, -100, 100, 86_400])
async def test_who_is_further_off_revokes_nothing_and_says_so(server: Server, skew: int) -> None:
    with a_pod(server, "durable", seconds=skew) as pod, a_pod(server, "durable") as right:
        text = right.ask("c1")
        assert pod.ask("c1", revoke="now") == "clock-skew"
        assert right.ask("c1", open=text) is True
        # It goes on alone, and what is revoked binds it: it seals what it opens.
        assert right.ask("c1", revoke="now") == "store"
        await asyncio.sleep(0.1)
        assert pod.ask("c1", open=text) is False
        own = pod.ask("c1")
        assert [one.ask("c1", open=own) for one in (pod, right)] == [True, True]
        assert right.ask("c1", revoke="now") == "store"
        await asyncio.sleep(0.1)
        assert [one.ask("c1", open=own) for one in (pod, right)] == [False, False]


async def test_sidecars_whose_clocks_differ_revoke_for_each_other_and_tell(
    server: Server, tmp_path: Path
) -> None:
    """Two real `sealyard serve`, 90 s behind and ahead of Redis."""
    async with (
        a_scene(tmp_path, f"redis://127.0.0.1:{server.port}") as (_, places, session),
        AsyncExitStack() as stack,
    ):
        clocks = (-90, 90)
        pods = [
            Sidecar(stack.enter_context(place.serving(ahead=clock)), session)
            for place, clock in zip(places, clocks, strict=True)
        ]
        for pod, clock in zip(pods, clocks, strict=True):
            await pod.served.event("server.ready")
            told = await pod.served.event("store.clock_skew")
            assert abs(told["ahead_s"] + clock) < 2
            assert told["refused"] is False
            status, text = await pod.admin("GET", "/metrics")
            assert status == 200
            (line,) = (one for one in text.splitlines() if one.startswith("sealyard_store_clock"))
            assert abs(float(line.split()[-1]) + clock) < 2
            _, ready = await pod.admin("GET", "/readyz?verbose")
            assert "its clock is 90 s" in str(ready)
        for revoker in (0, 1):
            token = await pods[1 - revoker].sealed()
            assert [await pod.opens(token) for pod in pods] == [True, True]
            status, answer = await pods[revoker].admin(
                "POST", "/v1/sessions/revoke", tenant="clinic", conversation="c1"
            )
            assert (status, answer["store"]["master"]) == (200, True)
            assert abs(answer["not_before"] - time.time()) < 5
            for pod in pods:
                await refused_by(pod, token, 3)
            for pod in pods:
                again = await pod.sealed()
                assert [await one.opens(again) for one in pods] == [True, True]
        for place in places:
            assert POD_CANARY not in (place.folder / "sealyard.log").read_text()
