"""Keys that nobody accepted: told of, and not used where pins are enforced."""

from __future__ import annotations

import json

import pytest

from proxy.config.settings import PinSettings
from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.keys.stores import MemoryStore
from tests.keys.participants.builders import a_public_key

from .builders import MAX_AGE, Process, a_fleet, a_held_key
from .test_key_source import prekey_of_carol

ENFORCE = PinSettings("enforce")
ALERT = PinSettings("alert")
BOB, EVE, BOB_X = (a_public_key(one).kid for one in ("bob-enc", "outsider-enc", "bob-x"))


async def enforcing(pins: PinSettings = ENFORCE) -> Process:
    """Return a process with those pins, in which alice has already written to bob."""
    (one,) = await a_fleet()
    strict = await Process(one.store, one.time, pins=pins).open()
    await strict.seal(b"hello", "alice", ["bob"])
    return strict


async def kids(process: Process, recipient: str = "bob") -> set[str]:
    """Return for which keys the newest package is."""
    newest = (await process.keys.package_store.packages(Scope("clinic", "c1"), recipient))[0]
    return {one["header"]["kid"] for one in json.loads(newest.package)["recipients"]}


def alarms(process: Process) -> list[tuple[object, object]]:
    """Return which keys were told of, and whether they are refused."""
    told = process.reports.all("participant.unaccepted")
    return [(fields["kid"], fields["refused"]) for fields in told]


async def test_a_key_that_came_in_the_place_of_a_pinned_one_gets_no_session_key() -> None:
    one = await enforcing()
    newer = a_held_key("bob-x", created=int(one.time.now))
    await one.people.change("bob", lambda bob: bob.rotate(newer, grace=300))

    with pytest.raises(KeyUnavailable, match="recipient-key-not-accepted"):
        await one.session("alice", ["bob"])
    assert alarms(one) == [(BOB_X, True)]


async def test_a_device_that_nobody_accepted_is_left_out_and_the_others_go_on() -> None:
    one = await enforcing()
    await one.add("bob", a_held_key("bob-x", device="new"))

    sealed = await one.seal(b"more", "alice", ["bob"])
    assert await kids(one) == {BOB}
    assert await one.open_for("bob", sealed) == b"more"
    assert alarms(one) == [(BOB_X, True)]


async def test_what_is_accepted_is_used_from_then_on() -> None:
    one = await enforcing()
    await one.add("bob", a_held_key("bob-x", device="new"))
    await one.seal(b"more", "alice", ["bob"])
    name = one.people.name("bob")
    await one.keys.pins().accept(name, (await one.people.find("bob")).find(BOB_X))

    await one.seal(b"more", "alice", ["bob"])
    assert await kids(one) == {BOB, BOB_X}


async def test_another_process_hears_that_a_key_was_accepted() -> None:
    one = await enforcing()
    other = await Process(one.store, one.time, pins=ENFORCE).open()
    await one.add("bob", a_held_key("bob-x", device="new"))
    await other.seal(b"more", "alice", ["bob"])
    assert alarms(other) == [(BOB_X, True)]
    await one.keys.pins().accept(one.people.name("bob"), (await one.people.find("bob")).find(BOB_X))

    await other.seal(b"more", "alice", ["bob"])
    assert await kids(other) == {BOB, BOB_X}


async def test_where_it_is_only_told_of_the_key_is_used() -> None:
    one = await enforcing(ALERT)
    await one.add("bob", a_held_key("bob-x", device="new"))

    for _ in range(3):
        await one.seal(b"more", "alice", ["bob"])
        one.time.advance(MAX_AGE)
    assert await kids(one) == {BOB, BOB_X}
    assert alarms(one) == [(BOB_X, False)]
    one.keys.replace_pins(ENFORCE)
    await one.seal(b"more", "alice", ["bob"])
    assert alarms(one) == [(BOB_X, False), (BOB_X, True)]
    assert await kids(one) == {BOB}


