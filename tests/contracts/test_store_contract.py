"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from proxy.keys.stores import STORES, Changed, Fenced, FoundRecords, HeldRecords, Offer, Under

from .conftest import SUBJECTS, Subject


def test_every_store_is_held_to_the_contract() -> None:
    assert SUBJECTS.keys() == STORES.keys()


def an_offer(record: bytes = b"one", *, name: str = "n", key: str = "") -> Offer:
    return Offer(name, record, ttl_ms=10_000, key_id=key, keep_ms=20_000 if key else 0)


async def dumped(subject: Subject) -> dict[str, bytes]:
    """Return every record by its place, without the lists that Redis has of keys."""
    found = await subject.store.dump()
    return {place: record for place, record in found.items() if not place.endswith(":ids")}


def the_record(held: HeldRecords | None) -> bytes | None:
    return None if held is None else held.record


# --- agreeing -------------------------------------------------------------------------------------


async def test_a_dump_shows_every_record_as_it_stands(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(b"one", name="n", key="s1"))
    await subject.store.get_or_create(an_offer(b"two", name="m"))
    await subject.store.revoke("n", b"three", 1)
    await subject.store.note("fleet", b"four")
    await subject.store.erase("f", b"five")
    expected = {"n:cur": b"one", "n:k:s1": b"one", "n:rev": b"three", "m:cur": b"two"}
    expected |= {"fleet:note": b"four", "f:fence": b"five"}
    assert await dumped(subject) == expected


async def test_the_first_offer_is_kept(subject: Subject) -> None:
    held = await subject.store.get_or_create(an_offer())
    assert held.record == b"one"
    assert 9_000 < held.remaining_ms <= 10_000


