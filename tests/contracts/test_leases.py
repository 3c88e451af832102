"""Processes that seal under leases: what was sealed after a verb was complete opens."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.fleet import fence_log, keyring_marker, lease, presence
from proxy.keys.fleet.fence_log import FenceEvent, FenceLog
from proxy.keys.keyring import merging
from proxy.keys.keyring.keyring import create, shown
from proxy.keys.operations import erase_receipt
from proxy.keys.policy import FENCES, LEASE_SECONDS, PROCESS_NAME_BYTES
from proxy.keys.stores import FoundRecords
from proxy.keys.stores.store import HeldRecords
from proxy.process import place
from proxy.process.boot_clock import since_boot
from tests.keys.builders import SCOPE, seal_need
from tests.keys.desk import Desk
from tests.keys.members import KEYRING, Line, Member, back, running

from .conftest import Subject

NAME = keyring_marker.name_of(KEYRING)


@pytest.fixture(autouse=True)
def only_shared(subject: Subject) -> None:
    if not subject.store.shared:
        pytest.skip("leases are for stores that processes share")


def a_member(subject: Subject, *, without_store: bool = True) -> Member:
    return Member(Line(subject.another()), without_store)


async def test_what_is_sealed_after_a_revocation_is_complete_opens(subject: Subject) -> None:
    one, other, late = (a_member(subject) for _ in range(3))
    texts: list[tuple[float, bytes]] = []
    done = asyncio.Event()

    async def work() -> None:
        while not done.is_set():
            texts.append((time.monotonic(), await other.sealed()))
            await asyncio.sleep(0.005)

    async with running(one, other), asyncio.TaskGroup() as group:
        group.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0.2)
            answer = await Desk(one.sessions).run("revoke", SCOPE)
            complete = time.monotonic()
            assert (answer.complete, answer.processes, answer.open) == (True, 2, ())
            assert answer.others_within is None
            await asyncio.sleep(0.2)
        done.set()
    after = [text for at, text in texts if at > complete]
    assert after
    assert all([await late.opens(text) for text in after])
    assert not await late.opens(texts[0][1])


async def test_after_its_own_revocation_a_process_that_is_cut_off_seals_nothing_of_the_future(
    subject: Subject,
) -> None:
    """Another one that revokes in the same second, and has not heard of it, would not cover it."""
    one, away = a_member(subject), a_member(subject)
    async with running(one, away):
        before = await away.sealed()
        away.store.cut = True
        assert not (await Desk(away.sessions).run("revoke", SCOPE)).complete
        with pytest.raises(KeyUnavailable, match="clock-before-revocation"):
            await away.sealed()
        await Desk(one.sessions).run("revoke", SCOPE)
        assert not await one.opens(before)
        await asyncio.sleep(2.1)
        await away.sealed()


async def test_what_was_sealed_before_a_revocation_stands_no_more_once_that_is_complete(
    subject: Subject,
) -> None:
    one, other = a_member(subject), a_member(subject)
    async with running(one, other):
        keys = await other.sessions.resolve(seal_need())
        session = keys.sealing[SCOPE]
        assert keys.standing.stands(session)
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        assert (answer.complete, keys.standing.stands(session)) == (True, False)


async def test_a_process_that_is_stopped_seals_nothing_once_it_goes_on(subject: Subject) -> None:
    one, stopped = a_member(subject), a_member(subject, without_store=False)
    before = await stopped.sealed()
    async with running(one):
        began = time.monotonic()
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        took = time.monotonic() - began
        assert (answer.complete, answer.processes) == (True, 1)
        assert LEASE_SECONDS < took < LEASE_SECONDS + 3
        assert stopped.sessions.resolve_warm(seal_need()) is None
        after = await stopped.sealed()
        assert [await one.opens(text) for text in (before, after)] == [False, True]


async def test_a_process_that_is_stopped_until_its_row_ends_learns_what_was_fenced_then(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verb finds no row, and waits for nobody, while this one renews."""
    one, stopped = a_member(subject), a_member(subject, without_store=False)
    await stopped.sealed()
    monkeypatch.setattr(lease, "since_boot", lambda: since_boot() + LEASE_SECONDS)
    event, keep = FenceEvent("keyring", "", 5), stopped.lease._store.keep

    async def late(*row: Any, **more: Any) -> HeldRecords:  # noqa: ANN401 - passed on
        if await subject.store.erase(NAME, b"fence", seen=b"fence", only=[stopped.place]):
            monkeypatch.undo()
            await fence_log.append(one.sessions.store, KEYRING, [event], now=time.time)
            verb = one.sessions.store, KEYRING, [event]
            reach = await presence.reached(*verb, clock=time.time, expected=0)
            assert (reach.complete, reach.processes) == (True, 0)
        return await keep(*row, **more)

    monkeypatch.setattr(stopped.lease._store, "keep", late)
    await stopped.lease.renew()
    assert [one.id for one in stopped.heard] == [event.id]


