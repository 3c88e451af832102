from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId, decode
from proxy.core.errors import ConfigurationError, KeyUnavailable, OperatorError
from proxy.core.values.key_needs import Keys, Needs
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import SessionMode, SessionSettings
from proxy.keys.stores import MemoryStore, Offer

from ..builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    CountingStore,
    HookedStore,
    Time,
    World,
    a_keyring,
    a_world,
    seal_need,
    some_bytes,
)

HOUR = 3600


async def sealing(world: World, scope: Scope = SCOPE) -> Session:
    return (await world.sessions.resolve(seal_need(scope))).sealing[scope]


async def a_token(world: World, *, form: Form = "jwe") -> bytes:
    return (await sealing(world)).seal(b"hello", CONTEXT, form=form)


def opened(world: World, text: bytes, context: Context = CONTEXT) -> bytes | None:
    """Return the plaintext; None when there is no session to open with."""
    token = decode(text)
    need = (context.scope, token.key_id)
    keys = world.sessions.resolve_warm(Needs({}, opens=frozenset({need})))
    assert keys is not None
    session = keys.opening.get(need)
    if session is None:
        return None
    plaintext = session.open(token, context, world.time())
    world.sessions.remember({session: 1})
    return plaintext


# --- sealing --------------------------------------------------------------------------------------


async def test_the_first_message_needs_the_store_and_the_second_does_not() -> None:
    world = a_world()
    assert world.sessions.resolve_warm(seal_need()) is None
    session = await sealing(world)
    warm = world.sessions.resolve_warm(seal_need())
    assert warm is not None
    assert warm.sealing[SCOPE] is session


async def test_nothing_needed_is_warm() -> None:
    assert a_world().sessions.resolve_warm(Needs({})) == Keys({}, {})


async def test_a_session_id_begins_with_its_time() -> None:
    assert (await sealing(a_world())).created == NOW


async def test_concurrent_first_messages_agree_with_one_store_call() -> None:
    store = CountingStore(Time())
    world = a_world(store=store)
    found = await asyncio.gather(*(sealing(world) for _ in range(50)))
    assert (len({id(session) for session in found}), store.asked) == (1, ["get_or_create"])


async def test_a_cancelled_first_message_does_not_hold_up_the_others() -> None:
    world = a_world(store=CountingStore(Time()))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sealing(world)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    assert tasks[1].result() is tasks[2].result()


async def test_processes_agree_over_the_store() -> None:
    worlds = [first := a_world(), first.another_process(), first.another_process()]
    found = await asyncio.gather(*(sealing(world) for world in worlds))
    assert len({session.sid for session in found}) == 1


async def test_scopes_have_sessions_of_their_own() -> None:
    world = a_world()
    scopes = [Scope("a", "1"), Scope("a", "2"), Scope("b", "1"), Scope("a"), Scope()]
    keys = await world.sessions.resolve(Needs(seals=dict.fromkeys(scopes, 1)))
    assert len({keys.sealing[scope].sid for scope in scopes}) == len(scopes)


async def test_after_its_soft_end_a_session_does_not_seal_and_still_opens() -> None:
    world = a_world()
    before, text = await sealing(world), await a_token(world)
    world.time.advance(HOUR)
    assert world.sessions.resolve_warm(seal_need()) is None
    assert (await sealing(world)).sid != before.sid
    assert opened(world, text) == b"hello"


async def test_a_process_that_joins_late_stops_at_the_same_soft_end() -> None:
    world = a_world()
    first = await sealing(world)
    world.time.advance(HOUR - 1)
    late = world.another_process()
    assert (await sealing(late)).sid == first.sid
    world.time.advance(1)
    assert late.sessions.resolve_warm(seal_need()) is None


async def test_no_session_seals_for_more_than_24_hours_whatever_the_store_says() -> None:
    time, keyring = Time(), a_keyring()
    world = a_world(time=time, keyring=keyring, settings=SessionSettings(ttl=24 * HOUR))
    first = await sealing(world)
    time.advance(24 * HOUR - 1)
    assert (await sealing(world)).sid == first.sid
    time.advance(1)
    assert (await sealing(world)).sid != first.sid


async def test_a_session_seals_no_more_messages_than_its_cap() -> None:
    world = a_world(settings=SessionSettings(max_messages=3))
    found = [(await sealing(world)).sid for _ in range(7)]
    assert [found.count(sid) for sid in dict.fromkeys(found)] == [3, 3, 1]


