"""Revocation by scope and time, as every process comes to know of it."""

from __future__ import annotations

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyringError
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.merging import merge
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.sessions import session_control
from proxy.keys.sessions.revocation_state import RevocationStates
from proxy.keys.sessions.settings import SessionSettings
from proxy.keys.stores import HeldRecords, Offer, StoreFull

from .builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    SharedStore,
    Time,
    World,
    a_keyring,
    a_world,
    seal_need,
)


def a_shared_world() -> World:
    time = Time()
    return a_world(time=time, store=SharedStore(time))


async def sealing(world: World, scope: Scope = SCOPE) -> Session:
    return (await world.sessions.resolve(seal_need(scope))).sealing[scope]


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    keys = await world.sessions.resolve(Needs({}, opens=frozenset({need})))
    return need in keys.opening


async def test_a_published_revocation_is_refused_by_the_next_message() -> None:
    world = a_shared_world()
    other = world.another_process()
    await other.sessions.open()
    first = await sealing(other)
    text = first.seal(b"hello", CONTEXT)
    world.time.advance(5)
    assert await session_control.revoke(world.sessions, SCOPE, NOW + 5)
    assert not await opens(other, text)
    assert (await sealing(other)).sid != first.sid


async def test_a_lost_publication_costs_no_more_than_revocation_max_age() -> None:
    world = a_shared_world()
    other = world.another_process()
    text = (await sealing(other)).seal(b"hello", CONTEXT)
    world.time.advance(5)
    await session_control.revoke(world.sessions, SCOPE, NOW + 5)
    world.time.advance(24.9)
    assert await opens(other, text)
    world.time.advance(0.1)
    assert not await opens(other, text)


async def test_a_process_that_never_saw_the_conversation_refuses_it() -> None:
    world = a_shared_world()
    text = (await sealing(world)).seal(b"hello", CONTEXT)
    world.time.advance(5)
    await session_control.revoke(world.sessions, SCOPE, NOW + 5)
    assert not await opens(world.another_process(), text)


async def test_what_was_made_in_the_second_of_the_revocation_is_revoked_and_the_next_is_not() -> (
    None
):
    world = a_shared_world()
    before = await sealing(world)
    text = before.seal(b"hello", CONTEXT)
    await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    after = await sealing(world)
    assert (after.sid != before.sid, await opens(world, text)) == (True, False)
    assert await opens(world, after.seal(b"hello", CONTEXT))


class FullStore(SharedStore):
    """Takes no more sessions once it is `full`, and gives what it has."""

    full = False

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Do as memory does, or refuse."""
        if self.full:
            raise StoreFull
        return await super().replace(offer, seen=seen)


async def test_a_revoked_session_seals_no_more_though_its_scope_was_pushed_out_meanwhile() -> None:
    time = Time()
    store = FullStore(time)
    world = a_world(time=time, store=store, settings=SessionSettings(max_scopes=2))
    other = world.another_process()
    first = await sealing(world)
    for scope in (Scope("b"), Scope("c")):
        token = decode(
            (await sealing(other, scope)).seal(b"hello", Context(scope, field="content"))
        )
        await world.sessions.resolve(Needs({}, frozenset({(scope, token.key_id)})))
    time.advance(5)
    assert await session_control.revoke(other.sessions, SCOPE, NOW + 5)
    store.full = True
    time.advance(30)
    assert (await sealing(world)).sid != first.sid


def test_an_earlier_revocation_that_is_learned_late_takes_nothing_back() -> None:
    states = RevocationStates(a_keyring(), 1, shared=True, begun=lambda _: True)
    pushed_out = states.of(SCOPE)
    states.of(Scope("b"))
    states.revoke(states.of(SCOPE), NOW + 5)
    states.revoke(pushed_out, NOW)
    states.of(Scope("b"))
    assert (states.of(SCOPE).not_before, pushed_out.not_before) == (NOW + 5, NOW + 5)


async def test_a_session_made_without_the_store_is_revoked_too() -> None:
    time, keyring = Time(), a_keyring()
    alone = a_world(time=time, keyring=keyring, store=BrokenStore(shared=True))
    text = (await sealing(alone)).seal(b"hello", CONTEXT)
    time.advance(5)
    assert not await session_control.revoke(alone.sessions, SCOPE, NOW + 5)
    assert not await opens(alone, text)
    name = record_name(keyring.name_key, SCOPE)
    elsewhere = a_world(time=time, keyring=keyring.revoke(name, NOW + 5))
    assert not await opens(elsewhere, text)


async def test_a_revocation_in_the_keyring_survives_the_loss_of_the_store() -> None:
    world = a_shared_world()
    text = (await sealing(world)).seal(b"hello", CONTEXT)
    name = record_name(world.keyring.name_key, SCOPE)
    revoked = world.keyring.revoke(name, NOW + 5)
    world.sessions.replace_keyring(revoked)
    await world.store.close()
    world.time.advance(5)
    assert not await opens(world, text)
    assert await opens(world.another_process(), text)  # whose keyring does not say so


async def test_a_forged_revocation_revokes_nothing() -> None:
    world = a_shared_world()
    text = (await sealing(world)).seal(b"hello", CONTEXT)
    name = record_name(world.keyring.name_key, SCOPE)
    await world.store.revoke(name, b"\x01" + b"\xff" * 40, 2**62)
    other = world.another_process()
    assert await opens(other, text)
    # It is asked for again, since it may have been spoilt on the way.
    assert other.notices == ["record-forged"] * 3


def test_a_keyring_with_revocations_survives_being_written() -> None:
    keyring = a_keyring("k2").revoke("A" * 22, NOW).revoke("B" * 22, 5).revoke("A" * 22, 7)
    assert jwk_set.decode(jwk_set.encode(keyring)) == keyring
    assert (keyring.not_before("A" * 22), keyring.not_before("C" * 22)) == (NOW, 0)


def test_a_keyring_without_revocations_is_written_as_before() -> None:
    assert b"revocations" not in jwk_set.encode(a_keyring())


def test_merging_keeps_the_later_revocation_of_each_conversation() -> None:
    keyring = a_keyring()
    ours = keyring.revoke("A" * 22, 5).revoke("B" * 22, 9)
    merged = merge(ours, keyring.revoke("A" * 22, 7).revoke("C" * 22, 1), now=NOW)
    assert [merged.not_before(name * 22) for name in "ABC"] == [7, 9, 1]


@pytest.mark.parametrize("members", [b"[]", b'{"A":1}', b'{"' + b"A" * 22 + b'":-1}', b"1"])
def test_a_malformed_list_of_revocations_is_refused(members: bytes) -> None:
    text = jwk_set.encode(a_keyring())[:-1] + b',"revocations":' + members + b"}"
    with pytest.raises(KeyringError):
        jwk_set.decode(text)
