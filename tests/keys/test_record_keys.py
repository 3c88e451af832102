"""Rotating the record key: nothing is lost by schedule, and a leaked key proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.core.crypto import derivation
from proxy.core.crypto.secret import RecordKey
from proxy.core.errors import KeyringError, OpenFailed
from proxy.keys.audit import line
from proxy.keys.end_to_end import package_records
from proxy.keys.end_to_end.package_records import Listed, StoredPackage
from proxy.keys.fleet import fence_log, keyring_marker, presence
from proxy.keys.fleet.fence_log import FenceLog
from proxy.keys.fleet.lineage import Lineage
from proxy.keys.keyring import jwk_set, poison
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.merging import merge
from proxy.keys.keyring.poison import Looks
from proxy.keys.keyring.record_keys import OtherRecordKey
from proxy.keys.operations import record_rotation
from proxy.keys.operations.record_rotation import Signers
from proxy.keys.participants import pins, private_key, registry
from proxy.keys.participants.participant import Participant
from proxy.keys.participants.pins import Pins
from proxy.keys.policy import MAX_RECORD_KEYS, RECORD_OVERLAP_SECONDS
from proxy.keys.sessions import fences, kek_usage
from proxy.keys.sessions.kek_usage import Uses
from proxy.keys.stores import records
from proxy.keys.stores.records import RecordRefused, SessionRecord
from tests.keys.participants.builders import a_public_key

from .builders import NOW, SCOPE, SharedStore, Time, World, a_keyring, a_world, some_bytes
from .desk import Desk
from .end_to_end.builders import KEYRING, Process, a_fleet, a_held_key
from .test_name_keys import opens, sealed

NAME = "N" * 22


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Let the time of records be that of the tests."""
    time = Time()
    monkeypatch.setattr("proxy.keys.stores.records.time.time", time)
    return time


def again(keyring: Keyring) -> Keyring:
    """Return the keyring as it comes back from the file."""
    return jwk_set.decode(jwk_set.encode(keyring))


def next_one(keyring: Keyring) -> Keyring:
    return again(keyring.begin_records(now=NOW, random=some_bytes))


def turned(keyring: Keyring) -> Keyring:
    return again(keyring.turn_records(now=NOW))


def ended(keyring: Keyring) -> Keyring:
    return again(keyring.end_records(now=NOW))


def leaked(keyring: Keyring) -> Keyring:
    return again(keyring.leak_records(now=NOW, random=some_bytes))


def alone(keyring: Keyring) -> RecordKey:
    """Return the record key in use, without the others."""
    return RecordKey(keyring.record_key.reveal())


def forgeries(key: RecordKey) -> list[tuple[str, bytes]]:
    """Return a record of each kind, as whoever has the key makes it."""
    sid = NOW.to_bytes(4) + bytes(8)
    ring = replace(a_keyring(), record_key=key)
    session = SessionRecord(1, 2, 3, 4, 5, sid)
    report = presence.Report(bytes(8), 1, 1, ring.digest, frozenset())
    package = StoredPackage(sid, 1, "i", "k", (), 0, 1, b"{}")
    turn = records.sign(bytes(25), b"sealyard/v1/record/turn\x00", NAME, key)
    return [
        ("session", records.encode_session(session, NAME, key)),
        ("ephemeral", records.encode_session(replace(session, wrapped=bytes(60)), NAME, key)),
        ("revocation", records.encode_revocation(1, NAME, key)),
        ("fence", fences.encode(1, 2, NAME, key, some_bytes)),
        ("participant", registry.encode(Participant(1), NAME, key)),
        ("pins", pins.encode(Pins(1), NAME, key)),
        ("package", package_records.encode(package, NAME, key)),
        ("packages", package_records.encode_list(Listed(1), NAME, key)),
        ("keyring", keyring_marker.encode(keyring_marker.of(ring), NAME, key)),
        ("keyring-process", presence.encode(report, NAME, key)),
        ("fences", fence_log.encode(FenceLog(1), NAME, key)),
        ("kek-use", kek_usage.encode(Uses(1, {}, 1), key)),
        ("turn", turn),
    ]


READERS: dict[str, Callable[[bytes, RecordKey], object]] = {
    "session": lambda record, key: records.decode_session(record, NAME, key),
    "ephemeral": lambda record, key: records.decode_session(record, NAME, key),
    "revocation": lambda record, key: records.decode_revocation(record, NAME, key),
    "fence": lambda record, key: fences.decode(record, NAME, key),
    "participant": lambda record, key: registry.decode(record, NAME, key),
    "pins": lambda record, key: pins.decode(record, NAME, key),
    "package": lambda record, key: package_records.decode(record, NAME, key),
    "packages": lambda record, key: package_records.decode_list(record, NAME, key),
    "keyring": lambda record, key: keyring_marker.decode(record, NAME, key),
    "keyring-process": lambda record, key: presence.decode(record, NAME, key),
    "fences": lambda record, key: fence_log.decode(record, NAME, key),
    "kek-use": kek_usage.decode,
    "turn": lambda record, key: records.verified(record, b"sealyard/v1/record/turn\x00", NAME, key),
}
"""How a process reads a record of each kind."""


