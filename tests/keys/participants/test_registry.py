from __future__ import annotations

import asyncio

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import ParticipantError
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.participants import registry
from proxy.keys.participants.participant import Participant
from proxy.keys.participants.registry import Participants
from proxy.keys.stores import MemoryStore
from proxy.keys.stores.records import RecordRefused
from tests.keys.builders import NOW, BrokenStore, a_keyring

from .builders import a_key, guarded
from .test_participant import numbered

KEYRING = a_keyring()


async def test_a_participant_is_found_as_it_was_changed() -> None:
    store = guarded()
    key = a_key("alice-enc", private="sealed", expires=NOW + 9)

    changed = await Participants(store, KEYRING).change("alice", lambda p: p.add(key))

    assert await Participants(store, KEYRING).find("alice") == changed == Participant(1, (key,))
    assert await Participants(store, KEYRING).find("bob") == Participant()


async def test_of_changes_at_the_same_time_none_is_lost() -> None:
    """Each process read before any of them wrote; a plain overwrite would keep one key of five."""
    store, held = MemoryStore(lambda: 0.0), asyncio.Barrier(5)

    class Slow(Participants):
        async def find(self, participant_id: str, *, anew: bool = False) -> Participant:
            found = await super().find(participant_id, anew=anew)
            await held.wait()
            return found

    async def add(number: int) -> None:
        await Slow(guarded(store), KEYRING).change("a", lambda one: one.add(numbered(number)))

    await asyncio.gather(*(add(number) for number in range(5)))

    found = await Participants(guarded(store), KEYRING).find("a")
    assert (found.epoch, len(found.keys)) == (5, 5)


async def test_what_changes_nothing_writes_nothing() -> None:
    store = MemoryStore(lambda: 0.0)

    await Participants(guarded(store), KEYRING).change("a", lambda p: p)

    assert await store.dump() == {}


async def test_the_store_never_holds_the_id() -> None:
    store = MemoryStore(lambda: 0.0)

    await Participants(guarded(store), KEYRING).change("alice@example", lambda p: p.add(a_key()))

    assert b"alice@example" not in repr(await store.dump()).encode()


async def test_a_record_of_somebody_else_or_edited_is_refused() -> None:
    store = MemoryStore(lambda: 0.0)
    ours = Participants(guarded(store), KEYRING)
    await ours.change("alice", lambda p: p.add(a_key()))
    (record,) = (await store.dump()).values()

    for moved in (record, record[:-40] + b"x" + record[-39:], b""):
        other = MemoryStore(lambda: 0.0)
        await other.note(ours.name("bob"), moved)
        with pytest.raises(ParticipantError, match="record-forged"):
            await Participants(guarded(other), KEYRING).find("bob")


async def test_a_record_of_another_keyring_is_refused() -> None:
    name = registry.record_name(KEYRING.participant_names, "a")
    record = registry.encode(Participant(1), name, a_keyring().record_key)

    with pytest.raises(RecordRefused):
        registry.decode(record, name, KEYRING.record_key)


def test_a_participant_and_a_conversation_never_share_a_name() -> None:
    names = {
        record_name(KEYRING.name_key, Scope("a")),
        record_name(KEYRING.name_key, Scope(None, "a")),
        registry.record_name(KEYRING.participant_names, "a"),
    }

    assert len(names) == 3


@pytest.mark.parametrize("participant_id", ["", "a\n", "é" * 129, "\ud800"])
async def test_an_id_that_does_not_fit_is_refused(participant_id: str) -> None:
    with pytest.raises(ParticipantError, match="printable"):
        await Participants(guarded(), KEYRING).find(participant_id)


async def test_a_store_that_is_down_is_told() -> None:
    with pytest.raises(ParticipantError, match="store-down"):
        await Participants(guarded(BrokenStore("store-down")), KEYRING).find("a")
