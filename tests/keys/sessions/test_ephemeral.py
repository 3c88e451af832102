"""Ephemeral sessions: random keys, wrapped in the store, that end for ever."""

from __future__ import annotations

import asyncio
import gc

import pytest

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId, decode
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode, SessionSettings
from proxy.keys.stores import Offer

from ..builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    CountingStore,
    SharedStore,
    Time,
    World,
    a_keyring,
    a_world,
    seal_need,
    some_bytes,
)

HOUR = 3600


def an_ephemeral_world(*more: str) -> World:
    time = Time()
    store = CountingStore(time, shared=True)
    return a_world(mode="ephemeral", time=time, store=store, keyring=a_keyring(*more))


async def sealing(world: World, scope: Scope = SCOPE) -> Session:
    return (await world.sessions.resolve(seal_need(scope))).sealing[scope]


async def a_token(world: World) -> bytes:
    return (await sealing(world)).seal(b"hello", CONTEXT)


async def opened(world: World, text: bytes, context: Context = CONTEXT) -> bytes | None:
    token = decode(text)
    need = (context.scope, token.key_id)
    keys = await world.sessions.resolve(Needs({}, opens=frozenset({need})))
    session = keys.opening.get(need)
    return None if session is None else session.open(token, context, world.time())


async def test_every_process_opens_by_the_store() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    assert decode(text).key_id.kek_id is None
    assert await opened(world.another_process(), text) == b"hello"


async def test_a_session_key_is_random_and_not_derived() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    assert await opened(a_world(keyring=world.keyring, time=world.time), text) is None


async def test_opening_asks_the_store_once() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    other = world.another_process()
    assert isinstance(world.store, CountingStore)
    world.store.asked.clear()
    assert await asyncio.gather(*(opened(other, text) for _ in range(20))) == [b"hello"] * 20
    assert world.store.asked == ["find"]


async def test_an_id_that_never_was_is_asked_for_once_a_second() -> None:
    world = an_ephemeral_world()
    assert isinstance(world.store, CountingStore)
    need = (SCOPE, KeyId(NOW.to_bytes(4) + some_bytes(8)))
    for _ in range(5):
        keys = await world.sessions.resolve(Needs({}, opens=frozenset({need})))
        assert keys.opening == {}
    assert world.store.asked == ["find"]
    world.time.advance(1)
    await world.sessions.resolve(Needs({}, opens=frozenset({need})))
    assert world.store.asked == ["find", "find"]


@pytest.mark.parametrize("began", [0, NOW + 3600])
async def test_an_id_that_cannot_be_alive_is_not_asked_for(began: int) -> None:
    world = a_world(mode="ephemeral")
    need = (SCOPE, KeyId(began.to_bytes(4) + some_bytes(8)))
    keys = world.sessions.resolve_warm(Needs({}, opens=frozenset({need})))
    assert keys is not None
    assert keys.opening == {}


async def test_a_decoy_stands_for_what_was_absent_revoked_or_is_over() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    alive, absent = decode(text).key_id, KeyId(NOW.to_bytes(4) + some_bytes(8))
    impossible = KeyId(bytes(12))

    async def refusals() -> list[str | None]:
        needs = Needs({}, opens=frozenset((SCOPE, one) for one in (alive, absent, impossible)))
        keys = await world.sessions.resolve(needs)
        assert {key_id for _, key_id in (*keys.opening, *keys.decoys)} == {
            alive,
            absent,
            impossible,
        }
        for decoy in keys.decoys.values():
            with pytest.raises(OpenFailed):
                decoy.open(decode(text), CONTEXT, world.time())
        return [keys.refusals[SCOPE, one] for one in (alive, absent, impossible)]

    assert await refusals() == [None, "unknown-key", "unknown-key"]
    world.time.advance(5)
    assert await session_control.revoke(world.sessions, SCOPE, NOW + 5)
    assert await refusals() == ["revoked-session", "unknown-key", "unknown-key"]
    world.time.advance(3 * HOUR)
    assert await refusals() == ["unknown-key"] * 3


async def test_it_seals_until_its_soft_end_and_opens_until_its_hard_end() -> None:
    world = an_ephemeral_world()
    text, first = await a_token(world), await sealing(world)
    world.time.advance(HOUR - 1)
    assert (await sealing(world)).sid == first.sid
    world.time.advance(1)
    assert (await sealing(world)).sid != first.sid
    world.time.advance(HOUR - 1)
    assert await opened(world, text) == b"hello"
    world.time.advance(1)
    for process in (world, world.another_process()):
        assert await opened(process, text) is None


async def test_a_store_that_keeps_a_key_beyond_its_hard_end_is_not_believed() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    name = next(place.partition(":")[0] for place in await world.store.dump())
    key_id = decode(text).key_id.sid
    record = (await world.store.dump())[f"{name}:cur"]
    world.time.advance(2 * HOUR)
    kid = base64url.encode(key_id).decode()
    await world.store.replace(Offer(name, record, 10**9, kid, 10**9))
    assert await opened(world.another_process(), text) is None


