"""Two keyrings become one: what either has sealed opens, and what either has revoked does not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form, decode
from proxy.core.edits.edits import KeysInUse
from proxy.core.edits.key_needs import Needs
from proxy.core.errors import KeyringError, OpenFailed
from proxy.keys.fleet import keyring_marker
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.kek import MAX_CANDIDATES, MAX_FORMER
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import merge
from proxy.keys.operations import token_check
from proxy.keys.sessions import session_control
from proxy.keys.stores.records import record_name

from .builders import (
    CONTEXT,
    NOW,
    SCOPE,
    SharedStore,
    Time,
    World,
    a_keyring,
    a_world,
    an_old_keyring,
    seal_need,
    some_bytes,
)

FORMS: list[Form] = ["jwe", "short"]


def merged(ours: Keyring, theirs: Keyring) -> Keyring:
    """Return both together, as they come back from the file."""
    return jwk_set.decode(jwk_set.encode(merge(ours, theirs, now=NOW)))


async def a_token(world: World, form: Form = "jwe", scope: Scope = SCOPE) -> bytes:
    keys = await world.sessions.resolve(seal_need(scope))
    return keys.sealing[scope].seal(b"hello", Context(scope, field="content"), form=form)


async def opens(world: World, text: bytes) -> bytes | str:
    """Return what a token opens to, or why it does not."""
    token = decode(text)
    keys = await world.sessions.resolve(Needs({}, frozenset({(SCOPE, token.key_id)})))
    try:
        session, plaintext, _ = KeysInUse(keys).open(token, CONTEXT, world.time.now)
    except OpenFailed as failure:
        return failure.reason
    world.sessions.remember({session: 1})
    return plaintext


def two() -> tuple[Keyring, Keyring]:
    """Return two keyrings whose KEKs have the same ids and numbers."""
    ours, theirs = a_keyring("k2"), a_keyring("k2")
    assert [(kek.id, kek.number) for kek in ours.keks] == [
        (kek.id, kek.number) for kek in theirs.keks
    ]
    return ours, theirs


@pytest.mark.parametrize("form", FORMS)
async def test_tokens_of_both_open_in_either_direction(form: Form) -> None:
    ours, theirs = two()
    tokens = [
        await a_token(a_world(keyring=keyring.promote(kek)), form)
        for keyring in (ours, theirs)
        for kek in ("k1", "k2")
    ]
    for keyring in (merged(ours, theirs), merged(theirs, ours)):
        world = a_world(keyring=keyring)
        for _ in range(2):  # the second time from what was kept
            assert [await opens(world, text) for text in tokens] == [b"hello"] * 4
        verify = partial(token_check.verify, keyring, now=NOW)
        assert all(verify(text, CONTEXT).opens for text in tokens)


@pytest.mark.parametrize("form", FORMS)
async def test_what_a_merged_kek_seals_opens_too_once_it_is_promoted(form: Form) -> None:
    keyring = merged(*two())
    for kek in keyring.keks:
        text = await a_token(a_world(keyring=keyring.promote(kek.id)), form)
        assert await opens(a_world(keyring=keyring), text) == b"hello"


async def test_ids_and_numbers_of_tokens_stay_and_new_names_are_told_apart() -> None:
    ours, theirs = two()
    keyring = merged(ours, theirs)
    assert keyring.keks[:2] == ours.keks
    names = [(kek.number, kek.also, kek.state) for kek in keyring.keks[2:]]
    assert names == [(1, ("k1",), "decrypt"), (2, ("k2",), "decrypt")]
    assert len({kek.id for kek in keyring.keks}) == 4
    assert (keyring.id, keyring.former[0].id) == (ours.id, theirs.id)
    assert keyring.generation == max(ours.generation, theirs.generation) + 1


async def test_a_disabled_kek_is_not_tried_for_the_name_that_it_shares() -> None:
    ours, theirs = two()
    token = await a_token(a_world(keyring=theirs))
    keyring = merged(ours, theirs)
    gone = next(kek.id for kek in keyring.keks if kek.also == ("k1",))
    world = a_world(keyring=keyring.disable(gone))
    assert await opens(world, token) == "wrong-context"
    assert await opens(world, await a_token(a_world(keyring=ours))) == b"hello"
    every = replace(
        keyring,
        keks=tuple(
            replace(kek, state="disabled") if kek.number == 1 else kek
            for kek in keyring.promote("k2").keks
        ),
    )
    assert await opens(a_world(keyring=every), token) == "disabled-key"


async def test_as_many_keys_are_tried_whatever_the_cause_of_a_refusal() -> None:
    ours, theirs = two()
    token = await a_token(a_world(keyring=ours), "short")
    stranger = await a_token(a_world(keyring=a_keyring("k2", "k3").promote("k3")))
    world = a_world(keyring=merged(ours, theirs))
    sessions = world.sessions
    found = {}
    for name, text in {"known": token, "unknown": stranger}.items():
        key_id = decode(text).key_id
        found[name] = sessions._durable.find(SCOPE, key_id, 0)[0]
        found[f"revoked {name}"] = sessions._durable.find(SCOPE, key_id, 1 << 32)[0]
    assert {name: len(one.others) for name, one in found.items()} == dict.fromkeys(found, 1)
    assert await opens(world, token) == b"hello"
    assert len((await sessions.resolve(seal_need())).sealing[SCOPE].others) == 1


async def test_a_keyring_that_was_never_merged_tries_one_key() -> None:
    world = a_world()
    token = decode(await a_token(world))
    assert world.sessions._durable.find(SCOPE, token.key_id, 0)[0].others == ()


async def test_revocations_that_stand_in_either_keyring_hold_in_the_merged_one() -> None:
    ours, theirs = two()
    token = await a_token(a_world(keyring=theirs))
    for keyring in (ours, theirs):
        name = record_name(keyring.name_key, SCOPE)
        revoked = keyring.revoke(name, NOW + 1)
        other = theirs if keyring is ours else ours
        for both in (merged(revoked, other), merged(other, revoked)):
            assert await opens(a_world(keyring=both), token) == "revoked-session"
            assert token_check.verify(both, token, CONTEXT, now=NOW).reason == "revoked-session"


async def test_a_revocation_that_stands_in_the_store_alone_holds_under_either_name() -> None:
    ours, theirs = two()
    time = Time()
    store = SharedStore(time)
    token = await a_token(a_world(keyring=theirs, store=store, time=time))
    there = a_world(keyring=theirs, store=store, time=time)
    assert await session_control.revoke(there.sessions, SCOPE, NOW + 1)
    for both in (merged(ours, theirs), merged(theirs, ours)):
        world = a_world(keyring=both, store=store, time=time)
        assert await opens(world, token) == "revoked-session"


async def test_a_revocation_by_a_process_that_was_not_merged_yet_is_heard() -> None:
    ours, theirs = two()
    time = Time()
    store = SharedStore(time)
    token = await a_token(a_world(keyring=theirs, store=store, time=time))
    world = a_world(keyring=merged(ours, theirs), store=store, time=time)
    await world.sessions.open()
    assert await opens(world, token) == b"hello"
    there = a_world(keyring=theirs, store=store, time=time)
    assert await session_control.revoke(there.sessions, SCOPE, NOW + 1)
    assert await opens(world, token) == "revoked-session"


@pytest.mark.parametrize("form", FORMS)
async def test_ephemeral_tokens_of_both_open_in_either_direction(form: Form) -> None:
    ours, theirs = two()
    time = Time()
    store = SharedStore(time)
    tokens = [
        await a_token(a_world(keyring=keyring, store=store, time=time, mode="ephemeral"), form)
        for keyring in (ours, theirs)
    ]
    for both in (merged(ours, theirs), merged(theirs, ours)):
        world = a_world(keyring=both, store=store, time=time, mode="ephemeral")
        assert [await opens(world, text) for text in tokens] == [b"hello", b"hello"]


async def test_a_merge_with_itself_or_its_own_backup_changes_nothing() -> None:
    ours, theirs = two()
    both = merged(ours, theirs)
    for other in (both, ours, theirs, merged(theirs, ours)):
        again = merge(both, other, now=NOW)
        assert (again.generation, [kek.key for kek in again.keks]) == (
            both.generation + (again.keks != both.keks),
            [kek.key for kek in both.keks],
        )
        assert again.former == both.former
    assert merge(both, both, now=NOW) == both


async def test_what_either_sealed_while_joined_names_were_texts_goes_on_to_be_tried_so() -> None:
    ours, theirs = two()
    assert merge(ours, an_old_keyring(), now=NOW + 9).joined_since == NOW + 9
    later = replace(theirs, joined_since=NOW + 5)
    assert merge(ours, later, now=NOW + 9).joined_since == NOW + 5


def test_an_old_keyring_takes_in_another_only_once_it_is_upgraded() -> None:
    old, other = an_old_keyring(), a_keyring()
    with pytest.raises(KeyringError, match="keys upgrade"):
        merge(old, other, now=NOW)
    assert len(merge(old.upgrade(NOW), other, now=NOW).keks) == 2
    backup = old.add("k2", now=NOW, random=some_bytes)
    assert [kek.id for kek in merge(old, backup, now=NOW).keks] == ["k1", "k2"]


def test_an_upgraded_keyring_merged_into_its_old_form_is_upgraded_again() -> None:
    """Going back to 0.1.0: the KEKs since the upgrade, with random numbers, come along."""
    old = an_old_keyring("k2", "k3").disable("k2").remove("k2")
    since = a_kek_numbered(old.upgrade(NOW), 43_296)
    back = merge(old, since, now=NOW)
    assert back.joined_since is None
    assert back.highest_number == 43_296
    assert back.generation > since.generation
    assert keyring_marker.of(back).retired == {2}
    again = back.upgrade(NOW + 9)
    assert again.retired == {2}
    assert again.disable("since").remove("since").retired == {2, 43_296}
    assert merge(since, back, now=NOW).retired == {2}


def a_kek_numbered(keyring: Keyring, number: int) -> Keyring:
    added = keyring.add("since", now=NOW, random=some_bytes)
    return replace(added, keks=(*keyring.keks, replace(added.keks[-1], number=number)))


def test_no_name_stands_for_more_keks_than_can_be_tried() -> None:
    keyring = a_keyring()
    for _ in range(MAX_CANDIDATES - 1):
        keyring = merge(keyring, a_keyring(), now=NOW)
    with pytest.raises(KeyringError, match="have the same id"):
        merge(keyring, a_keyring(), now=NOW)


def test_no_more_keyrings_are_taken_in_than_can_be_asked_for() -> None:
    keyring = a_keyring()
    for number in range(MAX_FORMER):
        keyring = merge(keyring, lone(number), now=NOW)
    with pytest.raises(KeyringError, match="keyrings can be merged"):
        merge(keyring, lone(MAX_FORMER), now=NOW)


def lone(number: int) -> Keyring:
    """Return a keyring whose one KEK has an id and a number of its own."""
    made = a_keyring()
    return replace(made, keks=(replace(made.keks[0], id=f"x{number}", number=100 + number),))


def test_a_kek_of_two_numbers_is_refused() -> None:
    ours = a_keyring()
    other = replace(ours, keks=(replace(ours.keks[0], number=9),))
    with pytest.raises(KeyringError, match="different numbers"):
        merge(ours, other, now=NOW)


@pytest.mark.parametrize("form", FORMS)
async def test_the_session_key_of_a_merged_token_is_told(form: Form) -> None:
    ours, theirs = two()
    token = await a_token(a_world(keyring=theirs), form)
    keyring = merged(ours, theirs)
    if form == "short":
        with pytest.raises(OpenFailed):
            token_check.session_jwk(keyring, token, SCOPE)
        return
    assert '"kid": "k1.' in token_check.session_jwk(keyring, token, SCOPE)
