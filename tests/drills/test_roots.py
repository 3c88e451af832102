"""Drills of the roots: one of two is lost, one has leaked, the lease of one has ended."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import Roots
from tests.drills.kinds import (
    EVERY_KIND,
    every_kind,
    lose,
    name_of,
    replaced,
    under,
    with_another,
)
from tests.drills.scene import Scene, a_fleet, a_scene, clear, told
from tests.redis.pods import Place, Pod
from tests.redis.server import Server, needs_redis
from tests.redis.test_keyrings import ready
from tests.scenarios.root_scenes import RootScene

pytestmark = needs_redis

KEPT = ("passphrase in the environment", "shares")
"""Kinds whose secret a process keeps: one that runs opens the keyring until it ends."""

NO_SERVICE = ("file", "passphrase", *KEPT)
"""Kinds that no service opens, which could be away."""


def only(place: Place, both: tuple[str, str]) -> None:
    """Take the first of two roots out of a configuration."""
    replaced(place, f"{both[0]}, ", "")


async def remove(scene: Scene, root: RootScene, named: str) -> str:
    """Run the commands of a drill, which removes a root of another kind on the page."""
    (script,) = scene.drill.scripts
    key = f" --key '{root.thief.key}'" if root.thief.key else ""
    gone = f"remove {root.thief.kind}{key} "
    assert f"remove {named} " in script
    return await asyncio.to_thread(scene.operator.follow, script.replace(f"remove {named} ", gone))


@EVERY_KIND
async def test_a_root_that_is_lost_is_replaced_by_the_other(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "One of two roots is lost") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        both = with_another(scene, kind, root)
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            lose(scene, root, monkeypatch)
            if kind not in KEPT:
                await the_other_opens(scene, pods, both, root)
            assert await pods[0].opens(before)
        async with a_fleet(scene.places, session=scene.session) as pods:
            if kind in KEPT:
                await the_other_opens(scene, pods, both, root)
            assert await pods[0].opens(before)


async def the_other_opens(
    scene: Scene, pods: list[Pod], both: tuple[str, str], root: RootScene
) -> None:
    """See that the first of two roots is lost, and follow the page."""
    kind, other = map(name_of, both)
    for pod in pods:
        if root.withdraw is not None:
            pod.served.process.send_signal(signal.SIGHUP)
        assert (await scene.logs(pod, "root.fallback"))["kind"] == kind
        await scene.seen("mark", told(pod, f"`{other}` opened the keyring; `{kind}`"))
        assert await scene.metric(pod, f'sealyard_root_refused{{kind="{kind}"}} 1')
    assert await pods[1].opens(await pods[0].sealed())
    for place in (scene.mine, *scene.places):
        only(place, both)
    assert f"`{other}`: opens" in await remove(scene, root, "file")
    for pod in pods:
        await scene.happens("over", clear(pod))


@EVERY_KIND
async def test_a_root_that_has_leaked_opens_nothing_new(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "A root has leaked") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        both = with_another(scene, kind, root)
        thief = Roots((root.thief,), root.keyring.id)
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            for place in (scene.mine, *scene.places):
                only(place, both)
            stolen = tmp_path / "stolen.jwe"
            shutil.copy(scene.mine.folder / "keyring.jwe", stolen)
            said = await remove(scene, root, "passphrase")
            listed = {line.partition(" ")[0] for line in said.splitlines()}
            assert {name_of(one) for one in both} & listed == {name_of(both[1])}
            for pod in pods:
                await scene.happens("over", clear(pod))
                assert await pod.opens(before)
        assert open_keyring(stolen, thief)  # as the page says
        with pytest.raises(KeyringError, match="no wrapping"):
            open_keyring(scene.places[0].folder / "keyring.jwe", thief)


@every_kind(*KEPT)
async def test_a_lease_that_has_ended_goes_on_by_the_root_that_is_put_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "The lease of a root has ended") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        one, other = with_another(scene, kind, root, ", lease: 6s")
        async with a_fleet(scene.places, session=scene.session) as pods:
            token = await pods[0].sealed()
            scene.keep_token(token)
            assert all([await pod.opens(token) for pod in pods])
            lose(scene, root, monkeypatch)
            for pod in pods:
                await scene.logs(pod, "root.lease_ended")
                await scene.seen("not ready", unready(pod, "has ended: "))
                assert await read(pod, token) == (503, "key-unavailable")
            assert "opens" in await scene.follow()
            for place in (scene.mine, *scene.places):
                replaced(place, f"{one}, {other}", f"{other}, {one}")
            for pod in pods:
                await scene.happens("over", clear(pod))
                assert await pod.opens(token)


@every_kind(*NO_SERVICE)
async def test_a_key_service_that_is_away_is_waited_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "The HSM is away") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        assert root.away is not None
        assert root.back is not None
        async with a_fleet(scene.places[:1], session=scene.session) as (pod,):
            await asyncio.to_thread(root.away)
            pod.served.process.send_signal(signal.SIGHUP)
            await scene.logs(pod, "root.unavailable")
            token = await pod.sealed()
            with scene.places[1].serving() as late:
                waiting = Pod(late, scene.session)
                await scene.happens("answers", alive(waiting))
                reason = (await scene.logs(waiting, "root.unavailable"))["reason"]
                await scene.seen("not ready", unready(waiting, reason))
                (script,) = scene.drill.scripts
                await asyncio.to_thread(scene.operator.follow, script, status=1)
                await asyncio.to_thread(root.back)
                # Its health port is closed for a moment between waiting and serving.
                await scene.happens("starts", started(scene, waiting))
                await scene.happens("over", clear(waiting))
                assert "opens" in await scene.follow()
                assert await waiting.opens(token)


def started(scene: Scene, pod: Pod) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod has begun to serve."""

    async def look() -> bool:
        return bool(scene.logged(pod, "server.ready"))

    return look


def alive(pod: Pod) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod answers that it is alive."""

    async def look() -> bool:
        address = f"http://127.0.0.1:{pod.served.health}/livez"
        with suppress(aiohttp.ClientConnectionError):
            async with pod.session.get(address) as response:
                return response.status == 200
        return False

    return look


async def read(pod: Pod, token: str) -> tuple[int, str]:
    """Return the status of a read, and the code of its error."""
    url = f"http://127.0.0.1:{pod.served.port}/read"
    async with pod.session.post(url, json={"conversation": "c1", "content": token}) as response:
        return response.status, response.headers.get("Sealyard-Error", "")


def unready(pod: Pod, text: str) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod is not ready and says something."""

    async def look() -> bool:
        status, found = await ready(pod)
        return status == 503 and text in found

    return look
