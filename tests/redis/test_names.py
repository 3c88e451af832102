"""A fleet whose name key is rotated: nothing is lost, and nothing that was revoked comes back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.crypto.context import Scope
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import FileRoot

from .pods import CANARY, NAMED, Place, Pod
from .server import Server, needs_redis
from .test_operator import a_fleet, a_scene, url

pytestmark = needs_redis
SCOPE = Scope("clinic", "c1")


def distribute(mine: Place, *places: Place) -> None:
    for place in places:
        shutil.copy2(mine.folder / "keyring.jwe", place.folder / "keyring.jwe")


def keyring_of(place: Place) -> Keyring:
    root = FileRoot(SecretReference(file=place.folder / "root.key"))
    return open_keyring(place.folder / "keyring.jwe", root)


async def settled(pods: list[Pod], tokens: list[str], *, open_: bool) -> None:
    """Wait until every pod opens all the tokens, or none."""
    async with asyncio.timeout(15):
        for pod in pods:
            for token in tokens:
                while await pod.opens(token) is not open_:  # noqa: ASYNC110 - another process sets no event here
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize("mode", ["durable", pytest.param("ephemeral", marks=pytest.mark.slow)])
async def test_a_fleet_goes_over_to_another_name_key(
    server: Server, tmp_path: Path, mode: str
) -> None:
    async with (
        a_scene(tmp_path, url(server), mode=mode, age="1s") as (mine, places, session),
        a_fleet(places, session=session) as pods,
    ):
        keys = asyncio.to_thread
        tokens = [await pods[0].sealed()]
        await keys(mine.keys, "rotate-names")
        distribute(mine, places[0])
        refusal = await keys(mine.keys, "rotate-names", "--expect", "2", status=1)
        assert "of 2 processes do not have the next name key yet" in refusal
        distribute(mine, places[1])
        async with asyncio.timeout(15):
            while "do not have" in await _tried(mine):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.3)
        own, former = (await keys(keyring_of, mine)).names_of(SCOPE)
        tokens += [await pod.sealed() for pod in pods]
        distribute(mine, places[0])  # one has turned, the other has not
        await _turned(pods[0], server, own)
        tokens += [await pod.sealed() for pod in pods]
        await settled(pods, tokens, open_=True)
        distribute(mine, places[1])

        verb = "erase" if mode == "ephemeral" else "revoke"
        said = await keys(mine.sealyard, "sessions", verb, *NAMED, "--yes", "--expect", "2")
        assert said["complete"]
        await settled(pods, tokens, open_=False)
        again = await pods[1].sealed()
        await settled(pods, [again], open_=True)
        assert CANARY.encode() not in await _places(server)
        assert former != own


async def _tried(mine: Place) -> str:
    """Return what the second run says: it is refused until every pod has the next key."""
    try:
        return await asyncio.to_thread(mine.keys, "rotate-names", "--expect", "2")
    except AssertionError as refused:
        return str(refused)


async def _places(server: Server) -> bytes:
    """Return the names of all that Redis holds, as it sends them."""
    return await asyncio.to_thread(server.command, "KEYS", "*")


async def _turned(pod: Pod, server: Server, own: str) -> None:
    """Wait until a pod keeps its sessions under the name."""
    async with asyncio.timeout(15):
        while own.encode() not in await _places(server):
            await pod.sealed()
            await asyncio.sleep(0.2)
