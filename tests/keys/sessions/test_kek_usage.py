"""How often each KEK is used, over all processes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.token import decode
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions import kek_usage
from proxy.keys.sessions.kek_usage import KekUse, Use, Uses
from proxy.keys.stores import MemoryStore, records
from proxy.keys.stores.guarded import GuardedStore
from proxy.keys.stores.records import RecordRefused, RecordUnknown

from ..builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    CountingStore,
    Time,
    a_keyring,
    a_world,
    seal_need,
)

KEY = a_keyring().record_key


def guarded(store: object = None) -> GuardedStore:
    inner = store or MemoryStore(Time())
    return GuardedStore(inner, 1.0, clock=Time(), notice=lambda _: None)  # type: ignore[arg-type]  # a store of the builders


async def told(use: KekUse, store: GuardedStore, now: float = NOW) -> list[str]:
    notices: list[str] = []
    await use.flush(store, KEY, now, notice=notices.append)
    return notices


async def noted(store: GuardedStore) -> dict[int, Use]:
    uses = await kek_usage.read(store, KEY)
    assert uses is not None
    return dict(uses.of)


async def test_nothing_is_noted_before_somebody_told_something() -> None:
    store = guarded()
    assert await told(KekUse(NOW), store) == []
    assert await kek_usage.read(store, KEY) is None


async def test_the_counts_of_all_processes_stand_in_one_note() -> None:
    store, ours, theirs = guarded(), KekUse(NOW), KekUse(NOW)
    for _ in range(3):
        ours.opened(1, NOW)
    theirs.opened(1, NOW + 9)
    theirs.began(2, NOW + 4)
    await told(ours, store)
    await told(theirs, store)
    assert await noted(store) == {1: Use(4, NOW + 9), 2: Use(0, 0, 1, NOW + 4)}
    ours.opened(1, NOW + 20)
    await told(ours, store, NOW + 30)
    assert (await noted(store))[1] == Use(5, NOW + 20)
    uses = await kek_usage.read(store, KEY)
    assert uses is not None
    assert (uses.since, uses.epoch) == (NOW, 3)


async def test_twenty_processes_that_tell_at_once_lose_nothing() -> None:
    store, all_of_them = CountingStore(Time()), [KekUse(NOW) for _ in range(20)]
    for use in all_of_them:
        use.opened(1, NOW)
    for _ in range(20):  # who was too slow five times keeps its counts for the next time
        await asyncio.gather(*(told(use, guarded(store)) for use in all_of_them))
    assert (await noted(guarded(store)))[1].opened == 20
    assert {use.total[1].opened for use in all_of_them} == {1}


async def test_what_a_store_that_is_down_does_not_take_is_told_later() -> None:
    use, store = KekUse(NOW), guarded()
    use.opened(1, NOW)
    await told(use, guarded(BrokenStore(shared=True)))
    use.opened(1, NOW + 1)
    assert use.total == {1: Use(2, NOW + 1)}
    await told(use, store)
    await told(use, store)
    assert await noted(store) == {1: Use(2, NOW + 1)}
    assert use.total == {1: Use(2, NOW + 1)}


async def test_a_note_that_nobody_of_us_wrote_is_told_of_and_overwritten() -> None:
    store, use = guarded(), KekUse(NOW)
    await store.note(kek_usage.NAME, b"x" * 60)
    use.opened(1, NOW)
    assert await told(use, store) == ["record-forged"]
    uses = await kek_usage.read(store, KEY)
    assert uses is not None
    assert (uses.since, uses.of[1].opened) == (int(NOW), 1)


async def test_a_note_of_another_version_is_refused_and_not_overwritten() -> None:
    label, reason = b"sealyard/v1/record/kek-use\x00", "record-version"
    foreign = records.sign(b"\x02more", label, kek_usage.NAME, KEY)
    store, use = guarded(), KekUse(NOW)
    await store.note(kek_usage.NAME, foreign)
    use.opened(1, NOW)
    assert await told(use, store) == [reason]
    assert await store.note(kek_usage.NAME) == foreign
    assert use.total[1].opened == 1


NUMBERS = st.integers(0, 2**64 - 1)
USES = st.builds(Use, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@given(st.builds(Uses, NUMBERS, st.dictionaries(st.integers(1, 65535), USES), NUMBERS))
def test_a_note_says_what_was_written(uses: Uses) -> None:
    assert kek_usage.decode(kek_usage.encode(uses, KEY), KEY) == uses


@given(st.data())
def test_an_altered_note_is_refused(data: st.DataObject) -> None:
    note = kek_usage.encode(Uses(NOW, {1: Use(1, 2, 3, 4)}, 7), KEY)
    at = data.draw(st.integers(0, len(note) * 8 - 1))
    altered = bytearray(note)
    altered[at // 8] ^= 1 << at % 8
    with pytest.raises(RecordRefused):
        kek_usage.decode(bytes(altered), KEY)


def test_a_note_of_half_a_row_is_of_no_version_we_know() -> None:
    label = b"sealyard/v1/record/kek-use\x00"
    whole = kek_usage.encode(Uses(NOW, {1: Use()}, 7), KEY)[:-33]
    with pytest.raises(RecordUnknown):
        kek_usage.decode(records.sign(whole, label, kek_usage.NAME, KEY), KEY)


async def test_sessions_count_what_they_open_and_begin() -> None:
    world = a_world(keyring=a_keyring("k2"))
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    text = session.seal(b"hello", CONTEXT)
    world.time.advance(100)
    assert world.sessions.use.total == {1: Use(0, 0, 1, NOW)}
    world.sessions.replace_keyring(world.keyring.promote("k2"))
    for _ in range(2):
        keys = await world.sessions.resolve(Needs({}, frozenset({(SCOPE, decode(text).key_id)})))
        world.sessions.remember(dict.fromkeys(keys.opening.values(), 1))
    assert world.sessions.use.total == {1: Use(2, NOW + 100, 1, NOW)}
    await world.sessions.resolve(seal_need())
    assert world.sessions.use.total[2] == Use(0, 0, 1, NOW + 100)


async def test_the_keys_of_ephemeral_sessions_count_when_they_are_unwrapped() -> None:
    world = a_world(mode="ephemeral")
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    need = Needs({}, frozenset({(SCOPE, decode(session.seal(b"hello", CONTEXT)).key_id)}))
    other = world.another_process()
    for _ in range(3):
        assert (await other.sessions.resolve(need)).opening
    assert other.sessions.use.total == {1: Use(1, NOW)}
