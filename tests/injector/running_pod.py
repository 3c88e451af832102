"""An injected pod, run for real in network namespaces: nft, sidecar and application.

What runs is what stands in the patched pod: the command of its init container, the arguments, the
environment and the user of its sidecar. Only paths are other ones.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest

from proxy.injector.annotations import InjectorSettings
from proxy.injector.pod_reader import Json
from tests.injector.pods import SETTINGS, container, injected, variables

ROOT = Path(__file__).parent.parent.parent
BACKEND = Path(__file__).parent / "backend.py"
V4, V6 = "10.244.0.5", "fd00:244::5"
CANARY = "canary-the-patient-has-a-cold"

NONE = "-all"
"""No capability."""
READING = f"{NONE},+dac_read_search"
"""Enough to run the Python of the tests also where only root may read it, with its packages."""

NEEDED = ("ip", "nft", "setpriv", "setcap", "curl")
MISSING = [tool for tool in NEEDED if shutil.which(tool) is None]
if os.geteuid() != 0:
    MISSING.append("root")
# With REQUIRE_RUNTIME, as CI sets it, what is missing lets the tests fail rather than be skipped.
needs_namespaces = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
    reason=f"a pod cannot be run here: {', '.join(MISSING)} missing",
)

CONFIGURATION = """\
version: 1
keys:
  keyring: {file: keys/keyring.jwe, key: {file: keys/root.key}}
  store: memory
