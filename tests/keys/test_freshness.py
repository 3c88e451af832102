"""Old records of the store at a process that has just begun, with nothing but the keyring's file.

Each of the twelve kinds of records is put back to what it was before a verb took something away.
The process refuses what was taken away, or the verb had said that it would not last.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import proxy.keys
from proxy.config.settings import PinSettings
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyringError, KeyUnavailable, OpenFailed, ParticipantError
from proxy.core.values.key_needs import Needs
from proxy.keys.fleet import keyring_marker
from proxy.keys.fleet.lineage import Lineage
from proxy.keys.keyring import jwk_set
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.operations.verbs import VERBS
from proxy.keys.participants.pins import PinBook
from proxy.keys.participants.registry import Participants
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.sessions.settings import SessionMode
from tests.keys.builders import (
    CONTEXT,
    NOW,
    SCOPE,
    SharedStore,
    Time,
    a_keyring,
    seal_need,
    some_bytes,
)
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import KEYRING, Process, a_fleet, a_held_key
from tests.keys.participants.builders import a_key, a_public_key

LATER = "this-process-until-restart"
BOB = a_public_key("bob-enc").kid


@dataclass
class File:
    """The file of a keyring, which may be read-only."""

    keyring: Keyring = KEYRING
    writable: bool = True

    def keep(self, name: str, least: int, *, of_record: bool = False) -> None:
        if not self.writable:
            raise KeyringError("it is read-only")
        changed = self.keyring.revoke(name, least, of_record=of_record)
        self.keyring = jwk_set.decode(jwk_set.encode(changed))


@dataclass
class World:
    """A store that somebody puts back, a file, and a time at which to begin."""

    file: File
    clock: Time = field(default_factory=Time)
    old: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = SharedStore(self.clock)

    def copy(self) -> None:
        """Copy all that the store holds."""
        kept = {one for one in vars(self.store) if one not in {"_clock", "listeners"}}
        self.old = copy.deepcopy({one: vars(self.store)[one] for one in kept})

    def put_back(self) -> None:
        vars(self.store).update(self.old)

    def sessions(self, mode: SessionMode = "durable") -> Sessions:
        """Return those of a process that begins."""
        settings = SessionSettings(store_timeout=5.0)
        common: dict[str, Any] = {"clock": self.clock, "random": some_bytes, "mode": mode}
        return Sessions(self.file.keyring, self.store, settings, **common)


async def opens(sessions: Sessions, sealed: bytes) -> bool:
    need = SCOPE, decode(sealed).key_id
    return need in (await sessions.resolve(Needs({}, frozenset({need})))).opening


async def an_old_session(world: World, mode: SessionMode, verb: str) -> tuple[str | None, bool]:
    """Put back the store of before a session was taken away; return what the verb said of that."""
    before = world.sessions(mode)
    session = (await before.resolve(seal_need())).sealing[SCOPE]
    sealed = session.seal(b"hello", CONTEXT)
    world.copy()
    world.clock.advance(5)
    answer = await Desk(before, world.file.keep).run(verb, SCOPE)
    world.put_back()
    after = world.sessions(mode)
    opened = await opens(after, sealed)
    assert not await opens(before, sealed)
    again = (await world.sessions(mode).resolve(seal_need())).sealing[SCOPE]
    return answer.fresh, opened or again.sid == session.sid


async def a_revoked_session(world: World) -> tuple[str | None, bool]:
    return await an_old_session(world, "durable", "revoke")


async def an_erased_session(world: World) -> tuple[str | None, bool]:
    return await an_old_session(world, "ephemeral", "erase")


async def a_process(world: World, pins: PinSettings | None = None) -> Process:
    return await Process(
        world.store, world.clock, keyring=world.file.keyring, pins=pins or PinSettings()
    ).open()


async def an_erased_package(world: World) -> tuple[str | None, bool]:
    one = await a_process(world)
    await one.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await one.add("bob", a_held_key("bob-enc"))
    sealed = await one.seal(b"hello", "alice", ["bob"])
    world.copy()
    world.clock.advance(5)
    desk = Desk(one.sessions, world.file.keep)
    answer = await desk.run("erase", Scope("clinic", "c1"))
    assert answer.erased
    world.put_back()
    after = await a_process(world)
    try:
        opened = await after.open_for("bob", sealed) == b"hello"
    except OpenFailed:
        opened = False
    return answer.fresh, opened


async def asked(world: World, one: Process, verb: str, **given: Any) -> str | None:  # noqa: ANN401 - of any verb
    """Do a verb about a participant; return what it says of how long that stays."""
    place = Desk(one.sessions).place
    people = Participants(one.sessions.store, one.keyring)
    book = PinBook(one.sessions.store, one.keyring, {})

    async def participants() -> tuple[Participants, PinBook]:
        return people, book

    place = replace(place, participants=participants, keep=world.file.keep, clock=world.clock)
    done = await VERBS[f"participants.{verb}"].does(place, participant="bob", **given)
    fresh: str | None = done.answer.get("fresh")
    return fresh


async def a_revoked_participant(world: World) -> tuple[str | None, bool]:
    one = await a_process(world)
    await one.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await one.add("bob", a_held_key("bob-enc"))
    world.copy()
    fresh = await asked(world, one, "revoke", kid=BOB, reason="phone lost")
    world.put_back()
    after = await a_process(world)
    try:
        await after.seal(b"hello", "alice", ["bob"])
    except KeyUnavailable:
        return fresh, False
    return fresh, True


async def pins_that_are_gone(world: World) -> tuple[str | None, bool]:
    enforce = PinSettings("enforce")
    one = await a_process(world, enforce)
    await one.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await one.add("bob", a_held_key("bob-enc"))
    world.copy()
    fresh = await asked(world, one, "accept", kid=BOB)
    world.put_back()
    await one.add("bob", a_held_key("bob-x", device="new"))  # which nobody accepts
    after = await a_process(world, enforce)
    try:
        await after.seal(b"hello", "alice", ["bob"])
    except KeyUnavailable:
        return fresh, False
    return fresh, True


async def a_disabled_kek(world: World) -> tuple[str | None, bool]:
    """`keys disable` changes the file itself: a process that begins has it from there."""
    keyring = world.file.keyring.add("k2", now=NOW, random=some_bytes).promote("k2")
    old = keyring_marker.of(keyring)
    world.file.keyring = keyring.disable("k1")
    lineage = Lineage(world.file.keyring)
    lineage.learn(old)
    opening = [one.id for one in lineage.keyring.keks if one.state != "disabled"]
    return "keyring", opening != ["k2"]


Scenario = Callable[[World], Awaitable[tuple[str | None, bool]]]
SCENARIOS: dict[str, Scenario] = {
    "session": a_revoked_session,
    "revocation": a_revoked_session,
    "fence": an_erased_session,
    "fences": an_erased_session,
    "package": an_erased_package,
    "packages": an_erased_package,
    "turn": an_erased_package,
    "participant": a_revoked_participant,
    "pins": pins_that_are_gone,
    "keyring": a_disabled_kek,
}
TELL_ALONE = {"keyring-process", "kek-use"}
"""What a row says counts by the ids of events that a verb has just drawn, and no verb reads when a
KEK was last used: `keys usage` reports it."""
ON_THE_DISK = {"ledger", "pending-revocation"}
"""A process that begins with an empty disk has none."""


def test_every_kind_of_record_is_here() -> None:
    root = Path(proxy.keys.__file__).parent
    text = "".join(one.read_text() for one in root.rglob("*.py"))
    kinds = set(re.findall(r"sealyard/v1/record/([a-z-]+)\\x00", text))
    assert kinds - ON_THE_DISK == SCENARIOS.keys() | TELL_ALONE
    assert len(kinds - ON_THE_DISK) == 12


@pytest.mark.parametrize("scenario", dict.fromkeys(SCENARIOS.values()))
async def test_an_old_record_is_refused_at_a_process_that_begins(scenario: Scenario) -> None:
    assert await scenario(World(File())) == ("keyring", False)


@pytest.mark.parametrize(
    "scenario",
    [
        a_revoked_session,
        an_erased_session,
        an_erased_package,
        a_revoked_participant,
        pins_that_are_gone,
    ],
)
async def test_where_the_keyring_cannot_be_written_the_verb_says_so(scenario: Scenario) -> None:
    said, came_back = await scenario(World(File(writable=False)))
    assert (said, came_back) == (LATER, True)


async def test_a_process_that_knows_a_later_record_goes_on_with_it() -> None:
    world = World(File())
    one = await a_process(world)
    await one.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await one.add("bob", a_held_key("bob-enc"))
    world.copy()
    await one.add("bob", a_held_key("bob-x", device="new"))
    name = one.people.name("bob")
    world.file.keep(name, 2, of_record=True)
    one.sessions.keyring = one.keyring = world.file.keyring
    await one.seal(b"hello", "alice", ["bob"])
    world.put_back()
    world.clock.advance(3600)
    await one.seal(b"hello", "alice", ["bob"])
    assert "record-stale" in one.notices


async def test_keys_are_added_anew_where_an_old_record_was_put_back() -> None:
    world = World(File())
    one = await a_process(world)
    await one.add("bob", a_held_key("bob-enc"), a_held_key("bob-x", device="new"))
    name = one.people.name("bob")
    world.file.keep(name, 7, of_record=True)
    people = Participants(one.sessions.store, world.file.keyring)
    with pytest.raises(ParticipantError, match="older record was put back"):
        await people.find("bob")
    changed = await people.change("bob", lambda bob: bob.add(a_key("outsider-enc")))
    assert changed.epoch == 8
    assert [key.public.kid for key in changed.keys] == [a_public_key("outsider-enc").kid]
    assert await people.find("bob") == changed


async def test_pins_are_accepted_anew_where_they_are_gone() -> None:
    world = World(File())
    (one,) = await a_fleet(store=world.store)
    keyring = one.keyring
    place = PinBook(one.sessions.store, keyring, {}).place(one.people.name("bob"))
    book = PinBook(one.sessions.store, keyring.revoke(place, 3, of_record=True), {})
    name = one.people.name("bob")
    with pytest.raises(ParticipantError, match="older record"):
        await book.find(name)
    key = (await one.people.find("bob")).keys[0]
    assert (await book.accept(name, key)).epoch == 4
    assert (await book.find(name)).accepts(key)


def test_epochs_of_records_stay_for_ever_and_fill_the_keyring_with_the_others() -> None:
    keyring = a_keyring().revoke("a" * 22, NOW).revoke("b" * 22, 3, of_record=True)
    late = keyring.revoke("c" * 22, NOW, now=NOW + 10**9)
    assert late.not_before("b" * 22) == 3
    assert late.revoke("b" * 22, 2, of_record=True).not_before("b" * 22) == 3
    assert [one.of_record for one in keyring.revocations] == [False, True]
    assert jwk_set.decode(jwk_set.encode(keyring)).revocations == keyring.revocations
