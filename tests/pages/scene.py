"""What a reader of the pages has at hand: a folder, a shell, a backend, a sidecar."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.pages.blocks import ROOT, Block, blocks_of
from tests.pages.follow import Reader
from tests.pages.shell import Shell
from tests.scenarios.rig import command, environment
from tests.servers import await_log, await_port, child, free_port

CANARY: Final = "Penicillin"
BACKEND: Final = ROOT / "deploy" / "compose" / "backend.py"
PHRASE: Final = "at least twelve characters"
RULES: Final = """\
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    defaults:
      others: pass
      tenant: const:clinic
      bind: [tenant, conversation]
      response: {decrypt: tokens, on_error: keep}
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: $.content}
      - name: list
        match: GET /api/conversations/{id}/messages
        conversation: path:id
"""
BOUND_TO_FIELD: Final = (
    RULES.replace(
        """    defaults:
      others: pass
      tenant: const:clinic
      bind: [tenant, conversation]
      response: {decrypt: tokens, on_error: keep}
""",
        "    defaults: {others: pass, tenant: const:clinic}\n",
    )
    + "        response: {decrypt: '$.*.content', on_error: keep}\n"
)
"""The same, with values that are bound to their field too."""


@dataclass
class Scene:
    """A folder with the reader of a page, and what runs beside him until it ends."""

    folder: Path
    stack: ExitStack
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = {name: free_port() for name in ("3000", "8080", "9901", "15021")}
        environ = environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            HOME=str(self.folder),
            LC_ALL="C.UTF-8",
            TERM="dumb",
        )
        shell = self.stack.enter_context(Shell(self.folder, environ))
        self.reader = Reader(
            shell, self.folder, {name: str(port) for name, port in self.ports.items()}
        )

    def write(self, name: str, text: str) -> None:
        """Write a file with this scene's ports in place of the page's."""
        (self.folder / name).write_text(self.reader.filled(text))

    def do(self, line: str) -> str:
        """Run a command that no page shows; return what it prints."""
        status, printed = self.reader.shell.run(line)
        assert status == 0, f"{line}:\n{printed}"
        return printed

    def backend(self) -> Path:
        """Start the backend of the tutorial; return the file where it keeps messages."""
        kept, log = self.folder / "messages.txt", self.folder / "backend.log"
        port = self.ports["3000"]
        line = [sys.executable, str(BACKEND), str(port), str(kept), "127.0.0.1"]
        await_port(self.stack.enter_context(child(line, log)), port, log)
        return kept

    def serve(self, **variables: str) -> Callable[[], None]:
        """Start `sealyard serve` in the folder; return what reloads it, and waits until it has."""
        log = self.folder / "sealyard.log"
        line, stack = command(self.folder), self.stack
        process = stack.enter_context(child(line, log, environment(**variables), cwd=self.folder))
        await_log(process, log, "server.ready")
        count = 0

        def reload() -> None:
            nonlocal count
            count += 1
            process.send_signal(signal.SIGHUP)
            until(lambda: log.read_text().count('"cause":"signal"') >= count)

        return reload

    def send(self, conversation: str = "c1", text: str = CANARY) -> Any:  # noqa: ANN401 - JSON
        """Send a message through the sidecar, and list its conversation."""
        body = {"conversationId": conversation, "content": text}
        url = f"http://127.0.0.1:{self.ports['8080']}/api"
        call(f"{url}/messages", body)
        return call(f"{url}/conversations/{conversation}/messages")

    def token(self) -> str:
        """Return the content of the last message that the backend keeps."""
        (*_, last) = (self.folder / "messages.txt").read_text().splitlines()
        return str(json.loads(last)["content"])

    def tool(self, name: str, line: str) -> None:
        """Give the reader a command that this machine does not have."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(f"#!/bin/bash\n{line}\n")
        (tools / name).chmod(0o700)
        self.do(f'export PATH="{tools}:$PATH"')

    def logged(self) -> list[Path]:
        """Return the logs, stores and keyrings here that have the plaintext of a message."""
        kept = (".log", ".db", ".jwe", ".rdb", ".aof")
        files = [one for one in self.folder.rglob("*") if one.suffix in kept]
        return [one for one in files if CANARY.encode() in one.read_bytes()]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def call(
    url: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON that a server of this machine answers to a body in JSON, or to a form."""
    told = dict(headers or {})
    data = None
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    elif body is not None:
        data, told["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data, told)  # noqa: S310 - an address of this test
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
        return json.loads(answer.read())


def configuration(keys: str, more: str = "", rules: str = RULES) -> str:
    """Return a configuration with the rules of the tutorial for the tenant `clinic`."""
    return f"version: 1\nkeys:\n{keys}{more}{rules}"


def admin() -> str:
    """Return the section of an admin listener."""
    return "admin: {listen: 127.0.0.1:9901, token: {file: admin.token}}\n"


def page(name: str, language: str = "yaml") -> list[Block]:
    """Return the blocks of a page in one language."""
    return [one for one in blocks_of(ROOT / name) if one.language == language]


def with_section(configuration: str, shown: str) -> str:
    """Return a configuration in which a section is as a page shows it."""
    name = shown.partition(":")[0]
    parts = re.split(r"^(?=[a-z]+:)", configuration, flags=re.MULTILINE)
    kept = [one for one in parts if not one.startswith(f"{name}:")]
    return "".join([*kept, shown])