health: {listen: '${env:SEALYARD_HEALTH}'}
listeners:
  - name: api
    listen: ${env:SEALYARD_LISTEN}
    upstream: ${env:SEALYARD_UPSTREAM}
    unmatched: pass
    trusted_proxies: [127.0.0.6/32, '::6/128']
    defaults:
      others: pass
      tenant: const:clinic
      bind: [tenant, conversation]
    rules:
      - name: send
        match: POST /messages/**
        conversation: $.conversationId
        request: {encrypt: $.content}
        response: {decrypt: tokens}
      - name: list
        match: GET /messages
        response: {decrypt: tokens}
        conversation: const:c1
"""


def inside_of(namespace: str) -> list[str]:
    """Return what runs a command in a network namespace."""
    return ["ip", "netns", "exec", namespace]


def run(*command: str, seconds: float = 30) -> str:
    """Run a command to its end and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@dataclass(slots=True)
class RunningPod:
    """The namespaces of a pod and of its client, and the processes in the pod."""

    name: str
    folder: Path
    pod: Json
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command in the pod's network namespace."""
        return tuple(inside_of(f"{self.name}-pod"))

    def start(self, name: str, *command: str, **environ: str) -> None:
        """Start a process in the pod."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.inside, *command],
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdout=log,
                stderr=log,
            )

    def start_application(self, port: int) -> None:
        """Start the application at one port."""
        self.start(f"app{port}", sys.executable, str(BACKEND), str(port), str(self.file(port)))
        self.until(f"http://127.0.0.1:{port}/who", inside=True)

    def start_sidecar(self, capabilities: str = NONE) -> None:
        """Start the sidecar by the arguments, environment and user of its container."""
        sidecar = container(self.pod, "sealyard")
        arguments = list(sidecar["args"])
        arguments[arguments.index("--config") + 1] = str(self.folder / "sealyard.yaml")
        command = (
            *as_user(sidecar, capabilities, capabilities),
            sys.executable,
            "-P",
            "-m",
            "proxy",
            *arguments,
        )
        self.start("sidecar", *command, **variables(sidecar))
        port = sidecar["readinessProbe"]["httpGet"]["port"]
        self.until(f"http://127.0.0.1:{port}/readyz", inside=True)

    def redirect(self) -> None:
        """Run nft as the init container does: not as root, by a capability of the file alone."""
        nft = self.folder / "nft"
        if not nft.exists():
            shutil.copy(shutil.which("nft") or "", nft)
            run("setcap", "cap_net_admin+ep", str(nft))
        redirect = container(self.pod, "sealyard-redirect")
        _, *ruleset = redirect["command"]
        run(*self.inside, *as_user(redirect, "-all,+net_admin"), str(nft), *ruleset)

    def curl(self, url: str, *arguments: str, inside: bool = False) -> tuple[int, str]:
        """Call from outside the pod, or from inside; return curl's exit code and what came."""
        place = f"{self.name}-{'pod' if inside else 'client'}"
        done = subprocess.run(
            [*inside_of(place), "curl", "-s", "-m", "10", *arguments, url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout

    def post(
        self, url: str, content: str, *arguments: str, inside: bool = False
    ) -> tuple[int, str]:
        """Send a message from outside, or from inside."""
        body = json.dumps({"conversationId": "c1", "content": content})
        kind = ("-H", "Content-Type: application/json", "-d", body)
        return self.curl(url, *kind, *arguments, inside=inside)

    def until(self, url: str, *, inside: bool) -> None:
        """Wait until somebody answers, and not with an error."""
        self._until(lambda: self.curl(url, "-f", inside=inside)[0] == 0)

    def until_listening(self, name: str, port: int) -> None:
        """Wait until a process, or another of the pod, listens at a port; do not connect to it."""
        net = Path(f"/proc/{self.processes[name].pid}/net")
        listening = re.compile(rf": [0-9A-F]+:{port:04X} [0-9A-F:]+ 0A ")
        tables = [net / "tcp", net / "tcp6"]
        self._until(lambda: any(listening.search(one.read_text()) for one in tables))

    def _until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not seen():
            logs = "".join(one.read_text() for one in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)

    def file(self, port: int) -> Path:
        """Return where an application keeps what it is sent."""
        return self.folder / f"data{port}"

    def kill(self, name: str) -> None:
        """Kill a process of the pod."""
        self.processes[name].kill()
        self.processes.pop(name).wait()


def as_user(container: Json, bounding: str = NONE, held: str = NONE) -> tuple[str, ...]:
    """Return what runs a command as the user of a container, with these capabilities at most.

    It begins with those that are `held`.
    """
    security = container["securityContext"]
    return (
        *("setpriv", "--reuid", str(security["runAsUser"]), "--regid", str(security["runAsGroup"])),
        *("--clear-groups", "--inh-caps", held, "--ambient-caps", held),
        *("--bounding-set", bounding),
    )


def link(name: str) -> None:
    """Make the two namespaces and the link between them, IPv4 and IPv6."""
    for one in ("pod", "client"):
        run("ip", "netns", "add", f"{name}-{one}")
    run(
        *("ip", "-n", f"{name}-pod", "link", "add", "eth0", "type", "veth"),
        *("peer", "name", "eth0", "netns", f"{name}-client"),
    )
    for one, v4, v6 in (("pod", V4, V6), ("client", "10.244.0.9", "fd00:244::9")):
        here = ("ip", "-n", f"{name}-{one}")
        run(*here, "addr", "add", f"{v4}/24", "dev", "eth0")
        run(*here, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
        run(*here, "link", "set", "eth0", "up")
        run(*here, "link", "set", "lo", "up")


@contextmanager
def running(manifest: Json, settings: InjectorSettings = SETTINGS) -> Iterator[RunningPod]:
    """Make the namespaces for a pod, with its configuration and keys; end what runs in them."""
    name = f"sy{secrets.token_hex(3)}"
    folder = Path(mkdtemp(prefix=name))
    prepare(folder)
    made = RunningPod(name, folder, injected(manifest, settings))
    try:
        link(name)
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
        for one in ("pod", "client"):
            subprocess.run(["ip", "netns", "del", f"{name}-{one}"], check=False)  # noqa: S607 - found above
        shutil.rmtree(folder)


def prepare(folder: Path) -> None:
    """Write configuration and keys with the modes of their volumes: users of containers read them.

    pytest's own folders are root's alone.
    """
    folder.chmod(0o755)
    (folder / "sealyard.yaml").write_text(CONFIGURATION)
    (folder / "keys").mkdir()
    (folder / "keys").chmod(0o755)
    for name, content in keys().items():
        (folder / "keys" / name).write_bytes(content)
        (folder / "keys" / name).chmod(0o440)


@cache
def keys() -> dict[str, bytes]:
    """Make keys with `init`, once for all pods of this process: it takes most of a second."""
    with TemporaryDirectory() as folder:
        run(sys.executable, "-P", "-m", "proxy", "init", f"{folder}/keys")
        return {one.name: one.read_bytes() for one in Path(folder, "keys").iterdir()}