async def test_without_pins_nothing_is_told_and_nothing_written() -> None:
    (one,) = await a_fleet()
    off = await Process(one.store, one.time, pins=PinSettings("off")).open()
    before = {name for name in await one.store.dump() if name.endswith(":note")}
    await off.seal(b"hello", "alice", ["bob"])

    assert {name for name in await one.store.dump() if name.endswith(":note")} == before
    assert off.reports.causes() == ["first"]


async def test_what_was_signed_by_a_key_that_nobody_accepted_does_not_open() -> None:
    """Whoever can give alice a key could else write in her name."""
    one = await enforcing()
    lax = await Process(one.store, one.time, pins=PinSettings("off")).open()
    forged = a_held_key("outsider-sig", created=int(one.time.now))
    await one.people.change("alice", lambda alice: alice.rotate(forged, grace=300))
    sealed = await lax.seal(b"in her name", "alice", ["bob"])

    with pytest.raises(OpenFailed, match="sender-key-not-accepted"):
        await one.open_for("bob", sealed)
    with pytest.raises(KeyUnavailable, match="sender-key-not-accepted"):
        await one.session("alice", ["bob"])
    assert await lax.open_for("bob", sealed) == b"in her name"


async def test_own_keys_open_whether_others_accepted_them_or_not() -> None:
    one = await enforcing()
    lax = await Process(one.store, one.time, pins=PinSettings("off")).open()
    newer = a_held_key("bob-x", created=int(one.time.now))
    await one.people.change("bob", lambda bob: bob.rotate(newer, grace=300))
    sealed = await lax.seal(b"hello", "alice", ["bob"])

    assert await one.open_for("bob", sealed) == b"hello"


async def test_a_prekey_needs_a_signing_key_that_was_accepted() -> None:
    one = await enforcing()
    await one.add("carol", a_held_key("alice-enc"), a_held_key("alice-sig"))
    await one.seal(b"hello", "alice", ["carol"])
    await one.add("carol", a_held_key("bob-sig", device="other"))
    forged = prekey_of_carol(int(one.time.now))
    await one.people.change("carol", lambda carol: carol.add_prekey(forged, grace=300))

    await one.seal(b"hello", "alice", ["carol"])
    assert await kids(one, "carol") == {a_public_key("alice-enc").kid}
    carol = await one.people.find("carol")
    await one.keys.pins().accept(one.people.name("carol"), carol.find(a_public_key("bob-sig").kid))
    await one.seal(b"hello", "alice", ["carol"])
    assert await kids(one, "carol") == {forged.public.kid}


async def test_the_keys_of_the_configuration_count_in_every_mode_and_no_others() -> None:
    (one,) = await a_fleet()
    for mode in ("off", "alert", "enforce"):
        pins = PinSettings(mode, {"bob": frozenset({EVE})})
        strict = await Process(one.store, one.time, pins=pins).open()
        with pytest.raises(KeyUnavailable, match="recipient-key-not-accepted"):
            await strict.session("alice", ["bob"])
        assert await strict.session("alice", ["eve"])
        strict.keys.replace_pins(PinSettings(mode, {"bob": frozenset({BOB})}))
        assert await strict.session("alice", ["bob"])


async def test_pins_that_are_taken_away_are_not_made_anew() -> None:
    one = await enforcing()
    await one.add("bob", a_held_key("bob-x", device="new"))
    assert isinstance(one.store, MemoryStore)
    del one.store._notes[one.keys.pins().place(one.people.name("bob"))]
    one.time.advance(MAX_AGE)

    await one.seal(b"more", "alice", ["bob"])
    assert await kids(one) == {BOB}
    assert "record-stale" in one.notices


async def test_pins_that_were_edited_stop_everything() -> None:
    one = await enforcing()
    place = one.keys.pins().place(one.people.name("bob"))
    assert isinstance(one.store, MemoryStore)
    kept = one.store._notes[place]
    one.store._notes[place] = kept[:-1] + bytes((kept[-1] ^ 1,))
    one.time.advance(MAX_AGE)
    one.keys.changed(None)

    # What is at hand goes on for as long as a store that is down would let it.
    with pytest.raises(KeyUnavailable, match="participant-unavailable"):
        await one.session("alice", ["bob", "eve"])
