from __future__ import annotations

import asyncio

from proxy.keys.sessions import kek_usage
from proxy.keys.sessions.housekeeping import Upkeep
from proxy.keys.sessions.kek_usage import Use

from ..builders import NOW, SCOPE, BrokenStore, CountingStore, Time, World, a_world, seal_need


def an_upkeep(world: World, interval: float = 0.01) -> Upkeep:
    return Upkeep(world.sessions, clock=world.time, notice=world.notices.append, interval=interval)


async def told(world: World) -> dict[int, Use]:
    uses = await kek_usage.read(world.sessions.store, world.keyring.record_key)
    return {} if uses is None else dict(uses.of)


async def test_it_tells_the_store_what_was_used_and_buries_what_is_over() -> None:
    world = a_world()
    await world.sessions.resolve(seal_need())
    world.time.advance(4000)
    upkeep = an_upkeep(world)
    upkeep.start()
    await asyncio.sleep(0.1)
    assert (await told(world), world.sessions.cached[0]) == ({1: Use(0, 0, 1, NOW)}, 0)
    await upkeep.close()


async def test_the_last_is_told_when_it_stops_and_nothing_after() -> None:
    world = a_world(store=CountingStore(Time()))
    upkeep = an_upkeep(world, interval=60)
    upkeep.start()
    await world.sessions.resolve(seal_need())
    await upkeep.close()
    assert await told(world) == {1: Use(0, 0, 1, NOW)}
    assert isinstance(world.store, CountingStore)
    asked = len(world.store.asked)
    await upkeep.close()
    await asyncio.sleep(0.05)
    assert len(world.store.asked) == asked


async def test_a_store_that_hangs_does_not_keep_it_from_stopping() -> None:
    world = a_world(store=BrokenStore(hangs=True, shared=True))
    upkeep = an_upkeep(world)
    upkeep.start()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        await upkeep.close()
    assert SCOPE


async def test_a_store_that_nobody_asks_is_found_to_be_down() -> None:
    world = a_world(store=BrokenStore(shared=True))
    upkeep = an_upkeep(world)
    for _ in range(3):
        await upkeep.once()
    assert world.sessions.store.breaker.state == "open"
    assert (world.sessions.store.failed, world.sessions.store.answered) == (3, 0)
    await upkeep.once()
    assert world.sessions.store.rejected == 1
