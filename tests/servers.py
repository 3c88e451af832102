"""Servers that run for as long as a block of a test, in this process and as its children."""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import http.server
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.test_utils import TestServer

_ROOT: Final = Path(__file__).parents[1]
PATIENCE_SECONDS: Final = 60.0
_BACKLOG: Final = 4096
_LOWEST_PORT, _PORTS = 20_000, 12_000
_numbers = itertools.count(secrets.randbelow(_PORTS))
# Open, with its locks, for as long as this process lives: no file object, which would be closed.
_taken = os.open(Path(tempfile.gettempdir()) / "sealyard-tests.ports", os.O_RDWR | os.O_CREAT)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, another one each time.

    It is below those that the system gives to clients, who would take it before a server does. No
    other process of tests gets it while this one runs: two servers would be started at it, and
    each test would talk to the first.
    """
    while True:
        port = _LOWEST_PORT + next(_numbers) % _PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            return port


async def sends_back(request: web.Request) -> web.WebSocketResponse:
    """Answer a WebSocket by every text that it sends, as a backend's handler."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


class _Plain(http.server.BaseHTTPRequestHandler):
    """Answers each request that it knows no method for, which is all."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Write nothing."""


class PlainBackend:
    """An HTTP server in a thread, which answers each request with an error of HTTP."""

    def __init__(self, port: int = 0) -> None:
        """Listen at a port of 127.0.0.1."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Plain)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Close the port, and end."""
        self._server.shutdown()
        self._server.server_close()


def listens(port: int) -> bool:
    """Return whether a server of 127.0.0.1 accepts at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_ready(port: int, seconds: float) -> bool:
    """Return whether the health listener at a port says within `seconds` that it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def await_port(
    process: subprocess.Popen[bytes], port: int, log: Path, patience: float = PATIENCE_SECONDS
) -> None:
    """Wait until a server accepts; raise AssertionError with the end of its log if it does not."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        if listens(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen:\n{log.read_text()[-2000:]}")


def await_log(process: subprocess.Popen[bytes], log: Path, text: str) -> None:
    """Wait until a server has logged `text`; raise AssertionError with its log if it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@contextmanager
def child(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    signals: Sequence[signal.Signals] = (signal.SIGTERM,),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that writes to `log`; end it, and nothing else, by signals, or by SIGKILL.

    `environment` is added to that of this process.
    """
    log.write_bytes(b"")
    with (
        log.open("ab") as sink,  # behind its end, also once a test has emptied it
        subprocess.Popen(  # noqa: S603 - the callers are tests, which name programs of their own
            command, stdout=sink, stderr=sink, cwd=cwd, env={**os.environ, **(environment or {})}
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                for one in signals:
                    process.send_signal(one)
                try:
                    process.wait(PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def module(name: str) -> Iterator[int]:
    """Run a module that calls `serve_until_input_ends`; give its port."""
    with subprocess.Popen(  # noqa: S603 - a module of the tests
        [sys.executable, "-m", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()


async def serve_until_input_ends(connection: Callable[[], asyncio.Protocol]) -> None:
    """Serve at a port of 127.0.0.1, and print it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, backlog=_BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def serving(
    app: web.Application, *, port: int | None = None, shutdown: float = 1.0
) -> AsyncIterator[int]:
    """Run an application, for rigs that no fixture can reach; give its port.

    `shutdown` is how many seconds open requests have at the end.
    """
    server = TestServer(app, port=port)
    await server.start_server(shutdown_timeout=shutdown, access_log=None)
    assert server.port is not None
    try:
        yield server.port
    finally:
        await server.close()
