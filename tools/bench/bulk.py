"""One large body up and down: through a rule that makes it a frame and opens it, and without.

    python -m tools.bench.bulk [MEBIBYTES]    in a process of its own: a backend that keeps uploads

`Backend` runs that process; `upload` and `download` are its client.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

from .backend import LAST

MEBIBYTE: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
_SECONDS: Final = 600.0
_PATTERN: Final = hashlib.shake_256(b"bulk").digest(_PIECE)


@dataclass(frozen=True, slots=True)
class Moved:
    """One transfer: how many bytes, their digest as the client knows it, and how long it took."""

    size: int
    digest: str
    seconds: float

    @property
    def rate(self) -> float:
        """Mebibytes per second."""
        return self.size / MEBIBYTE / self.seconds


def pieces(size: int) -> Iterator[bytes]:
    """Yield a body of so many bytes, no two pieces of which are alike."""
    for at in range(0, size, _PIECE):
        piece = at.to_bytes(8) + _PATTERN[8:]
        yield piece[: size - at]


def upload(port: int, path: str, size: int) -> Moved:
    """Send a body of a told length; raise RuntimeError unless the answer is 200."""
    digest = hashlib.sha256()
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {size}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n")
        for piece in pieces(size):
            digest.update(piece)
            connection.sendall(piece)
        answer = connection.makefile("rb").read()
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(answer[:300].decode("latin-1"))
    return Moved(size, digest.hexdigest(), time.perf_counter() - began)


def download(port: int, path: str) -> Moved:
    """Fetch a body of a told length; raise RuntimeError unless it is whole and its status 200."""
    digest = hashlib.sha256()
    size = 0
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        stream = cast("BufferedReader", connection.makefile("rb", buffering=_PIECE))
        head = [stream.readline()]
        while (line := stream.readline()).strip():
            head.append(line.lower())
        if not head[0].startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head[0].decode("latin-1"))
        told = next(int(one.split(b":")[1]) for one in head if one.startswith(b"content-length:"))
        while piece := stream.read1(_PIECE):
            digest.update(piece)
            size += len(piece)
    if size != told:
        message = f"{size} of {told} bytes came"
        raise RuntimeError(message)
    return Moved(size, digest.hexdigest(), time.perf_counter() - began)


class _Keeper(http.server.BaseHTTPRequestHandler):
    """Keeps each upload as a file of its path's name, and gives it back with its type."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep a body."""
        missing = int(self.headers["Content-Length"])
        name = Path(self.path.rpartition("/")[2])
        name.with_suffix(".type").write_text(self.headers["Content-Type"])
        with name.open("wb") as file:
            while missing and (piece := self.rfile.read1(min(missing, _PIECE))):
                file.write(piece)
                missing -= len(piece)
        if not missing:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        """Give a body back."""
        if self.path == LAST:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = Path(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(name.stat().st_size))
        self.send_header("Content-Type", name.with_suffix(".type").read_text())
        self.end_headers()
        with name.open("rb") as file:
            while piece := file.read(_PIECE):
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def backend(folder: Path) -> Iterator[int]:
    """Run a backend that keeps what it gets in `folder`; give its port."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{_SERVE}"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def serve() -> None:
    """Be the backend, and print the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Keeper)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


_SERVE: Final = "from tools.bench.bulk import serve\nserve()"


def resident(pid: int, field: str) -> int:
    """Return how many bytes a process holds (`VmRSS`), or held at most (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024


def forget_peak(pid: int) -> None:
    """Let the kernel count the most that a process holds from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
