"""The Sealyard under trial: keys of its own, a listener before each backend, one before an echo."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.servers import free_port

from .routes import IN_BODIES, RULES

ROOT: Final = Path(__file__).parents[3]
_PATIENCE_SECONDS: Final = 120.0
_HEAD: Final = """\
version: 1
keys:
  keyring: {file: keyring.jwe, key: {file: root.key}}
admin: {listen: "127.0.0.1:0", token: {file: admin.token}}
listeners:
"""
_LISTENER: Final = """\
  - name: {name}-{world}
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    defaults: {{others: {world}, tenant: "const:clinic"{listed}}}
    rules:
"""
WORLDS: Final = ("pass", "refuse", "seal")
"""What rules say of `others`."""
_LISTED: Final = ", query: {page: plain, sort: plain, flag: plain, v: plain, ids: plain}"
"""What closed rules let honest messages have."""
_TROUBLE: Final = re.compile(rb'"event": ?"(exception\.unhandled|worker\.died|library\.message)"')


def own() -> list[str]:
    """Return the command of this repository's Sealyard."""
    return [sys.executable, "-P", "-m", "proxy"]


def of_release(path: Path) -> list[str]:
    """Return the command of another checkout or environment; raise FileNotFoundError."""
    for found in (path / ".venv" / "bin" / "sealyard", path / "bin" / "sealyard", path):
        if found.is_file() and os.access(found, os.X_OK):
            return [str(found)]
    raise FileNotFoundError(f"no sealyard in {path}: neither .venv/bin/sealyard nor bin/sealyard")


@dataclass
class Sidecar:
    """A running one: its listeners by backend and world, and what its log has told."""

    process: subprocess.Popen[bytes]
    ports: Mapping[str, Mapping[str, int]]
    log: Path
    _read: int = 0

    def trouble(self, secret: re.Pattern[bytes]) -> list[str]:
        """Return what the log has told since the last call that must never stand there."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = [
            line for line in whole.split(b"\n") if _TROUBLE.search(line) or secret.search(line)
        ]
        if self.process.poll() is not None:
            lines.append(b"the process ended with %d" % self.process.returncode)
        return [line.decode("utf-8", "replace") for line in lines]


@contextlib.contextmanager
def serving(
    folder: Path, command: Sequence[str], upstreams: Mapping[str, int]
) -> Iterator[Sidecar]:
    """Run `sealyard serve` with a listener for each world before each upstream, by its name."""
    folder.mkdir(parents=True)
    ports = {name: {world: free_port() for world in WORLDS} for name in upstreams}
    text = _HEAD
    for name, upstream in upstreams.items():
        for world, port in ports[name].items():
            text += _LISTENER.format(
                name=name,
                world=world,
                port=port,
                upstream=upstream,
                listed="" if world == "pass" else _LISTED,
            )
            text += IN_BODIES if world == "pass" else RULES
    (folder / "sealyard.yaml").write_text(text)
    token = folder / "admin.token"
    token.write_text("token-of-the-fuzzer-0123456789\n")
    token.chmod(0o600)
    settings: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    if list(command) != own():
        settings["env"].pop("PYTHONPATH")
    keys = [*command, "keys", "init", "--keyring", "keyring.jwe", "--root-file", "root.key"]
    subprocess.run(keys, check=True, capture_output=True, **settings)
    log = folder / "sealyard.log"
    with log.open("wb") as sink:
        serve = [*command, "serve", "--config", "sealyard.yaml"]
        process = subprocess.Popen(serve, stdout=sink, stderr=sink, **settings)
        try:
            for port in (port for by_world in ports.values() for port in by_world.values()):
                _until_it_answers(process, port, log)
            yield Sidecar(process, ports, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(_PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"sealyard does not listen:\n{log.read_text()[-3000:]}")


def split(command: str) -> list[str]:
    """Return the words of a command line."""
    return shlex.split(command)
