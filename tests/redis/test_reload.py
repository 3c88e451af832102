"""What changes about a Redis while Sealyard runs: its password, its certificate and ours."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy.keys.stores import Offer, StoreFailed, open_store
from tests.scenarios.rig import backend

from .everything import RIGHTS
from .pods import Place, Pod
from .server import Server, asking_for_certificates, needs_redis, write_tls

pytestmark = needs_redis

ANSWERS = "[+] store: redis answers, durable"
OFFER = Offer("n", b"one", ttl_ms=10_000)


def a_user(server: Server, folder: Path) -> tuple[Path, str]:
    """Make the user whose password is `first`; return the password's file, and `keys.store`."""
    server.command("ACL", "SETUSER", "sealyard", "on", ">first", *RIGHTS.split())
    password = folder / "password"
    password.touch(0o600)
    password.write_text("first\n")
    url = f"redis://127.0.0.1:{server.port}"
    store = f"{{url: {url}, user: sealyard, password: {{file: {password}}}}}"
    return password, store


async def test_a_sidecar_goes_on_sharing_after_the_password_of_its_user_changed(
    server: Server, tmp_path: Path
) -> None:
    password, store = a_user(server, tmp_path)
    async with backend() as behind, aiohttp.ClientSession() as session:
        place = Place(tmp_path / "pod", behind.port, store).write()
        with place.serving() as served:
            await served.event("server.ready")
            pod = Pod(served, session)
            await pod.sealed()
            assert records(server) == 1
            server.command("ACL", "SETUSER", "sealyard", "<first", ">second")
            server.command("CLIENT", "KILL", "USER", "sealyard")
            await pod.sealed(conversation="c2")  # durable goes on, alone
            failed = await served.event("store.failed")
            assert failed["reason"] == "store-failed"
            assert records(server) == 1
            password.write_text("second\n")
            await asyncio.sleep(1.5)
            await pod.sealed(conversation="c3")
            assert records(server) == 2
            async with asyncio.timeout(20):
                while ANSWERS not in await verbose(pod):  # noqa: ASYNC110 - another process sets no event
                    await asyncio.sleep(0.1)


async def test_a_start_with_a_refused_password_fails_and_a_dead_worker_is_replaced_all_the_same(
    server: Server, tmp_path: Path
) -> None:
    _, store = a_user(server, tmp_path)
    async with backend() as behind, aiohttp.ClientSession() as session:
        place = Place(tmp_path / "pod", behind.port, store).write()
        with place.serving("--workers", "2") as served:
            await served.event("server.ready")
            server.command("ACL", "SETUSER", "sealyard", "<first", ">second")
            server.command("CLIENT", "KILL", "USER", "sealyard")
            for number in range(2):  # the one that looked at the store when it started, too
                worker = (await served.event("worker.started", number + 1))["worker_pid"]
                os.kill(worker, signal.SIGKILL)
            await served.event("worker.ready", 4)
            pod = Pod(served, session)
            assert await pod.opens(await pod.sealed())
        with place.serving() as served:
            assert await served.ended() == 3
            assert "refuses the user `sealyard`" in served.log.read_text()


async def verbose(pod: Pod) -> str:
    """Return what a pod says of its checks."""
    return str((await pod.admin("GET", "/readyz?verbose"))[1])


def records(server: Server) -> int:
    """Return how many sessions stand in Redis."""
    found = server.command("EVAL", "return #redis.call('KEYS', '*:cur')", "0")
    return int(found[1:])


BOTH = ("localhost", "client")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an authority, and certificates of both sides."""
    write_tls(tmp_path, *BOTH)
    return tmp_path


async def test_changed_tls_files_are_seen_by_the_next_connection(folder: Path) -> None:
    server, settings = asking_for_certificates(folder)
    server.start()
    store = open_store("redis", options=settings)
    try:
        assert (await store.get_or_create(OFFER)).record == b"one"
        server.kill()
        write_tls(folder, *BOTH)  # another authority for both sides
        server.start()
        await asyncio.sleep(0.05)  # a connection that closed is found out when it is taken
        assert (await store.get_or_create(OFFER)).record == b"one"
        server.kill()
        (folder / "ca.pem").write_text("half written")
        await asyncio.sleep(0.05)
        with pytest.raises(StoreFailed, match="store-tls-unusable"):
            await store.get_or_create(OFFER)
        write_tls(folder, *BOTH)
        server.start()
        await asyncio.sleep(0.05)  # a connection that closed is found out when it is taken
        assert (await store.get_or_create(OFFER)).record == b"one"
    finally:
        await store.close()
        server.kill()


async def test_with_an_authority_of_its_own_no_other_is_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, settings = asking_for_certificates(folder)
    server.start()
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    # Where OpenSSL looks for the system's authorities: there stands the one of the server.
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    system = open_store("redis", options=replace(settings, ca=None))
    other = open_store("redis", options=replace(settings, ca=folder / "other.pem"))
    try:
        assert (await system.get_or_create(OFFER)).record == b"one"
        with pytest.raises(StoreFailed):
            await other.get_or_create(OFFER)
    finally:
        await system.close()
        await other.close()
        server.kill()
