"""A process that is stopped while a read of a file hangs, as of a volume that has gone away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kms_double import KmsDouble, kms_double
from tests.scenarios.root_scenes import make_keyring
from tests.scenarios.test_roots import root_of, sidecar, until


@contextmanager
def held_up(fifo: Path) -> Iterator[None]:
    """Wait until somebody reads it, and hold that up, as a volume does that has gone away."""
    deadline = time.monotonic() + 20
    while True:
        try:
            writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline, "nobody reads it"
            time.sleep(0.02)
        else:
            break
    try:
        yield
    finally:
        os.close(writing)


def by_container(kms: KmsDouble, token: Path) -> dict[str, str]:
    """Return the variables of a process whose key service wants the token in that file."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{kms.url}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


async def test_a_process_that_runs_ends_all_the_same(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        token = tmp_path / "container.token"
        token.write_text(kms.allowed)
        roots = f"aws-kms: {kms.configuration}"
        with sidecar(
            tmp_path, 1, roots, keyring, by_container(kms, token), "--grace", "1"
        ) as served:
            await until(served, 200)
            token.unlink()
            os.mkfifo(token)
            served.process.send_signal(signal.SIGHUP)
            with held_up(token):
                served.process.send_signal(signal.SIGTERM)
                await served.event("server.stopped")
                async with asyncio.timeout(8):
                    assert await served.ended() == 0
            token.unlink()


async def test_a_process_that_starts_ends_all_the_same(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        token = tmp_path / "container.token"
        os.mkfifo(token)
        roots = f"aws-kms: {kms.configuration}"
        with (
            sidecar(tmp_path, 1, roots, keyring, by_container(kms, token)) as served,
            held_up(token),
        ):
            served.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(8):
                assert await served.ended() == 0
