"""A real redis-server of a test's own: in a folder of its own, killed by its process id."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config.settings import RedisSettings, TcpAddress

PROGRAM = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    PROGRAM is None, reason="no redis-server here: apt-get install redis-server"
)
_START_SECONDS = 10.0


def free_port() -> int:
    """Return a TCP port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A Redis that keeps nothing on the disk."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds it."""
        return RedisSettings(TcpAddress("127.0.0.1", self.port))

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        assert PROGRAM is not None
        listen = () if "--tls-port" in self.options else ("--port", str(self.port))
        command = [PROGRAM, "--bind", "127.0.0.1", *listen, "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self.folder), "--loglevel", "warning", *self.options]
        self.process = subprocess.Popen(  # noqa: S603 - the server that is installed here
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("redis-server did not start")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Stop it where it stands."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words: str | bytes) -> bytes:
        """Send one command and return the first bytes of the answer, as the wire has them."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        sent = b"*%d\r\n" % len(parts)
        sent += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(sent)
            return connection.recv(65536)
