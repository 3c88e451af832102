"""Drills of Redis: away, empty, or an older snapshot; and of old backups of everything."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.drills.kinds import EVERY_KIND, under
from tests.drills.scene import NEW_KEK, Scene, a_fleet, a_scene, clear, generation, refused_at
from tests.redis.pods import CANARY, Pod
from tests.redis.server import Server, needs_redis
from tests.redis.test_keyrings import ready

pytestmark = needs_redis
REVOKE = "sealyard sessions revoke --tenant clinic --conversation revoked --yes"


async def asked(pod: Pod, path: str, conversation: str, content: str) -> tuple[int, str]:
    """Return the status and the content of an answer."""
    body = {"conversation": conversation, "content": content}
    url = f"http://127.0.0.1:{pod.served.port}{path}"
    async with pod.session.post(url, json=body) as response:
        told = json.loads(await response.text())
        return response.status, str(told.get("content", ""))


def seals(pod: Pod, conversation: str, status: int = 200) -> Callable[[], Awaitable[bool]]:
    """Return a look at how a pod answers a message of a conversation."""

    async def look() -> bool:
        return (await asked(pod, "/write", conversation, CANARY))[0] == status

    return look


async def opens(pod: Pod, conversation: str, token: str) -> int:
    """Return the status of an answer with a token; what opens is as it was."""
    status, content = await asked(pod, "/read", conversation, token)
    assert (content == CANARY) == (status == 200)
    return status


@EVERY_KIND
async def test_without_redis_durable_sessions_go_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "Redis does not answer") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
        a_fleet(scene.places, session=scene.session) as pods,
    ):
        before = await pods[0].sealed()
        server.kill()
        assert await pods[1].opens(before)
        assert await opens(pods[1], "c9", await pods[0].sealed("c9")) == 200
        await noticed(scene, pods[0], "c9")
        server.start()
        await scene.happens("over", breaker(scene, pods[0], closed=True))
        assert await pods[1].opens(await pods[0].sealed())


@EVERY_KIND
async def test_without_redis_ephemeral_sessions_need_the_keys_in_memory(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    title = "Redis does not answer"
    async with (
        a_scene(tmp_path, server, title, mode="ephemeral") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
        a_fleet(scene.places, session=scene.session) as pods,
    ):
        before = await pods[0].sealed()
        server.freeze()
        try:
            await noticed(scene, pods[0], "c9", 503)
            assert await pods[0].opens(before)
            assert await pods[0].opens(await pods[0].sealed())
            assert await seals(pods[0], "c10", 503)()
        finally:
            server.thaw()
        await scene.happens("over", breaker(scene, pods[0], closed=True))
        await scene.happens("seals again", seals(pods[0], "c9"))
        assert await pods[1].opens(before)


async def noticed(scene: Scene, pod: Pod, conversation: str, status: int = 200) -> None:
    """Send messages that need the store until its failure is told."""
    await scene.seen("answered", seals(pod, conversation, status))
    await scene.logs(pod, "store.failed")
    await scene.seen("breaker", breaker(scene, pod, closed=False))
    stays, text = await ready(pod)
    assert stays == 200, text


def breaker(scene: Scene, pod: Pod, *, closed: bool) -> Callable[[], Awaitable[bool]]:
    """Return a look at the breaker, which messages of new conversations make try the store."""
    count = iter(range(1000))

    async def look() -> bool:
        await asked(pod, "/write", f"new{next(count)}", CANARY)
        state = "closed" if closed else "open"
        address = f"http://127.0.0.1:{pod.served.health}/metrics"
        async with scene.session.get(address) as response:
            text = await response.text()
        return any(
            line.startswith("sealyard_store_breaker{")
            and f'state="{state}"' in line
            and line.endswith(" 1.0")
            for line in text.splitlines()
        )

    return look


@EVERY_KIND
async def test_an_empty_redis_costs_durable_sessions_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "Redis came back empty") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        async with a_fleet(scene.places, session=scene.session) as pods:
            before, revoked = await pods[0].sealed(), await pods[0].sealed("revoked")
            scene.keep_token(before)
            await asyncio.sleep(1.1)
            told = await asyncio.to_thread(
                scene.operator.follow, REVOKE + "; distribute keyring.jwe"
            )
            assert "keyring" in told
            server.kill()
            server.start()
            assert "opens" in await scene.follow()
        async with a_fleet(scene.places, session=scene.session) as pods:
            assert [await opens(pod, "c1", before) for pod in pods] == [200, 200]
            assert [await opens(pod, "revoked", revoked) for pod in pods] == [502, 502]
            assert await pods[1].opens(await pods[0].sealed())


@EVERY_KIND
async def test_an_empty_redis_costs_ephemeral_sessions_all(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    title = "Redis came back empty"
    async with (
        a_scene(tmp_path, server, title, mode="ephemeral") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        async with a_fleet(scene.places, session=scene.session) as pods:
            before = await pods[0].sealed()
            assert await pods[1].opens(before)
        server.kill()
        server.start()
        async with a_fleet(scene.places, session=scene.session) as pods:
            for pod in pods:
                await scene.seen("refused", refused_at(pod, before))
                await scene.logs(pod, "message.refused", reason="unknown-key")
            assert await pods[1].opens(await pods[0].sealed())


async def snapshot(server: Server) -> Path:
    """Return a copy of the snapshot that Redis has just written."""
    assert server.command("SAVE").startswith(b"+OK")
    kept = server.folder / "kept.rdb"
    shutil.copy2(server.folder / "dump.rdb", kept)
    return kept


def restore(server: Server, kept: Path) -> None:
    """Start Redis again with an older snapshot."""
    server.kill()
    shutil.copy2(kept, server.folder / "dump.rdb")
    server.start()


@EVERY_KIND
async def test_an_older_redis_lifts_no_revocation_and_costs_later_ephemeral_keys(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    title = "An old Redis was restored"
    async with (
        a_scene(tmp_path, server, title, mode="ephemeral") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        async with a_fleet(scene.places, session=scene.session) as pods:
            before, revoked = await pods[0].sealed(), await pods[0].sealed("revoked")
            kept = await snapshot(server)
            await asyncio.sleep(1.1)
            script = REVOKE + "; sealyard keys add; distribute keyring.jwe"
            await asyncio.to_thread(scene.operator.follow, script)
            since = await pods[0].sealed("since")
            await asyncio.sleep(4)  # until the fleet's marker has the new generation
        restore(server, kept)
        async with a_fleet(scene.places, session=scene.session) as pods:
            assert [await opens(pod, "c1", before) for pod in pods] == [200, 200]
            assert [await opens(pod, "since", since) for pod in pods] == [502, 502]
            await scene.logs(pods[0], "message.refused", reason="unknown-key")
            assert [await opens(pod, "revoked", revoked) for pod in pods] == [502, 502]
            for pod in pods:
                await scene.happens("no mark", clear(pod))
            assert await opens(pods[1], "since", await pods[0].sealed("since")) == 200


@EVERY_KIND
async def test_old_backups_of_both_forget_revocations_and_the_audit_log_does_not(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with (
        a_scene(tmp_path, server, "Old backups of both were restored") as scene,
        under(scene, kind, monkeypatch, tmp_path / "root"),
    ):
        folder = scene.mine.folder
        shutil.copy2(folder / "keyring.jwe", folder / "old.jwe")
        async with a_fleet(scene.places, session=scene.session) as pods:
            revoked = await pods[0].sealed("revoked")
            kept = await snapshot(server)
            await asyncio.sleep(1.1)
            await asyncio.to_thread(scene.operator.follow, f"{REVOKE}; {NEW_KEK}")
            for pod in pods:
                await scene.happens("new generation", generation(pod, 3))
            since = await pods[0].sealed("since")
            assert [await opens(pod, "revoked", revoked) for pod in pods] == [502, 502]
        shutil.copy2(folder / "old.jwe", folder / "keyring.jwe")
        await asyncio.to_thread(scene.operator.follow, "distribute keyring.jwe")
        restore(server, kept)
        async with a_fleet(scene.places, session=scene.session) as pods:
            for pod in pods:
                assert await opens(pod, "since", since) == 502
                await scene.logs(pod, "message.refused", reason="unknown-key")
                assert await opens(pod, "revoked", revoked) == 200  # what the page warns of
            told = await scene.follow()
            assert told.count("sessions.revoke") >= 2
            for pod in pods:
                await scene.happens("revoked again", status_of(pod, "revoked", revoked, 502))
            again = "sealyard keys import newest.jwe --merge --yes; distribute keyring.jwe"
            await asyncio.to_thread(scene.operator.follow, again)
            for pod in pods:
                await scene.happens("opens again", status_of(pod, "since", since, 200))
                assert await opens(pod, "revoked", revoked) == 502


def status_of(
    pod: Pod, conversation: str, token: str, status: int
) -> Callable[[], Awaitable[bool]]:
    """Return a look at how a pod answers with a token."""

    async def look() -> bool:
        return await opens(pod, conversation, token) == status

    return look
