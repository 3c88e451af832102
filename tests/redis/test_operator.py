"""What an operator does to the sessions of running processes that share a real Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from proxy.core.crypto.token import decode
from tests.scenarios.rig import backend

from .everything import RIGHTS
from .pods import CANARY, NAMED, Place, Pod
from .server import Server, needs_redis

pytestmark = needs_redis


@asynccontextmanager
async def a_fleet(
    places: list[Place], *options: str, session: aiohttp.ClientSession
) -> AsyncIterator[list[Pod]]:
    """Run a pod at each place."""
    async with AsyncExitStack() as stack:
        pods = [Pod(stack.enter_context(place.serving(*options)), session) for place in places]
        for pod in pods:
            await pod.served.event("server.ready")
        await asyncio.sleep(0.3)  # until they listen to Redis
        yield pods


@asynccontextmanager
async def a_scene(
    folder: Path, store: str, *, age: str = "30s", mode: str = "durable"
) -> AsyncIterator[tuple[Place, list[Place], aiohttp.ClientSession]]:
    """Return the operator's place and those of two pods, whose keyrings are copies."""
    async with backend() as behind, aiohttp.ClientSession() as session:
        mine = Place(folder / "operator", behind.port, store, mode, age).write()
        pods = [
            Place(folder / f"pod{number}", behind.port, store, mode, age).write(mine)
            for number in (1, 2)
        ]
        yield mine, pods, session


