"""Real `sealyard serve` processes that share one Redis, and an operator's commands beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.scenarios.rig import TOKEN, Served, command, environment, write_keys
from tests.servers import child, free_port

from .server import another_clock

CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: {store}
  sessions: {{mode: {mode}, revocation_max_age: {age}}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    defaults: {{others: pass, tenant: "const:clinic"}}
    rules:
      - name: write
        match: POST /write
        conversation: $.conversation
        request: {{encrypt: [$.content]}}
        response: pass
      - name: read
        match: POST /read
        conversation: $.conversation
        request: pass
        response: {{decrypt: [$.content]}}
"""
CANARY = "canary-of-the-pods-5b21"
NAMED = ("--tenant", "clinic", "--conversation", "c1")


@dataclass
class Place:
    """A folder with a keyring and a configuration: a pod's, or the operator's."""

    folder: Path
    upstream: int
    store: str
    mode: str = "durable"
    age: str = "30s"
    ports: tuple[int, int, int] = field(
        default_factory=lambda: (free_port(), free_port(), free_port())
    )

    def write(self, keys: Place | None = None) -> Place:
        """Write it, with a keyring of its own or a copy of another place's."""
        self.folder.mkdir(parents=True)
        if keys is None:
            write_keys(self.folder)
        else:
            for name in ("keyring.jwe", "root.key", "admin.token"):
                shutil.copy2(keys.folder / name, self.folder / name)
        port, admin, health = self.ports
        text = CONFIGURATION.format(
            store=self.store,
            mode=self.mode,
            age=self.age,
            port=port,
            admin=admin,
            health=health,
            upstream=self.upstream,
        )
        (self.folder / "sealyard.yaml").write_text(text)
        return self

    def sealyard(self, *words: str, status: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a command of the operator here and return its JSON."""
        config = ("--config", str(self.folder / "sealyard.yaml"))
        done = subprocess.run(  # noqa: S603 - Sealyard itself
            [sys.executable, "-P", "-m", "proxy", *words, "--json", *config],
            env=environment(),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode() + done.stdout.decode()
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def keys(self, *words: str, status: int = 0) -> str:
        """Run one of the `keys` commands of the operator here and return what it says."""
        done = self._keys(words, status)
        return (done.stdout if status == 0 else done.stderr).decode()

    def told(self, *words: str) -> str:
        """Run one of the `keys` commands of the operator here and return what stderr says."""
        return self._keys(words, 0).stderr.decode()

    def _keys(self, words: tuple[str, ...], status: int) -> subprocess.CompletedProcess[bytes]:
        config = ("--config", str(self.folder / "sealyard.yaml"))
        done = subprocess.run(  # noqa: S603 - Sealyard itself
            [sys.executable, "-P", "-m", "proxy", "keys", *words, *config],
            env=environment() | {"SEALYARD_BACKUP_PASSPHRASE": "a phrase for backups"},
            cwd=self.folder,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode() + done.stdout.decode()
        return done

    @contextmanager
    def serving(self, *options: str, ahead: int = 0) -> Iterator[Served]:
        """Run the sidecar here, by a clock that is so many seconds ahead."""
        log = self.folder / "sealyard.log"
        variables = environment(**(another_clock(ahead) if ahead else {}))
        with child(command(self.folder, *options), log, variables) as process:
            yield Served(process, self.folder, log, *self.ports)


@dataclass
class Pod:
    """A running sidecar as its clients and its operator see it."""

    served: Served
    session: aiohttp.ClientSession

    @classmethod
    def at(
        cls,
        place: Place,
        process: subprocess.Popen[bytes],
        log: Path,
        session: aiohttp.ClientSession,
    ) -> Pod:
        """Return the pod of a process that runs at a place."""
        return cls(Served(process, place.folder, log, *place.ports), session)

    async def sealed(self, conversation: str = "c1") -> str:
        """Write a message and return its token, which the backend echoes."""
        body = {"conversation": conversation, "content": CANARY}
        url = f"http://127.0.0.1:{self.served.port}/write"
        async with self.session.post(url, json=body) as response:
            text = await response.text()
            assert response.status == 200, text
            return str(json.loads(text)["content"])

    async def opens(self, token: str) -> bool:
        """Tell whether a token that the backend holds comes back open."""
        body = {"conversation": "c1", "content": token}
        url = f"http://127.0.0.1:{self.served.port}/read"
        async with self.session.post(url, json=body) as response:
            text = await response.text()
            assert response.status in {200, 502}, text
            opened = response.status == 200 and json.loads(text)["content"] == CANARY
            assert opened or CANARY not in text
            return opened

    async def admin(self, method: str, path: str, **body: object) -> tuple[int, Any]:
        """Call the admin port."""
        url = f"http://127.0.0.1:{self.served.admin}{path}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        sent = {"json": body} if method == "POST" else {}
        async with self.session.request(method, url, headers=headers, **sent) as response:  # type: ignore[arg-type]  # aiohttp's own options
            if "json" in response.content_type:
                return response.status, await response.json(content_type=None)
            return response.status, await response.text()
