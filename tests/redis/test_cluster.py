"""A real cluster of three: slots that are spread, moved, and lost for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.crc import key_slot

from proxy.config.settings import RedisCluster, RedisSettings, SecretReference, TcpAddress
from proxy.keys.stores import HeldRecords, Offer, Store, StoreFailed, open_store
from proxy.keys.stores.redis.check import examined
from tests.servers import free_port

from .everything import OFFER, RIGHTS, all_done
from .server import Server, needs_redis, write_tls
from .topologies import Clustered

pytestmark = [needs_redis, pytest.mark.usefixtures("unhurried")]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"
SLOTS = 16384
DEADLINE = 1.2
LONG = replace(OFFER, ttl_ms=600_000, keep_ms=900_000)


@pytest.fixture
async def store(clustered: Clustered) -> AsyncIterator[Store]:
    store = open_store("redis", options=clustered.settings)
    yield store
    await store.close()


def slot_of(name: str) -> int:
    return key_slot(f"{{{name}}}".encode())


def owner(clustered: Clustered, name: str) -> int:
    """Return which node holds the conversation at the start."""
    return next(at for at in range(3) if slot_of(name) < (at + 1) * SLOTS // 3)


def named_at(clustered: Clustered, node: int) -> Offer:
    """Return an offer whose records are held by that node."""
    name = next(f"n{at}" for at in range(1000) if owner(clustered, f"n{at}") == node)
    return replace(LONG, name=name)


async def in_time(store: Store, offer: Offer) -> HeldRecords:
    """Ask within a deadline."""
    async with asyncio.timeout(DEADLINE):
        return await store.get_or_create(offer)


async def test_everything_is_done_in_a_cluster(clustered: Clustered) -> None:
    assert await all_done(clustered.settings) == [None, "n", "n"]


async def test_conversations_are_spread_and_two_processes_agree(
    clustered: Clustered, store: Store
) -> None:
    other = open_store("redis", options=clustered.settings)
    offers = [replace(LONG, name=f"c{number}") for number in range(300)]
    for offer in offers:
        await store.get_or_create(offer)
    second = [await other.get_or_create(replace(one, record=b"two")) for one in offers]
    sizes = [int(node.command("DBSIZE")[1:]) for node in clustered.nodes]
    dump = await other.dump()
    await other.close()
    assert {held.record for held in second} == {OFFER.record}
    assert sum(sizes) == 900 == len(dump)  # with the lists of keys
    assert min(sizes) > 100


async def test_every_node_learns_the_scripts_anew(clustered: Clustered, store: Store) -> None:
    offers = [named_at(clustered, node) for node in range(3)]
    for offer in offers:
        await store.get_or_create(offer)
    for node in clustered.nodes:
        node.command("SCRIPT", "FLUSH")
    for offer in offers:
        held = await store.get_or_create(replace(offer, record=b"two"))
        assert held.record == OFFER.record


class Move:
    """One slot on its way from one node to another, step by step as an operator's tool does it."""

    def __init__(self, clustered: Clustered, name: str, source: int, target: int) -> None:
        self.slot = str(slot_of(name))
        self.nodes = clustered.nodes
        self.source, self.target = clustered.nodes[source], clustered.nodes[target]
        self.names = clustered.name(self.source), clustered.name(self.target)

    def begin(self) -> None:
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.names[0])
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.names[1])

    def keys(self, most: int = 100) -> None:
        answer = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, str(most))
        for key in answer.split(b"\r\n")[2::2]:
            port = str(self.target.port)
            self.source.command("MIGRATE", "127.0.0.1", port, key, "0", "5000")

    def end(self) -> None:
        for node in (self.target, self.source, *self.nodes):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.names[1])


async def test_a_slot_that_moved_is_followed(clustered: Clustered, store: Store) -> None:
    offer = named_at(clustered, 0)
    await store.get_or_create(offer)
    move = Move(clustered, offer.name, 0, 2)
    move.begin()
    move.keys()
    move.end()
    for _ in range(2):
        held = await in_time(store, replace(offer, record=b"two"))
        assert held.record == OFFER.record


@pytest.mark.timing
async def test_a_slot_on_its_way_gives_no_second_session(
    clustered: Clustered, store: Store
) -> None:
    offer = named_at(clustered, 0)
    await store.get_or_create(offer)
    move = Move(clustered, offer.name, 0, 2)
    second = replace(offer, record=b"two")
    steps = (move.begin, lambda: move.keys(1), move.keys)
    for step in steps:
        step()
        began = time.monotonic()
        try:
            assert (await in_time(store, second)).record == OFFER.record
        except StoreFailed:  # asked to come again until the turns were used up
            assert time.monotonic() - began < DEADLINE
    # A question of one key is redirected at once: the node that was not told keeps none.
    assert (await store.find(offer.name, [])).revocation is None
    move.end()
    assert (await in_time(store, second)).record == OFFER.record
    assert [name for name in await store.dump() if name.startswith(f"{offer.name}:")] != []