async def test_the_cap_counts_values_and_holds_among_concurrent_messages() -> None:
    world = a_world(settings=SessionSettings(max_messages=4))
    found = await asyncio.gather(*(world.sessions.resolve(seal_need(values=2)) for _ in range(9)))
    sids = [keys.sealing[SCOPE].sid for keys in found]
    assert max(sids.count(sid) for sid in sids) <= 2


@pytest.mark.parametrize("how", ["reload", "pushed out"])
async def test_a_session_that_the_cache_lost_goes_on_counting_where_it_was(how: str) -> None:
    world = a_world(settings=SessionSettings(max_messages=5, max_scopes=1))
    first = (await world.sessions.resolve(seal_need(values=3))).sealing[SCOPE]
    if how == "reload":
        world.sessions.replace_keyring(world.keyring.revoke("A" * 22, 1))
    else:
        await sealing(world, Scope("other"))
    again = (await world.sessions.resolve(seal_need(values=2))).sealing[SCOPE]
    assert again.sid == first.sid
    assert (await sealing(world)).sid != first.sid


async def test_a_message_of_more_values_than_the_cap_is_refused() -> None:
    world = a_world(settings=SessionSettings(max_messages=3))
    with pytest.raises(KeyUnavailable, match="too-many-values"):
        await world.sessions.resolve(seal_need(values=4))


async def test_a_plan_that_is_not_warm_spends_nothing() -> None:
    world = a_world(settings=SessionSettings(max_messages=2))
    first = await sealing(world)
    for _ in range(5):
        plan = Needs(seals={SCOPE: 1, Scope("other"): 1})
        assert world.sessions.resolve_warm(plan) is None
    assert (await sealing(world)).sid == first.sid


async def test_the_cache_is_bounded_and_a_plan_beyond_it_is_refused() -> None:
    world = a_world(settings=SessionSettings(max_scopes=10))
    for number in range(30):
        await sealing(world, Scope("t", str(number)))
    assert world.sessions.cached == (10, 10)
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await world.sessions.resolve(Needs(seals={Scope(str(n)): 1 for n in range(11)}))


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jwe", "short"])
async def test_every_process_with_the_keyring_opens_with_an_empty_store(form: Form) -> None:
    world = a_world()
    text = await a_token(world, form=form)
    other = a_world(keyring=world.keyring, store=BrokenStore())
    assert opened(other, text) == b"hello"


async def test_only_sessions_that_verified_are_kept() -> None:
    world = a_world()
    opens = frozenset((SCOPE, KeyId(some_bytes(12), kek_id="k1")) for _ in range(20))
    keys = world.sessions.resolve_warm(Needs({}, opens=opens))
    assert keys is not None
    assert (len(keys.opening), world.sessions.cached) == (20, (0, 0))


async def test_a_remembered_session_is_found_by_both_forms() -> None:
    world = a_world()
    session = await sealing(world)
    both = {(SCOPE, KeyId(session.sid, kek_id="k1")), (SCOPE, KeyId(session.sid, kek_number=1))}
    keys = world.sessions.resolve_warm(Needs({}, opens=frozenset(both)))
    assert keys is not None
    assert all(found is session for found in keys.opening.values())


@pytest.mark.parametrize(
    "key_id",
    [
        KeyId(b"s" * 12),
        KeyId(b"s" * 12, kek_id="k9"),
        KeyId(b"s" * 12, kek_number=9),
        KeyId(b"s" * 12, kek_id="k2"),
        KeyId(b"s" * 12, kek_number=2),
    ],
)
async def test_ephemeral_unknown_and_disabled_keys_are_absent(key_id: KeyId) -> None:
    world = a_world(keyring=a_keyring("k2").disable("k2"))
    keys = world.sessions.resolve_warm(Needs({}, opens=frozenset({(SCOPE, key_id)})))
    assert keys is not None
    assert not keys.opening
    assert list(keys.decoys) == [(SCOPE, key_id)]


# --- rotation, revocation, another keyring --------------------------------------------------------


async def test_rotation_makes_a_new_session_and_old_tokens_stay_readable() -> None:
    world = a_world()
    text, before = await a_token(world), await sealing(world)
    after = (await session_control.rotate(world.sessions, SCOPE)).session
    assert after.sid != before.sid
    assert (await sealing(world)) is after
    assert opened(world, text) == b"hello"


