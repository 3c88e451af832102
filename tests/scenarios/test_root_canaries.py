"""Neither the root key nor what opens it is shown: not by a process, a command or a file."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from proxy.core.crypto import base64url
from proxy.keys.keyring.file import KeyringLock, Locked, update_lock
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import LocalRoot
from tests.scenarios.rig import TOKEN, Served, backend, environment
from tests.scenarios.root_scenes import SCENES, RootScene
from tests.scenarios.test_roots import asked, send, sidecar, until
from tests.warm import cold

MESSAGE = "canary of a message"
COMMANDS = (
    ("keys", "list"),
    ("keys", "roots", "list", "--json"),
    ("keys", "roots", "check"),
    ("keys", "roots", "rewrap"),
    ("doctor",),
    ("doctor", "--json"),
    ("validate",),
)


def canaries(scene: RootScene) -> set[bytes]:
    """Return what may be shown nowhere: the secrets, and halves of the root key in each form.

    Base64 differs by the place of a byte among three.
    """
    found: list[bytes] = []

    def look(keyring: Keyring, lock: KeyringLock) -> Locked:
        found.append(lock.root_key.reveal())
        return keyring, lock

    update_lock(scene.folder / "keyring.jwe", scene.roots, look)
    (key,) = found
    forms = {*scene.secrets}
    for first in (0, 1, 2, 15, 16, 17):
        half = key[first : first + 15]
        forms |= {half, half.hex().encode(), base64.b64encode(half), base64url.encode(half)}
    return forms


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def shown_in(texts: dict[str, bytes], wanted: set[bytes]) -> list[str]:
    return [name for name, text in texts.items() if any(one in text for one in wanted)]


@pytest.mark.parametrize(
    "kind",
    [one if one == "vault" else pytest.param(one, marks=pytest.mark.slow) for one in SCENES],
)
async def test_neither_the_root_key_nor_what_opens_it_is_shown(tmp_path: Path, kind: str) -> None:
    with SCENES[kind](tmp_path) as scene:
        wanted = canaries(scene)
        secret = shown_in(files(tmp_path), wanted)
        texts: dict[str, bytes] = {}
        async with backend() as behind:
            root, variables = f"{scene.root}, lease: 5s", dict(scene.variables)
            with ExitStack() as stack:
                with cold():  # its environment and its command line are looked at
                    served = stack.enter_context(
                        sidecar(tmp_path, behind.port, root, scene.keyring, variables)
                    )
                await until(served, 200)
                assert (await send(served, MESSAGE))[0] == 200
                served.process.send_signal(signal.SIGHUP)
                await served.event("config.loaded", 2)
                texts |= await told_by(served)
                for command in COMMANDS:
                    texts[" ".join(command)] = await asyncio.to_thread(ran, scene, command)
                away(scene)
                served.process.send_signal(signal.SIGHUP)
                service = not isinstance(scene.made_by, LocalRoot)
                await served.event("root.unavailable" if service else "config.refused")
                texts |= {f"{name} then": text for name, text in (await told_by(served)).items()}
                for command in COMMANDS:
                    name = f"{' '.join(command)} then"
                    texts[name] = await asyncio.to_thread(ran, scene, command)
        texts |= {name: text for name, text in files(tmp_path).items() if name not in secret}
        texts |= {f"message {number}": one for number, one in enumerate(behind.bodies)}

        assert secret  # it would be found
        assert {"sealyard.log", "keyring.jwe", "keyring.jwe.audit"} <= texts.keys()
        assert texts["keys roots check"].endswith(b": opens\n")
        assert not texts["keys roots check then"].endswith(b": opens\n")
        assert shown_in(texts, {*wanted, MESSAGE.encode()}) == []


def away(scene: RootScene) -> None:
    """Change the first wrapping, so that the root refuses it."""
    path = scene.folder / "keyring.jwe"
    text = path.read_text()
    name = next(one for one in ('"ct": "', '"jwe": "') if one in text)
    head, _, rest = text.partition(name)
    at = rest.index('"') - 20
    other = "A" if rest[at] != "A" else "B"
    path.write_text(f"{head}{name}{rest[:at]}{other}{rest[at + 1 :]}")


async def told_by(served: Served) -> dict[str, bytes]:
    """Return what a process tells: by its health and admin listeners, and to its machine."""
    found = {
        path: (await asked(served, path))[1].encode() for path in ("/readyz?verbose", "/metrics")
    }
    base, headers = f"http://127.0.0.1:{served.admin}", {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in ("/v1/status", "/v1/config", "/"):
            async with session.get(f"{base}{path}") as answer:
                found[path] = await answer.read()
    for name in ("environ", "cmdline"):
        found[name] = Path(f"/proc/{served.process.pid}/{name}").read_bytes()  # noqa: ASYNC240 - of memory
    return found


def ran(scene: RootScene, command: tuple[str, ...]) -> bytes:
    """Return all that a command prints."""
    config = ("--config", str(scene.folder / "sealyard.yaml"))
    done = subprocess.run(  # noqa: S603 - Sealyard itself
        [sys.executable, "-P", "-m", "proxy", *command, *config],
        env=environment(**scene.variables),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr
