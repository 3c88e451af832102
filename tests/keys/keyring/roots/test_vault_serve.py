"""`sealyard serve` with a root in Vault: OpenBao sealed, killed and silent, and no secret shown."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import Roots
from tests.keys.keyring.roots.openbao import KEY, OpenBao, needs_openbao, running
from tests.scenarios.rig import Load, Served, backend
from tests.scenarios.test_roots import answered, asked, send, sidecar, until

pytestmark = [needs_openbao, pytest.mark.cold]  # they look at the environment of a process


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run OpenBao, with an AppRole for sidecars."""
    with running(tmp_path_factory.mktemp("openbao")) as server:
        server.done("sys/auth/approle", {"type": "approle"})
        server.done("auth/approle/role/sidecar", {"token_policies": "opener", "token_ttl": "1m"})
        yield server


def made(bao: OpenBao, folder: Path) -> tuple[Keyring, str]:
    """Make a keyring and a secret id in a folder; return it, and its root in a configuration."""
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    maker = bao.root(bao.login(folder / "maker", "maker"))
    create_keyring(folder / "keyring.jwe", keyring, Roots((maker,)))
    (folder / "maker").unlink()
    role_id = bao.done("auth/approle/role/sidecar/role-id", None)["role_id"]
    new_secret(bao, folder)
    login = f"approle: {{role_id: {role_id}, secret_id: {{file: secret_id}}}}"
    return keyring, f"vault: {{address: '{bao.url}', key: {KEY}, {login}}}"


def new_secret(bao: OpenBao, folder: Path) -> str:
    """Put a new secret id into its file, and return it."""
    secret: str = bao.done("auth/approle/role/sidecar/secret-id", {})["secret_id"]
    (folder / "secret_id").write_text(secret)
    (folder / "secret_id").chmod(0o600)
    return secret


def tokens(bao: OpenBao) -> set[str]:
    """Return the accessors of all tokens, those of operators and those of logins."""
    return set(bao.done("auth/token/accessors", None, "LIST")["keys"])