def test_records_of_the_former_key_count_until_it_ends_and_for_a_day_at_most(clock: Time) -> None:
    before = a_keyring()
    begun = next_one(before)
    after = turned(begun)
    for (kind, old), (_, new) in zip(
        forgeries(alone(before)), forgeries(alone(after)), strict=True
    ):
        for ring, record in ((begun, old), (begun, new), (after, old), (after, new)):
            assert READERS[kind](record, ring.record_key), kind
        for ring in (ended(after), leaked(before)):
            with pytest.raises(RecordRefused, match="record-forged"):
                READERS[kind](old, ring.record_key)
    clock.advance(RECORD_OVERLAP_SECONDS)
    for kind, old in forgeries(alone(before)):
        with pytest.raises(RecordRefused, match="record-forged"):
            READERS[kind](old, after.record_key)


def test_a_rotation_has_its_order() -> None:
    before = a_keyring()
    begun = next_one(before)
    after = turned(begun)
    assert (after.id, after.generation) == (before.id, before.generation + 2)
    assert len({one.digest for one in (before, begun, after, ended(after))}) == 4
    for ring in (begun, after):
        with pytest.raises(KeyringError, match="under way"):
            ring.begin_records(now=NOW, random=some_bytes)
    for ring in (before, after):
        with pytest.raises(KeyringError, match="no record key is next"):
            ring.turn_records(now=NOW)
    for ring in (begun, ended(after)):
        with pytest.raises(KeyringError, match="no record key is former"):
            ring.end_records(now=NOW)
    assert [one.state for one in leaked(after).records] == ["leaked", "leaked"]
    assert [one.state for one in leaked(ended(after)).records] == ["ended", "leaked"]


@pytest.mark.parametrize("change", [lambda one: ended(turned(next_one(one))), leaked])
def test_what_is_no_record_counts_on_unless_the_key_has_leaked(change: object) -> None:
    assert callable(change)
    before = a_keyring()
    after: Keyring = change(before)
    scheduled = after.records[0].state == "ended"
    token, _ = poison.make(before, NOW, Looks("jwe", 9), random=some_bytes)
    assert (poison.planted(after, token.encode()) is not None) is scheduled
    members = line.spelled({"event": "x"})
    mac_of = line.LineMac(derivation.audit_key(before.record_key))
    old = line.encode(1, b"", members, mac_of)[0].strip()
    known = line.LineReader(derivation.audit_key(after.record_key)).read(old)
    assert (known is not None) is scheduled
    openers = private_key.keyring_openers(after)
    assert (private_key.keyring_opener(before) in openers) is scheduled


def test_a_key_that_leaked_in_one_state_of_a_keyring_counts_for_nothing_once_they_are_merged() -> (
    None
):
    before = a_keyring()
    by_schedule, after_a_leak = turned(next_one(before)), leaked(before)
    for pair in ((by_schedule, after_a_leak), (after_a_leak, by_schedule)):
        both = again(merge(*pair, now=NOW))
        assert both.record_key == pair[0].record_key
        states = {one.state for one in both.records if one.key == alone(before)}
        assert states == {"leaked"}
        token, _ = poison.make(before, NOW, Looks("jwe", 9), random=some_bytes)
        assert poison.planted(both, token.encode()) is None
    begun = next_one(before)
    assert merge(begun, begun, now=NOW).records == begun.records


async def a_store(keyring: Keyring) -> tuple[World, bytes, bytes]:
    """Return a process with a token that opens and one that is revoked in the store alone."""
    time = Time()
    world = a_world(keyring=keyring, store=SharedStore(time), time=time, mode="ephemeral")
    old = await sealed(world)
    await Desk(world.sessions).run("revoke", SCOPE)
    world.time.advance(2)
    return world, await sealed(world), old


async def test_a_rotation_by_schedule_loses_nothing_and_lets_nothing_back() -> None:
    world, good, revoked = await a_store(a_keyring())
    begun = next_one(world.keyring)
    after = turned(begun)
    for ring in (begun, after):
        assert [await opens(world.another_process(ring), one) for one in (good, revoked)] == [
            True,
            False,
        ]
    reader, writer = world.another_process(begun), world.another_process(after)
    assert await opens(reader, await sealed(writer))
    found = await record_rotation.resign(world.store, record_rotation.signers(after))
    assert found.done["revocation"] == 1
    assert found.done["session"] >= 2
    last = world.another_process(ended(after))
    assert [await opens(last, one) for one in (good, revoked)] == [True, False]
    skipped = world.another_process(leaked(after))
    assert not await opens(skipped, good)  # nothing was signed anew for it


