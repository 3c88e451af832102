"""Running processes whose keyrings differ, over a real Redis: who is told what, and who goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.config.settings import SecretReference
from proxy.keys.fleet import keyring_marker
from proxy.keys.keyring.file import open_keyring, update_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot
from tests.scenarios.rig import backend

from .pods import Place, Pod
from .server import Server, needs_redis
from .test_operator import a_fleet, a_scene, url

pytestmark = needs_redis


def ring(place: Place) -> Keyring:
    """Return the keyring of a place."""
    return open_keyring(place.folder / "keyring.jwe", root(place))


def root(place: Place) -> FileRoot:
    return FileRoot(SecretReference(file=place.folder / "root.key"))


def publish(source: Place, *pods: Place) -> None:
    """Give the keyring's file to pods, whole, as a volume of Kubernetes does."""
    for pod in pods:
        new = pod.folder / "new"
        shutil.copy2(source.folder / "keyring.jwe", new)
        new.replace(pod.folder / "keyring.jwe")


async def ready(pod: Pod) -> tuple[int, str]:
    """Return what a probe is told, and all that there is to tell."""
    address = f"http://127.0.0.1:{pod.served.health}/readyz?verbose"
    async with pod.session.get(address) as response:
        return response.status, await response.text()


async def marked(pod: Pod, text: str, seconds: float = 10) -> str:
    """Return the verbose answer once it holds a text; the pod stays ready."""
    async with asyncio.timeout(seconds):
        while True:
            status, told = await ready(pod)
            assert status == 200, told
            if text in told:
                return told
            await asyncio.sleep(0.2)


async def metric(pod: Pod, line: str) -> bool:
    return line in await pod.served.metrics()


async def promoted(place: Place, kek: str) -> None:
    """Promote a KEK once each process has said that it has it, as it does every second."""
    async with asyncio.timeout(20):
        while True:
            with suppress(AssertionError):
                await asyncio.to_thread(place.keys, "promote", kek)
                return
            await asyncio.sleep(0.2)


