"""What a fleet may rely on: against a real Redis that is killed, frozen and lied to."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode, Sessions, SessionSettings
from proxy.keys.stores import Store, open_store
from tools.chaos import traces

from .server import Server, needs_redis
from .worker import the_keyring

pytestmark = needs_redis

ROOT = Path(__file__).parents[2]
PATIENT = SessionSettings(store_timeout=20.0)  # where a law has nothing to do with deadlines
CANARY = b"canary-3f9a61c07d"
SCOPE = Scope("tenant-canary-77", "conversation-canary-77")
CONTEXT = Context(SCOPE, field="content")


@asynccontextmanager
async def a_process(
    server: Server, mode: SessionMode = "durable", settings: SessionSettings | None = None
) -> AsyncIterator[tuple[Sessions, Store, list[str], list[bytes]]]:
    """Return the sessions of a process, its store, its notices, and all randomness it used."""
    notices: list[str] = []
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    store = open_store("redis", options=server.settings)
    sessions = Sessions(
        the_keyring(),
        store,
        settings or SessionSettings(),
        clock=time.time,
        random=random,
        notice=notices.append,
        mode=mode,
    )
    try:
        yield sessions, store, notices, drawn
    finally:
        await store.close()


async def sealed(sessions: Sessions, scope: Scope = SCOPE) -> bytes:
    session = (await sessions.resolve(Needs({scope: 1}))).sealing[scope]
    return session.seal(CANARY, Context(scope, field="content"))


async def opened(sessions: Sessions, text: bytes, scope: Scope = SCOPE) -> bytes | None:
    """Return the plaintext; None where there is no session, or it is not the one."""
    token = decode(text)
    need = (scope, token.key_id)
    session = (await sessions.resolve(Needs({}, frozenset({need})))).opening.get(need)
    if session is None:
        return None
    try:
        return session.open(token, Context(scope, field="content"), time.time())
    except OpenFailed:
        return None


async def until(law: Callable[[], bool], seconds: float) -> None:
    """Wait until the law holds."""
    async with asyncio.timeout(seconds):
        while not law():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)


def test_six_processes_agree_on_500_conversations_at_once(server: Server) -> None:
    command = [sys.executable, "-m", "tests.redis.worker", str(server.port), "500"]
    running = [
        subprocess.Popen(  # noqa: S603 - our own code
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert [answer["notices"] for answer in answers] == [[]] * 6
    assert len({tuple(answer["sids"]) for answer in answers}) == 1
    assert len(set(answers[0]["sids"])) == 500
    assert server.command("DBSIZE") == b":500\r\n"


@pytest.mark.usefixtures("patient")
@pytest.mark.timing
async def test_a_revocation_is_heard_by_another_process(server: Server) -> None:
    async with a_process(server) as (ours, *_), a_process(server) as (theirs, *_):
        await theirs.open()
        text = await sealed(theirs)
        await asyncio.sleep(0.3)
        assert await opened(theirs, text) == CANARY
        assert await session_control.revoke(ours, SCOPE, int(time.time()) + 1)
        await until(lambda: theirs.resolve_warm(Needs({SCOPE: 1})) is None, 2)
        assert await opened(theirs, text) is None


@pytest.mark.timing
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_without_redis_durable_goes_on_and_redis_is_found_again(
    server: Server, fault: str
) -> None:
    async with a_process(server) as (sessions, _, notices, _), a_process(server) as (other, *_):
        before = await sealed(sessions)
        server.kill() if fault == "kill" else server.freeze()
        slowest = 0.0
        end = time.monotonic() + 2.5
        number = 0
        while time.monotonic() < end:
            began = time.monotonic()
            scope = Scope("t", f"during{number}")
            assert await opened(other, await sealed(sessions, scope), scope) == CANARY
            assert await opened(sessions, before) == CANARY
            slowest = max(slowest, time.monotonic() - began)
            number += 1
            await asyncio.sleep(0.01)
        assert notices
        assert slowest < 1.0  # two deadlines of 250 ms, on a busy machine
        server.start() if fault == "kill" else server.thaw()
        await until_asked(sessions, server)


async def until_asked(sessions: Sessions, server: Server) -> None:
    """Within 2 s of its return Redis is asked again."""
    await asyncio.to_thread(server.command, "FLUSHALL")
    async with asyncio.timeout(2):
        number = 0
        while await asyncio.to_thread(server.command, "DBSIZE") == b":0\r\n":
            await sealed(sessions, Scope("t", f"after{number}"))
            number += 1
            await asyncio.sleep(0.05)


async def test_without_redis_ephemeral_keeps_what_is_cached_and_refuses_the_rest(
    server: Server,
) -> None:
    async with a_process(server, "ephemeral") as (sessions, *_):
        text = await sealed(sessions)
        assert await opened(sessions, text) == CANARY
        server.kill()
        assert await opened(sessions, text) == CANARY
        with pytest.raises(KeyUnavailable):
            await sealed(sessions, Scope("t", "new"))
        server.start()
        await asyncio.sleep(1.1)
        assert await opened(sessions, await sealed(sessions, Scope("t", "new"))) is None


async def test_a_redis_that_forgot_its_scripts_learns_them_again(server: Server) -> None:
    async with a_process(server) as (sessions, _, notices, _):
        await sealed(sessions)
        server.command("SCRIPT", "FLUSH")
        await sealed(sessions, Scope("t", "after"))
        assert notices == []


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_cold_conversation_asks_redis_once_and_a_warm_one_never(
    server: Server, mode: SessionMode
) -> None:
    async with a_process(server, mode) as (sessions, *_):
        await sealed(sessions, Scope("t", "before"))  # it makes Redis learn the script
        server.command("CONFIG", "RESETSTAT")
        for _ in range(10):
            assert await opened(sessions, await sealed(sessions)) == CANARY
        stats = server.command("INFO", "commandstats")
        assert b"cmdstat_evalsha:calls=1," in stats
        assert b"cmdstat_eval:" not in stats


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_nothing_in_redis_is_a_secret(server: Server, mode: SessionMode) -> None:
    async with a_process(server, mode) as (sessions, store, _, drawn):
        text = await sealed(sessions)
        assert await opened(sessions, text) == CANARY
        await session_control.rotate(sessions, SCOPE)
        await session_control.revoke(sessions, Scope("t", "gone"), 5)
        dump = await store.dump()
    assert len(dump) == (2 if mode == "durable" else 6)  # with the fence and the list of keys
    # As the disk has it: names, values, and the texts of the scripts.
    on_the_disk = await asyncio.to_thread(traces.dumped, server)
    assert all(record in on_the_disk for record in dump.values())
    keyring = the_keyring()
    derived = derivation.session_key(keyring.primary.key, decode(text).key_id.sid, SCOPE)
    keys = [keyring.identity, keyring.name_key, keyring.record_key, keyring.primary.key, derived]
    wanted = [key.reveal() for key in keys] + [one for one in drawn if len(one) == 32]
    assert len(wanted) >= (6 if mode == "durable" else 8)
    wanted += [CANARY, b"conversation-canary-77", b"tenant-canary-77"]
    assert traces.holders(wanted, {"Redis": on_the_disk}) == []
