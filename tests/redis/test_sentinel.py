"""A master that Sentinels know: found, lost, and found again, with real ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings import RedisSentinels, RedisSettings, SecretReference, TcpAddress
from proxy.core.errors import UnfitEnvironment
from proxy.keys.stores import Offer, Store, StoreFailed, open_store
from proxy.keys.stores.redis.check import examined

from .everything import OFFER, RIGHTS, all_done
from .server import Server, needs_redis, write_tls
from .topologies import SERVICE, Watched

pytestmark = needs_redis

SENTINEL_RIGHTS = "-@all +sentinel|get-master-addr-by-name"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"


async def holds(store: Store, seconds: float, offer: Offer = OFFER) -> float:
    """Return after how many seconds the store holds the offer; each question has its deadline."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        try:
            async with asyncio.timeout(1.2):
                if (await store.get_or_create(offer)).record == offer.record:
                    return time.monotonic() - began
        except (StoreFailed, TimeoutError):
            await asyncio.sleep(0.1)
    raise AssertionError("the store was not found again")


async def revoked(store: Store) -> None:
    """Revoke until the store takes it: a Sentinel may still name the master that was."""
    async with asyncio.timeout(5):
        while True:
            try:
                await store.revoke("n", b"gone", 1)
            except StoreFailed:
                await asyncio.sleep(0.1)
            else:
                return


async def until(law: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until the law holds."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(law):  # noqa: ASYNC110 - servers set no event
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("patient")
async def test_the_master_is_found_and_everything_done(unharmed: Watched) -> None:
    assert await all_done(unharmed.settings) == [None, "n", "n"]
    assert unharmed.redises[0].command("DBSIZE") != b":0\r\n"


@pytest.mark.timing
@pytest.mark.usefixtures("unhurried")
async def test_a_killed_master_is_replaced_and_records_stay(watched: Watched) -> None:
    heard: list[str | None] = []
    store = open_store("redis", options=watched.settings)
    await store.open(heard.append)
    await store.get_or_create(OFFER)
    master, replica = watched.redises
    await until(lambda: b":0\r\n" != master.command("DBSIZE") == replica.command("DBSIZE"))
    watched.redises[0].kill()
    await until(watched.failed_over)
    took = await holds(store, 5)
    held = await store.get_or_create(replace(OFFER, record=b"late"))
    await until(lambda: heard == [None, None], 5)
    await revoked(store)
    await until(lambda: heard == [None, None, "n"], 5)
    await store.close()
    assert held.record == OFFER.record
    assert took < 4.0


@pytest.mark.timing
@pytest.mark.usefixtures("unhurried")
async def test_a_frozen_master_is_replaced_and_not_written_to_when_it_is_back(
    watched: Watched,
) -> None:
    store = open_store("redis", options=watched.settings)
    long = replace(OFFER, ttl_ms=90_000, keep_ms=90_000)
    await asyncio.gather(
        *(store.get_or_create(replace(long, name=f"n{number}")) for number in range(8))
    )
    old, new = watched.redises
    old.freeze()
    await until(watched.failed_over)
    took = await holds(store, 5, replace(long, name="later"))
    old.thaw()
    for number in range(40):
        offer = replace(long, name=f"after{number}")
        assert (await store.get_or_create(offer)).record == OFFER.record
        await asyncio.sleep(0.05)
    await store.close()
    await until(lambda: b"master_link_status:up" in old.command("INFO", "replication"))
    assert new.command("DBSIZE") == old.command("DBSIZE") == b":147\r\n"  # with the lists of keys
    assert took < 4.0


@pytest.mark.timing
@pytest.mark.usefixtures("unhurried")
async def test_sentinels_that_are_frozen_or_gone_cost_no_time(watched: Watched) -> None:
    watched.sentinels[0].freeze()
    watched.sentinels[1].kill()
    store = open_store("redis", options=watched.settings)
    try:
        async with asyncio.timeout(0.9):  # asked one after the other, the frozen one takes a second
            assert (await store.get_or_create(OFFER)).record == OFFER.record
    finally:
        watched.sentinels[0].thaw()
        await store.close()


@pytest.mark.usefixtures("patient")
async def test_a_redis_that_is_no_master_is_not_used(unharmed: Watched) -> None:
    # Sentinels that are wrong: they were told to watch the replica.
    settings = unharmed.settings
    assert isinstance(settings.address, RedisSentinels)
    replica = unharmed.redises[1]
    answer = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(replica.port)), replica.port)

    lying = list[asyncio.Task[None] | None]()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lying.append(asyncio.current_task())
        while await reader.read(4096):
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    liar = await asyncio.start_server(lie, "127.0.0.1", 0)
    place = TcpAddress("127.0.0.1", liar.sockets[0].getsockname()[1])
    store = open_store(
        "redis", options=replace(settings, address=RedisSentinels(SERVICE, (place,)))
    )
    with pytest.raises(StoreFailed):
        await store.get_or_create(OFFER)
    await store.close()
    liar.close()
    await liar.wait_closed()  # in Python 3.11, not for its connections
    await asyncio.gather(*filter(None, lying))


@pytest.mark.usefixtures("patient")
async def test_a_service_that_no_sentinel_knows_is_a_store_that_fails(unharmed: Watched) -> None:
    settings = unharmed.settings
    assert isinstance(settings.address, RedisSentinels)
    other = replace(settings, address=replace(settings.address, service="another"))
    with pytest.raises(StoreFailed):
        await all_done(other)


async def test_a_missing_password_of_sentinels_is_told_at_the_start() -> None:
    place = RedisSentinels(SERVICE, (TcpAddress("h", 1),), password=SecretReference(env="NONE"))
    with pytest.raises(UnfitEnvironment, match="NONE"):
        open_store("redis", options=replace(Server(Path()).settings, address=place))


@pytest.mark.usefixtures("patient")
async def test_passwords_rights_and_tls_are_for_sentinels_too(tmp_path: Path) -> None:
    text = PAGE.read_text()
    assert f"{RIGHTS} +role" in text
    assert SENTINEL_RIGHTS in text
    write_tls(tmp_path, "127.0.0.1")
    watched = Watched(tmp_path, tls=tmp_path, fails=False)
    try:
        watched.start()
        for redis in watched.redises:
            redis.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split(), "+role")
        for sentinel in watched.sentinels:
            sentinel.command(
                "ACL", "SETUSER", "watcher", "on", ">correct", *SENTINEL_RIGHTS.split()
            )
            sentinel.command("ACL", "SETUSER", "default", "off")
        right = with_passwords(watched.settings, "PASSWORD", "PASSWORD")
        assert await all_done(right) == [None, "n", "n"]
        for settings in (
            with_passwords(watched.settings, "WRONG", "PASSWORD"),
            with_passwords(watched.settings, "PASSWORD", "WRONG"),
            replace(right, ca=None),
            replace(right, tls=False, ca=None),
        ):
            with pytest.raises(StoreFailed):
                await all_done(settings)
    finally:
        watched.kill()


def with_passwords(settings: RedisSettings, redis: str, sentinel: str) -> RedisSettings:
    """Return the settings with users, whose passwords stand in those variables."""
    place = settings.address
    assert isinstance(place, RedisSentinels)
    place = replace(place, user="watcher", password=SecretReference(env=sentinel))
    return replace(settings, address=place, user="sealyard", password=SecretReference(env=redis))


async def test_the_start_finds_nothing_to_mend_behind_sentinels(unharmed: Watched) -> None:
    found = await examined(unharmed.settings, {}, "ephemeral", clock=time.time, seconds=5)
    assert {one.verdict for one in found} == {"ok"}, found
