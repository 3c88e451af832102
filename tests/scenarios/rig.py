"""A backend that remembers, configurations, and real `sealyard serve` processes before it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

import aiohttp
from aiohttp import web

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots import FileRoot, create_root_file
from tests.servers import child, free_port, serving

ROOT = Path(__file__).parents[2]
TOKEN = "token-of-the-tests-0123456789"
PATIENCE_SECONDS = 60.0

A_FORM, B_FORM = "jwe", "short"
_TEMPLATE = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
fields:
  content: {{form: {form}}}
  note: {{form: {form}}}
listeners:
  - name: api
    listen: {listen}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    timeouts: {{keepalive: 75s}}
    limits: {{connections: 2000, clients_per_address: 2000}}
    defaults: {{others: pass, tenant: "const:{tenant}"}}
    rules:
      - name: {tenant}
        match: POST /api/messages
        conversation: $.conversationId
        request: {{encrypt: [$.content, $.note]}}
        response: {{decrypt: [$.content, $.note]}}
"""


def a_configuration(  # one argument for each thing that a test may vary
    upstream: int,
    *,
    listen: str = "127.0.0.1:0",
    form: str = A_FORM,
    tenant: str = "alpha",
    admin: int = 0,
    health: int = 0,
) -> str:
    """Return a configuration that seals `content` and `note`, in one form or the other."""
    return _TEMPLATE.format(
        upstream=upstream, listen=listen, form=form, tenant=tenant, admin=admin, health=health
    )


def write_keys(folder: Path, *, indexed: bool = False) -> None:
    """Write a keyring, `indexed` with a secret of searches, its root key, and the admin token."""
    root = folder / "root.key"
    create_root_file(root, random=os.urandom)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    if indexed:
        keyring = keyring.rotate_index(now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, FileRoot(SecretReference(file=root)))
    write_token(folder, TOKEN)


def write_token(folder: Path, token: str) -> None:
    """Write the admin token as its operator would."""
    path = folder / "admin.token"
    path.write_text(token + "\n")
    path.chmod(0o600)


@dataclass
class Backend:
    """Remembers every body, and answers with it after `pause` seconds."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    pause: float = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        if self.pause:
            await asyncio.sleep(self.pause)
        return web.Response(body=body, content_type=request.content_type)

    def forms(self) -> set[str]:
        """Return how the bodies are sealed; a body that is not of one form is told as it is."""
        return {_form(json.loads(body)) for body in self.bodies if body}


@asynccontextmanager
async def backend(*routes: web.RouteDef) -> AsyncIterator[Backend]:
    """Run a backend, which answers at `routes` as they say."""
    made = Backend()
    app = web.Application()
    app.router.add_routes(routes)
    app.router.add_route("*", "/{path:.*}", made.answer)
    async with serving(app) as made.port:
        yield made


def _form(body: dict[str, Any]) -> str:
    found = {_form_of(str(body[name])) for name in ("content", "note")}
    return found.pop() if len(found) == 1 else f"mixed: {body}"


def _form_of(value: str) -> str:
    if value.startswith("eyJ0eXAiOiJzeTEi"):
        return A_FORM
    return B_FORM if value.startswith("sy1.") else f"plain: {value}"


@dataclass
class Load:
    """Clients that send messages until told to stop, and look at every answer.

    Each of them rests for `pause` seconds between two, and sends one `every` so many seconds: what
    a slow answer has held up follows at once. Without a rest they would take all of a processor
    from the tests beside them.
    """

    url: str
    pause: float = 0.02
    every: float = 0.0
    canary: str = field(default_factory=lambda: secrets.token_hex(16))
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    cut: int = 0
    refused: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, clients: int) -> None:
        """Send until `stop`."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        async with aiohttp.ClientSession() as session:
            count, began = 0, time.monotonic()
            while not self.stop.is_set():
                count += 1
                await self._message(session, number, count)
                due = began + count * self.every - time.monotonic()
                await asyncio.sleep(max(self.pause, due))

    async def _message(self, session: aiohttp.ClientSession, number: int, count: int) -> None:
        content = f"{self.canary}-{number}-{count}"
        body = {"conversationId": f"c{number}", "content": content, "note": self.canary}
        try:
            async with session.post(self.url, json=body) as response:
                text = await response.text()
        except aiohttp.ClientConnectorError:
            self.refused += 1
            await asyncio.sleep(0.01)
        except aiohttp.ClientError:
            self.cut += 1
        else:
            if response.status == 200 and json.loads(text) == body:
                self.answered += 1
            else:
                self.wrong.append(f"{response.status} {text[:300]}")


