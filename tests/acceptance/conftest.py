"""A real Kinto and a real sidecar process in front of it, started for these tests alone."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.servers import PATIENCE_SECONDS, await_port, child, free_port

ROOT = Path(__file__).parents[2]
KINTO = ROOT / ".venv-kinto" / "bin" / "kinto"
PASSPHRASE = "kinto acceptance passphrase"

_INI = """\
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
threads = {threads}
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.includes = kinto.plugins.accounts {plugin}
kinto.experimental_collection_schema_validation = true
kinto.account_create_principals = system.Everyone
kinto.bucket_create_principals = system.Authenticated
kinto.paginate_by = {page}
multiauth.policies = account
multiauth.policy.account.use = kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = DEBUG
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = plain
[formatter_plain]
format = %(levelname)s %(name)s %(message)s
"""


@dataclass(frozen=True)
class Answer:
    """A response: everything of it that a client can see."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the JSON holds
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Client:
    """A client of one port, signed in to Kinto as one account."""

    port: int
    account: str = "ada"

    def ask(
        self,
        method: str,
        path: str,
        data: object = None,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = {"Authorization": self.authorization, "Host": "kinto.test"}
        if data is not None:
            body = json.dumps(data).encode()
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent = {name: value for name, value in (sent | (headers or {})).items() if value}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.account}:password-of-ada".encode()).decode()


@dataclass
class Process:
    """A server of ours: its pid is the only one that we ever signal."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def memory(self) -> bytes:
        """Return all of its writable memory: what it holds, wherever it holds it."""
        pieces = []
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps.splitlines():
                span, rights = line.split()[:2]
                if "w" not in rights:
                    continue
                start, end = (int(text, 16) for text in span.split("-"))
                memory.seek(start)
                try:
                    pieces.append(memory.read(end - start))
                except OSError:
                    continue  # a mapping of the kernel's own
        return b"\0".join(pieces)


@dataclass
class Scene:
    """Kinto, the sidecar in front of it, and a client on either side of the sidecar."""

    kinto: Process
    sidecar: Process
    through: Client
    direct: Client = field(init=False)

    def __post_init__(self) -> None:
        self.direct = Client(self.kinto.port)


@contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[Process]:
    """Run a server until it listens; end it with SIGTERM."""
    with child(command, log, environment, cwd=log.parent) as process:
        await_port(process, port, log)
        yield Process(process, port, log)


@contextmanager
def kinto(
    folder: Path, *, threads: int = 4, plugin: str = "kinto.plugins.history", page: int = 100
) -> Iterator[Process]:
    """Run a Kinto of its own with an account and nothing else.

    With one thread it compares `If-Match` and writes without another request in between. In memory,
    its history makes each write take longer than the one before.
    """
    port = free_port()
    ini = folder / "kinto.ini"
    ini.write_text(_INI.format(port=port, threads=threads, plugin=plugin, page=page))
    environment = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    command = [str(KINTO), "start", "--ini", str(ini), "--port", str(port)]
    with running(command, port, folder / "kinto.log", **environment) as process:
        account = Client(port).ask(
            "PUT", "/v1/accounts/ada", {"data": {"password": "password-of-ada"}}
        )
        assert account.status == 201, account.body
        yield process


@contextmanager
def sidecar(
    folder: Path, example: str, upstream: int, *, changes: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Process]:
    """Run `sealyard serve` with an example of the repository, its addresses made ours.

    `changes` are further texts of the example to be replaced. A keyring that is there is used.
    """
    port = free_port()
    text = (ROOT / "config" / "examples" / example).read_text()
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    text = re.sub(r"upstream: \S+", f"upstream: http://127.0.0.1:{upstream}", text)
    text = text.replace("127.0.0.1:9901", f"127.0.0.1:{free_port()}")
    for old, new in changes.items():
        text = text.replace(old, new)
    token = folder / "admin.token"
    token.write_text(secrets.token_urlsafe(32))
    token.chmod(0o600)
    configuration = folder / "sealyard.yaml"
    configuration.write_text(text)
    command = [sys.executable, "-P", "-m", "proxy"]
    environment = {"SEALYARD_PASSPHRASE": PASSPHRASE, "PYTHONPATH": str(ROOT)}
    if not (folder / "keyring.jwe").exists():
        subprocess.run(
            [*command, "keys", "init", "--config", str(configuration)],
            env={**os.environ, **environment},
            cwd=folder,
            check=True,
            capture_output=True,
        )
    serve = [*command, "serve", "--config", str(configuration)]
    with running(serve, port, folder / "sealyard.log", **environment) as process:
        yield process


@pytest.fixture(scope="session")
def stage() -> Callable[..., Any]:
    """Return the way to set up Kinto with a sidecar that has one of the examples' rules."""
    if not KINTO.exists():
        pytest.skip(f"{KINTO.relative_to(ROOT)} is missing: `./dev test` installs it")

    @contextmanager
    def set_up(
        folder: Path, example: str, changes: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Scene]:
        with (
            kinto(folder) as backend,
            sidecar(folder, example, backend.port, changes=changes) as front,
        ):
            scene = Scene(backend, front, Client(front.port))
            for path in ("/v1/buckets/clinic", "/v1/buckets/clinic/collections/messages"):
                assert scene.through.ask("PUT", path).status == 201
            yield scene

    return set_up