async def test_a_process_that_joins_after_a_rotation_gets_the_new_session() -> None:
    world = a_world()
    await sealing(world)
    rotated = await session_control.rotate(world.another_process().sessions, SCOPE)
    assert (await sealing(world.another_process())).sid == rotated.session.sid


async def test_rotation_without_a_session_makes_one() -> None:
    world = a_world()
    assert (await session_control.rotate(world.sessions, SCOPE)).session is await sealing(world)


async def test_a_revoked_session_neither_seals_nor_opens() -> None:
    world = a_world()
    text, before = await a_token(world), await sealing(world)
    world.time.advance(10)
    await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    assert opened(world, text) is None
    assert world.sessions.resolve_warm(seal_need()) is None
    assert (await sealing(world)).sid != before.sid


async def test_a_revocation_reaches_what_was_opened_before_its_scope_was_pushed_out() -> None:
    world = a_world(settings=SessionSettings(max_scopes=10))
    text = await a_token(world)
    assert [opened(world, text) for _ in range(3)] == [b"hello"] * 3
    for number in range(30):
        await sealing(world, Scope("t", str(number)))
    world.time.advance(10)
    await session_control.revoke(world.sessions, SCOPE, NOW + 1)
    assert opened(world, text) is None


async def test_revocation_ends_at_its_scope_and_an_earlier_one_takes_nothing_back() -> None:
    world = a_world()
    text, other = await a_token(world), await sealing(world, Scope("other"))
    world.time.advance(10)
    await session_control.revoke(world.sessions, SCOPE, NOW + 5)
    await session_control.revoke(world.sessions, SCOPE, NOW)
    assert opened(world, text) is None
    assert (await sealing(world, Scope("other"))) is other


async def test_a_revocation_for_a_time_to_come_is_refused() -> None:
    world = a_world()
    with pytest.raises(OperatorError):
        await session_control.revoke(world.sessions, SCOPE, NOW + 2)


async def test_after_a_promotion_new_sessions_are_under_the_new_kek() -> None:
    world = a_world(keyring=a_keyring("k2"))
    text = await a_token(world)
    world.sessions.replace_keyring(world.keyring.promote("k2"))
    assert (await sealing(world)).kek_id == "k2"
    assert opened(world, text) == b"hello"


async def test_disabling_a_kek_closes_its_tokens_even_those_just_opened() -> None:
    world = a_world(keyring=a_keyring("k2"))
    text = await a_token(world)
    assert opened(world, text) == b"hello"
    world.sessions.replace_keyring(world.keyring.promote("k2").disable("k1"))
    assert opened(world, text) is None


async def test_the_same_keyring_again_keeps_the_sessions() -> None:
    world = a_world()
    session = await sealing(world)
    world.sessions.replace_keyring(replace(world.keyring))
    assert (await sealing(world)) is session


async def test_a_keyring_replaced_while_the_store_is_asked_is_not_outlived() -> None:
    keyring = a_keyring("k2")
    world = a_world(keyring=keyring, store=CountingStore(Time()))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sealing(world))
        await asyncio.sleep(0)
        world.sessions.replace_keyring(keyring.promote("k2"))
    assert task.result().kek_id == "k2"


# --- the store fails, lies or lags ----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_message_that_waits_at_the_end_of_the_lease_keeps_no_key(mode: SessionMode) -> None:
    class Withdrawing(HookedStore):
        async def before(self, operation: str) -> None:
            if operation == "get_or_create" and ends:
                world.sessions.withdraw(withdrawn=ends.pop())

    time, ends = Time(), [True]
    world = a_world(store=Withdrawing(time), time=time, mode=mode)
    with pytest.raises(KeyUnavailable, match="root-lease-ended"):
        await world.sessions.resolve(seal_need())
    assert world.sessions.cached == (0, 0)
    assert len(world.sessions._ephemeral) == 0
    with pytest.raises(KeyUnavailable):
        world.sessions.resolve_warm(seal_need())
    assert world.sessions.resolve_warm(Needs({}, frozenset())) is not None
    world.sessions.withdraw(withdrawn=False)
    assert await world.sessions.resolve(seal_need())


async def test_without_the_store_durable_sessions_go_on_in_the_process() -> None:
    world = a_world(store=BrokenStore())
    text = await a_token(world)
    assert opened(a_world(keyring=world.keyring), text) == b"hello"
    assert (await sealing(world)) is (await sealing(world))
    assert world.notices == ["store-failed"]


