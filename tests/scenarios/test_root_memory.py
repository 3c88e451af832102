"""What a process keeps in memory of its roots, and of its KEKs after the end of a lease."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.crypto import base64url
from proxy.keys.keyring.file import update_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import Roots
from tests.kms_double import kms_double
from tests.process.searching import can_read, places, whole
from tests.scenarios.rig import Served, backend
from tests.scenarios.root_scenes import SCENES, make_keyring
from tests.scenarios.test_roots import root_of, send, sidecar, until

pytestmark = [
    pytest.mark.cold,
    pytest.mark.skipif(
        not can_read(),
        reason="reads the memory of other processes: needs Linux, and root with its rights",
    ),
]


async def standing(served: Served, text: bytes, seconds: float = 15) -> list[str]:
    """Return where a text stands in the processes, once it has had so long to go away."""
    deadline = time.monotonic() + seconds
    while True:
        pids = whole(served.process.pid)
        found = [f"{pid}: {place}" for pid in pids for place in places(pid, text)]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)


@pytest.mark.parametrize("kind", ["file", "pkcs11"])
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_no_process_keeps_what_opens_the_root(
    tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    """After a start and a reload, neither PIN nor root key is in any of the processes."""
    control = secrets.token_hex(24)
    with ExitStack() as stack:
        scene = stack.enter_context(SCENES[kind](tmp_path))
        async with backend() as behind:
            variables = {"SEALYARD_CONTROL": control}
            served = stack.enter_context(
                sidecar(tmp_path, behind.port, scene.root, scene.keyring, variables, *options)
            )
            await until(served, 200)
            assert (await send(served))[0] == 200
            served.process.send_signal(signal.SIGHUP)
            await served.event("config.loaded", 2)
            for pid in whole(served.process.pid):
                assert {"environ"} < set(places(pid, control[24:].encode())), pid
            (secret,) = scene.secrets
            assert await standing(served, secret[len(secret) // 2 :]) == []
            served.process.send_signal(signal.SIGTERM)
            await served.ended()


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
async def test_the_keks_are_overwritten_at_the_end_of_the_lease(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """In every process, with what reloads and another keyring have left behind before."""
    serving = 2 if options else 1
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        key = keyring.primary.key.reveal()
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}, lease: 8s"
            with sidecar(
                tmp_path, behind.port, roots, keyring, kms.environment, *options
            ) as served:
                await until(served, 200)
                assert (await send(served))[0] == 200
                served.process.send_signal(signal.SIGHUP)
                await served.event("config.loaded", 2)
                pinned = Roots((root_of(kms),), keyring.id)
                update_keyring(tmp_path / "keyring.jwe", pinned, with_another_kek)
                await served.event("config.loaded", 3)
                assert (await send(served))[0] == 200
                await served.event("root.opened", 5 * serving)  # also to renew the lease, twice
                assert any(places(pid, key) for pid in whole(served.process.pid))
                kms.refuses = "DisabledException"
                await served.event("root.lease_ended", serving)
                assert await send(served) == (503, "key-unavailable")
                half = key[16:]
                assert await standing(served, half) == []
                text = base64url.encode(key)
                assert await standing(served, text[len(text) // 2 :]) == []
                kms.refuses = ""
                await until(served, 200)
                assert (await send(served))[0] == 200


def with_another_kek(keyring: Keyring) -> Keyring:
    return keyring.add("k2", now=int(time.time()), random=os.urandom).promote("k2")
