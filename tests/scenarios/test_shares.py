"""A process that operators open: sealed at first, then ready, and it reloads without them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proxy.config.settings.roots.shares import SharesOptions
from proxy.keys.keyring.file import create_keyring, read_form, update_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import RootProvider, Roots, passphrase
from proxy.keys.keyring.roots.shares import Collection, SharesRoot
from proxy.keys.keyring.share import KeyringShare
from proxy.keys.keyring.wrapping_changes import rewrap
from tests.kms_double import kms_double
from tests.scenarios.rig import Load, Served, backend, environment
from tests.scenarios.test_roots import asked, root_of, send, sidecar, until
from tests.servers import PATIENCE_SECONDS


def made(folder: Path, *others: RootProvider) -> tuple[Keyring, list[KeyringShare]]:
    """Make a keyring with three shares of which two open; nothing of them stays in this process.

    The `others` open it as well, and are asked first.
    """
    before = dict(passphrase._TAKEN)
    shares: list[KeyringShare] = []
    root = SharesRoot(SharesOptions(2, 3, str(folder / "s")), {}, made=shares.extend)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, Roots((*others, root)))
    passphrase._TAKEN.clear()
    passphrase._TAKEN.update(before)
    return keyring, shares


async def unlock(folder: Path, text: str) -> tuple[int, str]:
    """Hand in a share as an operator does; return the status and all that was said."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-m", "proxy", "keys", "unlock", "--config", "sealyard.yaml"],
        cwd=folder,
        env=environment(),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def shows_no_share(served: Served, shares: list[KeyringShare]) -> None:
    """No log, dump or file has a piece of a share as long as a group, or its value."""
    told = served.log.read_text() + (served.log.parent / "keyring.jwe.audit").read_text()
    assert "Traceback" not in told
    for one in shares:
        assert one.value.reveal().hex() not in told
        # A group of digits alone may be a port or the number of a process.
        groups = {group for group in one.text().split() if not group.isdigit()}
        assert not groups & set(re.findall(r"\b[0-9A-Z]{5}\b", told))


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_it_starts_sealed_and_is_opened_by_enough_operators(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    keyring, shares = made(tmp_path)
    roots = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    async with backend() as behind:
        with sidecar(tmp_path, behind.port, roots, keyring, {}, *options) as served:
            await until(served, 503, "0 of 2 shares")
            assert (await asked(served, "/livez"))[0] == 200
            assert await unlock(tmp_path, shares[2].text()) == (
                0,
                "1 of 2 shares\n0 of 2 shares so far. Yours:\n",
            )
            status, told = await unlock(tmp_path, shares[2].text())
            assert (status, "share 3 was handed in already" in told) == (1, True)
            status, told = await unlock(tmp_path, shares[0].text().replace("0", "Z"))
            assert (status, "of the share is mistyped" in told) == (1, True)
            refused = await served.event("root.share_refused", 2)
            assert refused["uid"] == os.getuid()
            await until(served, 503, "1 of 2 shares")

            status, told = await unlock(tmp_path, shares[0].text())
            assert (status, "the keyring opens now" in told) == (0, True)
            await until(served, 200)
            assert (await send(served))[0] == 200
            assert b"canary" not in behind.bodies[0]
            assert await unlock(tmp_path, shares[0].text()) == (
                1,
                "error: no shares are wanted: no keyring waits for them\n",
            )

            served.process.send_signal(signal.SIGHUP)
            await served.event("config.loaded", 2)
            assert (await send(served))[0] == 200
            shows_no_share(served, shares)


async def test_a_process_that_waits_for_operators_can_be_stopped(tmp_path: Path) -> None:
    keyring, _ = made(tmp_path)
    roots = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    with sidecar(tmp_path, 1, roots, keyring, {}) as served:
        await until(served, 503)
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
        assert not (tmp_path / "unlock.sock").exists()


async def test_a_process_that_waits_for_a_key_service_takes_shares_once_they_are_configured(
    tmp_path: Path,
) -> None:
    with kms_double() as kms:
        keyring, shares = made(tmp_path, root_of(kms))
        kms.stop()
        service = f"aws-kms: {kms.configuration}"
        with sidecar(tmp_path, 1, service, keyring, kms.environment) as served:
            await until(served, 503, "`aws-kms`")
            file = tmp_path / "sealyard.yaml"
            roots = "shares: {needed: 2, of: 3, socket: none/s}"
            text = file.read_text().replace(service, roots)
            file.write_text(text)
            await until(served, 503, f"0 of 2 shares; {tmp_path}/none/s: ")
            file.write_text(text.replace("none/s", "unlock.sock"))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (tmp_path / "unlock.sock").exists():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            for one in shares[:2]:
                assert (await unlock(tmp_path, one.text()))[0] == 0
            await until(served, 200)
            shows_no_share(served, shares)


def split_again(folder: Path, shares: list[KeyringShare]) -> list[KeyringShare]:
    """Make a new split, as `keys roots rewrap` does, and a KEK that only the new file has."""
    before = dict(passphrase._TAKEN)
    made_anew: list[KeyringShare] = []
    typed = iter(shares[:2])
    options = SharesOptions(2, 3, str(folder / "s"))
    root = SharesRoot(
        options, {}, Collection(), made=made_anew.extend, ask=lambda _: next(typed).text()
    )
    path = folder / "keyring.jwe"
    keyring_id = read_form(path).id
    time.sleep(1.1)  # a split is told by its second
    rewrap(path, Roots((root,), keyring_id), lambda *_: None, now=int(time.time()))
    update_keyring(
        path,
        Roots((root,), keyring_id),
        lambda keyring: keyring.add("k2", now=int(time.time()), random=os.urandom).promote("k2"),
    )
    passphrase._TAKEN.clear()
    passphrase._TAKEN.update(before)
    return made_anew


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_shares_of_a_new_split_are_handed_in_to_a_process_that_runs(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    keyring, shares = made(tmp_path)
    roots = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    async with backend() as behind:
        with sidecar(tmp_path, behind.port, roots, keyring, {}, *options) as served:
            await until(served, 503)
            for one in shares[:2]:
                assert (await unlock(tmp_path, one.text()))[0] == 0
            await until(served, 200)
            load = Load(f"http://127.0.0.1:{served.port}/api/messages", pause=0.05)
            loading = asyncio.create_task(load.run(2))  # noqa: TID251 - awaited below

            newer = await asyncio.to_thread(split_again, tmp_path, shares)
            refused = await served.event("config.refused")
            assert refused["reason"] == "root-unavailable"
            status, told = await unlock(tmp_path, shares[2].text())
            assert (status, "the share is of an earlier split" in told) == (1, True)
            for one in newer[1:]:
                assert (await unlock(tmp_path, one.text()))[0] == 0
            loaded = await served.event("config.loaded", 2)
            # The file is looked at again and again: such a look may come just before.
            assert loaded["cause"] in {"shares", "file"}
            await until(served, 200)
            load.stop.set()
            await loading
            assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
            assert load.answered > 0
            text = await served.metrics()
            assert re.search(r'sealyard_kek_state\{kek="k2",state="primary"\} [12]\.0', text)
            shows_no_share(served, [*shares, *newer])


async def test_a_worker_that_was_replaced_after_a_new_split_is_opened_by_its_shares(
    tmp_path: Path,
) -> None:
    """It began with the secret of the old split, and waits meanwhile for that of the new one."""
    keyring, shares = made(tmp_path)
    roots = "shares: {needed: 2, of: 3, socket: unlock.sock}"
    async with backend() as behind:
        with sidecar(tmp_path, behind.port, roots, keyring, {}, "--workers", "2") as served:
            await until(served, 503)
            for one in shares[:2]:
                assert (await unlock(tmp_path, one.text()))[0] == 0
            await until(served, 200)
            newer = await asyncio.to_thread(split_again, tmp_path, shares)
            await served.event("config.refused")
            first = await served.event("worker.ready")
            os.kill(int(first["worker_pid"]), signal.SIGKILL)
            await until(served, 503, "no root opens the keyring")

            for one in newer[1:]:
                assert (await unlock(tmp_path, one.text()))[0] == 0
            await until(served, 200)
            assert (await send(served))[0] == 200
            named = [one["event"] for one in served.events]
            assert (named.count("worker.started"), named.count("worker.died")) == (3, 1)
            shows_no_share(served, [*shares, *newer])