async def people() -> Process:
    """Return a process whose people have talked to each other."""
    (one,) = await a_fleet(store=SharedStore(Time()))
    return one


async def test_participants_pins_and_packages_are_signed_anew_with_their_private_keys() -> None:
    one = await people()
    text = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", text) == b"hello"
    after = turned(next_one(KEYRING))
    found = await record_rotation.resign(one.store, record_rotation.signers(after))
    assert not set(found.left) - {"session"}
    assert {"participant", "pins", "package", "packages"} <= set(found.done)
    last = Process(one.store, one.time, keyring=replace(ended(after), records=()))
    assert await (await last.open()).open_for("bob", text) == b"hello"


async def test_of_a_leaked_key_only_what_people_confirm_is_taken_over() -> None:
    one = await people()
    text = await one.seal(b"hello", "alice", ["bob"])
    await one.open_for("bob", text)
    thief = Process(one.store, one.time)
    await thief.add("bob", a_held_key("alice-ps"))
    dumped = await one.store.dump()
    known = record_rotation.fingerprints(dumped, KEYRING.record_key)
    kids = {key.public.kid for listed in known.values() for key in listed}
    planted = a_public_key("alice-ps").kid
    assert planted in kids
    after = leaked(KEYRING)
    signers = Signers(alone(KEYRING), alone(after), after, kids - {planted})
    found = await record_rotation.resign(one.store, signers)
    assert found.done["package"] == 1
    last = await Process(one.store, one.time, keyring=after).open()
    keys = (await last.people.find("bob")).keys
    assert planted not in {key.public.kid for key in keys}
    assert await last.open_for("bob", text) == b"hello"


async def test_what_a_leaked_key_revoked_and_fenced_is_not_taken_from_the_store() -> None:
    world, good, revoked = await a_store(a_keyring())
    dumped = await world.store.dump()
    names = record_rotation.revocations(dumped, world.keyring.record_key)
    assert list(names) == [world.keyring.names_of(SCOPE)[0]]
    after = leaked(world.keyring)
    for name, not_before in names.items():  # as the command does
        after = after.revoke(name, not_before)
    signers = Signers(alone(world.keyring), alone(after), after, frozenset())
    found = await record_rotation.resign(world.store, signers)
    assert (found.done["revocation"], found.done["fence"], found.left["revocation"]) == (0, 0, 1)
    assert found.done["session"] == 2  # those with a key, for which a KEK vouches
    last = world.another_process(after)
    assert [await opens(last, one) for one in (good, revoked)] == [True, False]


def test_a_merge_takes_the_later_record_key() -> None:
    older = a_keyring()
    newer = ended(turned(next_one(older)))
    for ours, theirs in ((older, newer), (newer, older)):
        both = merge(ours, theirs, now=NOW)
        assert both.record_key == newer.record_key
        assert [one.state for one in both.records] == ["ended"]
    fork = turned(next_one(older))
    both = merge(newer, fork, now=NOW + 5)
    assert both.record_key == newer.record_key
    assert [(one.state, one.since) for one in both.records if one.key == fork.record_key] == [
        ("former", NOW + 5)
    ]
    other = merge(newer, next_one(older), now=NOW)
    assert sorted(one.state for one in other.records) == ["ended", "ended"]


def test_a_running_process_keeps_the_record_key_that_a_restored_file_lacks() -> None:
    older = a_keyring()
    newer = leaked(older)
    held = Lineage(newer)
    taken = held.take(older.after(newer.generation))
    assert (taken.record_key, held.forked) == (newer.record_key, True)
    assert taken.record_key.also == ()
    whole = merge(older.after(newer.generation), newer, now=NOW)
    assert held.take(whole).record_key == newer.record_key
    assert not held.forked


def test_impossible_record_keys_are_refused() -> None:
    keyring = turned(next_one(a_keyring()))
    (former,) = keyring.records
    many = tuple(
        OtherRecordKey(RecordKey(some_bytes(32)), "ended", 1) for _ in range(MAX_RECORD_KEYS + 1)
    )
    for listed, why in (
        ((former, former), "two record keys are the same"),
        ((replace(former, since=-1),), "unknown state or time"),
        (many, "at most 16 record keys"),
    ):
        with pytest.raises(KeyringError, match=why):
            replace(keyring, records=listed)
    text = jwk_set.encode(keyring).replace(former.id.encode(), b"zzzz")
    with pytest.raises(KeyringError, match="another id"):
        jwk_set.decode(text)


async def test_a_package_of_a_signer_whom_nobody_confirmed_does_not_open() -> None:
    one = await people()
    text = await one.seal(b"hello", "alice", ["bob"])
    after = leaked(KEYRING)
    kids = {a_public_key("bob-enc").kid}
    await record_rotation.resign(one.store, Signers(alone(KEYRING), alone(after), after, kids))
    last = await Process(one.store, one.time, keyring=after).open()
    with pytest.raises(OpenFailed):
        await last.open_for("bob", text)
