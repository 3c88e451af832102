"""End to end over every kind of store: two processes, and what one of them changes."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from proxy.config.settings import PinSettings
from proxy.core.crypto import base64url
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable, NotErasable, OpenFailed
from proxy.keys.operations import erase_receipt
from proxy.keys.participants.registry import record_name
from tests.keys.builders import Time, seal_need
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import MAX_AGE, Process, a_held_key
from tests.keys.participants.builders import a_public_key

from .conftest import Subject

SCOPE = Scope("clinic", "c1")
Fleet = tuple[Process, Process]


@pytest.fixture
async def fleet(unopened: Subject) -> Fleet:
    other = unopened.another()
    clock = Time(time.time())  # that of Redis: by one far from it nothing is sealed
    one, two = Process(unopened.store, clock), Process(other, clock)
    await one.open()
    await two.open()
    await asyncio.sleep(0.2 if other.shared else 0)
    await one.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await one.add("bob", a_held_key("bob-enc"), a_held_key("bob-sig"))
    await one.add("eve", a_held_key("outsider-enc"))
    return one, two


async def heard(process: Process) -> None:
    """Let a process hear, or ask again where its store tells nothing."""
    if process.store.subscribed:
        await asyncio.sleep(0.2)
    else:
        process.time.advance(MAX_AGE)


async def test_what_one_process_seals_another_opens_for_its_recipients_alone(fleet: Fleet) -> None:
    one, two = fleet
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await two.open_for("bob", sealed) == b"hello"
    with pytest.raises(OpenFailed, match="package-not-for-us"):
        await two.open_for("eve", sealed)
    assert [one.sid for one in await two.keys.package_store.packages(SCOPE, "bob")] == [
        decode(sealed).key_id.sid
    ]


async def test_who_reads_the_store_does_not_see_who_talks_to_whom(fleet: Fleet) -> None:
    one, two = fleet
    await one.open_for("bob", await one.seal(b"hello", "alice", ["bob"]))
    names = one.sessions.keyring.participant_names
    people = [record_name(names, who) for who in ("alice", "bob", "eve")]
    kids = [a_public_key(key).kid for key in ("alice-sig", "alice-enc", "bob-enc", "outsider-enc")]
    parts = ["recipients", "issuer", "audience", "phone", "public", "packages", *people, *kids]
    dumped = await two.store.dump()
    held = b"".join(dumped.values())
    assert len(dumped) > 6  # participants, pins, a package and its list
    assert not [part for part in parts if part.encode() in held]


async def test_who_is_added_opens_and_who_is_left_out_does_not(fleet: Fleet) -> None:
    one, two = fleet
    await one.seal(b"to bob", "alice", ["bob"])
    both = await one.seal(b"to both", "alice", ["bob", "eve"])
    again = await one.seal(b"to bob again", "alice", ["bob"])
    assert decode(both).key_id != decode(again).key_id
    assert await two.open_for("eve", both) == b"to both"
    with pytest.raises(OpenFailed, match="package-not-for-us"):
        await two.open_for("eve", again)
    assert len(await two.keys.package_store.packages(SCOPE, "bob")) == 2


async def test_a_revocation_of_another_process_ends_the_session(fleet: Fleet) -> None:
    one, two = fleet
    sealed = await two.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    await one.revoke("bob", "bob-enc")
    await heard(two)
    with pytest.raises(KeyUnavailable, match="recipient-has-no-key"):
        await two.session("alice", ["bob"])
    await heard(one)
    with pytest.raises(OpenFailed, match="no-identity"):
        await one.open_for("bob", sealed)


async def test_a_rotation_of_another_process_begins_a_new_key(fleet: Fleet) -> None:
    one, two = fleet
    before = await two.session("alice", ["bob"])
    elsewhere = await two.session("alice", ["bob"], "c2")
    wider = ["bob", "eve"]
    who = one if one.store.shared else two  # what is not shared, nobody else can rotate
    for _ in range(2):
        await Desk(who.sessions).run("rotate", SCOPE)
        await heard(two)
        # Not even for a larger circle does the old key go on.
        after = await two.session("alice", wider)
        assert after.sid != before.sid
        assert (await two.session("alice", wider)).sid == after.sid
        assert (await two.session("alice", ["bob"], "c2")).sid == elsewhere.sid
        before, wider = after, [*wider, "alice"]


async def test_keys_of_packages_are_erased_and_durable_sessions_are_not(fleet: Fleet) -> None:
    one, two = fleet
    sealed, elsewhere = [await two.seal(b"hello", "alice", ["bob"], one) for one in ("c1", "c2")]
    durable = (await two.sessions.resolve(seal_need(SCOPE))).sealing[SCOPE]
    assert await one.open_for("bob", sealed) == b"hello"
    desk = Desk(two.sessions)
    answer = await desk.run("erase", SCOPE)
    assert answer.erased == (base64url.encode(decode(sealed).key_id.sid).decode(),)
    await heard(one)
    with pytest.raises(OpenFailed, match="no-package"):
        await one.open_for("bob", sealed)
    assert await one.open_for("bob", elsewhere, "c2") == b"hello"
    assert (await two.sessions.resolve(seal_need(SCOPE))).sealing[SCOPE].sid == durable.sid
    again = await two.seal(b"again", "alice", ["bob"])
    assert await one.open_for("bob", again) == b"again"
    said = erase_receipt.verified(answer.receipt.encode(), answer.key or {})
    assert said is not None
    assert [one["sid"] for one in said["sids"]] == list(answer.erased)
    assert "durable session keys" in said["not_covered"][0]
    with pytest.raises(NotErasable):
        await desk.run("erase", Scope("clinic", "c3"))


async def test_who_did_not_hear_of_an_erasure_does_not_bring_the_key_back(fleet: Fleet) -> None:
    """A recipient more would else make a process issue the package of its key again."""
    one, two = fleet
    sealed = await two.seal(b"hello", "alice", ["bob"])
    await Desk(one.sessions).run("erase", SCOPE)
    both = await two.seal(b"hello", "alice", ["bob", "eve"])
    if two.store.shared:  # two processes with one memory there are in tests alone
        assert decode(both).key_id != decode(sealed).key_id


async def test_a_key_that_one_process_accepts_the_other_uses(fleet: Fleet) -> None:
    one, two = fleet
    await two.seal(b"hello", "alice", ["bob"])
    for each in fleet:
        each.keys.replace_pins(PinSettings("enforce"))
    await one.add("bob", a_held_key("bob-x", device="new"))
    await heard(two)
    before = await two.session("alice", ["bob"])
    assert (
        len(
            json.loads((await two.keys.package_store.packages(SCOPE, "bob"))[0].package)[
                "recipients"
            ]
        )
        == 1
    )
    bob = await one.people.find("bob")
    await one.keys.pins().accept(one.people.name("bob"), bob.find(a_public_key("bob-x").kid))
    if two.store.shared:
        await heard(two)
    else:  # two processes with one memory there are in tests alone
        two.keys.changed(None)

    assert (await two.session("alice", ["bob"])).sid == before.sid
    assert (
        len(
            json.loads((await two.keys.package_store.packages(SCOPE, "bob"))[0].package)[
                "recipients"
            ]
        )
        == 2
    )


async def test_both_sides_of_a_conversation_seal_with_keys_of_their_own(fleet: Fleet) -> None:
    one, two = fleet
    to_bob = await one.seal(b"hello bob", "alice", ["bob"])
    to_alice = await two.seal(b"hello alice", "bob", ["alice"])
    assert await two.open_for("bob", to_bob) == b"hello bob"
    assert await one.open_for("alice", to_alice) == b"hello alice"
    found = await one.keys.package_store.packages(SCOPE, "alice")
    assert [package.kid for package in found] == [a_public_key("bob-sig").kid]
