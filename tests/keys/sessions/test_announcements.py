"""What another process announces while an answer of the store is worked on: it is heeded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from proxy.core.crypto.secret import KEY_BYTES, SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import decode
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions import session_control
from proxy.keys.sessions.key_events import Beginning, KeyEvents
from proxy.keys.sessions.settings import SessionMode
from proxy.keys.stores import FoundRecords
from tests.factories import Ear

from ..builders import (
    CONTEXT,
    NOW,
    SCOPE,
    SharedStore,
    Time,
    World,
    a_keyring,
    a_world,
    seal_need,
    some_bytes,
)


class SlowLog(KeyEvents):
    """Writes down a session that begins once it may."""

    def __init__(self) -> None:
        super().__init__(Ear(), None, a_keyring().record_key, clock=Time())
        self.may = asyncio.Event()
        self.begun: asyncio.Queue[bytes] = asyncio.Queue()

    async def begins(self, one: Beginning) -> None:
        """Wait."""
        await self.begun.put(one.sid)
        await self.may.wait()


class LateStore(SharedStore):
    """Its next answer to a question is overtaken by what happens `meanwhile`."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Do as memory does, and be late with it."""
        found = await super().find(name, key_ids, current=current, fence=fence)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found


async def sealing(world: World) -> Session:
    return (await world.sessions.resolve(seal_need())).sealing[SCOPE]


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


async def revoke(world: World) -> None:
    assert await session_control.revoke(world.sessions, SCOPE, NOW + 1)


async def erase(world: World) -> None:
    assert await session_control.erase(world.sessions, SCOPE)


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_session_that_is_revoked_before_it_is_written_down_does_not_seal(
    mode: SessionMode,
) -> None:
    log, time = SlowLog(), Time()
    world = a_world(time=time, store=SharedStore(time), mode=mode, key_events=log)
    await world.sessions.open()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(sealing(world))
        sid = await log.begun.get()
        await revoke(world.another_process())
        log.may.set()
    assert first.result().sid != sid


async def test_a_session_that_is_erased_before_it_is_written_down_neither_seals_nor_opens() -> None:
    log, time = SlowLog(), Time()
    world = a_world(time=time, store=SharedStore(time), mode="ephemeral", key_events=log)
    await world.sessions.open()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(sealing(world))
        sid = await log.begun.get()
        await erase(world.another_process())
        log.may.set()
    session = first.result()
    assert session.sid != sid
    assert await opens(world, session.seal(b"hello", CONTEXT))
    erased = Session(SessionKey(some_bytes(KEY_BYTES)), sid=sid, scope=SCOPE)
    assert not await opens(world, erased.seal(b"hello", CONTEXT))


@pytest.mark.parametrize(
    ("mode", "change"), [("durable", revoke), ("ephemeral", revoke), ("ephemeral", erase)]
)
async def test_what_is_revoked_or_erased_while_it_is_looked_up_does_not_open(
    mode: SessionMode, change: Callable[[World], Awaitable[None]]
) -> None:
    time = Time()
    store = LateStore(time)
    world = a_world(time=time, store=store, mode=mode)
    await world.sessions.open()
    other = world.another_process()
    text = (await sealing(other)).seal(b"hello", CONTEXT)
    store.meanwhile = lambda: change(other)
    assert not await opens(world, text)
