"""End to end under a root with a lease: an outage within it is not felt, a withdrawal ends it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kms_double import KmsDouble, kms_double
from tests.scenarios.end_to_end import LeasedKeyring, World, a_world
from tests.scenarios.root_scenes import make_keyring
from tests.scenarios.test_roots import root_of, shows_no_canary, until

WORKERS = ("--workers", "2")


@asynccontextmanager
async def a_leased_world(
    folder: Path, kms: KmsDouble, lease: str, options: tuple[str, ...] = ()
) -> AsyncIterator[World]:
    keyring = make_keyring(folder, root_of(kms))
    root = f"aws-kms: {kms.configuration}, lease: {lease}, id: {keyring.id}"
    leased = LeasedKeyring(keyring, root, kms.environment)
    async with a_world(folder, options=options, leased=leased) as world:
        await until(world.ours, 200)
        yield world


def canary() -> str:
    return f"canary-{secrets.token_hex(8)}"


async def test_an_outage_within_the_lease_is_told_and_not_felt(tmp_path: Path) -> None:
    """What is known goes on, and so does what needs a new key: a package is issued and opened."""
    with kms_double() as kms:
        async with a_leased_world(tmp_path, kms, "12s") as world:
            said = canary()
            before = await world.send(said, "bob")
            kms.stop()
            await world.ours.event("root.unavailable")
            more = canary()
            within = await world.send(more, "bob", "eve")
            assert world.issued() == 2
            assert await world.read(before, "bob") == said
            assert await world.read(within, "bob") == more
            assert await world.read(within, "eve") == more
            await until(world.ours, 200, "no root opens it now")
            kms.start()
            await world.ours.event("root.opened", 2)
            assert await world.read(before, "bob") == said
            assert "root.lease_ended" not in {one["event"] for one in world.ours.events}
            shows_no_canary(world.ours)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="one process", marks=pytest.mark.slow),
        pytest.param(WORKERS, id="workers"),
    ],
)
async def test_a_withdrawal_ends_sealing_and_opening_with_the_lease(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """For senders and for readers, also for those whose keys the process has used just before."""
    serving = 2 if options else 1
    with kms_double() as kms:
        async with a_leased_world(tmp_path, kms, "12s", options) as world:
            said = canary()
            before = await world.send(said, "bob")
            cold = await world.send(canary(), "bob", "eve")
            assert await world.read(before, "bob") == said
            kms.refuses = "DisabledException"
            told = await world.ours.event("root.unavailable")
            assert "DisabledException" in told["reason"]
            assert await world.read(before, "bob") == said  # within the lease
            await world.ours.event("root.lease_ended", serving)
            seen, issued = len(world.behind.bodies), world.issued()
            for token, who in ((before, "bob"), (cold, "eve"), (before, "alice")):
                assert await on_each(world, "/read/c1", who, {"content": token}) == {503}
            sent = {"to": ["bob"], "content": canary()}
            assert await on_each(world, "/send/c1", "alice", sent) == {503}
            assert not any("to" in json.loads(one) for one in world.behind.bodies[seen:])
            assert world.issued() == issued
            kms.refuses = ""
            await until(world.ours, 200)
            assert await world.read(before, "bob") == said
            again = canary()
            after = await world.send(again, "bob")
            assert world.issued() == issued + 1  # the keys of before were dropped
            assert await world.read(after, "bob") == again
            assert not any(b"canary" in one for one in world.behind.bodies)
            shows_no_canary(world.ours)


async def on_each(world: World, path: str, who: str, body: object) -> set[int]:
    """Return the statuses of many messages on connections of their own, which any worker takes."""
    answers = (world.post(path, who, body, close=True) for _ in range(8))
    return {status for status, _ in await asyncio.gather(*answers)}
