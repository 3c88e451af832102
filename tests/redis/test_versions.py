"""Two versions that share a Redis: records of the other one are refused, and left as they are."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode, Sessions
from proxy.keys.stores import records

from .server import Server, needs_redis
from .test_fleet import CANARY, PATIENT, SCOPE, a_process, opened, sealed
from .test_lies import connection
from .worker import the_keyring

pytestmark = [needs_redis, pytest.mark.usefixtures("patient")]

FUTURE = b"\x03" + bytes(range(200))
MODES = pytest.mark.parametrize("mode", ["durable", "ephemeral"])


def of_the_future(name: str, *, label: bytes = records._SESSION_LABEL) -> bytes:
    """Return what a later version could put there: authentic, and in a form that is not ours."""
    key = the_keyring().record_key
    return records.sign(FUTURE, label, name, key)


def place(sessions: Sessions, rest: str, scope: Scope = SCOPE) -> str:
    return f"sealyard:v1:{{{sessions.name(scope)}}}:{rest}"


async def everything(redis: Redis) -> dict[bytes, bytes | str | None]:
    """Return all that stands in Redis."""
    return {key: await redis.get(key) async for key in redis.scan_iter()}


@MODES
async def test_a_session_of_the_future_is_neither_used_nor_overwritten(
    server: Server, mode: SessionMode
) -> None:
    async with (
        connection(server) as redis,
        a_process(server, mode, PATIENT) as (sessions, _, notices, _),
    ):
        name = sessions.name(SCOPE)
        await redis.set(place(sessions, "cur"), of_the_future(name), px=3_600_000)
        before = await everything(redis)
        if mode == "durable":
            text = await sealed(sessions)
            assert await opened(sessions, text) == CANARY
            await session_control.rotate(sessions, SCOPE)
        else:
            with pytest.raises(KeyUnavailable):
                await sealed(sessions)
            with pytest.raises(KeyUnavailable):
                await session_control.rotate(sessions, SCOPE)
        assert await everything(redis) == before
        assert set(notices) == {"record-version"}


async def test_a_key_of_the_future_opens_nothing(server: Server) -> None:
    async with (
        connection(server) as redis,
        a_process(server, "ephemeral", PATIENT) as (sessions, _, notices, _),
    ):
        text = await sealed(sessions)
        name = sessions.name(SCOPE)
        keys = [key async for key in redis.scan_iter(match="*:k:*")]
        await redis.set(keys[0], of_the_future(name), px=3_600_000)
        sessions._forget()
        assert await opened(sessions, text) is None
        assert notices == ["record-version"]
        assert await redis.get(keys[0]) == of_the_future(name)


@MODES
async def test_a_revocation_of_the_future_stops_its_conversation_and_stays(
    server: Server, mode: SessionMode
) -> None:
    async with (
        connection(server) as redis,
        a_process(server, mode, PATIENT) as (sessions, _, notices, _),
    ):
        text, other = await sealed(sessions), await sealed(sessions, Scope("t", "other"))
        name = sessions.name(SCOPE)
        put = of_the_future(name, label=records._REVOCATION_LABEL)
        await redis.set(place(sessions, "rev"), put)
        sessions._forget()
        # What it says is not known; it may well be about the session that is asked for.
        with pytest.raises(KeyUnavailable):
            await opened(sessions, text)
        with pytest.raises(KeyUnavailable):
            await sealed(sessions)
        assert await opened(sessions, other, Scope("t", "other")) == CANARY
        assert await session_control.revoke(sessions, SCOPE, 7) is False
        assert await redis.get(place(sessions, "rev")) == put
        assert set(notices) == {"record-version"}


@MODES
async def test_processes_of_two_versions_work_side_by_side(
    server: Server, mode: SessionMode
) -> None:
    """The other version writes its records for its conversations, and reads none of ours."""
    async with connection(server) as redis, a_process(server, mode, PATIENT) as (sessions, *_):
        theirs = [Scope("t", f"theirs{number}") for number in range(20)]
        for scope in theirs:
            name = sessions.name(scope)
            await redis.set(place(sessions, "cur", scope), of_the_future(name), px=3_600_000)
        ours = [Scope("t", f"ours{number}") for number in range(20)]
        texts = await asyncio.gather(*(sealed(sessions, scope) for scope in ours))
        for scope, text in zip(ours, texts, strict=True):
            assert await opened(sessions, text, scope) == CANARY
        held = await everything(redis)
        for scope in theirs:
            name = sessions.name(scope)
            assert held[place(sessions, "cur", scope).encode()] == of_the_future(name)