async def test_what_stands_is_returned_with_the_time_it_has_left(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    await subject.advance(4)
    held = await subject.store.get_or_create(an_offer(b"two"))
    assert held.record == b"one"
    assert 5_000 < held.remaining_ms <= 6_000


async def test_what_ended_makes_room(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    await subject.advance(10.5)
    assert (await subject.store.get_or_create(an_offer(b"two"))).record == b"two"


async def test_names_do_not_meet(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    held = await subject.store.get_or_create(an_offer(b"two", name="m"))
    assert held.record == b"two"


async def test_concurrent_callers_agree(subject: Subject) -> None:
    offers = [an_offer(bytes((number,))) for number in range(50)]
    held = await asyncio.gather(*(subject.store.get_or_create(offer) for offer in offers))
    assert len({one.record for one in held}) == 1


async def test_another_process_sees_the_same(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    other = subject.another()
    held = await other.get_or_create(an_offer(b"two"))
    assert held.record == b"one"


async def test_an_offer_replaces_what_was_seen_and_begins_its_own_time(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    await subject.advance(4)
    held = await subject.store.replace(an_offer(b"two"), seen=b"one")
    assert held.record == b"two"
    assert held.remaining_ms > 9_000
    assert (await subject.store.get_or_create(an_offer(b"three"))).record == b"two"


@pytest.mark.parametrize("seen", [None, b"", b"on", b"one ", b"other"])
async def test_an_offer_replaces_nothing_but_what_was_seen(
    subject: Subject, seen: bytes | None
) -> None:
    await subject.store.get_or_create(an_offer())
    held = await subject.store.replace(an_offer(b"two"), seen=seen)
    assert held.record == b"one"


async def test_of_two_who_replace_the_same_the_first_stays(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    offers = [an_offer(b"%d" % number) for number in range(20)]
    held = await asyncio.gather(*(subject.store.replace(one, seen=b"one") for one in offers))
    assert len({one.record for one in held}) == 1
    assert held[0].record != b"one"


async def test_replacing_nothing_keeps_the_offer(subject: Subject) -> None:
    assert (await subject.store.replace(an_offer())).record == b"one"
    assert (await subject.store.get_or_create(an_offer(b"two"))).record == b"one"


async def test_any_bytes_are_kept_and_seen(subject: Subject) -> None:
    record = bytes(range(256))
    await subject.store.replace(an_offer(record))
    assert (await subject.store.replace(an_offer(b""), seen=record)).record == b""
    assert (await subject.store.replace(an_offer(record), seen=b"")).record == record


# --- keys of ephemeral sessions -------------------------------------------------------------------


async def test_a_key_is_found_by_its_id_and_outlives_the_current_session(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(key="s1"))
    await subject.advance(15)
    found = await subject.store.find("n", ["s1", "s2"])
    assert [the_record(held) for held in found.keys] == [b"one", None]
    assert found.keys[0] is not None
    assert 4_000 < found.keys[0].remaining_ms <= 5_000


async def test_a_key_ends(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(key="s1"))
    await subject.advance(20.5)
    assert (await subject.store.find("n", ["s1"])).keys == (None,)


async def test_an_offer_that_was_not_kept_leaves_no_key(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(key="s1"))
    await subject.store.get_or_create(an_offer(b"two", key="s2"))
    assert (await subject.store.find("n", ["s2"])).keys == (None,)


async def test_replacing_leaves_the_earlier_key(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(key="s1"))
    await subject.store.replace(an_offer(b"two", key="s2"), seen=b"one")
    found = await subject.store.find("n", ["s1", "s2"])
    assert [the_record(held) for held in found.keys] == [b"one", b"two"]


async def test_keys_of_other_conversations_are_not_found(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(key="s1"))
    assert (await subject.store.find("m", ["s1"])).keys == (None,)


# --- revocations ----------------------------------------------------------------------------------


async def test_a_revocation_comes_with_every_answer_and_does_not_end(subject: Subject) -> None:
    assert (await subject.store.get_or_create(an_offer())).revocation is None
    assert await subject.store.revoke("n", b"gone", 1) == b"gone"
    await subject.advance(1_000_000)
    answers: list[HeldRecords | FoundRecords] = [
        await subject.store.get_or_create(an_offer()),
        await subject.store.get_or_create(an_offer()),
        await subject.store.replace(an_offer()),
        await subject.store.find("n", []),
    ]
    assert [answer.revocation for answer in answers] == [b"gone"] * 4


async def test_a_revocation_takes_the_place_of_the_one_seen_alone(subject: Subject) -> None:
    await subject.store.revoke("n", b"one", 2)
    assert await subject.store.revoke("n", b"two", 3) == b"one"
    assert await subject.store.revoke("n", b"two", 3, seen=b"other") == b"one"
    assert await subject.store.revoke("n", b"two", 1, seen=b"one") == b"two"
    assert (await subject.store.find("n", [])).revocation == b"two"


async def test_the_current_session_is_found_without_making_one(subject: Subject) -> None:
    assert (await subject.store.find("n", [], current=True)).current is None
    await subject.store.get_or_create(an_offer(key="s1"))
    found = await subject.store.find("n", ["s1", "s2"], current=True)
    assert (found.current, [the_record(one) for one in found.keys]) == (b"one", [b"one", None])
    assert (await subject.store.find("n", [])).current is None
    assert (await subject.store.find("m", ["s1"], current=True)).current is None


async def test_a_revocation_ends_at_its_conversation(subject: Subject) -> None:
    await subject.store.revoke("n", b"gone", 1)
    assert (await subject.store.find("m", [])).revocation is None


async def test_a_store_hears_nothing_after_it_was_closed(subject: Subject) -> None:
    told: list[str | None] = []
    changed: Changed = told.append
    other = subject.another()
    await other.open(changed)
    if other is not subject.store:
        await other.close()
    told.clear()
    await subject.store.revoke("n", b"gone", 1)
    await asyncio.sleep(0.02)
    assert told == []


# --- notes of the fleet ---------------------------------------------------------------------------


async def test_a_note_takes_the_place_of_the_one_seen_alone(subject: Subject) -> None:
    assert await subject.store.note("fleet") is None
    assert await subject.store.note("fleet", b"one") == b"one"
    assert await subject.store.note("fleet", b"other") == b"one"
    assert await subject.store.note("fleet", b"other", seen=b"else") == b"one"
    assert await subject.store.note("fleet", b"two", seen=b"one") == b"two"
    await subject.advance(1_000_000)
    assert await subject.store.note("fleet") == b"two"
    assert await subject.store.note("n") is None
    other = subject.another()
    assert await other.note("fleet") == b"two"


async def test_nobody_is_told_of_a_note(subject: Subject) -> None:
    told: list[str | None] = []
    other = subject.another()
    await other.open(told.append)
    await asyncio.sleep(0.2)
    told.clear()
    await subject.store.note("fleet", b"one")
    await asyncio.sleep(0.1)
    assert told == []


async def test_others_are_told_of_a_note_where_they_should_be(subject: Subject) -> None:
    told: list[str | None] = []
    other = subject.another()
    await other.open(told.append)
    await asyncio.sleep(0.2)
    told.clear()
    await subject.store.note("p", b"one", publish=True)
    await subject.store.note("p", b"other", publish=True)
    await subject.store.note("p", publish=True)
    await asyncio.sleep(0.1)
    assert told == (["p"] if other.subscribed else [])


# --- what stands under a key id for a while -------------------------------------------------------


async def test_what_is_kept_is_found_until_its_end(subject: Subject) -> None:
    held = await subject.store.keep("n", "s1", b"one", 10_000)
    assert (held.record, held.remaining_ms) == (b"one", 10_000)
    found = await subject.store.find("n", ["s1", "s2"])
    assert [the_record(one) for one in found.keys] == [b"one", None]
    await subject.advance(10.5)
    assert (await subject.store.find("n", ["s1"])).keys == (None,)
    assert (await subject.store.keep("n", "s1", b"two", 10_000)).record == b"two"


async def test_what_is_kept_takes_the_place_of_what_was_seen_alone(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000)
    assert (await subject.store.keep("n", "s1", b"two", 10_000)).record == b"one"
    assert (await subject.store.keep("n", "s1", b"two", 10_000, seen=b"x")).record == b"one"
    assert (await subject.store.keep("n", "s1", b"two", 10_000, seen=b"one")).record == b"two"
    assert (await subject.store.keep("m", "s1", b"else", 10_000)).record == b"else"


async def test_what_is_kept_is_no_current_session(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000)
    assert (await subject.store.get_or_create(an_offer(b"two"))).record == b"two"


async def test_who_keeps_learns_of_the_revocation(subject: Subject) -> None:
    assert (await subject.store.keep("n", "s1", b"one", 10_000)).revocation is None
    await subject.store.revoke("n", b"gone", 1)
    assert (await subject.store.keep("n", "s1", b"one", 10_000)).revocation == b"gone"
    again = await subject.store.keep("n", "s1", b"two", 10_000, seen=b"one")
    assert again.revocation == b"gone"


# --- destroying -----------------------------------------------------------------------------------


async def test_what_is_erased_is_gone_and_its_revocation_stays(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(b"one", key="s1"))
    await subject.store.replace(an_offer(b"two", key="s2"), seen=b"one")
    await subject.store.keep("n", "s3", b"three", 10_000)
    await subject.store.get_or_create(an_offer(b"else", name="nn", key="s1"))
    await subject.store.revoke("n", b"gone", 1)
    gone = {"s1": b"one", "s2": b"two", "s3": b"three"}
    assert await subject.store.kept("n") == gone
    assert await subject.store.erase("n", b"fence") == gone
    expected = {"n:rev": b"gone", "n:fence": b"fence", "nn:cur": b"else", "nn:k:s1": b"else"}
    assert await dumped(subject) == expected
    assert (await subject.store.get_or_create(an_offer(b"new"))).record == b"new"
    assert await subject.store.erase("m", b"fence") == {}


async def test_others_hear_of_what_is_erased(subject: Subject) -> None:
    told: list[str | None] = []
    other = subject.another()
    await other.open(told.append)
    await asyncio.sleep(0.2)
    told.clear()
    await subject.store.get_or_create(an_offer(key="s1"))
    await subject.store.erase("n", b"fence")
    await asyncio.sleep(0.1)
    assert told == (["n!"] if other.subscribed else [])


async def test_only_some_keys_are_erased_and_the_session_stays(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(b"one", key="s1"))
    await subject.store.keep("n", "s2", b"two", 10_000)
    assert await subject.store.erase("n", b"fence", only=["s2", "s3"]) == {"s2": b"two"}
    assert await subject.store.kept("n") == {"s1": b"one"}
    assert (await subject.store.find("n", [], current=True)).current == b"one"
    assert await subject.store.erase("n", b"other", seen=b"fence", only=()) == {}
    assert await subject.store.kept("n") == {"s1": b"one"}


async def test_more_keys_than_a_script_takes_are_erased(subject: Subject) -> None:
    for number in range(2_100):
        await subject.store.keep("n", f"s{number}", b"key", 10**7)
    assert len(await subject.store.kept("n")) == 2_100
    assert len(await subject.store.erase("n", b"fence")) == 2_100
    assert await dumped(subject) == {"n:fence": b"fence"}


async def test_what_ended_is_not_among_what_is_kept(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 5_000)
    await subject.store.keep("n", "s2", b"two", 60_000)
    await subject.advance(6)
    assert await subject.store.kept("n") == {"s2": b"two"}


# --- fences ---------------------------------------------------------------------------------------


async def test_the_first_who_keeps_something_puts_the_fence(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000, under=Under(None, b"first"))
    assert (await subject.store.find("n", [], fence=True)).fence == b"first"
    with pytest.raises(Fenced) as refused:
        await subject.store.keep("n", "s2", b"two", 10_000, under=Under(None, b"second"))
    assert refused.value.fence == b"first"
    held = await subject.store.keep("n", "s2", b"two", 10_000, under=Under(b"first"))
    assert held.record == b"two"
    assert (await subject.store.find("m", [], fence=True)).fence is None


async def test_nothing_is_kept_under_a_former_fence(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000, under=Under(None, b"first"))
    await subject.store.erase("n", b"second", seen=b"first")
    for seen in (b"first", None, b"", b"secon", b"second "):
        with pytest.raises(Fenced) as refused:
            await subject.store.keep("n", "s1", b"one", 10_000, under=Under(seen, b"third"))
        assert refused.value.fence == b"second"
        with pytest.raises(Fenced):
            await subject.store.get_or_create(under_fence(seen))
        with pytest.raises(Fenced):
            await subject.store.replace(under_fence(seen))
    assert await dumped(subject) == {"n:fence": b"second"}
    assert (await subject.store.get_or_create(under_fence(b"second"))).record == b"one"


async def test_nothing_is_kept_where_a_fence_that_was_seen_is_missing(subject: Subject) -> None:
    with pytest.raises(Fenced) as refused:
        await subject.store.keep("n", "s1", b"one", 10_000, under=Under(b"seen", b"first"))
    assert refused.value.fence is None
    with pytest.raises(Fenced):
        await subject.store.get_or_create(under_fence(b"seen"))
    assert await dumped(subject) == {}


async def test_what_stands_is_returned_whatever_its_fence(subject: Subject) -> None:
    await subject.store.get_or_create(under_fence(None))
    held = await subject.store.get_or_create(under_fence(b"other", b"two"))
    assert held.record == b"one"


async def test_only_who_has_seen_the_fence_erases(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000, under=Under(None, b"first"))
    for seen in (None, b"other"):
        with pytest.raises(Fenced) as refused:
            await subject.store.erase("n", b"second", seen=seen)
        assert refused.value.fence == b"first"
    assert await subject.store.kept("n") == {"s1": b"one"}
    assert await subject.store.erase("n", b"second", seen=b"first") == {"s1": b"one"}


async def test_a_fence_outlives_what_is_kept_under_it(subject: Subject) -> None:
    await subject.store.keep("n", "s1", b"one", 10_000, under=Under(None, b"first"))
    await subject.advance(60)
    assert (await subject.store.find("n", ["s1"], fence=True)).fence == b"first"
    await subject.store.keep("n", "s2", b"two", 10**8, under=Under(b"first"))
    await subject.advance(10**5 - 60)
    assert (await subject.store.find("n", ["s1"], fence=True)).fence == b"first"
    await subject.store.erase("n", b"second", seen=b"first")
    await subject.advance(367 * 86_400)
    assert (await subject.store.find("n", [], fence=True)).fence == b"second"


def under_fence(seen: bytes | None, record: bytes = b"one") -> Offer:
    return Offer("n", record, 10_000, "s1", 20_000, under=Under(seen, b"third"))
