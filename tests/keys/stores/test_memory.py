from __future__ import annotations

import pytest

from proxy.core.errors import ConfigurationError
from proxy.keys.stores import MemoryStore, Offer, open_store


def offer(name: str, record: bytes = b"r") -> Offer:
    return Offer(name, record, ttl_ms=1000)


async def test_the_oldest_record_makes_room() -> None:
    store = MemoryStore(lambda: 0.0, max_records=2)
    for name in ("a", "b", "c"):
        await store.get_or_create(offer(name))
    assert (await store.get_or_create(offer("c", b"new"))).record == b"r"
    assert (await store.get_or_create(offer("a", b"new"))).record == b"new"


def test_an_unknown_store_is_refused_without_its_address() -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_store("other://user:canary@host", lambda: 0.0)
    assert "canary" not in str(refused.value.problems)


async def test_records_that_have_ended_go_as_others_come() -> None:
    now = 0.0
    store = MemoryStore(lambda: now)
    for number in range(100):
        await store.get_or_create(offer(f"old{number}"))
    now = 2.0
    for number in range(60):
        await store.get_or_create(offer(f"new{number}"))

    assert len(await store.dump()) == 60
