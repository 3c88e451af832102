"""How Sealyard reaches Redis: as a user with few rights, over verified TLS, at a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

import proxy.keys.stores.redis.store as redis_store
from proxy.config.settings import RedisSettings, SecretReference, TcpAddress, UnixAddress
from proxy.core.errors import UnfitEnvironment
from proxy.keys.stores import StoreFailed, open_store

from .everything import ENVIRON, OFFER, RIGHTS, all_done
from .server import Server, asking_for_certificates, needs_redis, write_tls
from .test_fleet import until

pytestmark = needs_redis


@pytest.mark.usefixtures("patient")
async def test_the_rights_of_the_documentation_are_enough(server: Server) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"
    assert RIGHTS in page.read_text()
    server.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split())
    user = replace(server.settings, user="sealyard", password=SecretReference(env="PASSWORD"))
    assert await all_done(user) == [None, "n", "n"]


async def test_a_wrong_password_is_a_store_that_fails(server: Server) -> None:
    server.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split())
    user = replace(server.settings, user="sealyard", password=SecretReference(env="WRONG"))
    with pytest.raises(StoreFailed):
        await all_done(user)


async def test_a_password_that_is_not_there_is_told_at_the_start(server: Server) -> None:
    missing = replace(server.settings, password=SecretReference(env="NONE"))
    with pytest.raises(UnfitEnvironment, match="NONE"):
        open_store("redis", options=missing, environ=ENVIRON)


async def test_a_changed_password_file_needs_no_restart(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("first\n")
    server.command("ACL", "SETUSER", "sealyard", "on", ">first", *RIGHTS.split())
    user = replace(server.settings, user="sealyard", password=SecretReference(file=file))
    store = open_store("redis", options=user)
    await store.get_or_create(OFFER)
    server.command("ACL", "SETUSER", "sealyard", "<first", ">second")
    server.command("CLIENT", "KILL", "USER", "sealyard")
    file.write_text("second\n")
    await asyncio.sleep(0.05)  # a connection that closed meanwhile is found out when it is taken
    assert (await store.get_or_create(OFFER)).record == b"one"
    await store.close()


async def test_a_password_that_cannot_be_read_for_a_while_leaves_nothing_behind(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("first\n")
    server.command("ACL", "SETUSER", "sealyard", "on", ">first", *RIGHTS.split())
    server.command("ACL", "SETUSER", "default", "nocommands", "+acl", "+client")
    user = replace(server.settings, user="sealyard", password=SecretReference(file=file))
    store = open_store("redis", options=user)
    file.write_text("")
    with pytest.raises(StoreFailed, match="store-password-unreadable"):
        await store.get_or_create(OFFER)
    file.write_text("first\n")
    assert (await store.get_or_create(OFFER)).record == b"one"
    await store.close()


async def test_who_listens_finds_out_that_redis_is_frozen_and_hears_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "LISTEN_SECONDS", 1.0)
    heard: list[str | None] = []
    store = open_store("redis", options=server.settings)
    await store.open(heard.append)
    await until(lambda: store.subscribed, 5)
    await asyncio.sleep(2.5)  # answered pings are no silence
    assert heard == [None]
    server.freeze()
    await until(lambda: not store.subscribed, 20)
    server.thaw()
    await until(lambda: store.subscribed, 20)
    assert heard == [None, None]
    await store.close()


async def test_other_prefixes_and_databases_do_not_meet(server: Server) -> None:
    for settings in (
        server.settings,
        replace(server.settings, db=3),
        replace(server.settings, prefix="other"),
    ):
        store = open_store("redis", options=settings)
        assert await store.dump() == {}
        await store.get_or_create(OFFER)
        await store.close()


async def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    socket = tmp_path / "r.sock"
    server = Server(tmp_path, ("--unixsocket", str(socket)))
    server.start()
    try:
        assert await all_done(RedisSettings(UnixAddress(socket))) == [None, "n", "n"]
    finally:
        server.kill()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[Server, RedisSettings]]:
    write_tls(tmp_path, "localhost", "client")
    server, settings = asking_for_certificates(tmp_path)
    server.start()
    yield server, settings
    server.kill()


async def test_tls_with_a_client_certificate_is_verified(tls: tuple[Server, RedisSettings]) -> None:
    assert await all_done(tls[1]) == [None, "n", "n"]


async def test_another_authority_name_or_no_certificate_is_refused(
    tls: tuple[Server, RedisSettings], tmp_path: Path
) -> None:
    _, right = tls
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    wrong = [
        replace(right, ca=tmp_path / "other.pem"),
        replace(right, address=TcpAddress("127.0.0.1", right.address.port)),  # type: ignore[union-attr]  # a TcpAddress
        replace(right, cert=None, key=None),
        replace(right, tls=False),
    ]
    for settings in wrong:
        with pytest.raises(StoreFailed):
            await all_done(settings)


async def test_a_certificate_that_cannot_be_used_is_told_at_the_start(
    tls: tuple[Server, RedisSettings], tmp_path: Path
) -> None:
    with pytest.raises(UnfitEnvironment, match=r"none\.pem"):
        open_store("redis", options=replace(tls[1], ca=tmp_path / "none.pem"))


async def test_those_rights_reach_no_other_client_name_or_command(server: Server) -> None:
    server.command("ACL", "SETUSER", "sealyard", "on", ">correct", *RIGHTS.split())
    for words in (
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("CLIENT", "PAUSE", "1000"),
        ("CLIENT", "LIST"),
        ("CONFIG", "GET", "requirepass"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("DEL", "sealyard:v1:{n}:rev"),
        ("SET", "other", "1"),
    ):
        said = server.command("ACL", "DRYRUN", "sealyard", *words)
        assert b"permission" in said, words
