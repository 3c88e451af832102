"""Drills of the keyring: lost, locked, leaked, another one, an old one."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.crypto import token as token_form
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import RecordKey
from proxy.keys import private_file
from proxy.keys.keyring.file import open_keyring
from proxy.keys.stores import open_store, records
from tests.drills.kinds import EVERY_KIND, lose, replaced, under
from tests.drills.scene import (
    NEW_KEK,
    Scene,
    a_fleet,
    a_scene,
    clear,
    generation,
    opened_at,
    refused_at,
    told,
)
from tests.redis.pods import Place, Pod
from tests.redis.server import Server, needs_redis
from tests.redis.test_keyrings import ready
from tests.scenarios.rig import command, environment
from tests.scenarios.root_scenes import RootScene

pytestmark = needs_redis


async def fails_to_start(place: Place) -> str:
    """Start a pod that must not start; return what it says."""
    process = await asyncio.create_subprocess_exec(
        *command(place.folder),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 3, out
    return out.decode()


@EVERY_KIND
async def test_a_lost_keyring_comes_back_from_its_backup(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "The keyring is lost") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            scene.keep_token(before)
            for place in (scene.mine, *scene.places):
                (place.folder / "keyring.jwe").unlink()
            await scene.logs(pods[0], "config.refused", reason="keyring-error")
            await scene.seen("mark", told(pods[0], "refused (keyring-error)"))
            assert await scene.metric(pods[0], "sealyard_last_reload_successful 0.0")
            assert await pods[1].opens(await pods[0].sealed())
            assert "keyring.jwe" in await fails_to_start(scene.mine)

            assert "opens" in await scene.follow()
            for pod in pods:
                await scene.happens("over", clear(pod))
        async with a_fleet(scene.places, session=scene.session) as pods:
            assert await pods[0].opens(before)
            assert await pods[1].opens(await pods[0].sealed())


@EVERY_KIND
async def test_what_opened_the_keyring_is_replaced_with_the_backup(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "The passphrase is lost") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            scene.keep_token(before)
            lose(scene, root, monkeypatch)
            if root.withdraw is None:  # for others, a process waits
                assert "The keyring cannot be used" in await fails_to_start(scene.mine)
            assert await pods[1].opens(await pods[0].sealed())
        private_file.write(scene.mine.folder / "new.passphrase", b"written down by two people\n")
        assert "opens" in await scene.follow()
        for place in scene.places:
            replaced(place, root.root, "passphrase: {file: new.passphrase}")
        async with a_fleet(scene.places, session=scene.session) as pods:
            assert await pods[0].opens(before)
            assert await pods[1].opens(await pods[0].sealed())


@EVERY_KIND
async def test_a_leaked_kek_seals_nothing_more_and_then_opens_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "A KEK has leaked") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        stolen = tmp_path / "stolen"
        shutil.copytree(scene.mine.folder, stolen)
        async with a_fleet(scene.places, session=scene.session) as pods:
            old = await pods[0].sealed()
            planted = (
                await asyncio.to_thread(
                    scene.operator.follow, "sealyard audit plant --label drill 2>/dev/null"
                )
            ).strip()
            assert not await pods[0].opens(planted)
            await scene.logs(pods[0], "poison.opened")

            await scene.follow()
            new = await scene.happens("sealed under the new KEK", sealed_anew(pods))
            await scene.follow(1, OLD="k1")
            for pod in pods:
                await scene.seen("refused", refused_at(pod, old))
                assert await pod.opens(new)
            await scene.follow(2)
            for pod in pods:
                await scene.happens("new generation", generation(pod, 5))
            await a_forgery(server, stolen, root)
            for pod in pods:
                await scene.happens("over", clear(pod))
                await scene.happens("opens", opened_at(pod, await pods[0].sealed()))
                assert await pod.opens(new)
        # The thief opens the old, with his copy, and not the new.
        named = "--tenant clinic --conversation c1 --field content"
        for text, status in ((old, 0), (new, 1)):
            (stolen / "stolen.txt").write_text(text)
            script = f"cd '{stolen}'; sealyard keys verify - {named} < stolen.txt"
            found = await asyncio.to_thread(scene.operator.follow, script, status=status)
            assert ("opens" in found) == (status == 0)
        shutil.rmtree(stolen)


async def a_forgery(server: Server, stolen: Path, root: RootScene) -> None:
    """Plant a revocation of now that the thief has made with the record key of his copy."""
    keyring = open_keyring(stolen / "keyring.jwe", root.roots)
    name, now = keyring.names_of(Scope("clinic", "c1"))[0], int(time.time())
    store = open_store("redis", options=server.settings)
    seen = (await store.find(name, ())).revocation
    record = records.encode_revocation(now, name, RecordKey(keyring.record_key.reveal()))
    assert await store.revoke(name, record, now, seen=seen) == record
    await store.close()


def sealed_anew(pods: list[Pod]) -> Callable[[], Awaitable[str]]:
    async def look() -> str:
        tokens = [await pod.sealed() for pod in pods]
        keks = {token_form.decode(one.encode()).key_id.kek_id for one in tokens}
        return "" if "k1" in keks else tokens[0]

    return look


@EVERY_KIND
async def test_of_two_keyrings_in_one_fleet_one_stays_and_adopts_the_other(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    title = "Half of the fleet has another keyring"
    async with (
        a_scene(tmp_path, server, title, own=True) as scene,
        under(scene, kind, monkeypatch, tmp_path / "root") as root,
    ):
        half = scene.places[1]
        for name in ("keyring.jwe", "root.key"):
            (half.folder / name).unlink(missing_ok=True)
        right = (half.folder / "sealyard.yaml").read_text()
        replaced(half, f"id: {root.keyring.id}, {root.root}", "key: {file: root.key}")
        await asyncio.to_thread(half.keys, "init")
        theirs = scene.mine.folder / "theirs"
        theirs.mkdir(mode=0o700)
        for name in ("keyring.jwe", "root.key"):
            shutil.copy2(scene.places[1].folder / name, theirs / name)
        async with a_fleet(scene.places, session=scene.session) as pods:
            for pod in pods:
                await scene.logs(pod, "keyring.mismatch")
                assert await scene.metric(pod, 'sealyard_keyring_state{state="mismatch"} 1.0')
            tokens = [await pod.sealed() for pod in pods]
            assert not await pods[0].opens(tokens[1])
            assert not await pods[1].opens(tokens[0])

            if kind == "file":
                scene.operator.follow("distribute root.key")
            (half.folder / "sealyard.yaml").write_text(right)
            await scene.follow()
            if kind != "shares":
                await is_one(scene, pods, tokens)
        if kind == "shares":  # which a process takes at its start alone, as the page says
            async with a_fleet(scene.places, session=scene.session) as pods:
                await is_one(scene, pods, tokens)
        # With its own file, what the other half has sealed still opens.
        (scene.mine.folder / "theirs.txt").write_text(tokens[1])
        named = "--tenant clinic --conversation c1 --field content"
        keyring = "--keyring theirs/keyring.jwe --root-file theirs/root.key"
        script = f"sealyard keys verify - {keyring} {named} < theirs.txt"
        assert "opens" in await asyncio.to_thread(scene.operator.follow, script)
        script = "sealyard keys import theirs.jwe --merge --yes 2>&1"
        refused = await asyncio.to_thread(scene.operator.follow, script, status=1)
        assert "it is another keyring" in refused


async def is_one(scene: Scene, pods: list[Pod], tokens: list[str]) -> None:
    """See that all pods open what either half has sealed, and say so."""
    for pod in pods:
        for token in tokens:
            await scene.happens("opens in both", opened_at(pod, token))
        assert await pods[0].opens(await pod.sealed())
    for pod in pods:
        await scene.happens("over", clear(pod), 90)


@EVERY_KIND
async def test_an_older_keyring_takes_nobody_out_of_service_but_one_that_starts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "An old keyring was restored") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        folder = scene.mine.folder
        shutil.copy2(folder / "keyring.jwe", folder / "from-the-backup.jwe")
        async with a_fleet(scene.places, session=scene.session) as pods:
            await asyncio.to_thread(scene.operator.follow, NEW_KEK)
            sealed = await scene.happens("sealed under the new KEK", sealed_anew(pods))
            shutil.copy2(folder / "from-the-backup.jwe", folder / "keyring.jwe")
            await asyncio.to_thread(scene.operator.follow, "distribute keyring.jwe")
            for pod in pods:
                await scene.logs(pod, "keyring.older")
                await scene.seen("mark", told(pod, "its file is older"))
                assert await pod.opens(sealed)
        async with a_fleet(scene.places, session=scene.session) as pods:
            for pod in pods:
                status, text = await ready(pod)
                assert status == 503
                assert "without the KEK that other processes seal under" in text
            await scene.follow()
            for pod in pods:
                await scene.happens("over", clear(pod))
                assert await pod.opens(sealed)