async def test_a_process_that_is_stopped_opens_nothing_of_what_was_erased_once_it_goes_on(
    subject: Subject,
) -> None:
    one = Member(Line(subject.another()), mode="ephemeral")
    stopped = Member(Line(subject.another()), without_store=False, mode="ephemeral")
    async with running(one):
        text = await one.sealed()
        assert await stopped.opens(text)
        need = Needs({}, frozenset({(SCOPE, decode(text).key_id)}))
        assert stopped.sessions.resolve_warm(need) is not None
        answer = await Desk(one.sessions).run("erase", SCOPE)
        assert (answer.complete, len(answer.erased or ())) == (True, 1)
        stopped.store.cut = True
        assert stopped.sessions.resolve_warm(need) is None
        with pytest.raises(KeyUnavailable, match="lease-ended"):
            await stopped.opens(text)
        await back(stopped)
        assert not await stopped.opens(text)


async def test_a_process_that_seals_without_the_store_is_named(subject: Subject) -> None:
    one, away = a_member(subject), a_member(subject)
    async with running(one, away):
        await away.sealed()
        away.store.cut = True
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        assert (answer.complete, answer.missed) == (False, (away.lease._name,))
        assert answer.open == ("others-late",)
        assert away.lease.away
        assert await away.sealed()  # lost, and said so
        await back(away)
        assert await one.opens(await away.sealed())


async def test_a_process_that_refuses_without_the_store_seals_no_longer_than_its_lease(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.3)
    away = a_member(subject, without_store=False)
    async with running(away):
        await away.sealed()
        away.store.cut = True
        await away.sealed()
        await away.lease.renew()
        await asyncio.sleep(0.4)
        with pytest.raises(KeyUnavailable, match="lease-ended"):
            await away.sealed()
        await back(away)
        assert await away.sealed()


@pytest.mark.parametrize("record", [b"", b"x" * 60, None])
async def test_whose_row_is_altered_or_gone_does_not_seal_until_it_is_back(
    subject: Subject, record: bytes | None
) -> None:
    one = a_member(subject)
    await one.sealed()
    if record is None:
        await subject.store.erase(NAME, b"fence", only=[one.place])
    else:
        subject.plant(f"{NAME}:k:{one.place}", record)
    ended: list[float] = []
    extend = one.lease._extend

    def told(until: float) -> None:
        ended.append(until)
        extend(until)

    one.lease._extend = told
    await one.lease.renew()
    assert ended[0] == 0.0
    assert ended[-1] > time.monotonic()
    row = (await subject.store.find(NAME, [one.place])).keys[0]
    assert row is not None
    assert presence.decode(row.record, f"{NAME}:{one.place}", KEYRING.record_key).goes_on


