"""Sessions of a process whose clock is set back, where no store has another one."""

from __future__ import annotations

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.policy import MAX_SKEW_SECONDS
from proxy.keys.sessions import session_control
from proxy.keys.sessions.settings import SessionMode
from proxy.keys.stores import MemoryStore, Store
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import a_fleet

from ..builders import CONTEXT, NOW, SCOPE, SharedStore, Time, World, a_world, seal_need

DAYS = 26 * 86_400


def a_lone_world() -> World:
    """Return the world of a process alone; the clock of the memory store never goes back."""
    return a_world(store=MemoryStore(Time()))


async def sealing(world: World) -> Session:
    return (await world.sessions.resolve(seal_need())).sealing[SCOPE]


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_session_of_the_future_seals_no_more_once_the_clock_is_right(
    revoked: bool,  # noqa: FBT001 - a case
) -> None:
    world = a_lone_world()
    world.time.advance(DAYS)
    early = await sealing(world)
    world.time.advance(-DAYS)
    if revoked:
        latest = await session_control.latest(world.sessions, SCOPE)
        assert await session_control.revoke(world.sessions, SCOPE, latest)
    session = await sealing(world)
    assert session.sid != early.sid
    assert await opens(world, session.seal(b"hello", CONTEXT))
    assert await opens(world, early.seal(b"hello", CONTEXT)) != revoked


async def test_a_session_of_the_future_is_not_kept_until_its_end() -> None:
    world = a_lone_world()
    world.time.advance(DAYS)
    await sealing(world)
    world.time.advance(-DAYS)
    assert world.sessions.due().due == 0.0
    list(world.sessions.drop_ended())
    assert len(world.sessions.sealing) == 0


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("back", [60, 600])
async def test_after_a_revocation_nothing_is_sealed_that_would_not_open(
    mode: SessionMode, back: int
) -> None:
    """A session must begin after the revocation, and one from the future does not open."""
    world = a_world(store=MemoryStore(Time()), mode=mode)
    await sealing(world)
    assert await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    world.time.advance(-back)
    if back > MAX_SKEW_SECONDS:
        with pytest.raises(KeyUnavailable) as refused:
            await sealing(world)
        assert refused.value.reason == "clock-before-revocation"
        world.time.advance(back)
    session = await sealing(world)
    assert await opens(world, session.seal(b"hello", CONTEXT))


# --- back by less than two clocks may differ ------------------------------------------------------


async def revoke(world: World, scope: Scope = SCOPE) -> None:
    """Revoke what is there by now, as an operator does."""
    result = await Desk(world.sessions).run("revoke", scope)
    assert result.not_before > 0


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_revocation_covers_the_session_of_before_the_clock_was_set_back(
    mode: SessionMode,
    elsewhere: bool,  # noqa: FBT001 - a case
) -> None:
    store: Store = SharedStore(Time()) if elsewhere else MemoryStore(Time())
    world = a_world(store=store, mode=mode)
    await world.sessions.open()
    early = await sealing(world)
    text = early.seal(b"hello", CONTEXT)
    world.time.advance(-60)
    await sealing(world)
    world.time.advance(5)
    assert await opens(world, text)
    await revoke(world.another_process() if elsewhere else world)
    assert not await opens(world, text)
    session = await sealing(world)
    assert session.sid != early.sid
    assert await opens(world, session.seal(b"hello", CONTEXT))
    world.time.advance(3600)
    assert not await opens(world, text)


async def test_a_revocation_covers_what_was_sealed_end_to_end_before_the_clock_was_set_back() -> (
    None
):
    (one,) = await a_fleet(store=MemoryStore(Time()))
    text = await one.seal(b"hello", "alice", ["bob"])
    one.time.advance(-60)
    assert await one.open_for("bob", text) == b"hello"
    await Desk(one.sessions).run("revoke", SCOPE)
    with pytest.raises(OpenFailed):
        await one.open_for("bob", text)
    text = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", text) == b"hello"
