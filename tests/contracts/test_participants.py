"""Participants over every kind of store: what one process changes, and what others find."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import pytest

from proxy.core.errors import ParticipantError
from proxy.keys.participants.participant import Participant, ParticipantKey
from proxy.keys.participants.registry import Participants, record_name
from proxy.keys.stores import Store
from proxy.keys.stores.guarded import GuardedStore
from tests.keys.builders import NOW, a_keyring
from tests.keys.participants.builders import a_key
from tests.keys.participants.test_participant import numbered

from .conftest import Subject

KEYRING = a_keyring()
AT_ONCE = 8


@dataclass
class Fleet:
    """Two processes that share a store, and what each of them heard."""

    stores: tuple[Store, Store]
    heard: tuple[list[str | None], list[str | None]]

    def people(self, which: int) -> Participants:
        store = GuardedStore(self.stores[which], 5.0, clock=time.monotonic, notice=lambda _: None)
        return Participants(store, KEYRING)


@pytest.fixture
async def fleet(unopened: Subject) -> Fleet:
    stores = unopened.store, unopened.another()
    heard: tuple[list[str | None], list[str | None]] = ([], [])
    for store, told in zip(stores, heard, strict=True):
        await store.open(told.append)
    await asyncio.sleep(0.2 if stores[1].shared else 0)
    return Fleet(stores, heard)


async def test_what_one_process_changes_the_other_finds(fleet: Fleet) -> None:
    key = a_key("alice-enc", private="sealed", expires=NOW + 9)
    changed = await fleet.people(0).change("alice", lambda one: one.add(key))

    assert await fleet.people(1).find("alice") == changed == Participant(1, (key,))
    assert await fleet.people(1).find("bob") == Participant()


async def test_a_change_is_heard_where_the_store_tells(fleet: Fleet) -> None:
    await fleet.people(0).change("alice", lambda one: one.add(a_key()))
    await asyncio.sleep(0.2 if fleet.stores[1].subscribed else 0)

    name = record_name(KEYRING.participant_names, "alice")
    assert (name in fleet.heard[1]) == (fleet.stores[1].subscribed and fleet.stores[1].shared)


async def test_of_changes_at_the_same_time_none_is_lost(fleet: Fleet) -> None:
    async def add(number: int) -> None:
        key = numbered(number)
        await fleet.people(number % 2).change("a", lambda one: one.add(key))

    await asyncio.gather(*(add(number) for number in range(AT_ONCE)))

    found = await fleet.people(0).find("a")
    assert (found.epoch, len(found.keys)) == (AT_ONCE, AT_ONCE)


async def test_a_revocation_is_not_lost_beside_an_addition(fleet: Fleet) -> None:
    """The worst that can be overwritten."""
    key = a_key()
    await fleet.people(0).change("alice", lambda one: one.add(key))
    await asyncio.gather(
        fleet.people(0).change("alice", lambda one: one.revoke(key.public.kid, "lost", NOW)),
        fleet.people(1).change("alice", lambda one: one.add(numbered(1))),
    )

    first, second = (await fleet.people(0).find("alice")).keys
    assert (first.status(NOW), second.status(NOW)) == ("revoked", "active")


async def test_a_change_that_is_refused_leaves_everything_as_it_was(fleet: Fleet) -> None:
    await fleet.people(0).change("alice", lambda one: one.add(a_key()))
    before = await fleet.stores[0].dump()
    with pytest.raises(ParticipantError):
        await fleet.people(1).change("alice", lambda one: one.add(a_key()))

    assert await fleet.stores[0].dump() == before


async def test_records_endure_and_tell_nothing(fleet: Fleet) -> None:
    keys = tuple(numbered(number) for number in range(32))

    def all_of_them(one: Participant) -> Participant:
        return replace(one, keys=tuple(map(with_private, keys)))

    def with_private(key: ParticipantKey) -> ParticipantKey:
        return replace(key, private="x" * 6000)

    await fleet.people(0).change("alice@example", all_of_them)

    assert len((await fleet.people(1).find("alice@example")).keys) == len(keys)
    dumped = await fleet.stores[0].dump()
    assert b"alice" not in repr(dumped).encode()


async def test_a_record_under_another_name_or_edited_is_refused(fleet: Fleet) -> None:
    await fleet.people(0).change("alice", lambda one: one.add(a_key()))
    (record,) = (await fleet.stores[0].dump()).values()
    edited = record.replace(b'"phone"', b'"phonf"')

    for name, moved in (("bob", record), ("carol", edited), ("dave", b"")):
        await fleet.stores[0].note(record_name(KEYRING.participant_names, name), moved)
        with pytest.raises(ParticipantError, match="record-forged"):
            await fleet.people(1).find(name)