@dataclass
class Served:
    """A running `sealyard serve`: its pid is the only one that is ever signalled.

    Its configuration stands in `folder`.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    port: int
    admin: int
    health: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log so far."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines()  # the last may be half
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Return an event once it was written `count` times."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = [event for event in self.events if event["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            await asyncio.sleep(0.02)
        message = f"no {name}: {self.log.read_text()[-3000:]}"
        raise AssertionError(message)

    async def metrics(self) -> str:
        """Return the metrics as the admin listener tells them.

        The health listener, beside the loop of the traffic, waits for it for a moment only, and
        then tells what it has seen before.
        """
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{self.admin}/metrics"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            assert answer.status == 200
            return await answer.text()

    async def reload(self) -> None:
        """Reload the configuration by the admin API; raise AssertionError if it is refused.

        A sidecar that is shared may reload a file of its own accord as well, a moment after it
        was written, so that it is not enough to count what is logged.
        """
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{self.admin}/-/reload"
        async with aiohttp.ClientSession(headers=headers) as session, session.post(url) as answer:
            assert answer.status == 200, await answer.text()

    async def ended(self) -> int:
        """Return the exit code."""
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)


class Wanted(TypedDict, total=False):
    """What a test wants of the configuration that `configured` writes.

    `rules` stand in place of the usual ones. `admin_more` are further keys of `admin`, such as
    `tap: true`; `keys_more` those of `keys`, a line each; `health_more` those of `health`.
    `listener_more` are those of the listener, lines as well. `trusted` lets a tenant be a name that
    the client chooses. With `keyring_more`, what the configuration says of its root, the keyring is
    in the folder already.
    """

    rules: str | None
    admin_more: str
    keys_more: str
    health_more: str
    listener_more: str
    trusted: bool
    keyring_more: str | None


def configured(upstream: int, listen: str, admin: int, health: int, wanted: Wanted) -> str:
    """Return a configuration for these addresses, and what a test wants of it."""
    text = a_configuration(upstream, listen=listen, admin=admin, health=health)
    keyring_more, rules = wanted.get("keyring_more"), wanted.get("rules")
    if keyring_more is not None:
        text = text.replace("key: {file: root.key}", keyring_more)
    if admin_more := wanted.get("admin_more"):
        token = "token: {file: admin.token}"
        text = text.replace(token, f"{token}, {admin_more}")
    text = text.replace("admin:", f"{wanted.get('keys_more', '')}admin:", 1)
    text = text.replace(f'{health}"}}', f'{health}"{wanted.get("health_more", "")}}}')
    if more := wanted.get("listener_more"):
        text = text.replace("    unmatched:", f"{more}    unmatched:")
    if wanted.get("trusted") or "jwt-unverified:" in (rules or ""):
        text = text.replace("unmatched:", "trusted_names: true\n    unmatched:")
    if rules is not None:
        text = text.partition("    rules:\n")[0] + f"    rules:\n{rules}"
    return text


@contextmanager
def served(
    folder: Path,
    upstream: int,
    *options: str,
    listen: str | None = None,
    log: Path | None = None,
    variables: Mapping[str, str] | None = None,
    files: int | None = None,
    **wanted: Unpack[Wanted],
) -> Iterator[Served]:
    """Run `sealyard serve`, a process of its own, with keys and a configuration of its own.

    `variables` go into the environment; `files` is the hard limit of open files. A test for which
    a running sidecar will do takes one from `tests.scenarios.pool` instead, which costs less.
    """
    port, admin, health = free_port(), free_port(), free_port()
    if wanted.get("keyring_more") is None:
        write_keys(folder)
    else:
        write_token(folder, TOKEN)
    text = configured(upstream, listen or f"127.0.0.1:{port}", admin, health, wanted)
    ports = {"port": port, "admin": admin, "health": health}
    with running(
        folder, text, *options, log=log, variables=variables, files=files, **ports
    ) as process:
        yield process


@contextmanager
def running(
    folder: Path,
    configuration: str,
    *options: str,
    port: int,
    admin: int,
    health: int,
    log: Path | None = None,
    variables: Mapping[str, str] | None = None,
    files: int | None = None,
) -> Iterator[Served]:
    """Run `sealyard serve` by a configuration that names these ports."""
    (folder / "sealyard.yaml").write_text(configuration)
    log = log or folder / "sealyard.log"
    variables = environment(**(variables or {}))
    # A second signal ends the drain.
    signals = (signal.SIGTERM, signal.SIGINT)
    line = command(folder, *options)
    if files is not None:
        line = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *line]
    with child(line, log, variables, signals=signals) as process:
        yield Served(process, folder, log, port, admin, health)


def command(folder: Path, *options: str) -> list[str]:
    """Return the command line of a server."""
    configuration = str(folder / "sealyard.yaml")
    return [sys.executable, "-P", "-m", "proxy", "serve", "--config", configuration, *options]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a server."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}
