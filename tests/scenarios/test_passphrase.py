"""The passphrase is gone once it was used: from the memory and the environment of all processes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring, open_keyring, update_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.process.searching import can_read, places, whole
from tests.scenarios.rig import ROOT, Served, backend, running, write_token
from tests.servers import free_port

pytestmark = [
    pytest.mark.cold,
    pytest.mark.skipif(
        not can_read(),
        reason="reads the memory of other processes: needs Linux, and root with its rights",
    ),
]

TOKEN = "token-of-the-tests-0123456789"
CONTROL = "SEALYARD_CONTROL"
_CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, passphrase: {passphrase}}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    defaults: {{others: pass}}
    rules:
      - name: echo
        match: POST /echo
        conversation: $.conversation
        request: {{encrypt: [$.content]}}
        response: {{decrypt: [$.content]}}
"""


def half(secret: str) -> bytes:
    """Return what is looked for: a copy whose beginning was overwritten counts as well."""
    return secret[len(secret) // 2 :].encode()


def a_root(passphrase: str) -> PassphraseRoot:
    return PassphraseRoot(SecretReference(env="P"), {"P": passphrase})


@contextmanager
def serve(
    folder: Path, passphrase: str, upstream: int, where: str, *options: str, control: str
) -> Iterator[Served]:
    """Run the sidecar with its passphrase in the environment or in a file."""
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, a_root(passphrase))
    write_token(folder, TOKEN)
    secret = "{env: SEALYARD_PASSPHRASE}"
    if where == "file":
        secret = "{file: passphrase}"
        (folder / "passphrase").touch(0o600)
        (folder / "passphrase").write_text(passphrase + "\n")
    ports = {"port": free_port(), "admin": free_port(), "health": free_port()}
    text = _CONFIGURATION.format(passphrase=secret, upstream=upstream, **ports)
    variables = {CONTROL: control} | ({"SEALYARD_PASSPHRASE": passphrase} if where == "env" else {})
    with running(folder, text, *options, variables=variables, **ports) as served:  # type: ignore[arg-type]  # ints
        yield served


async def echoed(port: int, content: str = "canary") -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/echo", json={"conversation": "c", "content": content}
        ) as response,
    ):
        return str((await response.json())["content"])


async def admin(served: Served, path: str, **body: object) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{served.admin}{path}"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=body) as response,
    ):
        told: dict[str, object] = await response.json(content_type=None)
        assert response.status == 200, told
        return told


async def found(served: Served, text: bytes) -> list[str]:
    """Return where the text stands in the process and those that it has started.

    While a keyring is being opened it stands there: what counts is what stays. A reload that a
    changed file brings about takes a second to begin, and a busy machine some more to end.
    """
    standing: list[str] = []
    for _ in range(15):
        pids = whole(served.process.pid)
        standing = [f"{pid}: {place}" for pid in pids for place in places(pid, text)]
        if not standing:
            break
        await asyncio.sleep(1)
    return standing


@pytest.mark.parametrize(
    ("workers", "where"),
    [
        (2, "file"),
        pytest.param(1, "env", marks=pytest.mark.slow),
        pytest.param(1, "file", marks=pytest.mark.slow),
        pytest.param(2, "env", marks=pytest.mark.slow),
    ],
)
async def test_no_process_holds_it_after_the_start_a_reload_a_revocation_and_a_death(
    tmp_path: Path, workers: int, where: str
) -> None:
    passphrase, control = secrets.token_hex(24), secrets.token_hex(24)
    async with backend() as behind:
        options = () if workers == 1 else ("--workers", str(workers))
        with serve(tmp_path, passphrase, behind.port, where, *options, control=control) as served:
            await served.event("server.ready")
            assert await echoed(served.port) == "canary"
            processes = whole(served.process.pid)
            assert len(processes) == (1 if workers == 1 else 1 + workers)
            for pid in processes:
                # What was planted is found: in the environment, and in Python's copy of it.
                assert {"environ"} < set(places(pid, half(control))), pid  # and in memory
            assert await found(served, half(passphrase)) == []

            # Another process changes the keyring; all take it without the passphrase.
            update_keyring(
                tmp_path / "keyring.jwe",
                a_root(passphrase),
                lambda keyring: keyring.add("k2", now=int(time.time()), random=os.urandom),
            )
            told = await admin(served, "/-/reload")
            assert told["reloaded"] is True, told
            assert await found(served, half(passphrase)) == []

            scope = {"tenant": "clinic", "conversation": "c"}
            told = await admin(served, "/v1/sessions/revoke", **scope)
            assert told["durable"] is True, told
            assert await found(served, half(passphrase)) == []

            if workers > 1:
                os.kill(processes[1], 9)
                await served.event("worker.ready", 1 + workers)
                for _ in range(8):
                    assert await echoed(served.port) == "canary"
                assert await found(served, half(passphrase)) == []
        keyring = open_keyring(tmp_path / "keyring.jwe", a_root(passphrase))
        assert len(keyring.keks) == 2
        assert len(keyring.revocations) >= 1


@pytest.mark.slow
async def test_a_keyring_under_another_salt_is_told_and_the_old_one_stays(tmp_path: Path) -> None:
    passphrase = secrets.token_hex(24)
    async with backend() as behind:
        with serve(tmp_path, passphrase, behind.port, "env", control="") as served:
            await served.event("server.ready")
            another = create("k1", now=int(time.time()), random=os.urandom)
            create_keyring(tmp_path / "anew.jwe", another, a_root(passphrase))
            (tmp_path / "anew.jwe").replace(tmp_path / "keyring.jwe")
            refused = await served.event("config.refused")
            assert refused["reason"] == "keyring-error"
            problem = (await served.event("config.problem"))["problem"]
            assert "restart, or keep the passphrase in a file" in problem
            assert await echoed(served.port) == "canary"


def test_every_command_is_guarded_before_it_reads_anything(tmp_path: Path) -> None:
    script = (
        "import json, os, sys\n"
        "from proxy.process import hardening\n"
        "seen = []\n"
        "real = hardening.guard_memory\n"
        "def guard(): seen.append(sorted(n for n in sys.modules if n.startswith('proxy.')))\n"
        "hardening.guard_memory = lambda: (guard(), real())[1]\n"
        "import proxy.__main__ as main\n"
        "sys.argv = ['sealyard', 'show', 'version']\n"
        "try:\n    main.run()\n"
        "except SystemExit: pass\n"
        "import ctypes, resource\n"
        "dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "print(json.dumps([seen, dumpable, resource.getrlimit(resource.RLIMIT_CORE)]))\n"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    seen, dumpable, core = json.loads(done.stdout.splitlines()[-1])
    assert (dumpable, core) == (0, [0, 0])
    assert not [name for name in seen[0] if name.startswith(("proxy.cli", "proxy.keys"))]


def test_every_way_into_the_program_begins_with_the_guard() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"sealyard": "sealyard.__main__:run"}
    image = (ROOT / "tools" / "docker" / "sealyard").read_text()
    assert "from sealyard.__main__ import run" in image
    assert "sealyard.cli" not in image
