"""One call of a key service over HTTP: blocking, bounded, to the configured address alone.

Redirects are not followed, proxies of the environment are not used, and nothing of an answer gets
into an error: reasons are made here.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ....core.errors import KeyringError
from ...policy import ANSWER_BYTES, HEAD_AND_BODY_BYTES, KEY_SERVICE_SECONDS, TOKEN_FILE_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, and the JSON object or the text that came with it; empty if there was neither.

    `cache_control` is the header, which says how long it holds.
    """

    status: int
    body: bytes
    cache_control: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> dict[str, Any]:
        """Return the JSON object; an empty one for anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def token(self, of: str, name: str = "access_token") -> str:
        """Return a token that can be sent on; raise KeyringError, naming who answered, for none."""
        found: Any = self.json().get(name)
        plain = isinstance(found, str) and found.isascii() and found.isprintable()
        if not self.ok or not plain:
            raise KeyringError(f"{of}: status {self.status}, no token")
        return str(found)


def call(  # noqa: PLR0913 - the parts of one request
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = KEY_SERVICE_SECONDS,
    admits: Callable[[str], bool] = bool,
) -> Answer:
    """Return the answer of a service; `tls` is needed for `https`.

    Nothing is asked at an address that `admits` does not.

    Raises KeyringError, naming the host, where its last byte has not come after `seconds`, whatever
    the time was spent on, where it has more than ANSWER_BYTES bytes, or where no thread can begin.
    """
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, timeout=seconds, context=tls
        )
    else:
        connection = http.client.HTTPConnection(host, timeout=seconds)
    # http.client forgets the socket of an answer that ends with the connection: `_end` cannot reach
    # it, so each read has the deadline too.
    ends = partial(_Bounded, deadline=time.monotonic() + seconds)
    connection.response_class = ends  # type: ignore[assignment]  # called as the class would be
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    answered: Future[Answer] = Future()

    def ask() -> None:
        try:
            answered.set_result(_asked(connection, method, target, headers, body, admits))
        except Exception as error:  # noqa: BLE001 - it is raised below
            answered.set_exception(error)

    # A service that sends a byte now and then keeps within any limit of a step, and the resolver of
    # names has limits of its own: so the steps are in a thread that is left behind when the time is
    # over. It ends by itself, since each of its steps has the same limit, and holds up no exit.
    try:
        threading.Thread(target=ask, name="key-service", daemon=True).start()
    except RuntimeError:  # at the limit of threads
        raise KeyringError(f"{host}: no thread to ask it") from None
    try:
        return answered.result(seconds)
    except TimeoutError:
        _end(connection)
        raise KeyringError(f"{host}: no answer in time") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KeyringError(f"{host}: {_reason(error)}") from None


def _asked(  # noqa: PLR0913, PLR0917 - the parts of one request
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
    admits: Callable[[str], bool],
) -> Answer:
    try:
        connection.connect()
        if not admits(connection.sock.getpeername()[0]):
            raise _Elsewhere
        connection.request(method, target, body, dict(headers))
        with connection.getresponse() as response:
            read = response.read(ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(read) > ANSWER_BYTES:
        raise _TooLong
    return Answer(response.status, read, response.headers.get("Cache-Control", ""))


def _end(connection: http.client.HTTPConnection) -> None:
    """Let whoever reads from the connection find its end."""
    opened = connection.sock
    if opened is not None:
        with suppress(OSError):
            # Not that of TLS, which would take the socket's state away under the other thread.
            socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _TooLong(http.client.HTTPException):
    """More bytes than an answer has."""


class _Elsewhere(http.client.HTTPException):
    """The host has an address that is not to be asked."""


class _Bounded(http.client.HTTPResponse):
    """A response with a deadline, whose bytes are counted, head and interim responses included."""

    def __init__(self, sock: socket.socket, *more: Any, deadline: float, **named: Any) -> None:  # noqa: ANN401 - as http.client gives them
        super().__init__(sock, *more, **named)
        self.fp = io.BufferedReader(_Counted(self.fp.detach(), deadline))


class _Counted(io.RawIOBase):
    """Reads from a socket until the deadline, or until there were more bytes than an answer has."""

    def __init__(self, of_socket: io.RawIOBase, deadline: float) -> None:
        self._of_socket = of_socket
        self._deadline = deadline
        self._left = HEAD_AND_BODY_BYTES

    def readable(self) -> bool:
        """Return that it can be read, as a buffered reader asks."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 - any buffer, as in the base class
        """Read once; raise _TooLong where that was too much, TimeoutError where it is too late."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
        size = self._of_socket.readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise _TooLong
        return size

    def close(self) -> None:
        """Close the socket's reader with it."""
        self._of_socket.close()
        super().close()


def read_token(path: str) -> str:
    """Return the token in a file that the platform writes and rotates.

    Its mode is the platform's: such files are readable to all in a volume of the one container.
    Raises KeyringError, naming the path, where there is none.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(TOKEN_FILE_BYTES + 1).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise KeyringError(f"{path}: {getattr(error, 'strerror', None) or 'no token'}") from None
    if not token or len(token) > TOKEN_FILE_BYTES or not token.isprintable():
        raise KeyringError(f"{path}: no token")
    return token


def trusting(authority: Path | None, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return TLS that trusts the CAs in a file, or those of the system.

    `shown` are the files of a client certificate and of its private key, which is not encrypted.
    Raises KeyringError, naming the file, for one that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ValueError):
        raise KeyringError(f"{authority}: not a CA that can be used") from None
    if shown is not None:
        certificate, key = shown
        try:
            # The password is asked for at the terminal if it is not given.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError):
            files = f"{certificate}, {key}"
            raise KeyringError(f"{files}: not a certificate with its private key") from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, _TooLong):
        return f"the answer has more than {ANSWER_BYTES} bytes"
    if isinstance(error, _Elsewhere):
        return "its address is not one to be asked"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    return type(error).__name__