async def test_a_store_that_hangs_costs_its_deadline_once() -> None:
    store = BrokenStore(hangs=True)
    world = a_world(store=store, settings=SessionSettings(store_timeout=0.02))
    for number in range(5):
        await sealing(world, Scope(str(number)))
    assert (store.asked, world.notices) == (1, ["store-timeout"])


async def test_the_store_is_asked_again_later() -> None:
    store = BrokenStore()
    world = a_world(store=store)
    await sealing(world)
    world.time.advance(2)
    await sealing(world, Scope("other"))
    assert store.asked == 2


async def current_offer(world: World, name: str) -> Offer:
    held = await world.store.get_or_create(Offer(name, b"", 1))
    return Offer(name, held.record, held.remaining_ms)


async def test_an_edited_record_is_refused() -> None:
    world = a_world()
    session = await sealing(world)
    offer = await current_offer(world, record_name(world.keyring.name_key, SCOPE))
    edited = replace(offer, record=offer.record[:-1] + bytes((offer.record[-1] ^ 1,)))
    await world.store.replace(edited, seen=offer.record)
    other = world.another_process()
    assert (await sealing(other)).sid != session.sid
    assert other.notices[0] == "record-forged"


async def test_a_record_moved_to_another_scope_is_refused() -> None:
    world = a_world()
    session = await sealing(world)
    offer = await current_offer(world, record_name(world.keyring.name_key, SCOPE))
    other_scope = Scope("clinic", "c2")
    name = record_name(world.keyring.name_key, other_scope)
    await world.store.replace(replace(offer, name=name))
    assert (await sealing(world, other_scope)).sid != session.sid
    assert world.notices[0] == "record-forged"


async def test_an_older_record_than_one_seen_before_is_refused() -> None:
    world = a_world(settings=SessionSettings(max_messages=2))
    first = await sealing(world)
    offer = await current_offer(world, record_name(world.keyring.name_key, SCOPE))
    await session_control.rotate(world.sessions, SCOPE)
    world.sessions.sealing.forget()
    now = await current_offer(world, offer.name)
    await world.store.replace(offer, seen=now.record)
    assert (await sealing(world)).sid != first.sid
    assert world.notices == ["record-stale"]


async def test_a_record_from_the_future_is_replaced() -> None:
    ahead = a_world(time=Time(NOW + 3600.0), store=MemoryStore(Time()))
    await sealing(ahead)
    behind = a_world(keyring=ahead.keyring, store=ahead.store)
    assert (await sealing(behind)).created == NOW


async def test_a_store_that_prolongs_a_record_is_not_believed() -> None:
    time, frozen = Time(), Time()
    world = a_world(time=time, store=MemoryStore(frozen))
    first = await sealing(world)
    time.advance(HOUR)
    assert (await sealing(world.another_process())).sid != first.sid


# --- forks, secrets, settings ---------------------------------------------------------------------


FORKING = """
import asyncio, os
from tests.keys.builders import a_world, seal_need
world = a_world()
asyncio.run(world.sessions.resolve(seal_need()))
child = os.fork()
if child == 0:
    dropped = world.sessions.resolve_warm(seal_need()) is None
    os._exit(0 if dropped and asyncio.run(world.sessions.resolve(seal_need())) else 1)
_, status = os.waitpid(child, 0)
assert status == 0
assert world.sessions.resolve_warm(seal_need()) is not None
"""


def test_sessions_are_dropped_in_a_forked_process_and_kept_in_its_parent() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", FORKING], cwd=root, check=False)  # noqa: S603 - our own code
    assert done.returncode == 0


async def test_nothing_shows_a_key() -> None:
    world = a_world()
    await sealing(world)
    shown = repr(world.sessions) + repr(world.keyring) + repr(vars(world.sessions))
    key = world.keyring.primary.key.reveal()
    assert repr(key)[2:-1] not in shown
    assert key.hex() not in shown


async def test_a_session_cannot_be_copied_out() -> None:
    with pytest.raises(TypeError):
        copy.copy(await sealing(a_world()))


@pytest.mark.parametrize(
    "settings",
    [
        SessionSettings(ttl=0),
        SessionSettings(ttl=24 * HOUR + 1),
        SessionSettings(grace=-1),
        SessionSettings(max_messages=(1 << 22) + 1),
        SessionSettings(max_messages=0),
        SessionSettings(max_scopes=0),
    ],
)
def test_settings_beyond_the_limits_are_refused(settings: SessionSettings) -> None:
    with pytest.raises(ConfigurationError):
        a_world(settings=settings)
