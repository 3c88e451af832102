"""A fleet whose record key is rotated: its records count on, and those of a thief do not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import RecordKey
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.stores import open_store, records

from .pods import NAMED, Place, Pod
from .server import Server, needs_redis
from .test_names import distribute, keyring_of, settled
from .test_operator import a_fleet, a_scene, url

pytestmark = needs_redis
SCOPE = Scope("clinic", "c1")
RUN = ("rotate-records", "--scheduled", "--expect", "2")


async def everywhere(mine: Place, places: list[Place], said: str) -> None:
    """Distribute the keyring, and run the next step once every pod has it."""
    distribute(mine, *places)
    async with asyncio.timeout(20):
        while True:  # the pods look at their files every few seconds
            with suppress(AssertionError):
                told = await asyncio.to_thread(mine.told, *RUN)
                break
            await asyncio.sleep(0.3)
    assert said in told


async def generation_of(pod: Pod) -> int:
    """Return the generation of the keyring that a pod uses."""
    _, told = await pod.admin("GET", "/v1/status")
    return int(told["keyring"]["generation"])


async def forged(server: Server, keyring: Keyring, not_before: int) -> None:
    """Plant a revocation that a thief of a record key has made, with write access to Redis."""
    name, key = keyring.names_of(SCOPE)[0], RecordKey(keyring.record_key.reveal())
    store = open_store("redis", options=server.settings)
    seen = (await store.find(name, ())).revocation
    record = records.encode_revocation(not_before, name, key)
    assert await store.revoke(name, record, not_before, seen=seen) == record
    await store.close()


@pytest.mark.parametrize("mode", ["durable", pytest.param("ephemeral", marks=pytest.mark.slow)])
async def test_a_fleet_goes_over_to_another_record_key(
    server: Server, tmp_path: Path, mode: str
) -> None:
    async with (
        a_scene(tmp_path, url(server), mode=mode, age="1s") as (mine, places, session),
        a_fleet(places, session=session) as pods,
    ):
        stolen = await asyncio.to_thread(keyring_of, mine)
        revoked = [await pods[0].sealed()]
        said = await asyncio.to_thread(
            mine.sealyard, "sessions", "revoke", *NAMED, "--yes", "--expect", "2"
        )
        assert said["complete"]
        await asyncio.sleep(2)
        good = [await pods[1].sealed()]
        await settled(pods, good, open_=True)
        await asyncio.to_thread(mine.told, *RUN)
        for step in ("signed with the new key", "verifies no record any more"):
            await everywhere(mine, places, step)
            good += [await pod.sealed() for pod in pods]
            await settled(pods, good, open_=True)
            await settled(pods, revoked, open_=False)
        distribute(mine, *places)
        generation = (await asyncio.to_thread(keyring_of, mine)).generation
        async with asyncio.timeout(20):
            for pod in pods:
                while await generation_of(pod) < generation:  # noqa: ASYNC110 - another process sets no event here
                    await asyncio.sleep(0.3)
        await forged(server, stolen, said["not_before"] + 3)
        await asyncio.sleep(2)  # longer than what is known of revocations counts
        await settled(pods, good, open_=True)
        await settled(pods, revoked, open_=False)
        for pod in pods:
            assert (await pod.admin("GET", "/v1/status"))[0] == 200
