"""Two states of a keyring become one: what either sealed opens, what either revoked does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.crypto.context import Context
from proxy.core.crypto.token import Form, decode
from proxy.core.errors import KeyringError, OpenFailed
from proxy.core.values.key_needs import KeysInUse, Needs
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import merge
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.operations import token_check

from .builders import (
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

FORMS: list[Form] = ["jwe", "short"]


def merged(ours: Keyring, theirs: Keyring) -> Keyring:
    """Return both together, as they come back from the file."""
    return jwk_set.decode(jwk_set.encode(merge(ours, theirs, now=NOW)))


async def a_token(world: World, form: Form = "jwe") -> bytes:
    keys = await world.sessions.resolve(seal_need(SCOPE))
    return keys.sealing[SCOPE].seal(b"hello", Context(SCOPE, field="content"), form=form)


async def opens(world: World, text: bytes) -> bytes | str:
    """Return what a token opens to, or why it does not."""
    token = decode(text)
    keys = await world.sessions.resolve(Needs({}, frozenset({(SCOPE, token.key_id)})))
    try:
        session, plaintext = KeysInUse(keys).open(token, CONTEXT, world.time.now)
    except OpenFailed as failure:
        return failure.reason
    world.sessions.remember({session: 1})
    return plaintext


def a_fork() -> tuple[Keyring, Keyring]:
    """Return two states of one keyring; each has a KEK that the other lacks, and seals with it."""
    base = a_keyring()
    ours, theirs = (base.add(one, now=NOW, random=some_bytes) for one in ("ours", "theirs"))
    return ours.promote("ours"), theirs.promote("theirs")


@pytest.mark.parametrize("form", FORMS)
async def test_tokens_of_both_open_in_either_direction(form: Form) -> None:
    ours, theirs = a_fork()
    tokens = [
        await a_token(a_world(keyring=keyring), form)
        for keyring in (ours, theirs, ours.promote("k1"))
    ]
    for keyring in (merged(ours, theirs), merged(theirs, ours)):
        world = a_world(keyring=keyring)
        for _ in range(2):  # the second time from what was kept
            assert [await opens(world, text) for text in tokens] == [b"hello"] * 3
        for text in tokens:
            assert token_check.verify(keyring, text, CONTEXT, now=NOW).opens


@pytest.mark.parametrize("form", FORMS)
async def test_what_a_merged_kek_seals_opens_too_once_it_is_promoted(form: Form) -> None:
    keyring = merged(*a_fork())
    for kek in keyring.keks:
        text = await a_token(a_world(keyring=keyring.promote(kek.id)), form)
        assert await opens(a_world(keyring=keyring), text) == b"hello"


@pytest.mark.parametrize("form", FORMS)
async def test_ephemeral_tokens_of_both_open_in_either_direction(form: Form) -> None:
    ours, theirs = a_fork()
    time = Time()
    store = SharedStore(time)
    tokens = [
        await a_token(a_world(keyring=keyring, store=store, time=time, mode="ephemeral"), form)
        for keyring in (ours, theirs)
    ]
    for both in (merged(ours, theirs), merged(theirs, ours)):
        world = a_world(keyring=both, store=store, time=time, mode="ephemeral")
        assert [await opens(world, text) for text in tokens] == [b"hello", b"hello"]


def test_ids_numbers_and_the_primary_stay_and_the_generation_is_above_both() -> None:
    ours, theirs = a_fork()
    keyring = merged(ours, theirs.disable("k1").enable("k1"))
    assert keyring.keks[:-1] == ours.keks
    assert keyring.keks[-1] == replace(theirs.entry("theirs"), state="decrypt")
    assert (keyring.id, keyring.generation) == (ours.id, theirs.generation + 3)


async def test_a_disabled_kek_comes_disabled() -> None:
    ours, theirs = a_fork()
    token = await a_token(a_world(keyring=theirs))
    both = merged(ours, theirs.promote("k1").disable("theirs"))
    assert await opens(a_world(keyring=both), token) == "disabled-key"


def test_a_number_that_either_retired_stays_retired() -> None:
    ours, theirs = a_fork()
    gone = theirs.add("gone", now=NOW, random=some_bytes)
    number = gone.entry("gone").number
    theirs = gone.disable("gone").remove("gone")
    for both in (merged(ours, theirs), merged(theirs, ours)):
        assert both.retired == {number}
    assert merged(theirs, gone).retired == set()


async def test_revocations_of_either_hold_in_the_merged_one() -> None:
    ours, theirs = a_fork()
    token = await a_token(a_world(keyring=theirs))
    name = record_name(ours.name_key, SCOPE)
    for both in (
        merged(ours.revoke(name, NOW + 1), theirs),
        merged(ours, theirs.revoke(name, NOW + 1)),
        merged(ours.revoke(name, NOW + 1), theirs.revoke(name, NOW)),
    ):
        assert both.not_before(name) == NOW + 1
        assert await opens(a_world(keyring=both), token) == "revoked-session"
        assert token_check.verify(both, token, CONTEXT, now=NOW).reason == "revoked-session"


def test_a_merge_with_itself_or_an_older_state_changes_nothing() -> None:
    ours, theirs = a_fork()
    both = merged(ours, theirs)
    for other in (both, ours, theirs):
        assert merge(both, other, now=NOW) == both


def test_another_keyring_is_refused_with_what_to_do() -> None:
    ours, other = a_keyring(), a_keyring("k2")
    with pytest.raises(KeyringError) as refused:
        merge(ours, other, now=NOW)
    for told in (ours.id, other.id, "`sealyard keys adopt`"):
        assert told in refused.value.reason


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"id": "ours"}, "KEK ours has another key there"),
        ({"number": 7}, "KEK theirs there and KEK ours here have the number 7"),
    ],
)
def test_two_keks_that_a_token_could_not_tell_apart_are_refused(
    changed: dict[str, object], told: str
) -> None:
    ours, theirs = a_fork()
    ours = replace(ours, keks=(ours.keks[0], replace(ours.keks[1], number=7)))
    clashing = replace(theirs.keks[1], **changed)  # type: ignore[arg-type]  # each by its name
    theirs = replace(theirs, keks=(theirs.keks[0], clashing))
    with pytest.raises(KeyringError, match=told) as refused:
        merge(ours, theirs, now=NOW)
    assert "keep the other file" in refused.value.reason
