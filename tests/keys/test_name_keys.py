"""Rotating the name key: what is new has other names, and nothing old is lost or comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto import token
from proxy.core.errors import KeyringError, OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.fleet.lineage import Lineage
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.keyring import LONGEST_SECONDS, Keyring
from proxy.keys.keyring.merging import adopt, merge
from proxy.keys.keyring.name_keys import OtherNameKey, id_of
from proxy.keys.operations import erase_receipt
from proxy.keys.policy import CLOCKS_SECONDS, MAX_FORMER_NAMES
from proxy.keys.sessions.sessions import SessionMode

from .builders import CONTEXT, NOW, SCOPE, SharedStore, Time, World, a_keyring, a_world, some_bytes
from .builders import seal_need as need
from .desk import Desk
from .end_to_end.builders import KEYRING, Process, a_fleet
from .test_adopting import a_pair

DAY = 86_400


def next_one(keyring: Keyring) -> Keyring:
    """Return the keyring with a next name key, as it comes back from the file."""
    begun = keyring.begin_names(now=NOW, random=some_bytes)
    return jwk_set.decode(jwk_set.encode(begun))


def turned(keyring: Keyring) -> Keyring:
    """Return the keyring with its next name key in use, as it comes back from the file."""
    return jwk_set.decode(jwk_set.encode(keyring.turn_names(now=NOW)))


def a_window(mode: SessionMode = "durable") -> tuple[World, World]:
    """Return a process that keeps under the former name key, and one that has turned."""
    time = Time()
    keyring = next_one(a_keyring())
    before = a_world(keyring=keyring, store=SharedStore(time), time=time, mode=mode)
    return before, before.another_process(turned(keyring))


async def sealed(world: World) -> bytes:
    session = (await world.sessions.resolve(need(SCOPE))).sealing[SCOPE]
    return session.seal(b"hello", CONTEXT)


async def opens(world: World, text: bytes) -> bool:
    wanted = SCOPE, token.decode(text).key_id
    return wanted in (await world.sessions.resolve(Needs({}, frozenset({wanted})))).opening


def test_a_next_key_names_nothing_and_a_former_one_nothing_new() -> None:
    keyring = a_keyring()
    begun = next_one(keyring)
    (own, after) = begun.names_of(SCOPE)
    assert (own,) == keyring.names_of(SCOPE)
    changed = turned(begun)
    assert changed.names_of(SCOPE) == (after, own)
    assert [one.state for one in changed.names] == ["former"]
    assert (changed.id, changed.generation) == (keyring.id, keyring.generation + 2)
    assert len({keyring.digest, begun.digest, changed.digest}) == 3
    assert changed.participant_names == keyring.participant_names
    with pytest.raises(KeyringError, match="is next already"):
        next_one(begun)
    with pytest.raises(KeyringError, match="no name key is next"):
        turned(changed)


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_what_either_process_sealed_opens_at_the_other_while_the_key_changes(
    mode: SessionMode,
) -> None:
    before, after = a_window(mode)
    tokens = [await sealed(world) for world in (before, after)]
    for world in (before, after, before.another_process(after.keyring)):
        assert [await opens(world, text) for text in tokens] == [True, True]
    own, former = after.keyring.names_of(SCOPE)
    kept = [place.partition(":")[0] for place in await after.store.dump()]
    assert set(kept) == {own, former}  # each keeps under the key that is in use there


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("at", [0, 1])
async def test_a_revocation_at_either_process_holds_at_the_other(
    mode: SessionMode, at: int
) -> None:
    worlds = a_window(mode)
    tokens = [await sealed(world) for world in worlds]
    answer = await Desk(worlds[at].sessions).run("revoke", SCOPE)
    assert answer.store
    for world in (*worlds, *(one.another_process() for one in worlds)):
        world.sessions.announce(None)  # a notification, or the end of `revocation_max_age`
        assert [await opens(world, text) for text in tokens] == [False, False]


async def test_what_was_revoked_in_the_store_alone_stays_revoked_after_the_rotation() -> None:
    time = Time()
    world = a_world(store=SharedStore(time), time=time)
    text = await sealed(world)
    await Desk(world.sessions).run("revoke", SCOPE)
    fresh = world.another_process(turned(next_one(world.keyring)))
    await sealed(fresh)  # the agreement on a session does not vouch for former names
    assert not await opens(fresh, text)
    blind = world.another_process(replace(fresh.keyring, names=()))
    assert await opens(blind, text)  # this is what former keys are kept for


async def test_what_was_revoked_in_the_keyring_stays_revoked_after_the_rotation() -> None:
    world = a_world()
    text = await sealed(world)
    revoked = world.keyring.revoke(world.keyring.names_of(SCOPE)[0], NOW + 1)
    assert not await opens(a_world(keyring=turned(next_one(revoked))), text)


@pytest.mark.parametrize("at", [0, 1])
async def test_an_erasure_destroys_what_has_either_name_and_says_so(at: int) -> None:
    worlds = a_window("ephemeral")
    for world in worlds:
        await world.sessions.open()
    tokens = [await sealed(world) for world in worlds]
    answer = await Desk(worlds[at].sessions).run("erase", SCOPE)
    assert len(answer.erased or ()) == 2
    said = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert said is not None
    assert set(worlds[at].keyring.names_of(SCOPE)) < set(said["names"])
    assert len(said["names"]) == 4  # and those of key packages
    for world in (*worlds, *(one.another_process() for one in worlds)):
        assert [await opens(world, text) for text in tokens] == [False, False]
    kept = [place.partition(":k:")[2] for place in await worlds[0].store.dump()]
    assert not {one for one in kept if len(one) == 16}


async def test_a_rotation_of_sessions_reaches_processes_with_the_former_name_key() -> None:
    before, after = a_window()
    for world in (before, after):
        await world.sessions.open()
    first, second = [await sealed(world) for world in (before, after)]
    answer = await Desk(after.sessions).run("rotate", SCOPE)
    assert answer.agreed
    before.sessions.announce(None)
    for world, old in ((before, first), (after, second)):
        assert token.decode(await sealed(world)).key_id != token.decode(old).key_id


async def test_a_rotation_begins_no_session_under_a_name_that_nobody_uses() -> None:
    world = a_world(keyring=turned(next_one(a_keyring())), store=SharedStore(Time()))
    await sealed(world)
    await Desk(world.sessions).run("rotate", SCOPE)
    former = world.keyring.names_of(SCOPE)[1]
    assert not [place for place in await world.store.dump() if place.startswith(former)]


async def a_mixed_fleet() -> tuple[Process, Process]:
    """Return two processes of the end-to-end fleet: with the former and the new name key."""
    (before,) = await a_fleet(store=SharedStore(Time()))
    after = Process(before.store, before.time, keyring=turned(next_one(KEYRING)))
    before.sessions.replace_keyring(next_one(KEYRING))
    begun = before.sessions.keyring
    after.sessions.replace_keyring(turned(begun))
    return before, await after.open()


async def test_key_packages_are_found_and_destroyed_under_every_name() -> None:
    before, after = await a_mixed_fleet()
    tokens = [await one.seal(b"hello", "alice", ["bob"]) for one in (before, after)]
    for one in (before, after):
        assert [await one.open_for("bob", text) for text in tokens] == [b"hello"] * 2
    listed = await Desk(after.sessions).place.packages.packages(SCOPE, "bob")  # type: ignore[union-attr]  # a desk has them
    assert len(listed) == 2
    answer = await Desk(after.sessions).run("erase", SCOPE)
    assert len(answer.erased or ()) == 2
    said = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert said is not None
    assert [place.packages for place in after.sessions.keyring.places_of(SCOPE)] == said["names"]
    for one in (before, after):
        for text in tokens:
            with pytest.raises(OpenFailed, match="no-package"):
                await one.open_for("bob", text)


async def test_a_rotation_reaches_key_packages_under_every_name() -> None:
    before, after = await a_mixed_fleet()
    old = [(await one.session("alice", ["bob"])).sid for one in (before, after)]
    await Desk(after.sessions).run("rotate", SCOPE)
    before.keys.changed(None)  # it missed the notification, and reads the marker
    new = [(await one.session("alice", ["bob"])).sid for one in (before, after)]
    assert not set(old) & set(new)


def test_a_former_key_is_dropped_once_nothing_can_be_revoked_under_it() -> None:
    keyring = turned(next_one(a_keyring())).revoke("A" * 22, NOW - 9).revoke("B" * 22, NOW + 1)
    (former,) = keyring.names
    late = NOW + LONGEST_SECONDS + 3 * CLOCKS_SECONDS
    for now in (NOW, late):  # the KEK is older than the rotation
        with pytest.raises(KeyringError, match=f"{former.id} stays: .*; 2 revocations"):
            keyring.drop_names(former.id, now=now)
    young = keyring.add("k2", now=NOW + 3 * CLOCKS_SECONDS, random=some_bytes).promote("k2")
    young = young.disable("k1").remove("k1")
    with pytest.raises(KeyringError, match="2 revocations"):
        young.drop_names(former.id, now=NOW + 300 * DAY)
    dropped = young.drop_names(former.id, now=late)
    assert (dropped.names, len(dropped.names_of(SCOPE))) == ((), 1)
    with pytest.raises(KeyringError, match="no other name key is `none`; there are: none"):
        dropped.drop_names("none", now=late)
    begun = next_one(dropped)
    with pytest.raises(KeyringError, match="it is next in use"):
        begun.drop_names(begun.names[0].id, now=late)


def test_a_merge_keeps_the_name_keys_of_both() -> None:
    older = a_keyring()
    newer = turned(next_one(older))
    for ours, theirs in ((older, newer), (newer, older)):
        both = merge(ours, theirs, now=NOW + 7)
        assert both.name_key == ours.name_key
        assert set(both.names_of(SCOPE)) == set(newer.names_of(SCOPE))
        assert merge(both, theirs, now=NOW + 9) == both
    assert merge(older, newer, now=NOW + 7).names[-1].since == NOW + 7


def test_a_running_process_finds_names_by_a_key_that_a_restored_file_lacks() -> None:
    older = a_keyring()
    newer = turned(next_one(older))
    line = Lineage(newer)
    taken = line.take(older.after(newer.generation))
    assert (taken.name_key, line.forked) == (older.name_key, True)
    assert set(taken.names_of(SCOPE)) == set(newer.names_of(SCOPE))
    later = older.after(newer.generation + 1)
    assert set(line.take(later).names_of(SCOPE)) == set(newer.names_of(SCOPE))
    whole = merge(later, newer, now=NOW)
    assert (line.take(whole), line.forked) == (whole, False)


async def test_an_adopted_keyring_is_found_in_the_same_store_under_all_its_names() -> None:
    ours, theirs = a_pair()
    theirs = next_one(theirs)
    time = Time()
    first = a_world(keyring=theirs, store=SharedStore(time), time=time, mode="ephemeral")
    second = first.another_process(theirs := turned(theirs))
    tokens = [await sealed(world) for world in (first, second)]
    both = jwk_set.decode(jwk_set.encode(adopt(ours, theirs, now=NOW)))
    world = first.another_process(both)
    assert [await opens(world, text) for text in tokens] == [True, True]
    answer = await Desk(world.sessions).run("erase", SCOPE)
    assert len(answer.erased or ()) == 2
    said = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert said is not None
    assert set(theirs.names_of(SCOPE)) < set(said["names"])
    assert any(theirs.id in one for one in said["not_covered"])
    for one in (world, second, first.another_process(both), second.another_process()):
        one.sessions.announce(None)
        assert [await opens(one, text) for text in tokens] == [False, False]


async def test_what_the_adopted_keyrings_processes_revoked_in_the_same_store_is_refused() -> None:
    ours, theirs = a_pair()
    time = Time()
    other = a_world(keyring=theirs, store=SharedStore(time), time=time)
    text = await sealed(other)
    world = other.another_process(adopt(ours, theirs, now=NOW))
    assert await opens(world, text)
    await Desk(other.sessions).run("revoke", SCOPE)
    world.sessions.announce(None)
    assert not await opens(world, text)


def test_impossible_name_keys_are_refused() -> None:
    keyring = turned(next_one(a_keyring()))
    (former,) = keyring.names
    for names, why in (
        ((former, former), "two name keys are the same"),
        ((replace(former, key=keyring.name_key),), "two name keys are the same"),
        ((replace(former, since=-1),), "unknown state or time"),
        ((_fresh("x"),), "unknown state or time"),
        (tuple(_fresh("next") for _ in range(2)), "at most one"),
        (
            tuple(_fresh("former") for _ in range(MAX_FORMER_NAMES + 1)),
            f"at most {MAX_FORMER_NAMES}",
        ),
    ):
        with pytest.raises(KeyringError, match=why):
            replace(keyring, names=names)
    text = jwk_set.encode(keyring).replace(former.id.encode(), b"zzzz")
    with pytest.raises(KeyringError, match="another id"):
        jwk_set.decode(text)
    assert id_of(keyring.name_key) != former.id


def _fresh(state: str) -> OtherNameKey:
    begun = a_keyring().begin_names(now=NOW, random=some_bytes)
    return replace(begun.names[0], state=state)  # type: ignore[arg-type]  # a case may be impossible
