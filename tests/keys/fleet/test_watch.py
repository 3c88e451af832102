"""What processes that share a store tell each other of their keyrings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from proxy.core.crypto.secret import RecordKey
from proxy.keys.fleet import keyring_marker
from proxy.keys.fleet import presence as roster
from proxy.keys.fleet.lineage import Accepted
from proxy.keys.fleet.presence import Roster
from proxy.keys.fleet.watch import KeyringWatch
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.policy import ROSTER_KEYRINGS
from proxy.keys.stores import MemoryStore, Store, records
from proxy.keys.stores.guarded import GuardedStore
from tests.factories import Ear

from ..builders import NOW, BrokenStore, HookedStore, SharedStore, Time, a_keyring, some_bytes


@dataclass
class Process:
    """One process of a fleet, with what it goes by."""

    watch: KeyringWatch
    ear: Ear
    store: GuardedStore
    uses: list[Keyring]

    @property
    def wrong(self) -> list[str]:
        return [state for state, holds in self.watch.states.items() if holds]


def a_process(
    keyring: Keyring, store: Store, time: Time, accepted: Accepted | None = None
) -> Process:
    ear, uses = Ear(), [keyring]
    guarded = GuardedStore(store, 1, clock=time, notice=lambda _: None)
    watch = KeyringWatch(
        keyring,
        guarded,
        ear,
        go_over=uses.append,
        clock=time,
        accepted=accepted,
        interval=1000,
    )
    return Process(watch, ear, guarded, uses)


def a_fleet(*keyrings: Keyring) -> tuple[list[Process], Time]:
    time = Time()
    store = SharedStore(time)
    return [a_process(keyring, store, time) for keyring in keyrings], time


async def test_a_marker_that_somebody_puts_back_is_not_believed() -> None:
    old = a_keyring("k2")
    (ahead, behind), _ = a_fleet(old.promote("k2").disable("k1"), old)
    store, name = behind.store._store, keyring_marker.name_of(old)
    earlier = keyring_marker.encode(keyring_marker.of(old), name, old.record_key)
    await ahead.watch.look()
    await behind.watch.look()
    await store.note(name, earlier, seen=await store.note(name))
    await behind.watch.look()
    assert behind.uses[-1].usable(kek_id="k1") is None
    stands = await store.note(name)
    assert stands is not None
    assert keyring_marker.decode(stands, name, old.record_key).generation == old.generation + 2


async def test_a_process_whose_kek_the_fleet_has_disabled_is_barred_without_another() -> None:
    old = a_keyring()
    new = old.add("k2", now=NOW, random=some_bytes).promote("k2").disable("k1")
    (ahead, stale), _ = a_fleet(new, old)
    await stale.watch.look()
    await ahead.watch.look()
    assert not stale.watch.lineage.barred
    await stale.watch.look()
    assert stale.watch.lineage.barred
    stale.watch.take(new)
    assert not stale.watch.lineage.barred


async def test_a_fleet_of_one_keyring_has_nothing_to_tell() -> None:
    keyring = a_keyring("k2")
    fleet, time = a_fleet(keyring, keyring, keyring)
    for _ in range(3):
        for process in fleet:
            await process.watch.look()
        time.advance(3)
    assert [process.wrong for process in fleet] == [[], [], []]
    assert not any(process.ear.heard for process in fleet)


async def test_a_rotation_pod_by_pod_makes_nobody_unready_forward_and_back() -> None:
    first = a_keyring()
    added = first.add("k2", now=NOW, random=some_bytes)
    promoted = added.promote("k2")
    fleet, time = a_fleet(first, first, first)
    for process in fleet:
        await process.watch.start()
    for keyring in (added, promoted):
        for process in fleet:
            process.watch.take(keyring)
            for _ in range(30):
                for one in fleet:
                    await one.watch.look()
                time.advance(3)
            assert not any(one.watch.lacking for one in fleet)
        assert [one.wrong for one in fleet] == [[], [], []]
    # `rollout undo` begins new processes, one by one, with the file of before.
    for at, old in enumerate(fleet):
        await old.watch.close()
        again = a_process(added, fleet[(at + 1) % 3].store._store, time)
        await again.watch.start()
        assert (again.watch.lacking, again.wrong) == (False, ["behind"])
        assert again.uses[-1].primary.id == "k1"
        await again.watch.close()
    for one in fleet:
        await one.watch.close()


async def test_a_process_behind_is_told_once_and_goes_on() -> None:
    old = a_keyring("k2")
    (ahead, behind), _ = a_fleet(old.promote("k2"), old)
    await ahead.watch.look()
    await behind.watch.look()
    await behind.watch.look()
    assert behind.ear.heard == [
        (
            "keyring.behind",
            {
                "keyring": old.id[:16],
                "generation": old.generation,
                "fleet_generation": old.generation + 1,
                "lacks_sealing_kek": False,
            },
        )
    ]
    assert (behind.uses, ahead.ear.heard) == ([old], [])
    behind.watch.take(old.promote("k2"))
    assert behind.wrong == []


async def test_what_the_fleet_disabled_does_not_open_at_a_process_with_an_older_file() -> None:
    old = a_keyring("k2")
    (ahead, behind), _ = a_fleet(old.promote("k2").disable("k1"), old)
    await ahead.watch.look()
    await behind.watch.start()
    assert behind.uses[-1].usable(kek_id="k1") is None
    assert (behind.uses[-1].primary.id, behind.watch.lacking) == ("k2", False)
    await behind.watch.close()


async def test_a_backup_without_the_sealing_kek_is_not_ready_until_it_has_it() -> None:
    backup = a_keyring()
    rotated = backup.add("k2", now=NOW, random=some_bytes).promote("k2")
    (ahead, restored), _ = a_fleet(rotated, backup)
    await ahead.watch.look()
    await restored.watch.start()
    assert restored.watch.lacking
    restored.watch.take(rotated)
    assert not restored.watch.lacking
    await restored.watch.close()


async def test_a_restored_backup_that_goes_on_after_the_fleet_is_ready() -> None:
    backup = a_keyring()
    rotated = backup.add("k2", now=NOW, random=some_bytes).promote("k2")
    (ahead, restored), _ = a_fleet(rotated, backup.after(rotated.generation))
    await ahead.watch.look()
    await restored.watch.start()
    assert (restored.watch.lacking, restored.wrong) == (False, [])
    await ahead.watch.look()
    assert ahead.wrong == ["behind"]
    await restored.watch.close()


async def test_a_running_process_that_lacks_the_sealing_kek_is_told_and_stays_ready() -> None:
    old = a_keyring()
    new = old.add("k2", now=NOW, random=some_bytes).promote("k2")
    (behind, ahead), _ = a_fleet(old, new)
    await behind.watch.start()
    await ahead.watch.look()
    await behind.watch.look()
    assert (behind.watch.lacking, behind.watch.lineage.lacks) == (False, True)
    assert behind.ear.heard[-1][1]["lacks_sealing_kek"] is True
    await behind.watch.close()


async def test_an_operator_may_have_the_past_accepted() -> None:
    old = a_keyring()
    new = old.add("k2", now=NOW, random=some_bytes).promote("k2")
    (ahead,), time = a_fleet(new)
    await ahead.watch.look()
    accepted = Accepted(old.id, old.generation)
    again = a_process(old, ahead.store._store, time, accepted)
    await again.watch.start()
    assert (again.watch.lacking, again.wrong, again.uses) == (False, [], [old])
    await again.watch.close()


async def test_two_keyrings_with_a_k1_each_are_told_to_both_within_ten_seconds() -> None:
    ours, theirs = a_keyring(), a_keyring()
    (one, other), time = a_fleet(ours, theirs)
    await one.watch.look()
    await other.watch.look()
    time.advance(3)
    await one.watch.look()
    assert (one.wrong, other.wrong) == (["mismatch"], ["mismatch"])
    assert one.ear.heard == [
        ("keyring.mismatch", {"keyring": ours.id[:16], "others": theirs.id[:16]})
    ]
    # Once the other is gone for good, nothing is told any more.
    for _ in range(30):
        time.advance(3)
        await one.watch.look()
    assert one.wrong == []


async def test_two_changes_of_one_generation_are_told_as_forked() -> None:
    base = a_keyring("k2")
    (one, other), _ = a_fleet(base.promote("k2"), base.disable("k2"))
    await one.watch.look()
    await other.watch.look()
    assert (one.wrong, other.wrong) == ([], ["forked"])


async def test_a_thousand_forged_markers_change_nothing() -> None:
    keyring = a_keyring("k2")
    (process,), time = a_fleet(keyring)
    store, name, key = process.store._store, keyring_marker.name_of(keyring), RecordKey(b"e" * 32)
    evil = a_keyring("k2").promote("k2").disable("k1")
    forged = keyring_marker.encode(keyring_marker.of(evil), name, key)
    for number in range(1000):
        await store.note(name if number % 2 else f"keyring-{number:022}", forged)
    crowd = Roster({f"{number:021}A": NOW for number in range(1000)})
    await store.note(roster.NAME, roster.encode_roster(crowd))
    await process.watch.start()
    assert (process.watch.lacking, process.uses) == (False, [keyring])
    assert process.wrong == ["mismatch", "unverified"]
    assert len(process.watch.others) <= ROSTER_KEYRINGS
    time.advance(3)
    await process.watch.look()
    assert process.wrong == ["mismatch"]  # what was forged has given way
    assert process.ear.events == ["keyring.mismatch", "keyring.unverified"]
    await process.watch.close()


async def test_a_marker_of_another_version_is_left_alone() -> None:
    keyring = a_keyring()
    (process,), _ = a_fleet(keyring)
    store, name = process.store._store, keyring_marker.name_of(keyring)
    label = b"sealyard/v1/record/keyring\x00"
    newer = records.sign(b"\x09" + bytes(60), label, name, keyring.record_key)
    await store.note(name, newer)
    await process.watch.look()
    assert process.wrong == []
    assert await store.note(name) == newer


async def test_a_store_that_is_down_or_is_not_shared_leaves_the_file_in_force() -> None:
    keyring, time = a_keyring(), Time()
    down = a_process(keyring, BrokenStore(shared=True), time)
    await down.watch.start()
    alone = a_process(keyring, MemoryStore(time), time)
    await alone.watch.start()
    for process in (down, alone):
        assert (process.watch.lacking, process.wrong, process.uses) == (False, [], [keyring])
        await process.watch.close()


async def test_another_keyring_at_a_reload_is_watched_from_then_on() -> None:
    ours, theirs = a_keyring("k2"), a_keyring()
    (process,), _ = a_fleet(ours)
    await process.watch.look()
    process.watch.take(theirs)
    assert process.uses[-1] == theirs
    await process.watch.look()
    assert keyring_marker.name_of(theirs) + ":note" in await process.store._store.dump()


class DeafStore(HookedStore):
    """Loses the first cancellation, as redis-py does where a time-out of its own comes with it."""

    lost = False

    async def before(self, operation: str) -> None:
        """Wait for long, and go on waiting once when told to stop."""
        while operation == "note" and self.listeners:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if self.lost:
                    raise
                self.lost = True


async def test_it_ends_although_a_cancellation_gets_lost() -> None:
    time = Time()
    store = DeafStore(time)
    process = a_process(a_keyring(), store, time)
    process.watch._interval = 0
    await process.watch.start()
    store.listeners.append(lambda _: None)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        await process.watch.close()
    assert store.lost
