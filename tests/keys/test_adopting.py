"""Another deployment's keyring opens here, seals nothing, and what it revoked stays revoked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.crypto.derivation import key_thumbprint
from proxy.core.crypto.secret import NameKey
from proxy.core.crypto.token import Form, decode
from proxy.core.errors import KeyringError
from proxy.keys.fleet.lineage import Lineage
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.kek import AdoptedKeyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.merging import adopt, merge
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.operations import erase_receipt, token_check

from .builders import CONTEXT, NOW, SCOPE, a_world, seal_need, some_bytes
from .desk import Desk
from .test_merge import FORMS, a_token, opens


def a_pair() -> tuple[Keyring, Keyring]:
    """Return two keyrings that were made independently."""
    ours = create("", now=NOW, random=some_bytes, marked=True)
    theirs = create("", now=NOW, random=some_bytes, marked=True)
    number = ours.primary.number % 60_000 + 1
    return ours, replace(theirs, keks=(replace(theirs.primary, number=number),))


def adopted(ours: Keyring, theirs: Keyring) -> Keyring:
    """Return ours with theirs adopted, as it comes back from the file."""
    return jwk_set.decode(jwk_set.encode(adopt(ours, theirs, now=NOW)))


def disabled(keyring: Keyring, theirs: Keyring) -> Keyring:
    for kek in theirs.keks:
        keyring = keyring.disable(kek.id)
    return keyring


@pytest.mark.parametrize("form", [one for one in FORMS if one != "equal"])
async def test_what_the_other_keyring_sealed_opens_and_nothing_is_sealed_under_it(
    form: Form,
) -> None:
    ours, theirs = a_pair()
    token = await a_token(a_world(keyring=theirs), form)
    assert await opens(a_world(keyring=ours), token) != b"hello"
    both = adopted(ours, theirs)
    world = a_world(keyring=both)
    assert await opens(world, token) == b"hello"
    assert token_check.verify(both, token, CONTEXT, now=NOW).opens
    assert decode(await a_token(world)).key_id.kek_id == ours.primary.id

    assert (both.id, both.generation) == (ours.id, ours.generation + 1)
    assert (both.primary.id, both.digest != ours.digest) == (ours.primary.id, True)
    with pytest.raises(KeyringError, match="never seals"):
        both.promote(theirs.primary.id)


async def test_what_was_revoked_there_stays_revoked_here() -> None:
    ours, theirs = a_pair()
    token = await a_token(a_world(keyring=theirs))
    mine = await a_token(a_world(keyring=ours))
    name = record_name(theirs.name_key, SCOPE)
    both = adopted(ours, theirs.revoke(name, NOW + 1))
    assert both.names_of(SCOPE) == (record_name(ours.name_key, SCOPE), name)
    assert both.refused_before(SCOPE) == NOW + 1
    for text in (token, mine):  # a revocation is of the conversation, under whichever keyring
        assert await opens(a_world(keyring=both), text) == "revoked-session"
        assert token_check.verify(both, text, CONTEXT, now=NOW).reason == "revoked-session"
    # Without the name key of the other one its revocation is not found: this is what it is for.
    blind = replace(both, adopted=(replace(both.adopted[0], name_keys=(NameKey(bytes(32)),)),))
    assert await opens(a_world(keyring=blind), token) == b"hello"


async def test_what_is_revoked_here_is_revoked_for_tokens_of_the_other() -> None:
    ours, theirs = a_pair()
    token = await a_token(a_world(keyring=theirs))
    both = adopted(ours, theirs).revoke(record_name(ours.name_key, SCOPE), NOW + 1)
    assert await opens(a_world(keyring=both), token) == "revoked-session"


async def test_a_receipt_of_an_erasure_names_what_it_did_not_reach() -> None:
    ours, theirs = a_pair()
    world = a_world(keyring=adopted(ours, theirs), mode="ephemeral")
    await world.sessions.resolve(seal_need(SCOPE))
    answer = await Desk(world.sessions).run("erase", SCOPE)
    said = erase_receipt.verified((answer.receipt or "").encode(), answer.key or {})
    assert said is not None
    name = record_name(theirs.name_key, SCOPE)
    text = f"the store of the adopted keyring {theirs.id}, where the conversation is {name}"
    assert text in said["not_covered"]


def test_what_it_has_got_since_is_adopted_again() -> None:
    ours, theirs = a_pair()
    both = adopted(ours, theirs)
    later = theirs.add("later", now=NOW, random=some_bytes).promote("later").revoke("A" * 22, 7)
    again = adopt(both, later, now=NOW + 5)
    assert [kek.adopted for kek in again.keks] == ["", theirs.id, theirs.id]
    assert (len(again.adopted), again.adopted[0].since) == (1, NOW)
    assert again.not_before("A" * 22) == 7


def test_an_older_backup_that_is_adopted_again_takes_no_name_and_no_record_key_away() -> None:
    ours, theirs = a_pair()
    turned = theirs.begin_names(now=NOW, random=some_bytes).turn_names(now=NOW)
    later = turned.leak_records(now=NOW, random=some_bytes)
    both = adopted(adopted(ours, theirs), later)
    assert both.adopted[0].record_key == later.record_key
    assert adopted(both, theirs).adopted == both.adopted


@pytest.mark.parametrize("ours_is_later", [True, False])
def test_a_merge_takes_all_names_of_what_both_have_adopted(
    ours_is_later: bool,  # noqa: FBT001 - a case
) -> None:
    ours, theirs = a_pair()
    turned = theirs.begin_names(now=NOW, random=some_bytes).turn_names(now=NOW)
    later = turned.leak_records(now=NOW, random=some_bytes)
    before = adopted(ours, theirs)
    after = adopted(before, later)
    pair = (after, before) if ours_is_later else (before, after)
    (found,) = merge(*pair, now=NOW).adopted
    assert found == after.adopted[0]
    assert set(after.names_of(SCOPE)) == set(merge(*pair, now=NOW).names_of(SCOPE))


@st.composite
def forks(draw: st.DrawFn) -> tuple[list[Keyring], bytes]:
    """Return states of one keyring that adopted another at various times.

    The other one has one line of states, in which its record and name keys turn and leak. The
    record key of the last one that was adopted is returned, too: it turned away those before.
    """
    ours, theirs = a_pair()
    line = [theirs]
    for turn in draw(st.lists(st.sampled_from(["leak", "turn", "end", "name"]), max_size=5)):
        if turn == "leak":
            theirs = theirs.leak_records(now=NOW, random=some_bytes)
        elif turn == "turn" and theirs.record_state("former") is None:
            begun = theirs.begin_records(now=NOW, random=some_bytes)
            theirs = begun.turn_records(now=NOW)
        elif turn == "end" and theirs.record_state("former") is not None:
            theirs = theirs.end_records(now=NOW)
        elif turn == "name":
            theirs = theirs.begin_names(now=NOW, random=some_bytes).turn_names(now=NOW)
        line.append(theirs)
    found: list[Keyring] = []
    last = 0
    for _ in range(3):
        one = ours
        for at in draw(st.lists(st.integers(0, len(line) - 1), min_size=1, max_size=3)):
            one, last = adopted(one, line[at]), max(last, at)
        for _ in range(draw(st.integers(0, 3))):  # what made the state with older keys the later
            one = one.disable(theirs.keks[0].id).enable(theirs.keks[0].id)
        found.append(one)
    return found, line[last].record_key.reveal()


def what_counts(keyring: Keyring) -> tuple[object, ...]:
    (one,) = keyring.adopted
    names = frozenset(key.reveal() for key in one.name_keys)
    return one.record_key.reveal(), names, one.past, one.since


@settings(deadline=None)
@given(forks())
def test_a_merge_of_forks_says_the_same_in_any_order_and_brings_no_record_key_back(
    drawn: tuple[list[Keyring], bytes],
) -> None:
    def both(one: Keyring, other: Keyring) -> Keyring:
        return jwk_set.decode(jwk_set.encode(merge(one, other, now=NOW)))

    (a, b, c), last = drawn
    assert both(a, a) == a
    assert what_counts(both(a, b)) == what_counts(both(b, a))
    assert what_counts(both(both(a, b), c)) == what_counts(both(a, both(b, c)))
    found = both(both(a, b), c)
    (one,) = found.adopted
    assert key_thumbprint(one.record_key) not in one.past
    for each in (a, b, c):
        assert {key.reveal() for key in each.adopted[0].name_keys} <= {
            key.reveal() for key in one.name_keys
        }
    assert one.record_key.reveal() == last


def test_a_process_goes_back_to_no_record_key_that_an_adopted_keyring_turned_away() -> None:
    ours, theirs = a_pair()
    turned = theirs.begin_names(now=NOW, random=some_bytes).turn_names(now=NOW)
    later = turned.leak_records(now=NOW, random=some_bytes)
    before, after = adopted(ours, theirs), adopted(ours, later)
    line = Lineage(after)
    (used,) = line.take(before.after(9)).adopted
    assert (used.record_key, used.past) == (later.record_key, after.adopted[0].past)
    assert all(key in used.name_keys for key in after.adopted[0].name_keys)
    assert (line.held.digest, line.forked) == (before.after(9).digest, True)
    (used,) = line.take(before.after(10)).adopted
    assert used.record_key == later.record_key
    merged = merge(before.after(10), after, now=NOW)
    assert (line.take(merged), line.forked) == (merged, False)


@settings(deadline=None)
@given(forks())
def test_a_process_takes_files_in_any_order_and_brings_no_record_key_back(
    drawn: tuple[list[Keyring], bytes],
) -> None:
    first, *others = drawn[0]
    line, turned_away = Lineage(first), first.adopted[0].past
    for generation, file in enumerate(others, 50):
        (used,) = line.take(file.after(generation)).adopted
        turned_away |= file.adopted[0].past
        assert turned_away == used.past
        assert key_thumbprint(used.record_key) not in turned_away
    end = line.keyring
    assert line.take(jwk_set.decode(jwk_set.encode(end.after(60)))) == end.after(60)
    assert not line.missing


def test_what_an_adopted_keyring_turned_away_is_in_the_digest() -> None:
    ours, theirs = a_pair()
    both = adopted(ours, theirs.leak_records(now=NOW, random=some_bytes))
    (one,) = both.adopted
    for other in (replace(one, past=frozenset()), replace(one, record_key=theirs.record_key)):
        assert replace(both, adopted=(other,)).digest != both.digest


@pytest.mark.parametrize("wrong", [7, "AA", None, [7], ["AA"], ["?"]])
def test_what_was_turned_away_is_a_list_of_thumbprints(wrong: object) -> None:
    ours, theirs = a_pair()
    both = adopted(ours, theirs.leak_records(now=NOW, random=some_bytes))
    members = json.loads(jwk_set.encode(both))
    next(key for key in members["keys"] if key["use"] == "adopted")["past"] = wrong
    with pytest.raises(KeyringError, match="no thumbprints"):
        jwk_set.decode(json.dumps(members).encode())


async def test_an_adoption_ends_when_none_of_its_keks_opens_any_more() -> None:
    ours, theirs = a_pair()
    token = await a_token(a_world(keyring=theirs))
    both = adopted(ours, theirs).revoke(record_name(theirs.name_key, SCOPE), 7)
    with pytest.raises(KeyringError, match=r"1 of its KEKs still open .*keys usage --report"):
        both.end_adoption(theirs.id)
    with pytest.raises(KeyringError, match=f"adopted are: {theirs.id}"):
        both.end_adoption(ours.id)
    ended = disabled(both, theirs).end_adoption(theirs.id)
    assert (ended.adopted, [kek.id for kek in ended.keks]) == ((), [ours.primary.id])
    assert theirs.primary.number in ended.retired
    assert await opens(a_world(keyring=ended), token) != b"hello"
    with pytest.raises(KeyringError, match="that was destroyed here had the number"):
        adopt(ended, theirs, now=NOW)


def test_what_cannot_be_told_apart_is_not_adopted() -> None:
    ours, theirs = a_pair()
    with pytest.raises(KeyringError, match="import --merge"):
        adopt(ours, ours.add("k2", now=NOW, random=some_bytes), now=NOW)
    for changed in ({"id": ours.primary.id}, {"number": ours.primary.number}):
        clashing = replace(theirs, keks=(replace(theirs.primary, **changed),))
        with pytest.raises(KeyringError, match="keep the other file"):
            adopt(ours, clashing, now=NOW)


def test_what_the_other_has_adopted_itself_is_not_taken() -> None:
    ours, theirs = a_pair()
    third = create("third", now=NOW, random=some_bytes)
    both = adopt(ours, adopt(theirs, third, now=NOW), now=NOW)
    assert [one.id for one in both.adopted] == [theirs.id]
    assert len(both.keks) == 2


def test_adopted_keyrings_survive_a_merge_and_a_file_that_lacks_them() -> None:
    ours, theirs = a_pair()
    both = adopted(ours, theirs)
    for one in (merge(ours, both, now=NOW), merge(both, ours, now=NOW)):
        assert [each.id for each in one.adopted] == [theirs.id]
        assert one.usable(kek_id=theirs.primary.id) is not None
    line = Lineage(both)
    taken = line.take(ours.after(both.generation))
    assert line.missing == (theirs.primary.id,)
    assert (taken.usable(kek_id=theirs.primary.id), taken.adopted) == (
        both.entry(theirs.primary.id),
        both.adopted,
    )
    ended = disabled(both, theirs).end_adoption(theirs.id).after(9)
    assert line.take(ended) == ended


@pytest.mark.parametrize(
    "wrong",
    [
        lambda both: replace(both, adopted=()),
        lambda both: replace(both, adopted=both.adopted * 2),
        lambda both: replace(both, adopted=(replace(both.adopted[0], id="x"),)),
        lambda both: replace(both, adopted=(replace(both.adopted[0], since=-1),)),
        lambda both: replace(
            both,
            adopted=(*both.adopted, AdoptedKeyring(both.id, (both.name_key,), both.record_key, 0)),
        ),
        lambda both: replace(
            both,
            keks=tuple(
                replace(kek, state="primary" if kek.adopted else "decrypt") for kek in both.keks
            ),
        ),
    ],
)
def test_an_impossible_adoption_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(KeyringError):
        wrong(adopted(*a_pair()))
