"""Drills of the roots: one of two is lost, one has leaked, the lease of one has ended."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys.keyring.file import open_keyring
from proxy.keys.keyring.roots import PassphraseRoot
from tests.drills.scene import Scene, a_fleet, a_scene, clear, told
from tests.drills.test_keyring import replaced
from tests.kms_double import kms_double
from tests.redis.pods import Pod
from tests.redis.server import Server, needs_redis
from tests.redis.test_keyrings import ready

pytestmark = needs_redis

ONE, TWO = "{key: {file: root.key}}", "{passphrase: {file: passphrase}}"
PHRASE = "words that only the thief knows"


def under_two_roots(scene: Scene) -> None:
    """Let a passphrase open the keyring too, everywhere."""
    file = scene.mine.folder / "passphrase"
    file.write_text(f"{PHRASE}\n")
    file.chmod(0o600)
    replaced(scene.mine, "key: {file: root.key}", f"roots: [{ONE}, {TWO}]")
    scene.operator.follow(
        "sealyard keys roots add; distribute passphrase; distribute keyring.jwe;"
        " sealyard keys roots check"
    )
    for place in scene.places:
        replaced(place, "key: {file: root.key}", f"roots: [{ONE}, {TWO}]")


async def test_a_root_that_is_lost_is_replaced_by_the_other(server: Server, tmp_path: Path) -> None:
    async with a_scene(tmp_path, server, "One of two roots is lost") as scene:
        under_two_roots(scene)
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            for place in (scene.mine, *scene.places):
                (place.folder / "root.key").unlink()
            for pod in pods:
                assert (await scene.logs(pod, "root.fallback"))["kind"] == "file"
                await scene.seen("mark", told(pod, "`passphrase` opened the keyring; `file` did"))
                assert await scene.metric(pod, 'sealyard_root_refused{kind="file"} 1')
            assert await pods[1].opens(await pods[0].sealed())
            for place in (scene.mine, *scene.places):
                replaced(place, f"{ONE}, ", "")
            assert "`passphrase`: opens" in await scene.follow()
            for pod in pods:
                await scene.happens("over", clear(pod))
            assert await pods[0].opens(before)
        async with a_fleet(scene.places, session=scene.session) as pods:
            assert await pods[0].opens(before)


async def test_a_root_that_has_leaked_opens_nothing_new(server: Server, tmp_path: Path) -> None:
    async with a_scene(tmp_path, server, "A root has leaked") as scene:
        under_two_roots(scene)
        thief = PassphraseRoot(SecretReference(env="P"), {"P": PHRASE})
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            for place in (scene.mine, *scene.places):
                replaced(place, f", {TWO}", "")
            shutil.copy(scene.mine.folder / "keyring.jwe", tmp_path / "stolen.jwe")
            assert "passphrase" not in (await scene.follow()).splitlines()[-1]
            for pod in pods:
                await scene.happens("over", clear(pod))
                assert await pod.opens(before)
        assert open_keyring(tmp_path / "stolen.jwe", thief)  # as the page says
        with pytest.raises(KeyringError, match="no wrapping"):
            open_keyring(scene.places[0].folder / "keyring.jwe", thief)


async def test_a_lease_that_has_ended_goes_on_by_the_root_that_is_put_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kms_double() as kms:
        for name, value in kms.environment.items():
            monkeypatch.setenv(name, value)
        service = f"{{aws-kms: {kms.configuration}}}"
        async with a_scene(tmp_path / "scene", server, "The lease of a root has ended") as scene:
            everywhere = scene.mine, *scene.places
            pin = scene.operator.follow("sealyard keys list").partition("keyring ")[2][:22]
            for place in everywhere:
                leased = f"roots: [{service}, {ONE}], lease: 4s, id: {pin}"
                replaced(place, "key: {file: root.key}", leased)
            scene.operator.follow(
                "sealyard keys roots add; distribute keyring.jwe; sealyard keys roots check"
            )
            async with a_fleet(scene.places, session=scene.session) as pods:
                token = await pods[0].sealed()
                scene.keep_token(token)
                assert all([await pod.opens(token) for pod in pods])
                kms.refuses = "DisabledException"
                for pod in pods:
                    await scene.logs(pod, "root.lease_ended")
                    await scene.seen("not ready", unready(pod, "has ended: "))
                    assert await read(pod, token) == (503, "key-unavailable")
                assert "opens" in await scene.follow()
                for place in everywhere:
                    replaced(place, f"{service}, {ONE}", f"{ONE}, {service}")
                for pod in pods:
                    await scene.happens("over", clear(pod))
                    assert await pod.opens(token)


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
