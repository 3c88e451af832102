"""Everything that a process does with its store, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from proxy.config.settings import RedisSettings
from proxy.keys.stores import FoundRecords, Offer, open_store
from tests.servers import PATIENCE_SECONDS

RIGHTS = (
    "~sealyard:* &sealyard:* -@all +select +evalsha +eval +get +set +pttl +time"
    " +publish +subscribe +unsubscribe +ping +info"
)
OFFER = Offer("n", b"one", ttl_ms=10_000, key_id="s1", keep_ms=20_000)
ENVIRON = {"PASSWORD": "correct", "WRONG": "wrong"}


async def _until(law: Callable[[], bool]) -> None:
    """Wait until the law holds, as soon as the machine has time for it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not law():  # noqa: ASYNC110 - a store sets no event
            await asyncio.sleep(0.02)


async def all_done(settings: RedisSettings) -> list[str | None]:
    """Do everything that a process does, and return what it heard."""
    heard: list[str | None] = []
    store = open_store("redis", options=settings, environ=ENVIRON)
    try:
        await store.open(heard.append)
        await store.find("n", ["s1"])  # what is refused is refused before anything is waited for
        await _until(lambda: heard == [None])
        await store.get_or_create(OFFER)
        await store.replace(replace(OFFER, record=b"two"), seen=OFFER.record)
        await store.revoke("n", b"gone", 1)
        found = await store.find("n", ["s1"])
        await _until(lambda: len(heard) > 2)
        await asyncio.sleep(0.1)  # for more than that
    finally:
        await store.close()
    assert isinstance(found, FoundRecords)
    assert (found.revocation, found.keys[0] and found.keys[0].record) == (b"gone", b"two")
    return heard
