"""Everything that a process does with its store, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from proxy.config.settings import RedisSettings
from proxy.keys.stores import FoundRecords, Offer, open_store

RIGHTS = (
    "~sealyard:* &sealyard:* -@all +select +evalsha +eval +get +set +pttl +time"
    " +publish +subscribe +unsubscribe +ping +info"
)
OFFER = Offer("n", b"one", ttl_ms=10_000, key_id="s1", keep_ms=20_000)
ENVIRON = {"PASSWORD": "correct", "WRONG": "wrong"}


async def all_done(settings: RedisSettings) -> list[str | None]:
    """Do everything that a process does, and return what it heard."""
    heard: list[str | None] = []
    store = open_store("redis", options=settings, environ=ENVIRON)
    try:
        await store.open(heard.append)
        await asyncio.sleep(0.3)
        await store.get_or_create(OFFER)
        await store.replace(replace(OFFER, record=b"two"), seen=OFFER.record)
        await store.revoke("n", b"gone", 1)
        found = await store.find("n", ["s1"])
        await asyncio.sleep(0.1)
    finally:
        await store.close()
    assert isinstance(found, FoundRecords)
    assert (found.revocation, found.keys[0] and found.keys[0].record) == (b"gone", b"two")
    return heard
