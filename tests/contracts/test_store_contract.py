"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest

from proxy.keys.stores import STORES, Offer, Store, open_store


class Time:
    """A clock that goes on only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Subject:
    """A store under test, and how time passes for it."""

    store: Store
    advance: Callable[[float], None]


def memory() -> Subject:
    time = Time()

    def advance(seconds: float) -> None:
        time.now += seconds

    return Subject(open_store("memory", time), advance)


SUBJECTS: Mapping[str, Callable[[], Subject]] = {"memory": memory}


def test_every_store_is_held_to_the_contract() -> None:
    assert SUBJECTS.keys() == STORES.keys()


@pytest.fixture(params=sorted(SUBJECTS))
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    subject = SUBJECTS[request.param]()
    yield subject
    await subject.store.close()


def an_offer(record: bytes = b"one", *, name: str = "n:cur", epoch: int = 1) -> Offer:
    return Offer(name, record, epoch, ttl_ms=10_000)


async def test_a_dump_shows_every_record_as_it_stands(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer(b"one", name="n:cur"))
    await subject.store.get_or_create(an_offer(b"two", name="m:cur"))
    assert await subject.store.dump() == {"n:cur": b"one", "m:cur": b"two"}


async def test_the_first_offer_is_kept(subject: Subject) -> None:
    held = await subject.store.get_or_create(an_offer())
    assert held.record == b"one"
    assert 9_000 < held.remaining_ms <= 10_000


async def test_what_stands_is_returned_with_the_time_it_has_left(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    subject.advance(4)
    held = await subject.store.get_or_create(an_offer(b"two", epoch=2))
    assert held.record == b"one"
    assert 5_000 < held.remaining_ms <= 6_000


async def test_what_ended_makes_room(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    subject.advance(10.5)
    assert (await subject.store.get_or_create(an_offer(b"two"))).record == b"two"


async def test_names_do_not_meet(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    held = await subject.store.get_or_create(an_offer(b"two", name="m:cur"))
    assert held.record == b"two"


async def test_concurrent_callers_agree(subject: Subject) -> None:
    offers = [an_offer(bytes((number,))) for number in range(50)]
    held = await asyncio.gather(*(subject.store.get_or_create(offer) for offer in offers))
    assert len({one.record for one in held}) == 1


async def test_a_newer_offer_replaces_and_begins_its_own_time(subject: Subject) -> None:
    await subject.store.get_or_create(an_offer())
    subject.advance(4)
    held = await subject.store.replace(an_offer(b"two", epoch=2))
    assert held.record == b"two"
    assert held.remaining_ms > 9_000
    assert (await subject.store.get_or_create(an_offer(b"three"))).record == b"two"


@pytest.mark.parametrize("epoch", [1, 2])
async def test_an_offer_that_is_not_newer_replaces_nothing(subject: Subject, epoch: int) -> None:
    await subject.store.get_or_create(an_offer(epoch=2))
    assert (await subject.store.replace(an_offer(b"two", epoch=epoch))).record == b"one"


async def test_replacing_nothing_keeps_the_offer(subject: Subject) -> None:
    assert (await subject.store.replace(an_offer())).record == b"one"
    assert (await subject.store.get_or_create(an_offer(b"two"))).record == b"one"


async def test_epochs_in_milliseconds_and_any_bytes_are_kept(subject: Subject) -> None:
    record = bytes(range(256))
    await subject.store.replace(an_offer(record, epoch=1_800_000_000_000))
    held = await subject.store.replace(an_offer(b"older", epoch=1_799_999_999_999))
    assert held.record == record
