"""Drills of Vault, by a real OpenBao: sealed, a token revoked, the key deleted or too new."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.drills.kinds import replaced
from tests.drills.scene import Scene, a_fleet, a_scene
from tests.keys.keyring.roots.openbao import MAKER, POLICY, PROGRAM, OpenBao, needs_openbao, running
from tests.redis.pods import Pod
from tests.redis.server import Server, needs_redis
from tests.redis.test_keyrings import ready

pytestmark = [needs_redis, needs_openbao]  # which is in .venv-openbao


@pytest.fixture
def bao(tmp_path: Path) -> Iterator[OpenBao]:
    """An OpenBao as the page of Vault leaves it."""
    folder = tmp_path / "openbao"
    folder.mkdir()
    with running(folder) as server:
        server.policy("sealyard-open", POLICY)
        server.policy("sealyard-make", MAKER)
        yield server


@asynccontextmanager
async def a_scene_of(
    bao: OpenBao, tmp_path: Path, server: Server, title: str
) -> AsyncIterator[Scene]:
    """Lay out a scene whose keyring Vault opens; the pods may decrypt and nothing else."""
    async with a_scene(tmp_path / "scene", server, title) as scene:
        said = scene.operator.follow("sealyard keys list")
        keyring_id = said.partition("keyring ")[2][:22]
        root = f"vault: {{address: '{bao.url}', key: sealyard, token: {{file: token}}}}"
        for place in (scene.mine, *scene.places):
            replaced(place, "key: {file: root.key}", f"{root}, id: {keyring_id}")
            bao.login(place.folder / "token", "sealyard-open")
        bao.login(scene.mine.folder / "token", "sealyard-make")
        (scene.mine.folder / "bin" / "bao").symlink_to(PROGRAM)
        scene.operator.follow(
            "rm keyring.jwe; sealyard keys import backup.jwe --yes; distribute keyring.jwe"
        )
        yield scene


async def follow(scene: Scene, bao: OpenBao, at: int = 0) -> str:
    """Run a script of the drill with the rights of Vault's operator."""
    script = scene.drill.scripts[at]
    rights = {"BAO_ADDR": bao.url, "BAO_TOKEN": bao.token, "UNSEAL_KEY": bao.unseal_key}
    return await asyncio.to_thread(scene.operator.follow, script, variables=rights)


async def refused(scene: Scene, pod: Pod, reason: str) -> None:
    """Reload; fail unless the pod says in time why Vault does not open, and serves on."""
    before = len(scene.logged(pod, "root.unavailable"))
    pod.served.process.send_signal(signal.SIGHUP)

    async def look() -> bool:
        lines = scene.logged(pod, "root.unavailable")[before:]
        return any(reason in one["reason"] for one in lines)

    await scene.seen("root.unavailable", look)
    assert await pod.opens(await pod.sealed())
    assert await scene.metric(pod, 'sealyard_root_refused{kind="vault"} 1.0')


async def opened(scene: Scene, pod: Pod, before: int) -> None:
    """Wait until Vault has opened the keyring of a pod once more; reload it meanwhile."""

    async def look() -> bool:
        pod.served.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        return len(scene.logged(pod, "root.opened")) > before

    await scene.happens("over", look)
    assert await scene.metric(pod, 'sealyard_root_refused{kind="vault"} 0.0')
    assert await pod.opens(await pod.sealed())


async def test_a_process_waits_while_vault_is_sealed_and_others_go_on(
    bao: OpenBao, server: Server, tmp_path: Path
) -> None:
    title = "Vault is sealed or away"
    async with (
        a_scene_of(bao, tmp_path, server, title) as scene,
        a_fleet(scene.places[:1], session=scene.session) as (pod,),
    ):
        bao.seal()
        await refused(scene, pod, "it is sealed: unseal it")
        with scene.places[1].serving() as late:
            waiting = Pod(late, scene.session)

            async def waits() -> bool:
                if not scene.logged(waiting, "root.unavailable"):
                    return False
                status, text = await ready(waiting)
                return status == 503 and "it is sealed: unseal it" in text

            await scene.happens("not ready", waits)
            await follow(scene, bao)

            async def serves() -> bool:
                return (await ready(waiting))[0] == 200

            await scene.happens("ready", serves)
            assert await waiting.opens(await pod.sealed())


async def test_a_new_token_takes_the_place_of_a_revoked_one(
    bao: OpenBao, server: Server, tmp_path: Path
) -> None:
    title = "Vault's token was revoked"
    async with (
        a_scene_of(bao, tmp_path, server, title) as scene,
        a_fleet(scene.places[:1], session=scene.session) as (pod,),
    ):
        token = (scene.places[0].folder / "token").read_text().strip()
        bao.done("auth/token/revoke", {"token": token})
        await refused(scene, pod, "denied: the token has expired or was revoked")
        before = len(scene.logged(pod, "root.opened"))
        await follow(scene, bao)

        async def look() -> bool:
            return len(scene.logged(pod, "root.opened")) > before

        await scene.happens("over, without a reload by hand", look)


async def test_a_deleted_key_is_replaced_and_the_keyring_restored(
    bao: OpenBao, server: Server, tmp_path: Path
) -> None:
    title = "Vault's key was deleted"
    async with a_scene_of(bao, tmp_path, server, title) as scene:
        async with a_fleet(scene.places[:1], session=scene.session) as (pod,):
            token = await pod.sealed()
            scene.keep_token(token)
            bao.delete_key()
            await refused(scene, pod, "there is no such key")
            before = len(scene.logged(pod, "root.opened"))
            assert "opens" in await follow(scene, bao)
            await opened(scene, pod, before)
        async with a_fleet(scene.places[1:], session=scene.session) as (pod,):
            assert await pod.opens(token)


async def test_a_keyring_below_the_least_version_is_wrapped_anew(
    bao: OpenBao, server: Server, tmp_path: Path
) -> None:
    title = "Vault's key no longer decrypts its older versions"
    async with a_scene_of(bao, tmp_path, server, title) as scene:
        async with a_fleet(scene.places[:1], session=scene.session) as (pod,):
            bao.done("transit/keys/sealyard/rotate", {})
            bao.done("transit/keys/sealyard/config", {"min_decryption_version": 2})
            await refused(scene, pod, "below `min_decryption_version`")
            before = len(scene.logged(pod, "root.opened"))
            await follow(scene, bao)
            await opened(scene, pod, before)
            await follow(scene, bao, 1)
            await opened(scene, pod, len(scene.logged(pod, "root.opened")))
        async with a_fleet(scene.places[1:], session=scene.session) as (pod,):
            assert await pod.opens(await pod.sealed())
