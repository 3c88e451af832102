"""The sidecars of a soak: real `sealyard serve` processes that share one Redis.

Two have durable sessions and two ephemeral ones. The first of each pair is steady: it is never
ended, so that its memory shows a slope; the second is mortal, and its clock can be moved. A pair
shares a keyring, an audit log, and all messages.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from tests.scenarios.rig import TOKEN, environment, write_keys
from tests.servers import PATIENCE_SECONDS, free_port, is_ready
from tools.chaos.sealyard import Mode

MAX_AGE_SECONDS: Final = 5
"""How long a process may go on under a key that Redis has lost (`revocation_max_age`)."""
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 20.0
_LIBRARY: Final = "*/faketime/libfaketimeMT.so.1"
CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: {{url: "redis://127.0.0.1:{redis}/0", prefix: {mode}}}
  sessions: {{mode: {mode}, ttl: 30m, grace: 24h, revocation_max_age: {age}s}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
audit: {{file: audit.log, on_failure: block}}
fields:
  content: {{form: {form}}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    timeouts: {{connect: 2s, response: 10s, queue: 2s}}
    defaults:
      others: pass
      tenant: const:clinic
      conversation: path:room
      log: {{level: warning}}
    rules:
      - name: send
        match: POST /messages/{{room}}/{{number}}
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: read
        match: GET /messages/{{room}}/{{number}}
        response: {{decrypt: $.content}}
      - name: list
        match: GET /lists/{{room}}
        response: {{decrypt: "$.items.*.content"}}
      - name: form
        match: POST /forms/{{room}}/{{number}}
        request: {{encrypt: form:content}}
        response: {{decrypt: $.content}}
      - name: upload
        match: POST /files/{{room}}/{{number}}
        request: {{encrypt: ["part:note", "part:file", "filename:file as name"]}}
      - name: download
        match: GET /files/{{room}}/{{number}}
        response: {{decrypt: ["part:note", "part:file", "filename:file as name"]}}
      - name: store
        match: POST /streams/{{room}}/{{number}}
        request: {{encrypt: body}}
      - name: fetch
        match: GET /streams/{{room}}/{{number}}
        response: {{decrypt: body}}
      - name: events
        match: GET /events/{{room}}
        response: {{decrypt: $.content}}
      - name: socket
        match: WS /sockets/{{room}}
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
"""


def faketime() -> Path | None:
    """Return the library that moves the clock of a process, if it is here."""
    return next(iter(Path("/usr/lib").glob(_LIBRARY)), None)