def url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def refused_by(pod: Pod, token: str, seconds: float) -> float:
    """Return after how many seconds the pod refused the token, at most so many."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while await pod.opens(token):  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.05)
    return time.monotonic() - began


def session_of(text: str) -> bytes:
    """Return under which session a token is sealed."""
    return decode(text.encode()).key_id.sid


async def sealed_anew(pod: Pod, old: bytes) -> bytes:
    """Return under which session a pod seals once it is another than the old one, soon."""
    async with asyncio.timeout(3):
        while (sid := session_of(await pod.sealed())) == old:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)
    return sid


async def test_a_revocation_by_command_is_refused_by_every_pod(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (mine, places, session),
        a_fleet(places, session=session) as pods,
    ):
        token = await pods[0].sealed()
        assert [await pod.opens(token) for pod in pods] == [True, True]
        answer = await asyncio.to_thread(mine.sealyard, "sessions", "revoke", "--yes", *NAMED)
        assert (answer["durable"], answer["store"]["master"]) == (True, True)
        assert max([await refused_by(pod, token, 3) for pod in pods]) < 3
        await asyncio.sleep(1)
        again = await pods[1].sealed()
        assert [await pod.opens(again) for pod in pods] == [True, True]

        lines = [
            json.loads(line)
            for line in (mine.folder / "keyring.jwe.audit").read_text().splitlines()
        ]
        told = [line for line in lines if line["event"].endswith(".revoke")]
        assert [line["event"] for line in told] == ["sessions.revoke", "keys.revoke"]
        assert all(line["scope"] == answer["scope"] for line in told)


@pytest.mark.parametrize("by", ["command", "admin"])
@pytest.mark.parametrize(
    "planted",
    [
        ("SET", b"99999999999999999999" + b"x" * 41),
        ("SET", b""),
        ("SET", b"\xff\xfe"),
        ("RPUSH", b"x"),
        ("HSET", b"x", b"y"),
    ],
    ids=["above all", "empty", "short", "list", "hash"],
)
async def test_a_forged_revocation_is_overwritten_and_another_pod_refuses(
    server: Server, tmp_path: Path, planted: tuple[str | bytes, ...], by: str
) -> None:
    async with (
        a_scene(tmp_path, url(server), age="2s") as (mine, places, session),
        a_fleet(places, session=session) as pods,
    ):
        token = await pods[0].sealed()
        assert [await pod.opens(token) for pod in pods] == [True, True]
        scope = {"tenant": "clinic", "conversation": "c1"}
        _, shown = await pods[0].admin("GET", "/v1/sessions?tenant=clinic&conversation=c1")
        place = f"sealyard:v1:{{{shown['scope']}}}:rev"
        command, *words = planted
        assert server.command(command, place, *words)[:1] in b":+"
        server.command("CONFIG", "SET", "maxmemory", "0")

        if by == "command":
            answer = await asyncio.to_thread(mine.sealyard, "sessions", "revoke", "--yes", *NAMED)
        else:
            status, answer = await pods[0].admin("POST", "/v1/sessions/revoke", **scope)
            assert status == 200

        assert (answer["store"]["master"], answer["durable"]) == (True, True)
        assert (answer["open"], answer["complete"]) == ([], True)
        assert "unknown" not in answer
        assert await refused_by(pods[1], token, 3) < 3
        assert server.command("GETRANGE", place, "0", "9")[:5] == b"$10\r\n"
        for pod in pods:
            assert CANARY not in pod.served.log.read_text()


async def test_a_mistyped_scope_is_told_by_command_and_admin_port(
    server: Server, tmp_path: Path
) -> None:
    typo = ("--tenant", "clinic", "--conversation", "c2")
    async with (
        a_scene(tmp_path, url(server)) as (mine, places, session),
        a_fleet(places, "--workers", "2", session=session) as pods,
    ):
        await pods[0].sealed()
        for command in (("rotate",), ("revoke", "--yes")):
            typo = ("--tenant", "clinic", "--conversation", f"not {command[0]}")
            answer = await asyncio.to_thread(mine.sealyard, "sessions", *command, *typo)
            assert answer["unknown"] is True
            answer = await asyncio.to_thread(mine.sealyard, "sessions", *command, *NAMED)
            assert "unknown" not in answer
        for at, conversation in enumerate(("c9", "c1")):
            scope = {"tenant": "clinic", "conversation": conversation}
            for action in ("rotate", "revoke"):
                status, answer = await pods[1].admin("POST", f"/v1/sessions/{action}", **scope)
                assert (status, answer.get("unknown", False)) == (
                    200,
                    not at and action == "rotate",
                )


async def test_a_lost_publication_costs_no_more_than_revocation_max_age(
    server: Server, tmp_path: Path
) -> None:
    server.command("ACL", "SETUSER", "mute", "on", ">correct", *RIGHTS.split(), "-publish")
    async with a_scene(tmp_path, url(server), age="2s") as (mine, places, session):
        (tmp_path / "password").touch(0o600)
        (tmp_path / "password").write_text("correct\n")
        secret = f"{{url: {url(server)}, user: mute, password: {{file: {tmp_path}/password}}}}"
        quiet = replace(mine, folder=tmp_path / "quiet", store=secret).write(mine)
        async with a_fleet(places, session=session) as pods:
            token = await pods[0].sealed()
            assert [await pod.opens(token) for pod in pods] == [True, True]
            answer = await asyncio.to_thread(quiet.sealyard, "sessions", "revoke", "--yes", *NAMED)
            assert answer["store"]["master"] is True
            waits = await asyncio.gather(*(refused_by(pod, token, 3) for pod in pods))
            assert max(waits) < 2.5


async def test_a_revocation_in_the_keyring_survives_the_loss_of_redis(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        sharing = replace(mine, ports=places[0].ports)
        other = places[1]
        async with a_fleet([other], session=session) as (pod,):
            token = await pod.sealed()
        answer = await asyncio.to_thread(mine.sealyard, "sessions", "revoke", "--yes", *NAMED)
        assert answer["durable"] is True
        server.command("FLUSHALL")
        async with a_fleet([other], session=session) as (pod,):
            assert await pod.opens(token)  # its copy of the keyring does not say so
        (sharing.folder / "sealyard.yaml").write_text(
            (places[0].folder / "sealyard.yaml").read_text()
        )
        async with a_fleet([sharing], session=session) as (pod,):
            assert not await pod.opens(token)


async def test_a_pod_that_reads_the_keyring_learns_it_while_redis_is_down(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (mine, _, session),
        a_fleet([mine], session=session) as (pod,),
    ):
        server.kill()
        token = await pod.sealed()  # a session that no other process knows
        assert await pod.opens(token)
        answer = await asyncio.to_thread(
            mine.sealyard, "sessions", "revoke", "--yes", *NAMED, status=1
        )
        assert (answer["durable"], answer["store"]["master"]) == (True, False)
        assert await refused_by(pod, token, 5) < 5


async def test_a_session_made_while_redis_was_down_is_revoked_like_any_other(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (mine, places, session),
        a_fleet(places, session=session) as pods,
    ):
        server.kill()
        token = await pods[0].sealed()
        server.start()
        await asyncio.sleep(1.5)
        assert [await pod.opens(token) for pod in pods] == [True, True]
        await asyncio.to_thread(mine.sealyard, "sessions", "revoke", "--yes", *NAMED)
        assert max([await refused_by(pod, token, 3) for pod in pods]) < 3


async def test_a_rotation_by_command_reaches_every_pod_and_old_tokens_open(
    server: Server, tmp_path: Path
) -> None:
    for mode in ("durable", "ephemeral"):
        async with (
            a_scene(tmp_path / mode, url(server), mode=mode) as (mine, places, session),
            a_fleet(places, session=session) as pods,
        ):
            old = await pods[0].sealed()
            answer = await asyncio.to_thread(mine.sealyard, "sessions", "rotate", *NAMED)
            sids = {await sealed_anew(pod, session_of(old)) for pod in pods}
            new = [await pod.sealed() for pod in pods]
            assert {session_of(text) for text in new} == sids
            assert len(sids) == 1
            assert answer["agreed"] is True
            for pod in pods:
                assert [await pod.opens(text) for text in (old, *new)] == [True] * 3


async def test_the_admin_port_rotates_and_revokes_for_every_worker_and_pod(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (_, places, session),
        a_fleet(places, "--workers", "2", session=session) as pods,
    ):
        scope = {"tenant": "clinic", "conversation": "c1"}
        old = await pods[0].sealed()
        assert (await pods[0].admin("POST", "/v1/sessions/rotate", **scope))[0] == 200
        new = set()
        for pod in pods * 6:  # each on a connection of its own, so that every worker gets some
            async with aiohttp.ClientSession() as fresh:
                new.add(await sealed_anew(Pod(pod.served, fresh), session_of(old)))
        status, shown = await pods[1].admin("GET", "/v1/sessions?tenant=clinic&conversation=c1")
        assert (status, len(new), len(shown["sessions"])) == (200, 1, 1)
        status, answer = await pods[1].admin("POST", "/v1/sessions/revoke", **scope)
        assert (status, answer["durable"], answer["store"]["master"]) == (200, True, True)
        for pod in pods * 4:
            async with aiohttp.ClientSession() as fresh:
                assert await refused_by(Pod(pod.served, fresh), old, 3) < 3
        events = [event for event in pods[1].served.events if event["event"] == "key.revoked"]
        assert [event["scope"] for event in events] == [answer["scope"]]
        called = await pods[1].served.event("admin.called", 2)
        assert called["http.route"] == "/v1/sessions/revoke"


async def a_message(pod: Pod) -> str:
    async with aiohttp.ClientSession() as fresh:
        return await Pod(pod.served, fresh).sealed()


async def test_without_a_store_in_common_the_admin_port_reaches_every_worker(
    tmp_path: Path,
) -> None:
    async with a_scene(tmp_path, "memory") as (mine, _, session):
        refused = await asyncio.to_thread(mine.sealyard, "sessions", "rotate", *NAMED, status=1)
        assert "POST /v1/sessions/rotate" in refused
        async with a_fleet([mine], "--workers", "2", session=session) as (pod,):
            scope = {"tenant": "clinic", "conversation": "c1"}
            old = {await a_message(pod) for _ in range(12)}
            status, rotated = await pod.admin("POST", "/v1/sessions/rotate", **scope)
            assert (status, len(rotated["sessions"])) == (200, 2)
            new = {session_of(await a_message(pod)) for _ in range(12)}
            assert not new & {session_of(text) for text in old}
            _, answer = await pod.admin("POST", "/v1/sessions/revoke", **scope)
            assert (answer["durable"], "store" in answer) == (True, False)
            for text in old:
                async with aiohttp.ClientSession() as fresh:
                    assert not await Pod(pod.served, fresh).opens(text)
        async with a_fleet([mine], session=session) as (pod,):  # and after a restart
            assert not await pod.opens(next(iter(old)))


async def test_what_depends_on_a_kek_is_counted_over_all_pods(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, url(server)) as (mine, places, session):
        async with a_fleet(places, session=session) as pods:
            token = await pods[0].sealed()
            for pod in pods:
                for _ in range(3):
                    assert await pod.opens(token)
        answer = await asyncio.to_thread(mine.sealyard, "keys", "usage")
        (k1,) = answer["keks"]
        assert (k1["id"], k1["opened"]) == ("k1", 6)
        assert abs(k1["last_opened"] - time.time()) < 60
        assert k1["sessions"] >= 1
