"""Values in the equal form: who seals and opens them, through generations and revocations."""

from __future__ import annotations

import pytest

from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import IndexIncomplete, KeyUnavailable, OpenFailed
from proxy.core.values.key_needs import KeysInUse, Needs
from proxy.keys.keyring.keyring import LONGEST_SECONDS, Keyring
from proxy.keys.operations import token_check
from tests.keys.builders import NOW, World, a_keyring, a_world, some_bytes

CLINIC = Scope("clinic")
CONTEXT = Context(CLINIC, "email")


def indexed(*, generations: int = 1) -> Keyring:
    made = a_keyring()
    for _ in range(generations):
        made = made.rotate_index(now=NOW, random=some_bytes)
    return made


def sealed(world: World, *, seeks: bool = False) -> bytes:
    return world.sessions.equal(CLINIC, seeks=seeks).seal(b"ann", CONTEXT)


async def opened(world: World, text: bytes, context: Context = CONTEXT) -> bytes:
    found = token.decode(text)
    needs = Needs({}, frozenset({(context.scope, found.key_id)}))
    keys = await world.sessions.resolve(needs)
    return KeysInUse(keys).open(found, context, NOW)[1]


async def test_a_value_is_the_same_in_each_process_and_opens() -> None:
    keyring = indexed()
    one, other = a_world(keyring=keyring), a_world(keyring=keyring)
    text = sealed(one)
    assert text == sealed(other)
    assert await opened(other, text) == b"ann"
    assert token_check.verify(keyring, text, CONTEXT, now=NOW).kek == "index 1"
    with pytest.raises(OpenFailed, match="bad-tag"):
        await opened(other, text, Context(Scope("other"), "email"))


async def test_both_generations_open_and_a_search_waits_from_the_turn_to_the_drop() -> None:
    both = indexed(generations=2)
    turned = both.turn_index(now=NOW)
    world = a_world(keyring=both)
    old = sealed(world, seeks=True)
    world.sessions.replace_keyring(turned)
    new = sealed(world)
    assert [token.decode(one).key_id.kek_number for one in (old, new)] == [1, 2]
    assert [await opened(world, one) for one in (old, new)] == [b"ann"] * 2
    with pytest.raises(IndexIncomplete, match="being-sealed-anew"):
        sealed(world, seeks=True)
    world.sessions.replace_keyring(turned.drop_index())
    assert sealed(world, seeks=True) == new
    with pytest.raises(OpenFailed):
        await opened(world, old)
    verdict = token_check.verify(world.sessions.keyring, old, CONTEXT, now=NOW)
    assert (verdict.kek, verdict.reason) == ("index 1", "unknown-key")


async def test_after_a_revocation_nothing_of_the_scope_is_sealed_or_opened() -> None:
    keyring = indexed()
    text = sealed(a_world(keyring=keyring))
    world = a_world(keyring=keyring.revoke(keyring.names_of(CLINIC)[0], NOW - 9))
    await world.sessions.resolve(Needs({CLINIC: 1}))
    with pytest.raises(KeyUnavailable, match="revoked"):
        sealed(world)
    with pytest.raises(OpenFailed, match="revoked"):
        await opened(world, text)
    verdict = token_check.verify(world.sessions.keyring, text, CONTEXT, now=NOW)
    assert verdict.reason == "revoked-session"


def test_a_revocation_stays_while_a_generation_is_older_than_it() -> None:
    later = NOW + 2 * LONGEST_SECONDS
    made = indexed()
    revoked = made.revoke(made.names_of(CLINIC)[0], NOW + 9)
    (former,) = revoked.keks
    alone = revoked.add("k9", now=later, random=some_bytes).promote("k9")
    alone = alone.disable(former.id).remove(former.id)
    assert alone.without_idle(later * 2).refused_before(CLINIC) == NOW + 9
    both = alone.rotate_index(now=later, random=some_bytes)
    assert both.without_idle(later * 2).refused_before(CLINIC) == NOW + 9
    assert not both.drop_index().without_idle(later * 2).revocations


async def test_without_secrets_or_after_the_root_nothing_is_sealed_or_opened() -> None:
    keyring = indexed()
    text = sealed(a_world(keyring=keyring))
    without = a_world()
    with pytest.raises(KeyUnavailable, match="no-index-secret"):
        sealed(without)
    with pytest.raises(OpenFailed, match="unknown-key"):
        await opened(without, text)
    withdrawn = a_world(keyring=keyring)
    withdrawn.sessions.withdraw(withdrawn=True)
    with pytest.raises(KeyUnavailable, match="no-index-secret"):
        sealed(withdrawn)
    with pytest.raises(KeyUnavailable, match="root-lease-ended"):
        await opened(withdrawn, text)