async def test_without_the_store_nothing_new_is_sealed_or_opened() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    down = a_world(keyring=world.keyring, store=BrokenStore(shared=True), mode="ephemeral")
    with pytest.raises(KeyUnavailable):
        await sealing(down)
    with pytest.raises(KeyUnavailable):
        await opened(down, text)


async def test_when_the_store_goes_what_is_cached_lasts_until_its_soft_end() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    assert await opened(world, text) == b"hello"
    world.sessions.store._store = BrokenStore(shared=True)
    for _ in range(59):
        world.time.advance(60)
        assert await opened(world, text) == b"hello"
        await sealing(world)
    world.time.advance(60)
    with pytest.raises(KeyUnavailable):
        await sealing(world)
    with pytest.raises(KeyUnavailable):
        await opened(world, text)


async def test_what_the_store_lost_seals_no_more_than_a_moment() -> None:
    world = an_ephemeral_world()
    first = await sealing(world)
    await world.store.close()
    world.time.advance(30)
    assert (await sealing(world)).sid != first.sid


async def test_disabling_the_kek_closes_its_ephemeral_sessions() -> None:
    world = an_ephemeral_world("k2")
    text = await a_token(world)
    assert await opened(world, text) == b"hello"
    world.sessions.replace_keyring(world.keyring.promote("k2").disable("k1"))
    assert await opened(world, text) is None


async def test_a_rotation_leaves_old_tokens_readable() -> None:
    world = an_ephemeral_world()
    text, before = await a_token(world), await sealing(world)
    after = (await session_control.rotate(world.sessions, SCOPE)).session
    assert after.sid != before.sid
    assert await opened(world.another_process(), text) == b"hello"


async def test_a_durable_process_opens_what_an_ephemeral_one_sealed_before() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    durable = a_world(keyring=world.keyring, store=world.store, time=world.time)
    assert await opened(durable, text) == b"hello"


async def test_b19_a_pod_whose_clock_is_40_days_ahead_takes_no_key() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    ahead = world.another_process(time=Time(NOW + 40 * 24 * HOUR))
    assert await opened(ahead, text) is None


@pytest.mark.parametrize("days", [26, -26])
async def test_a_process_whose_clock_was_off_for_weeks_opens_all_when_it_is_right_again(
    days: int,
) -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    other = world.another_process(time=Time())
    assert await opened(other, text) == b"hello"
    other.time.advance(days * 24 * HOUR)
    await opened(other, text)
    other.time.advance(-days * 24 * HOUR)
    assert await opened(other, text) == b"hello"


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_process_whose_clock_was_weeks_ahead_hears_of_a_revocation_as_soon_as_any(
    mode: SessionMode,
) -> None:
    time = Time()
    world = a_world(mode=mode, time=time, store=SharedStore(time))
    text = await a_token(world)
    other = world.another_process(time=Time(NOW + 26 * 24 * HOUR))
    await opened(other, text)
    other.time.now = time.now
    assert await opened(other, text) == b"hello"
    await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    other.time.advance(world.settings.revocation_max_age)
    assert await opened(other, text) is None


async def test_the_hard_end_holds_with_no_grace() -> None:
    time = Time()
    world = a_world(
        mode="ephemeral", time=time, store=SharedStore(time), settings=SessionSettings(grace=0)
    )
    text = await a_token(world)
    time.advance(HOUR)
    assert await opened(world, text) is None


async def test_a_key_leaves_the_memory_of_every_process_at_its_hard_end() -> None:
    world = an_ephemeral_world()
    text = await a_token(world)
    other = world.another_process()
    assert await opened(other, text) == b"hello"
    key = decode(text).key_id.sid
    for ours in (world, other):
        assert held_in_memory(key)
        world.time.advance(0 if ours is world else 0.5)
    world.time.advance(world.settings.ttl + world.settings.grace)
    for ours in (world, other):
        assert not any(ours.sessions.drop_ended())
    assert not held_in_memory(key)


@pytest.mark.parametrize("how", ["revocation", "reload"])
async def test_a_key_leaves_the_memory_when_it_is_revoked_or_its_kek_is_disabled(how: str) -> None:
    world = an_ephemeral_world("k2")
    text = await a_token(world)
    assert await opened(world, text) == b"hello"
    sid = decode(text).key_id.sid
    if how == "revocation":
        await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    else:
        world.sessions.replace_keyring(world.keyring.promote("k2").disable("k1"))
    assert not any(world.sessions.drop_ended())
    assert not held_in_memory(sid)
    assert await opened(world, text) is None


def held_in_memory(sid: bytes) -> bool:
    """Tell whether any object of this process is the session of that id."""
    gc.collect()
    return any(type(one) is Session and one.sid == sid for one in gc.get_objects())
