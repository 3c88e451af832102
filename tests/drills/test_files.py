"""Drills of other files: an audit log that is gone, and certificates that have expired."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import trustme
from aiohttp import web

from tests.drills.kinds import replaced
from tests.drills.scene import Scene, a_fleet, a_scene
from tests.redis.pods import CANARY, Place
from tests.redis.server import Server, needs_redis
from tests.servers import free_port

pytestmark = needs_redis


def verifies(
    scene: Scene, place: Place, *, status: int, saying: str = ""
) -> Callable[[], Awaitable[str]]:
    """Return a look at what `audit verify` says of a pod's log, once it ends so and says that."""

    async def look() -> str:
        script = f"cd '{place.folder}'; sealyard audit verify"
        try:
            told = await asyncio.to_thread(scene.operator.follow, script, status=status)
        except AssertionError:
            return ""
        return told if saying in told else ""

    return look


def lose_the_log(place: Place) -> None:
    """Delete the log and its head record."""
    for name in ("keyring.jwe.audit", ".keyring.jwe.audit.head"):
        (place.folder / name).unlink()


async def test_an_audit_log_lost_under_a_running_process_is_told_by_its_next_line(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, server, "The audit log is lost") as scene,
        a_fleet(scene.places[:1], session=scene.session) as (pod,),
    ):
        (place, _) = scene.places
        token = await pod.sealed()
        assert await verifies(scene, place, status=0)()
        lose_the_log(place)
        await pod.sealed("c2")
        missing = verifies(scene, place, status=1, saying="the head record was missing")
        await scene.seen("audit verify", missing)
        assert await pod.opens(token)

        script = f"cd '{place.folder}'; {scene.drill.scripts[0]}"
        await asyncio.to_thread(scene.operator.follow, script)
        await pod.sealed("c3")
        assert "intact" in await scene.happens("over", verifies(scene, place, status=0))


async def test_an_audit_log_lost_while_no_process_ran_is_told_by_its_number_and_an_anchor(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, server, "The audit log is lost") as scene:
        (place, _) = scene.places
        async with a_fleet(scene.places[:1], session=scene.session) as (pod,):
            await pod.sealed()
        anchor = scene.operator.follow(f"cd '{place.folder}'; sealyard audit head").strip()
        lose_the_log(place)
        async with a_fleet(scene.places[:1], session=scene.session) as (pod,):
            assert int(anchor.partition(":")[0]) > 2
            await scene.happens(
                "sequence", lambda: scene.metric(pod, "sealyard_audit_last_sequence 3.0")
            )
        checked = f"cd '{place.folder}'; sealyard audit verify"
        assert "intact" in scene.operator.follow(checked)
        scene.operator.follow(f"{checked} --anchor {anchor}", status=1)


def certificate(authority: trustme.CA, folder: Path, days: int) -> None:
    """Write server.pem and server.key, valid until so many days from now."""
    now = datetime.now(UTC)
    made = authority.issue_cert(
        "127.0.0.1",
        not_before=now - timedelta(days=60),
        not_after=now + timedelta(days=days),
    )
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    for name, data in (("server.pem", chain), ("server.key", made.private_key_pem.bytes())):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)


async def test_a_listener_with_an_expired_certificate_takes_a_renewed_one(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, server, "A certificate has expired") as scene:
        authority, context = trustme.CA(), ssl.create_default_context()
        authority.configure_trust(context)
        certificate(authority, scene.mine.folder, -1)
        place = scene.places[0]
        scene.operator.follow(scene.drill.scripts[0])
        tls = "unmatched: reject\n    tls: {cert: server.pem, key: server.key}"
        replaced(place, "unmatched: reject", tls)
        async with a_fleet([place], session=scene.session) as (pod,):
            url = f"https://127.0.0.1:{pod.served.port}/write"
            body = {"conversation": "c1", "content": CANARY}

            async def answers() -> bool:
                try:
                    async with scene.session.post(url, json=body, ssl=context) as response:
                        return response.status == 200
                except aiohttp.ClientConnectorCertificateError:
                    return False

            assert not await answers()
            certificate(authority, scene.mine.folder, 30)
            await scene.follow()
            await scene.happens("over", answers)


async def test_a_backend_with_an_expired_certificate_is_told_and_taken_again(
    server: Server, tmp_path: Path
) -> None:
    async with a_scene(tmp_path, server, "A certificate has expired") as scene:
        authority, port, place = trustme.CA(), free_port(), scene.places[0]
        authority.cert_pem.write_to_path(place.folder / "ca.pem")
        upstream = f"http://127.0.0.1:{scene.behind.port}"
        secure = f"https://127.0.0.1:{port}\n    upstream_tls: {{ca: ca.pem}}"
        replaced(place, upstream, secure)
        certificate(authority, tmp_path, -1)
        async with a_fleet([place], session=scene.session) as (pod,):
            url = f"http://127.0.0.1:{pod.served.port}/write"
            body = {"conversation": "c1", "content": CANARY}

            async def status() -> int:
                async with scene.session.post(url, json=body) as response:
                    return response.status

            async with over_tls(tmp_path, port):
                assert await status() == 502
                await scene.logs(pod, "message.failed", reason="connect")
                checked = f"cd '{place.folder}'; sealyard doctor || true"
                told = await asyncio.to_thread(scene.operator.follow, checked)
                assert "certificate has expired" in told, told
            certificate(authority, tmp_path, 30)
            async with over_tls(tmp_path, port):
                assert await status() == 200


@asynccontextmanager
async def over_tls(folder: Path, port: int) -> AsyncIterator[None]:
    """Run a backend with the certificate of a folder, which echoes what comes."""

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        assert CANARY.encode() not in body
        return web.Response(body=body, content_type=request.content_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", echo)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()
