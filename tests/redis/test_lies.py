"""A Redis that lies: records flipped, cut, swapped, rolled back or gone give no wrong key."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import Sessions, SessionSettings

from .server import Server, needs_redis
from .test_fleet import CANARY, a_process, opened, sealed

pytestmark = [needs_redis, pytest.mark.usefixtures("patient")]

SCOPES = [Scope("t", f"c{number}") for number in range(25)]
SETTINGS = SessionSettings(ttl=36_000, grace=36_000, store_timeout=20.0)
LONG_MS = 36_000_000


@dataclass
class Held:
    """What Redis holds of one conversation: now, and before its last rotation."""

    scope: Scope
    text: bytes
    place: bytes
    value: bytes
    earlier: bytes


Lie = Callable[[Held, Held], bytes | None]
"""Returns what is put in the place of a record, given another conversation's; None deletes it."""


def flipped(one: Held, _: Held) -> bytes:
    at = secrets.randbelow(len(one.value) * 8)
    changed = bytearray(one.value)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def cut(one: Held, _: Held) -> bytes:
    return one.value[: secrets.randbelow(len(one.value))]


def lengthened(one: Held, _: Held) -> bytes:
    return one.value + secrets.token_bytes(1 + secrets.randbelow(80))


def swapped(_: Held, other: Held) -> bytes:
    return other.value


def spliced(one: Held, other: Held) -> bytes:
    at = secrets.randbelow(len(one.value))
    return one.value[:at] + other.value[at:]


def rolled_back(one: Held, _: Held) -> bytes:
    return one.earlier


def invented(one: Held, _: Held) -> bytes:
    return secrets.token_bytes(len(one.value))


def emptied(_: Held, __: Held) -> bytes:
    return b""


def evicted(_: Held, __: Held) -> None:
    return None


LIES: tuple[Lie, ...] = (
    *(flipped,) * 6,
    *(cut, lengthened, swapped, spliced, rolled_back, invented, emptied, evicted),
)


@dataclass
class Liar:
    """Puts lies in the place of records, one for each conversation at a time."""

    redis: Redis
    held: list[Held]
    told: Counter[str] = field(default_factory=Counter)

    async def lie(self) -> list[tuple[Held, bytes | None]]:
        """Tell one lie about each conversation and return them."""
        lies: list[tuple[Held, bytes | None]] = []
        pipe = self.redis.pipeline(transaction=False)
        for one in self.held:
            lie = secrets.choice(LIES)
            others = [other for other in self.held if other is not one]
            put = lie(one, secrets.choice(others))
            self.told[lie.__name__] += 1
            lies.append((one, put))
            if put is None:
                pipe.delete(one.place)
            else:
                pipe.set(one.place, put, px=LONG_MS)
        await pipe.execute()
        return lies

    async def repent(self) -> None:
        """Put every record back."""
        pipe = self.redis.pipeline(transaction=False)
        for one in self.held:
            pipe.set(one.place, one.value, px=LONG_MS)
        await pipe.execute()


def connection(server: Server) -> Redis:
    """Return a client of the Redis, for whoever writes there."""
    return Redis(port=server.port, protocol=2)


async def prepared(redis: Redis, sessions: Sessions, kind: str) -> list[Held]:
    """Return what Redis holds of each conversation after a rotation, under `cur` or `k:`."""
    found = []
    for scope in SCOPES:
        before = await sealed(sessions, scope)
        name = sessions.name(scope)
        old = place_of(name, kind, before)
        earlier = await stands(redis, old)
        await session_control.rotate(sessions, scope)
        text = await sealed(sessions, scope)
        place = place_of(name, kind, text)
        found.append(Held(scope, text, place, await stands(redis, place), earlier))
    return found


def place_of(name: str, kind: str, text: bytes) -> bytes:
    """Return the name in Redis of a conversation's record."""
    place = "cur" if kind == "cur" else f"k:{base64url.encode(decode(text).key_id.sid).decode()}"
    return f"sealyard:v1:{{{name}}}:{place}".encode()


async def reads(server: Server, lies: int) -> Counter[str]:
    """Lie about the keys of ephemeral sessions to a process that is asked to open with them."""
    async with (
        connection(server) as redis,
        a_process(server, "ephemeral", SETTINGS) as (writer, *_),
        a_process(server, "ephemeral", SETTINGS) as (reader, *_rest),
    ):
        liar = Liar(redis, await prepared(redis, writer, "k"))
        while liar.told.total() < lies:
            told = await liar.lie()
            reader._forget()
            asked = (opened(reader, one.text, one.scope) for one, _ in told)
            for (one, put), plain in zip(told, await asyncio.gather(*asked), strict=True):
                # Nothing but the record itself opens.
                assert plain == (CANARY if put == one.value else None), (one, put)
        await liar.repent()
        reader._forget()
        assert {await opened(reader, one.text, one.scope) for one in liar.held} == {CANARY}
        return liar.told


async def seals(server: Server, lies: int) -> Counter[str]:
    """Lie about the current sessions to a process that seals; another must be able to open."""
    async with (
        connection(server) as redis,
        a_process(server, "ephemeral", SETTINGS) as (writer, *_),
        a_process(server, "ephemeral", SETTINGS) as (reader, *_rest),
    ):
        liar = Liar(redis, await prepared(redis, writer, "cur"))
        while liar.told.total() < lies:
            told = await liar.lie()
            writer._forget()
            reader._forget()
            for (one, put), text in zip(
                told, await asyncio.gather(*(tried(writer, one) for one, _ in told)), strict=True
            ):
                assert text is not None, put
                assert await opened(reader, text, one.scope) == CANARY
                sid = decode(text).key_id.sid
                if put != one.value:
                    assert sid != decode(one.text).key_id.sid
                if put == one.earlier:
                    assert sid not in one.earlier
            liar.held = await renewed(writer, liar)
        return liar.told


async def tried(sessions: Sessions, one: Held) -> bytes | None:
    try:
        session = (await sessions.resolve(Needs({one.scope: 1}))).sealing[one.scope]
    except KeyUnavailable:
        return None
    return session.seal(CANARY, Context(one.scope, field="content"))


async def renewed(sessions: Sessions, liar: Liar) -> list[Held]:
    """Return what stands there now, since a lie was answered by a new session."""
    found: list[Held] = []
    for one in liar.held:
        text = await sealed(sessions, one.scope)
        value = await stands(liar.redis, one.place)
        earlier = one.earlier if value == one.value else one.value
        found.append(Held(one.scope, text, one.place, value, earlier))
    return found


async def stands(redis: Redis, place: bytes) -> bytes:
    """Return what stands there."""
    value = await redis.get(place)
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("law", [reads, seals], ids=["reads", "seals"])
async def test_no_lie_of_5_000_gives_a_wrong_key(
    server: Server, law: Callable[[Server, int], Counter[str]]
) -> None:
    told = await law(server, 5_000)  # type: ignore[misc]  # both are coroutines
    assert told.keys() == {lie.__name__ for lie in LIES}


@pytest.mark.slow
@pytest.mark.parametrize("law", [reads, seals], ids=["reads", "seals"])
async def test_no_lie_of_100_000_gives_a_wrong_key(
    server: Server, law: Callable[[Server, int], Counter[str]]
) -> None:
    assert (await law(server, 50_000)).total() >= 50_000  # type: ignore[misc]  # as above
