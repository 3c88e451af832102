"""One call of a key service over HTTP: blocking, bounded, to the configured address alone.

Redirects are not followed, proxies of the environment are not used, and nothing of an answer gets
into an error: reasons are made here.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ....core.errors import KeyringError

SECONDS: Final = 5.0
MOST_ANSWER: Final = 64 * 1024
"""Bytes."""
_MOST_TOKEN: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, and the JSON object or the text that came with it; empty if there was neither."""

    status: int
    body: bytes

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


def call(  # noqa: PLR0913 - the parts of one request
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = SECONDS,
) -> Answer:
    """Return the answer of a service; `tls` is needed for `https`.

    Raises KeyringError, naming the host, where there is none within `seconds` for each step, or one
    of more than MOST_ANSWER bytes.
    """
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, timeout=seconds, context=tls
        )
    else:
        connection = http.client.HTTPConnection(host, timeout=seconds)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    try:
        connection.request(method, target, body, dict(headers))
        with connection.getresponse() as response:
            read = response.read(MOST_ANSWER + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KeyringError(f"{host}: {_reason(error)}") from None
    finally:
        connection.close()
    if len(read) > MOST_ANSWER:
        raise KeyringError(f"{host}: the answer has more than {MOST_ANSWER} bytes")
    return Answer(response.status, read)


def read_token(path: str) -> str:
    """Return the token in a file that the platform writes and rotates.

    Its mode is the platform's: such files are readable to all in a volume of the one container.
    Raises KeyringError, naming the path, where there is none.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MOST_TOKEN + 1).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise KeyringError(f"{path}: {getattr(error, 'strerror', None) or 'no token'}") from None
    if not token or len(token) > _MOST_TOKEN or not token.isprintable():
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
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    return type(error).__name__