@dataclass
class Sidecar:
    """One `sealyard serve`. Only its own processes are ever signalled."""

    name: str
    mode: Mode
    folder: Path
    redis: int
    upstream: int
    workers: int = 1
    mortal: bool = False
    ports: tuple[int, int, int] = field(
        default_factory=lambda: (free_port(), free_port(), free_port())
    )
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    _log: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients send to."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def health(self) -> str:
        """Where probes ask."""
        return f"http://127.0.0.1:{self.ports[2]}"

    @property
    def log(self) -> Path:
        """What all its processes have logged, over all starts."""
        return self.folder / f"{self.name}.log"

    @property
    def configuration(self) -> Path:
        """Its configuration file."""
        return self.folder / f"{self.name}.yaml"

    @property
    def clock(self) -> Path:
        """The file that says by how many seconds its clock is moved."""
        return self.folder / f"{self.name}.clock"

    def write(self, form: str = "jwe") -> None:
        """Write its configuration; `form` is that of new tokens."""
        port, admin, health = self.ports
        self.configuration.write_text(
            CONFIGURATION.format(
                redis=self.redis,
                mode=self.mode,
                age=MAX_AGE_SECONDS,
                admin=admin,
                health=health,
                form=form,
                port=port,
                upstream=self.upstream,
            )
        )

    def start(self) -> None:
        """Start it and wait until it is ready; raise AssertionError with its log if it is not."""
        more = {"PYTHONFAULTHANDLER": "1"}
        library = faketime()
        if self.mortal and library is not None:
            self.clock.write_text("+0")
            more |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DISABLE_SHM": "1",
            }
        # By a pipe, so that a limit on the size of its files leaves the log alone.
        with self.log.open("ab") as sink:
            self._log = subprocess.Popen(  # noqa: S603 - the system's own
                [str(shutil.which("cat"))], stdin=subprocess.PIPE, stdout=sink
            )
        words = ["serve", "--config", str(self.configuration), "--workers", str(self.workers)]
        self.process = subprocess.Popen(  # noqa: S603 - Sealyard itself
            [sys.executable, "-P", "-m", "proxy", *words],
            stdout=self._log.stdin,
            stderr=self._log.stdin,
            env=environment(**more),
        )
        if self._log.stdin is not None:
            self._log.stdin.close()
        self.starts += 1
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready(self.ports[2], 1):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def end(self, how: signal.Signals) -> int:
        """End it by a signal, and by SIGKILL if it does not end; return its exit code."""
        if self.process is None:
            return 0
        mine = self.pids()
        self.process.send_signal(how)
        try:
            code = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        for pid in mine:  # the workers of a killed supervisor end by themselves, a little later
            _await_end(pid)
        if self._log is not None:
            self._log.wait(PATIENCE_SECONDS)
            self._log = None
        return code

    def pids(self) -> list[int]:
        """Return all its processes, the first of them first."""
        return [] if self.process is None else list(_tree(self.process.pid))

    def carriers(self) -> list[int]:
        """Return those of its processes that carry traffic."""
        pids = self.pids()
        return pids if self.workers == 1 else pids[1:]

    async def admin(
        self, session: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> int:
        """Call the admin API and return the status."""
        url = f"http://127.0.0.1:{self.ports[1]}{path}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.request(method, url, headers=headers, json=body) as response:
            await response.read()
            return response.status

    async def ready(self, session: aiohttp.ClientSession) -> bool:
        """Whether `/readyz` says so."""
        try:
            async with session.get(f"{self.health}/readyz") as response:
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    def sealyard(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of its operator."""
        return subprocess.run(  # noqa: S603 - Sealyard itself
            [sys.executable, "-P", "-m", "proxy", *words, "--config", str(self.configuration)],
            env=environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def pair(mode: Mode, folder: Path, redis: int, upstream: int) -> tuple[Sidecar, Sidecar]:
    """Return a steady sidecar and a mortal one, with the files that they share."""
    folder.mkdir()
    write_keys(folder)
    workers = 2 if mode == "durable" else 1
    made = (
        Sidecar(f"{mode}-steady", mode, folder, redis, upstream),
        Sidecar(f"{mode}-mortal", mode, folder, redis, upstream, workers, mortal=True),
    )
    for one in made:
        one.write()
    return made


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _await_end(pid: int) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while _runs(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class LogReader:
    """Reads what a sidecar has logged since the last time.

    `causes` are the reasons of refused messages by their request ids; `plain` counts lines with
    the canary, `defects` keeps events that must never be.
    """

    file: Path
    canary: bytes
    at: int = 0
    causes: dict[str, str] = field(default_factory=dict)
    plain: int = 0
    lines: int = 0
    defects: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Read on, to the last whole line."""
        if not self.file.exists():
            return
        with self.file.open("rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text.rpartition(b"\n")[0]
        self.at += len(whole) + bool(whole)
        for line in whole.splitlines():
            self._line(line)

    def _line(self, line: bytes) -> None:
        self.lines += 1
        self.plain += self.canary in line
        try:
            event = json.loads(line)
        except ValueError:
            self.defects.append(line[:300].decode(errors="replace"))
            return
        if "error.type" in event and "request_id" in event:
            told = f"{event['error.type']}: {event.get('reason', '')}"
            self.causes[event["request_id"]] = told
            if event["error.type"] == "internal-error":
                self.defects.append(line[:600].decode())
        if event.get("event") == "exception.unhandled":
            self.defects.append(line[:600].decode())
