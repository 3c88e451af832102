"""Requests to the backend of a listener: blocking, bounded, to its upstream alone.

Redirects are not followed, proxies of the environment are not used, and nothing of an answer gets
into an error: it may hold values.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic, sleep
from typing import Final

from ...config.settings import ListenerSettings, OriginalPort, UnixAddress
from ...core.errors import MigrationFailed
from ...keys.keyring.roots.key_service import trusting
from .. import policy

_PRECONDITIONS: Final = frozenset({"If-Match", "If-Unmodified-Since"})
_READS: Final = frozenset({"GET", "HEAD"})
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class BackendAnswer:
    """What a backend answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def busy(self) -> bool:
        """Whether the backend did nothing, and may be asked again."""
        return self.status in _BUSY


class _Connection(http.client.HTTPConnection):
    """A connection to an upstream as the configuration names it."""

    def __init__(self, listener: ListenerSettings) -> None:
        """Take the address; nothing is connected yet."""
        address, tls = listener.upstream.address, listener.upstream_tls
        assert not isinstance(address, OriginalPort)  # noqa: S101 - the reader refuses it
        self._unix: str | None = None
        self._tls: ssl.SSLContext | None = None
        host, port = "localhost", 80
        if isinstance(address, UnixAddress):
            self._unix = str(address.path)
        else:
            host, port = address.host, address.port
        super().__init__(host, port, timeout=policy.HTTP_SECONDS)
        self._server_name = (tls and tls.server_name) or host
        if listener.upstream.tls:
            shown = (tls.cert, tls.key) if tls and tls.cert and tls.key else None
            self._tls = trusting(tls.ca if tls else None, shown)
            self.default_port = 443

    def connect(self) -> None:
        """Connect, and verify the server where the upstream is `https`."""
        if self._unix is None:
            self.sock = socket.create_connection((self.host, self.port), self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._unix)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)


class Backend:
    """One connection at a time, which is kept; `headers` are those of every request."""

    def __init__(
        self,
        listener: ListenerSettings,
        headers: Mapping[str, str],
        *,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        """Connect to nothing yet. Raises KeyringError for a file of TLS that cannot be used."""
        self._connection = _Connection(listener)
        self._headers = {"Accept-Encoding": "identity", **headers}
        self._wait = wait

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> BackendAnswer:
        """Return the answer. Raises MigrationFailed where there is none.

        A read, or a write with a precondition, is sent again to a backend that is busy, or that was
        closing the connection: if it was done all the same, the precondition fails. Any other write
        is sent once, since what was compared before it gets older.
        """
        sent = {**self._headers, **(headers or {})}
        again = method in _READS or not _PRECONDITIONS.isdisjoint(sent)
        for attempt in range(policy.HTTP_ATTEMPTS if again else 1):
            answer = self._answer(method, target, sent, body, again=again)
            if not answer.busy or not again or attempt == policy.HTTP_ATTEMPTS - 1:
                break
            self.pause(answer, attempt)
        return answer

    def pause(self, answer: BackendAnswer, attempt: int) -> None:
        """Wait as a busy backend says, or longer after each attempt."""
        self._wait(_seconds(answer.headers.get("retry-after", ""), 2**attempt))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        again: bool,
    ) -> BackendAnswer:
        kept = again and self._connection.sock is not None
        try:
            return self._once(method, target, headers, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            # Without a connection that was kept, the second time is the last.
            if kept and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                return self._answer(method, target, headers, body, again=again)
            raise MigrationFailed(_reason(error)) from None

    def _once(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> BackendAnswer:
        self._connection.request(method, target, body, dict(headers))
        ends = monotonic() + 4 * policy.HTTP_SECONDS
        with self._connection.getresponse() as response:
            read = bytearray()
            while piece := response.read(policy.HTTP_PIECE_BYTES):
                read += piece
                if len(read) > policy.HTTP_ANSWER_BYTES:
                    self.close()
                    raise MigrationFailed(
                        "answer-too-long", detail=f"more than {policy.HTTP_ANSWER_BYTES} bytes"
                    )
                if monotonic() > ends:
                    raise TimeoutError
            if response.length:
                raise http.client.IncompleteRead(b"")
            found: dict[str, str] = {}
            for name, value in response.getheaders():  # several lines are one list (RFC 9110 5.3)
                before = found.get(name.lower())
                found[name.lower()] = value if before is None else f"{before}, {value}"
        if found.get("content-encoding", "identity").lower() != "identity":
            raise MigrationFailed("answer-encoded", detail="it has a Content-Encoding")
        return BackendAnswer(response.status, found, bytes(read))


def _seconds(written: str, usual: float) -> float:
    """Return how long to wait: what Retry-After says in seconds, or the usual."""
    said = float(written) if written.isascii() and written.isdigit() else usual
    return min(said, policy.HTTP_WAIT_SECONDS)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no-answer-in-time"
    if isinstance(error, socket.gaierror):
        return "name-not-resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate-not-trusted"
    if isinstance(error, ConnectionRefusedError):
        return "connection-refused"
    if isinstance(error, http.client.IncompleteRead):
        return "answer-cut"
    return type(error).__name__