@pytest.mark.parametrize("messages", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_no_message_asks_vault(bao: OpenBao, tmp_path: Path, messages: int) -> None:
    keyring, root = made(bao, tmp_path)
    async with backend() as behind:
        with sidecar(tmp_path, behind.port, root, keyring, {}) as served:
            await until(served, 200)
            before = bao.requests()
            load = Load(f"http://127.0.0.1:{served.port}/api/messages")
            running_load = asyncio.create_task(load.run(16))  # noqa: TID251 - awaited below
            await answered(load, messages)
            load.stop.set()
            await running_load
            assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
            assert bao.requests() == before
            assert not any(load.canary.encode() in body for body in behind.bodies)


@pytest.mark.timing
async def test_it_waits_while_vault_is_sealed_and_shows_no_secret(
    bao: OpenBao, tmp_path: Path
) -> None:
    keyring, root = made(bao, tmp_path)
    secret = (tmp_path / "secret_id").read_text()
    before = tokens(bao)
    bao.seal()
    try:
        async with backend() as behind:
            with sidecar(tmp_path, behind.port, root, keyring, {}) as served:
                text = await until(served, 503)
                assert "`vault` transit/sealyard" in text
                assert "it is sealed: unseal it" in text
                assert (await asked(served, "/livez"))[0] == 200
                bao.unseal()
                back = time.monotonic()
                text += await until(served, 200)
                assert time.monotonic() - back < 2
                assert (await send(served))[0] == 200
                text += (await asked(served, "/metrics"))[1]
                # A secret id that is used up, a reload, and a new one.
                bao.done("auth/approle/role/sidecar/secret-id/destroy", {"secret_id": secret})
                served.process.send_signal(signal.SIGHUP)
                told = await served.event("root.unavailable", 2)
                assert "no login at auth/approle: the role id or the secret id" in told["reason"]
                assert (await send(served))[0] == 200
                newer = new_secret(bao, tmp_path)  # the file is watched
                await served.event("root.opened", 2)
                assert (await send(served))[0] == 200
                environ = Path(f"/proc/{served.process.pid}/environ").read_bytes()  # noqa: ASYNC240 - of memory
        kept = (tmp_path / "keyring.jwe", tmp_path / "keyring.jwe.audit")
        found = [served.log, bao.audited, bao.folder / "log", *kept]
        shown = text.encode() + environ + b"".join(one.read_bytes() for one in found)
        for canary in (secret, newer, bao.token, bao.unseal_key, "canary of a message"):
            assert canary.encode() not in shown
        assert b"canary" not in b"".join(behind.bodies)
        # The token of a login is revoked at once.
        assert await asyncio.to_thread(tokens, bao) <= before
    finally:
        await asyncio.to_thread(bao.unseal)


@pytest.mark.timing
@pytest.mark.parametrize(
    ("seconds", "lease", "clients"),
    [(5, 24, 4), pytest.param(60, 90, 17, marks=pytest.mark.slow)],
)
async def test_a_fleet_of_three_outlives_vault(
    bao: OpenBao, tmp_path: Path, seconds: int, lease: int, clients: int
) -> None:
    """`clients` send ten messages a second to each of three, 510 a second in the long form.

    OpenBao is killed for so many seconds, and until each of them has missed it.
    """
    source = tmp_path / "source"
    source.mkdir()
    keyring, root = made(bao, source)
    try:
        async with backend() as behind:
            with ExitStack() as stack:
                fleet: list[Served] = []
                for name in ("one", "two", "three"):
                    shutil.copytree(source, tmp_path / name)
                    leased = f"{root}, lease: {lease}s"
                    one = sidecar(tmp_path / name, behind.port, leased, keyring, {})
                    fleet.append(stack.enter_context(one))
                for one_served in fleet:
                    await until(one_served, 200)
                urls = [f"http://127.0.0.1:{one.port}/api/messages" for one in fleet]
                loads = [Load(url, every=0.1) for url in urls]
                began = time.monotonic()
                sending = asyncio.gather(*(load.run(clients) for load in loads))
                for load in loads:
                    await answered(load, 3)
                bao.kill()
                killed = time.monotonic()
                for one_served in fleet:
                    await reported(one_served, "root.unavailable", 1, lease)
                await asyncio.sleep(max(0.0, killed + seconds - time.monotonic()))
                await asyncio.to_thread(bao.start)
                away = time.monotonic() - killed
                for one_served in fleet:
                    await reported(one_served, "root.opened", 2, lease)
                for load in loads:
                    load.stop.set()
                await sending
                took = time.monotonic() - began
                for load in loads:
                    assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
                for one_served in fleet:
                    named = {one["event"] for one in one_served.events}
                    assert "root.lease_ended" not in named
                rate = sum(load.answered for load in loads) / took
                print(f"away {away:.0f} s, {rate:.0f} messages a second, 0 failed")  # noqa: T201 - the figures, with -rP
                canaries = [load.canary.encode() for load in loads]
        assert not any(canary in body for canary in canaries for body in behind.bodies)
    finally:
        if bao.process is None:
            await asyncio.to_thread(bao.start)


async def reported(served: Served, event: str, count: int, seconds: int) -> None:
    """Wait until a process has reported an event so often."""
    deadline = time.monotonic() + seconds
    while len([one for one in served.events if one["event"] == event]) < count:
        assert time.monotonic() < deadline, f"no {event}"
        await asyncio.sleep(0.1)


async def test_a_token_that_was_revoked_stops_opening_at_the_end_of_the_lease(
    bao: OpenBao, tmp_path: Path
) -> None:
    keyring, _ = made(bao, tmp_path)
    login = bao.login(tmp_path / "token", "opener")
    assert login.token == SecretReference(file=tmp_path / "token")
    root = f"vault: {{address: '{bao.url}', key: {KEY}, token: {{file: token}}}}, lease: 4s"
    async with backend() as behind:
        with sidecar(tmp_path, behind.port, root, keyring, {}) as served:
            await until(served, 200)
            assert (await send(served))[0] == 200
            bao.done("auth/token/revoke", {"token": (tmp_path / "token").read_text().strip()})
            told = await served.event("root.unavailable")
            assert "has expired or was revoked" in told["reason"]
            await served.event("root.lease_ended")
            assert await send(served) == (503, "key-unavailable")
            bao.login(tmp_path / "token", "opener")
            await until(served, 200)
            assert (await send(served))[0] == 200