async def test_a_revocation_is_found_where_its_slot_goes(
    clustered: Clustered, store: Store
) -> None:
    offer = named_at(clustered, 1)
    await store.revoke(offer.name, b"gone", 5)
    move = Move(clustered, offer.name, 1, 0)
    move.begin()
    move.keys()
    results = await asyncio.gather(*(store.find(offer.name, []) for _ in range(20)))
    assert {found.revocation for found in results} == {b"gone"}
    assert await store.revoke(offer.name, b"later", 6, seen=b"gone") == b"later"
    move.end()
    assert (await store.find(offer.name, [])).revocation == b"later"


async def test_moving_many_slots_under_load_makes_no_second_session(
    clustered: Clustered, store: Store
) -> None:
    offers = [replace(LONG, name=f"c{number}") for number in range(60)]
    for offer in offers:
        await store.get_or_create(offer)
    stop = asyncio.Event()
    seen: set[bytes] = set()
    counts = {"answered": 0, "failed": 0}

    async def load(number: int) -> None:
        while not stop.is_set():
            for offer in offers[number::4]:
                try:
                    held = await in_time(store, replace(offer, record=b"two"))
                except (StoreFailed, TimeoutError):
                    counts["failed"] += 1
                else:
                    counts["answered"] += 1
                    seen.add(held.record)

    def move_all() -> None:
        for offer in offers[:30]:
            source = owner(clustered, offer.name)
            move = Move(clustered, offer.name, source, (source + 1) % 3)
            move.begin()
            move.keys()
            move.end()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(load(number))
        await asyncio.to_thread(move_all)
        stop.set()
    assert seen == {OFFER.record}
    assert counts["answered"] > 100
    assert counts["failed"] < counts["answered"] / 100


@pytest.mark.timing
async def test_a_lost_node_is_a_store_that_fails_at_once_and_is_found_again(
    clustered: Clustered, store: Store
) -> None:
    offer = named_at(clustered, 1)
    await store.get_or_create(named_at(clustered, 0))
    clustered.nodes[1].kill()
    slowest = 0.0
    for _ in range(20):
        began = time.monotonic()
        with pytest.raises((StoreFailed, TimeoutError)):
            await in_time(store, offer)
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.02)
    clustered.nodes[1].start()
    await asyncio.to_thread(clustered.settle)
    assert (await in_time(store, offer)).record == OFFER.record
    assert slowest < DEADLINE + 0.2


async def test_a_frozen_node_stops_only_its_own_conversations(
    clustered: Clustered, store: Store
) -> None:
    ours, theirs = named_at(clustered, 0), named_at(clustered, 1)
    await store.get_or_create(ours)
    await store.get_or_create(theirs)
    clustered.nodes[1].freeze()
    try:
        with pytest.raises((StoreFailed, TimeoutError)):
            await in_time(store, theirs)
        assert (await in_time(store, ours)).record == OFFER.record
    finally:
        clustered.nodes[1].thaw()
    await asyncio.to_thread(clustered.settle)
    assert (await in_time(store, theirs)).record == OFFER.record


async def test_one_node_that_answers_is_enough_to_find_the_others(clustered: Clustered) -> None:
    settings = clustered.settings
    last = TcpAddress("127.0.0.1", clustered.nodes[2].port)
    seeds = RedisCluster((TcpAddress("127.0.0.1", free_port()), last))
    store = open_store("redis", options=replace(settings, address=seeds))
    for node in range(3):
        assert (await in_time(store, named_at(clustered, node))).record == OFFER.record
    await store.close()


async def test_a_redis_that_is_no_cluster_is_a_store_that_fails(server: Server) -> None:
    assert isinstance(server.settings.address, TcpAddress)
    alone = RedisSettings(RedisCluster((server.settings.address,)))
    with pytest.raises(StoreFailed):
        await all_done(alone)


async def test_rights_passwords_and_tls_are_for_every_node(tmp_path: Path) -> None:
    assert f"{RIGHTS} +asking +cluster|slots" in PAGE.read_text()
    write_tls(tmp_path, "127.0.0.1")
    clustered = Clustered(tmp_path, tls=tmp_path)
    try:
        clustered.start()
        for node in clustered.nodes:
            node.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split())
            node.command("ACL", "SETUSER", "sealyard", "+asking", "+cluster|slots")
            node.command("ACL", "SETUSER", "default", "nocommands", "+ping")
        password, wrong = SecretReference(env="PASSWORD"), SecretReference(env="WRONG")
        right = replace(clustered.settings, user="sealyard", password=password)
        assert await all_done(right) == [None, "n", "n"]
        for settings in (
            replace(right, password=wrong),
            replace(right, ca=None),
            replace(right, tls=False, ca=None),
            replace(right, user=None, password=None),
        ):
            with pytest.raises(StoreFailed):
                await all_done(settings)
    finally:
        clustered.kill()


async def test_the_start_finds_nothing_to_mend_in_a_cluster(clustered: Clustered) -> None:
    found = await examined(clustered.settings, {}, "ephemeral", clock=time.time, seconds=5)
    assert {one.verdict for one in found} == {"ok"}, found
