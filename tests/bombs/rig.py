"""A real sidecar between a raw client and a backend that remembers, and what each message cost."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import brotli  # type: ignore[import-untyped] # it has no types
import zstandard

from proxy.process.policy import TRIM_SECONDS
from tests.scenarios.rig import command, environment, write_keys
from tests.servers import await_log, child, free_port

PATIENCE_SECONDS: Final = 30.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:0", token: {{file: admin.token}}}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
    defaults: {{others: pass, tenant: "const:t", conversation: "const:c"}}
    rules:
      - name: sealed
        match: POST /sealed
        request: {{encrypt: [$.content, "optional $.list[*].text"]}}
      - name: deep
        match: POST /deep
        request: {{encrypt: [$..content]}}
      - name: opened
        match: GET /opened
        response: {{decrypt: [$.content]}}
      - name: embedded
        match: GET /embedded
        bind: [tenant, conversation]
        response: {{decrypt: tokens}}
"""
OK: Final = b"ok"
_ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


class _Backend(ThreadingHTTPServer):
    """Remembers what it gets, and answers GET with `reply` under the coding of its name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.bodies: list[bytes] = []
        self.reply = OK
        self.coding = ""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Backend

    def do_POST(self) -> None:
        self.server.bodies.append(self._body())
        self._send(OK, "")

    def do_GET(self) -> None:
        self._send(self.server.reply, self.server.coding)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") is None:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, body: bytes, coding: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if coding:
            self.send_header("Content-Encoding", coding)
        self.end_headers()
        # Whoever refuses an answer does not read it to its end.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one message cost the sidecar: seconds of its processor, and bytes of memory."""

    status: int
    answer: bytes
    seconds: float
    grown: int


@dataclass
class Sidecar:
    """A running `sealyard serve`, its backend, and its size before any bomb."""

    process: subprocess.Popen[bytes]
    port: int
    backend: _Backend
    base: int = 0

    @property
    def kept(self) -> int:
        """How many bytes it holds above its base."""
        return _field(Path(f"/proc/{self.process.pid}/status"), "VmRSS") - self.base

    @property
    def highest(self) -> int:
        """The most bytes that it held since it was last asked to forget that."""
        return _field(Path(f"/proc/{self.process.pid}/status"), "VmHWM")

    def kept_at_last(self, bound: int) -> int:
        """Return the same once it is at most `bound`, or after two rounds of giving back."""
        ends = time.monotonic() + 2.5 * TRIM_SECONDS
        while self.kept > bound and time.monotonic() < ends:
            time.sleep(0.5)
        return self.kept

    def post(self, path: str, body: bytes, *, coding: str = "", chunk: int = 0) -> Cost:
        """Send a message, in chunks of that size or in one piece, and return what it cost."""
        lines = [f"POST {path} HTTP/1.1", "Host: h", "Content-Type: application/json"]
        lines.append("Connection: close")
        lines += [f"Content-Encoding: {coding}"] if coding else []
        if chunk:
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
        else:
            lines.append(f"Content-Length: {len(body)}")
        return self._measure("\r\n".join([*lines, "", ""]).encode() + body)

    def get(self, path: str, reply: bytes, coding: str = "") -> Cost:
        """Let the backend answer with `reply`; return what that cost."""
        self.backend.reply, self.backend.coding = reply, coding
        head = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        return self._measure(head.encode())

    def _measure(self, request: bytes) -> Cost:
        status = Path(f"/proc/{self.process.pid}/status")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # forget the highest size
        size, before = _field(status, "VmRSS"), self._seconds()
        answer = self._send(request)
        seconds = self._seconds() - before
        grown = _field(status, "VmHWM") - size
        return Cost(int(answer[9:12] or b"0"), answer, seconds, grown)

    def _send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            sender = threading.Thread(target=_send_all, args=(client, request))
            sender.start()
            answer = b""
            with contextlib.suppress(ConnectionError):
                while part := client.recv(65536):
                    answer += part
            sender.join()
        return answer

    def _seconds(self) -> float:
        """Return how much processor time the sidecar has used; see proc(5)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _send_all(client: socket.socket, request: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        client.sendall(request)


def _field(status: Path, name: str) -> int:
    """Return a size that the kernel tells in kibibytes, in bytes."""
    lines: Mapping[str, str] = dict(
        line.split(":", 1) for line in status.read_text().splitlines() if ":" in line
    )
    return int(lines[name].split()[0]) * 1024


@contextlib.contextmanager
def serving(
    folder: Path, text: str, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `sealyard serve` with this configuration and keys of its own; give process and log."""
    write_keys(folder)
    (folder / "sealyard.yaml").write_text(text)
    log = folder / "sealyard.log"
    with child(command(folder, *options), log, environment()) as process:
        await_log(process, log, '"server.ready"')
        yield process, log


@contextlib.contextmanager
def running(folder: Path, more: str = "") -> Iterator[Sidecar]:
    """Run a sidecar that has sealed and opened once, so that its base is that of one at work.

    `more` goes to its configuration.
    """
    port = free_port()
    backend = _Backend()
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    text = _CONFIGURATION.format(port=port, upstream=backend.server_address[1]) + more
    with serving(folder, text) as (process, _):
        sidecar = Sidecar(process, port, backend)
        _warm_up(sidecar)
        yield sidecar
    backend.shutdown()
    backend.server_close()


def _warm_up(sidecar: Sidecar) -> None:
    message = b'{"content":"warm"}'
    for coding, encode in _ENCODERS.items():
        assert sidecar.post("/sealed", encode(message), coding=coding).status == 200
    assert sidecar.post("/deep", message).status == 200
    sealed = sidecar.backend.bodies[0]
    assert sidecar.get("/opened", sealed).answer.endswith(b'{"content":"warm"}')
    assert sidecar.get("/embedded", sealed).status == 200
    sidecar.backend.bodies.clear()
    sidecar.base = _field(Path(f"/proc/{sidecar.process.pid}/status"), "VmRSS")