def logged(pod: Pod, event: str) -> list[dict[str, Any]]:
    lines = map(json.loads, pod.served.log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


@pytest.mark.timing
@pytest.mark.cold  # `doctor` knows a sidecar by its command line
async def test_half_a_fleet_with_another_keyring_is_told_within_ten_seconds(
    server: Server, tmp_path: Path
) -> None:
    async with backend() as behind, aiohttp.ClientSession() as session:
        one = Place(tmp_path / "one", behind.port, url(server)).write()
        other = Place(tmp_path / "other", behind.port, url(server)).write()
        apart = f"{{url: {url(server)}, prefix: apart}}"
        third = Place(tmp_path / "third", behind.port, apart).write()
        assert ring(one).id != ring(other).id
        assert ring(one).primary.id == ring(other).primary.id
        async with a_fleet([one, other, third], session=session) as (here, there, elsewhere):
            began = time.monotonic()
            for pod in (here, there):
                await marked(pod, "another keyring is used in the same store")
            assert time.monotonic() - began < 10
            assert await metric(here, 'sealyard_keyring_state{state="mismatch"} 1.0')
            (line,) = logged(here, "keyring.mismatch")
            assert (line["keyring"], line["others"]) == (ring(one).id[:16], ring(other).id[:16])
            findings = await asyncio.to_thread(one.sealyard, "doctor")
            assert [each["verdict"] for each in findings if "another keyring" in each["text"]] == [
                "warning"
            ]
            # Two keyrings that share a Redis on purpose are told apart by their prefix.
            status, text = await ready(elsewhere)
            assert (status, "keyring" in text, "another" in text) == (200, True, False)
            # It goes on as it did, and what one seals opens here.
            assert await here.opens(await here.sealed())


async def test_a_thousand_forged_markers_leave_a_fleet_ready(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        keyring, evil = ring(mine), create("k1", now=1, random=lambda size: b"e" * size)
        forged = keyring_marker.encode(keyring_marker.of(evil), "x", evil.record_key)
        ours = f"sealyard:v1:{{{keyring_marker.name_of(keyring)}}}:note"
        for number in range(1000):
            server.command("SET", f"sealyard:v1:{{keyring-{number:022}}}:note", forged)
        server.command("SET", ours, forged)
        server.command("SET", "sealyard:v1:{keyrings}:note", b"x" * 100_000)
        async with a_fleet(places, session=session) as pods:
            for pod in pods:
                assert (await ready(pod))[0] == 200
            assert sum(len(logged(pod, "keyring.unverified")) for pod in pods) >= 1
            assert all([await pod.opens(await pods[0].sealed()) for pod in pods])
            for _ in range(10):
                server.command("SET", ours, forged)
                await asyncio.sleep(0.2)
                assert [(await ready(pod))[0] for pod in pods] == [200, 200]


async def test_an_older_file_lifts_nothing_and_is_told(server: Server, tmp_path: Path) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        older = replace(mine, folder=tmp_path / "older").write(mine)
        async with a_fleet(places, session=session) as pods:
            token = await pods[0].sealed()
            second = (await asyncio.to_thread(mine.keys, "add")).strip()
            for words in (("promote", second, "--anyway"), ("disable", "--yes", "k1")):
                await asyncio.to_thread(mine.keys, *words)
                publish(mine, *places)
                for pod in pods:
                    await marked(pod, f"primary {second}")
            for pod in pods:
                await marked(pod, "generation 4")
                assert not await pod.opens(token)
            sealed = await pods[0].sealed()
            publish(older, *places)
            for pod in pods:
                await marked(pod, "its file is older")
                assert not await pod.opens(token)
                assert await pod.opens(sealed)
            (told,) = logged(pods[0], "keyring.older")
            assert (told["generation"], told["file_generation"]) == (4, 1)
            assert await metric(pods[0], 'sealyard_keyring_state{state="older"} 1.0')
        # A process that begins with the backup lacks what the fleet seals under.
        async with a_fleet(places[:1], session=session) as (pod,):
            status, text = await ready(pod)
            assert (status, "without the KEK that other processes seal under" in text) == (
                503,
                True,
            )
            findings = await asyncio.to_thread(older.sealyard, "doctor", status=3)
            assert any("generation 4" in each["text"] for each in findings)
            publish(mine, places[0])
            async with asyncio.timeout(10):
                while (await ready(pod))[0] != 200:  # noqa: ASYNC110 - another process sets no event here
                    await asyncio.sleep(0.1)
            assert await pod.opens(sealed)
        # The operator may insist.
        publish(older, places[0])
        accepted = f"{ring(older).id}:1"
        async with a_fleet(places[:1], "--accept-older", accepted, session=session) as (pod,):
            assert (await ready(pod))[0] == 200
            assert await pod.opens(token)
            (told,) = logged(pod, "keyring.older_accepted")
            assert told["generation"] == 1
            audit = (places[0].folder / "keyring.jwe.audit").read_text()
            assert '"keyring.older_accepted"' in audit


async def test_a_file_that_is_gone_or_empty_is_told_and_a_pinned_id_refuses_another(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        place = places[0]
        config = place.folder / "sealyard.yaml"
        pinned = f"{{file: keyring.jwe, id: {ring(mine).id}, key"
        config.write_text(config.read_text().replace("{file: keyring.jwe, key", pinned))
        async with a_fleet([place], session=session) as (pod,):
            token = await pod.sealed()
            file = place.folder / "keyring.jwe"
            kept = file.read_bytes()
            for harm in (file.unlink, lambda: file.write_text(""), file.touch):
                harm()
                told = await marked(pod, "configuration")
                assert "refused (keyring-error)" in told
                assert await pod.opens(token)
            file.write_bytes(kept)
            file.chmod(0o600)
            async with asyncio.timeout(10):
                while "configuration" in (await ready(pod))[1]:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.1)
            other = Place(tmp_path / "other", place.upstream, url(server)).write()
            publish(other, place)
            shutil.copy2(other.folder / "root.key", place.folder / "root.key")
            await marked(pod, "configuration")
            assert await pod.opens(token)
            assert "keyring-mismatch" in pod.served.log.read_text()


async def test_what_is_restored_goes_on_after_all_that_the_store_knows_of(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        await asyncio.to_thread(mine.keys, "export", "backup.jwe")
        update_keyring(
            mine.folder / "keyring.jwe",
            root(mine),
            lambda one: (
                one.add("", now=1, random=lambda n: b"x" * n, marked=True).promote("k1").after(6)
            ),
        )
        publish(mine, places[0])
        async with a_fleet(places[:1], session=session) as (pod,):
            assert "generation 7" in (await ready(pod))[1]
            (mine.folder / "keyring.jwe").unlink()
            await asyncio.to_thread(mine.keys, "import", "--yes", "backup.jwe")
            assert ring(mine).generation == 8
            publish(mine, places[0])
            await marked(pod, "generation 8")


async def test_an_older_backup_takes_no_newer_kek_out_of_processes_that_run(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        await asyncio.to_thread(mine.keys, "export", "backup.jwe")
        new = (await asyncio.to_thread(mine.keys, "add")).strip()
        await asyncio.to_thread(mine.keys, "promote", new, "--anyway")
        await asyncio.to_thread(mine.keys, "export", "newest.jwe")
        publish(mine, *places)
        async with a_fleet(places, session=session) as pods:
            for pod in pods:
                await marked(pod, f"primary {new}")
            tokens = [await pods[at % 2].sealed() for at in range(30)]
            (mine.folder / "keyring.jwe").unlink()
            refused = await asyncio.to_thread(mine.keys, "import", "backup.jwe", status=2)
            mark = new[-4:]
            assert f"the fleet seals under a KEK that backup.jwe lacks (…{mark})" in refused
            assert f"2 running processes have KEKs that backup.jwe lacks (…{mark})" in refused
            assert not (mine.folder / "keyring.jwe").exists()
            told = await asyncio.to_thread(mine.told, "import", "--yes", "backup.jwe")
            assert f"the fleet seals under a KEK that backup.jwe lacks (…{mark})" in told
            publish(mine, *places)
            for pod in pods:
                await marked(pod, "has KEKs that this file lacks")
                assert logged(pod, "keyring.forked")[0]["missing"] == new
                assert all([await pod.opens(one) for one in tokens])

            await asyncio.to_thread(mine.keys, "import", "newest.jwe", "--merge", "--yes")
            publish(mine, *places)
            for pod in pods:
                async with asyncio.timeout(10):
                    while "lacks" in (await ready(pod))[1]:  # noqa: ASYNC110 - see above
                        await asyncio.sleep(0.1)
                assert all([await pod.opens(one) for one in tokens])


async def test_nobody_is_promoted_that_a_living_process_does_not_have(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        new = (await asyncio.to_thread(mine.keys, "add")).strip()
        async with a_fleet(places, session=session) as pods:
            refused = await asyncio.to_thread(mine.keys, "promote", new, status=1)
            assert "2 of 2 processes" in refused
            publish(mine, *places)
            for pod in pods:
                await marked(pod, "generation 2")
            await promoted(mine, new)
            assert ring(mine).primary.id == new


async def test_two_copies_of_a_keyring_that_were_changed_apart_are_brought_together(
    server: Server, tmp_path: Path
) -> None:
    async with backend() as behind, aiohttp.ClientSession() as session:
        one = Place(tmp_path / "one", behind.port, url(server)).write()
        other = Place(tmp_path / "other", behind.port, url(server)).write(one)
        for place in (one, other):
            kek = (await asyncio.to_thread(place.keys, "add")).strip()
            await asyncio.to_thread(place.keys, "promote", kek, "--anyway")
        async with a_fleet([one, other], session=session) as (here, there):
            ours, theirs = await here.sealed(), await there.sealed()
            assert [await here.opens(theirs), await there.opens(ours)] == [False, False]
            backup = str(tmp_path / "theirs.jwe")
            await asyncio.to_thread(other.keys, "export", backup)
            await asyncio.to_thread(one.keys, "import", backup, "--merge", "--yes")
            publish(one, other)
            for pod in (here, there):
                await marked(pod, "generation 4")
            for token in (ours, theirs, await here.sealed(), await there.sealed()):
                assert [await pod.opens(token) for pod in (here, there)] == [True, True]
