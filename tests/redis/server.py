"""A real redis-server of a test's own: in a folder of its own, killed by its process id."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
import trustme

from proxy.config.settings import RedisSettings, TcpAddress
from tests.servers import free_port

PROGRAM = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    PROGRAM is None, reason="no redis-server here: apt-get install redis-server"
)
_START_SECONDS = 10.0
_TLS_FILES = {"ca-cert": "ca.pem", "cert": "127.0.0.1.pem", "key": "127.0.0.1.key"}


_FAKETIME: Final = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
needs_faketime = pytest.mark.skipif(
    _FAKETIME is None, reason="no libfaketime here: apt-get install faketime"
)


def another_clock(seconds: int) -> dict[str, str]:
    """Return the environment of a process whose clock is that many seconds ahead.

    The program `faketime` would do it too, and leaves a semaphore behind for each process that is
    killed; the next process of that number then does not start.
    """
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DISABLE_SHM": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def write_tls(folder: Path, *names: str) -> None:
    """Write an authority, ca.pem, and its certificate for each name: NAME.pem, NAME.key."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in names:
        issued = authority.issue_cert(name)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")


def asking_for_certificates(folder: Path) -> tuple[Server, RedisSettings]:
    """Return a server that wants certificates of its clients, not started, and who has one.

    The certificates are in the folder, for `localhost` and `client`.
    """
    server = Server(folder)
    cert, key, ca = (str(folder / name) for name in ("localhost.pem", "localhost.key", "ca.pem"))
    server.options = ("--port", "0", "--tls-port", str(server.port), "--tls-cert-file", cert)
    server.options += ("--tls-key-file", key, "--tls-ca-cert-file", ca)
    settings = RedisSettings(
        TcpAddress("localhost", server.port),
        tls=True,
        ca=folder / "ca.pem",
        cert=folder / "client.pem",
        key=folder / "client.key",
    )
    return server, settings


def trusting(settings: RedisSettings, tls: Path | None) -> RedisSettings:
    """Return the settings with trust in the authority of the folder `tls`, if there is one."""
    return settings if tls is None else replace(settings, tls=True, ca=tls / "ca.pem")


@dataclass
class Server:
    """A Redis that keeps nothing on the disk; with `tls`, which holds its files, it speaks TLS."""

    folder: Path
    options: tuple[str, ...] = ()
    tls: Path | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds it."""
        return trusting(RedisSettings(TcpAddress("127.0.0.1", self.port)), self.tls)

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        self.process = subprocess.Popen(  # noqa: S603 - the server that is installed here
            self.command_line(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("redis-server did not start")

    def command_line(self) -> list[str]:
        """Return how it is started."""
        assert PROGRAM is not None
        listen = [word for line in self.listening() for word in f"--{line}".split(" ")]
        command = [PROGRAM, "--bind", "127.0.0.1", *listen, "--save", "", "--appendonly", "no"]
        return [*command, "--dir", str(self.folder), "--loglevel", "warning", *self.options]

    def listening(self) -> list[str]:
        """Return the lines of a configuration that say where it listens, and how."""
        if "--tls-port" in self.options:
            return []
        if self.tls is None:
            return [f"port {self.port}"]
        files = [f"tls-{name}-file {self.tls / file}" for name, file in _TLS_FILES.items()]
        more = ["tls-auth-clients no", "tls-replication yes"]
        return ["port 0", f"tls-port {self.port}", *files, *more]

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
        with self._connected() as connection:
            connection.sendall(sent)
            return connection.recv(65536)

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if self.tls is None:
            return connection
        context = ssl.create_default_context(cafile=self.tls / "ca.pem")
        return context.wrap_socket(connection, server_hostname="127.0.0.1")