async def test_a_process_whose_replies_are_damaged_seals_on(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an outage: the row is whole, and is found again."""
    one = a_member(subject)
    await one.sealed()
    find, damaged = one.lease._store.find, 8

    async def found(name: str, places: Sequence[str]) -> FoundRecords:
        nonlocal damaged
        whole = await find(name, places)
        damaged -= 1
        if damaged < 0:
            return whole
        assert not one.lease.held
        return replace(whole, keys=tuple(replace(held, record=b"x") for held in whole.keys if held))

    monkeypatch.setattr(one.lease._store, "find", found)
    one.lease.give_up()
    await one.lease.obtain()
    assert one.lease.held
    assert damaged < 0


@pytest.mark.parametrize("planted", ["before", b"", b"x"])
async def test_a_fence_that_somebody_takes_away_is_learned_all_the_same(
    subject: Subject, planted: bytes | str
) -> None:
    one, other = a_member(subject), a_member(subject)
    async with running(one, other):
        before = (await subject.store.find(NAME, [fence_log.PLACE])).keys[0]
        assert before is not None
        events = [FenceEvent("keyring", "", 5)]
        await one.lease.fence(events)
        record = before.record if isinstance(planted, str) else planted
        subject.plant(f"{NAME}:k:{fence_log.PLACE}", record)
        await other.lease.renew()  # who knows nothing of it, and may begin another log
        reach = await presence.reached(one.sessions.store, KEYRING, events, clock=time.time)
        assert (reach.complete, reach.processes, reach.missed) == (True, 2, ())
        assert events[0].id in [one.id for one in other.heard]


async def test_an_earlier_log_that_somebody_puts_back_is_replaced_by_who_knows_more(
    subject: Subject,
) -> None:
    one = a_member(subject)
    await one.lease.renew()
    before = (await subject.store.find(NAME, [fence_log.PLACE])).keys[0]
    assert before is not None
    events = [FenceEvent("keyring", "", 5)]
    await one.lease.fence(events)
    subject.plant(f"{NAME}:k:{fence_log.PLACE}", before.record)
    await one.lease.renew()
    stands = (await subject.store.find(NAME, [fence_log.PLACE])).keys[0]
    assert stands is not None
    log = fence_log.read(stands.record, NAME, KEYRING.record_key)
    assert log is not None
    assert log.has(events)


async def test_whose_kek_the_fleet_has_disabled_seals_nothing(subject: Subject) -> None:
    one = a_member(subject)
    await one.sealed()
    one.may_seal = False
    await one.lease.renew()
    (row,) = await presence.rows(one.sessions.store, KEYRING)
    assert not row.has(KEYRING.primary)  # it is in nobody's way
    with pytest.raises(KeyUnavailable, match="lease-ended"):
        await one.sealed()
    one.store.cut = True
    with pytest.raises(KeyUnavailable, match="lease-ended"):
        await one.sealed()


async def test_no_process_or_fewer_than_expected_is_not_all(subject: Subject) -> None:
    alone = Member(subject.another())
    alone.sessions.lease = None  # as that of a command
    answer = await Desk(alone.sessions).run("revoke", SCOPE)
    assert (answer.complete, answer.processes, answer.missed) == (False, 0, None)
    one = a_member(subject)
    async with running(one):
        assert (await Desk(alone.sessions).run("revoke", SCOPE)).complete
        events = [FenceEvent("keyring", "", 5)]
        for number in range(300):  # nobody but a process says that it knows
            await subject.store.keep(NAME, f"p{number}", b"x" * 80, 10**6)
        for expect, complete in ((1, True), (2, False), (0, True)):
            reach = await presence.reached(
                one.sessions.store,
                KEYRING,
                events,
                clock=time.time,
                expected=expect,
            )
            assert reach.complete is complete


async def test_processes_of_an_adopted_keyring_in_the_same_store_are_not_reached(
    subject: Subject,
) -> None:
    own = create("n1", now=1, random=os.urandom)
    new, store = merging.adopt(own, KEYRING, now=1), presence.patient(subject.store, time.time)
    for used, missed in ((own.id, ()), (KEYRING.id, (f"keyring {shown(KEYRING.id)}",))):
        seen = await store.note(presence.NAME)
        roster = presence.decode_roster(seen).with_seen(used, time.time())
        await store.note(presence.NAME, presence.encode_roster(roster), seen=seen)
        events = [FenceEvent("keyring", "", 5)]
        reach = await presence.reached(store, new, events, clock=time.time, expected=0)
        assert (reach.complete, reach.missed) == (not missed, missed)


async def test_processes_with_another_record_key_are_not_reached(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = a_member(subject), a_member(subject)
    later = KEYRING.leak_records(now=int(time.time()), random=os.urandom)
    other.lease._keyring = lambda: later
    async with running(one, other):
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        assert (answer.complete, answer.missed) == (False, (f"unreadable row {other.place}",))
        assert answer.processes == 1
    monkeypatch.setattr("proxy.keys.policy.LEASE_SECONDS", 0.5)
    await other.lease.renew()  # and it is killed
    async with running(one):
        assert (await Desk(one.sessions).run("revoke", SCOPE)).complete


async def test_an_erasure_by_a_keyring_that_lacks_names_of_the_fleet_is_not_complete(
    subject: Subject,
) -> None:
    """It leaves the key that is kept under the name which it does not know."""
    now = int(time.time())
    turned = KEYRING.begin_names(now=now, random=os.urandom).turn_names(now=now)
    older = Member(Line(subject.another()), mode="ephemeral")
    older.sessions.lease = None
    later = Member(Line(subject.another()), mode="ephemeral", keyring=turned)
    async with running(later):
        await later.sealed()
        answer = await Desk(older.sessions).run("erase", SCOPE)
        names = [place.sessions for place in turned.places_of(SCOPE)]
        left = sum([len(await later.store.kept(name)) for name in names])
        assert (left, answer.complete, answer.processes) == (1, False, 1)
        assert answer.missed is not None
        assert "has a name key that this keyring file lacks" in answer.missed[0]
        reached = erase_receipt.verified(str(answer.receipt).encode(), answer.key or {})
        assert reached is not None
        assert reached["reached"] is False
        other = Member(Line(subject.another()), mode="ephemeral", keyring=turned)
        other.sessions.lease = None
        answer = await Desk(other.sessions).run("erase", SCOPE)
        assert (len(answer.erased or ()), answer.complete) == (1, True)


async def test_a_process_that_ends_takes_its_row_along(subject: Subject) -> None:
    one, other = a_member(subject), a_member(subject)
    async with running(one):
        async with running(other):
            assert len(await presence.rows(one.sessions.store, KEYRING)) == 2
        assert len(await presence.rows(one.sessions.store, KEYRING)) == 1
        assert not other.lease.held


async def test_a_process_whose_clock_is_wrong_is_waited_for(subject: Subject) -> None:
    one, slow = a_member(subject), a_member(subject, without_store=False)
    slow.lease._clock = lambda: time.time() - 200
    async with running(one):
        await slow.lease.renew()
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        assert (answer.complete, answer.processes) == (True, 1)
        assert not slow.lease.held
        async with running(slow):
            answer = await Desk(one.sessions).run("revoke", SCOPE)
            assert (answer.complete, answer.processes) == (True, 2)


async def test_verbs_that_come_in_a_crowd_reach_all(subject: Subject) -> None:
    one, other = a_member(subject), a_member(subject)
    events = [FenceEvent("keyring", "", number) for number in range(200)]
    async with running(one, other):
        await one.lease.fence(events)
        store = one.sessions.store
        first = await presence.reached(store, KEYRING, events[:1], clock=time.time)
        assert (first.complete, first.processes) == (True, 2)


async def test_what_a_process_has_said_once_is_not_asked_again(subject: Subject) -> None:
    one, slow = a_member(subject), a_member(subject, without_store=False)
    await slow.lease.renew()
    async with running(one):
        event = FenceEvent("keyring", "", 0)
        await one.lease.fence([event])
        store = one.sessions.store
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(
                presence.reached(store, KEYRING, [event], clock=time.time, expected=2)
            )
            await asyncio.sleep(1.5)
            one.lease._learned.clear()  # as after so many more that its row does not name it
            await one.lease.renew()
            await slow.lease.renew()
        reach = asked.result()
        assert (reach.complete, reach.processes) == (True, 2)


async def test_the_row_of_a_process_that_was_killed_a_moment_ago_is_taken_away_too(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, again = a_member(subject), a_member(subject)
    await killed.lease.renew()
    await again.lease.renew()
    assert len(await presence.rows(again.sessions.store, KEYRING)) == 2  # it may live
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await again.lease.renew()
    left = [one.process for one in await presence.rows(again.sessions.store, KEYRING)]
    assert left == [again.lease._process]


async def test_a_verb_is_complete_once_the_killed_process_is_buried_by_who_started_it(
    subject: Subject,
) -> None:
    one, killed, beside = a_member(subject), a_member(subject), a_member(subject)
    process = os.urandom(presence.PROCESS_BYTES)
    killed.lease.be(process)
    for member in (killed, beside):
        await member.lease.renew()
    killed.lease._name, beside.lease._name = "killed:1", "beside:2"
    await beside.lease.renew()
    async with running(one):
        store = one.sessions.store
        assert process in {row.process for row in await presence.rows(store, KEYRING)}
        await one.lease.bury({process})
        left = {row.process for row in await presence.rows(store, KEYRING)}
        assert left == {member.lease._process for member in (one, beside)}
        await beside.lease.close()
        beside.lease.start()
        await beside.lease.close()
        answer = await Desk(one.sessions).run("revoke", SCOPE)
        assert (answer.complete, answer.processes) == (True, 1)


async def test_a_process_on_a_host_with_a_long_name_knows_its_row_again(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * PROCESS_NAME_BYTES)
    one = a_member(subject)
    await one.lease.renew()
    (row,) = await presence.rows(one.sessions.store, KEYRING)
    assert row.name == one.lease._name
    assert row.name.endswith(f":{os.getpid()}~{place.mark()}")


async def test_a_process_that_begins_again_takes_away_the_row_of_the_one_that_was_killed(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, again, beside = a_member(subject), a_member(subject), a_member(subject)
    # A pod with the network of the same node has this host and number, and is another place.
    beside.lease._name = killed.lease._name[:-1] + "."
    for member in (killed, beside):
        await member.lease.renew()
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await again.lease.renew()
    left = {one.process for one in await presence.rows(again.sessions.store, KEYRING)}
    assert left == {one.lease._process for one in (again, beside)}


async def test_a_process_takes_away_the_rows_of_those_that_ended_in_its_place(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under systemd, which gives each start another number."""
    dead, alive, elsewhere, again = (a_member(subject) for _ in range(4))
    child = await asyncio.create_subprocess_exec("/bin/true")
    await child.wait()
    numbers = {str(child.pid): dead, str(os.getppid()): alive}
    for number, member in numbers.items():
        member.lease._name = member.lease._name.replace(f":{os.getpid()}~", f":{number}~")
    elsewhere.lease._name = f"{dead.lease._name[:-1]}."
    for member in (dead, alive, elsewhere):
        await member.lease.renew()
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(place, "_made_for", lambda _: "")
    await asyncio.sleep(0.01)
    await again.lease.renew()
    left = {one.process for one in await presence.rows(again.sessions.store, KEYRING)}
    assert left == {one.lease._process for one in (alive, elsewhere, again)}


def test_a_log_keeps_the_last_events_and_its_numbers_grow() -> None:
    log = FenceLog().with_more([FenceEvent("keyring", "", 1)], 1.0)
    more = log.with_more([FenceEvent("fenced", "n", at) for at in range(300)], 1.0)
    assert more.number == log.number + 300
    assert len(more.events) == FENCES
    assert [one.value for one in more.events[-2:]] == [298, 299]
    assert [one.number for one in more.events[-2:]] == [more.number - 1, more.number]
    key = KEYRING.record_key
    assert fence_log.decode(fence_log.encode(more, "n", key), "n", key) == more


async def test_a_process_that_no_list_names_seals_nothing_until_it_is_found_again(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to the store hides no process from verbs by the list of rows."""
    one, other = a_member(subject), a_member(subject)
    store = one.sessions.store
    await one.lease.renew()
    assert one.lease.held
    subject.plant(f"{keyring_marker.name_of(KEYRING)}:ids", b"")  # a list in Redis alone
    hidden = one.lease._place not in await store.kept(keyring_marker.name_of(KEYRING))
    ends = one.lease.until
    await one.lease.renew()
    assert one.lease.held  # it stands again by then
    assert one.lease.until > ends
    assert len(await presence.rows(store, KEYRING)) == 1

    async def edited(name: str, place: str) -> bool:
        subject.plant(f"{name}:ids", b"")
        return await type(store).listed(store, name, place)

    store_of = other.sessions.store
    await other.lease.renew()
    for held in {id(one): one for one in (store_of, other.lease._store)}.values():
        monkeypatch.setattr(held, "listed", edited)  # somebody edits it in a loop
    await other.lease.renew()
    assert other.lease.held is not hidden
