"""Who Sealyard is to a Redis and how it trusts it: user, password, TLS, as redis-py takes them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Connection, SSLConnection
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from ....config.settings import RedisSettings, SecretReference
from ....core.errors import KeyringError, UnfitEnvironment
from ... import private_file

_MOST_PASSWORD_BYTES: Final = 1024


class PasswordUnreadable(RedisError):
    """The password's file cannot be read now."""


class TlsUnusable(RedisError):
    """A file of TLS cannot be used now."""


class TlsConnection(SSLConnection):
    """Trusts the configured authority alone, and sees changed files at the next connection.

    redis-py's own way trusts the system's authorities beside it, and reads each file once.
    """

    def _connection_arguments(self) -> Mapping[str, Any]:
        try:
            made = context(self.ca_certs, self.certfile, self.keyfile)
        except UnfitEnvironment:
            raise TlsUnusable from None
        return {**Connection._connection_arguments(self), "ssl": made}  # noqa: SLF001 - redis-py's own


class Credentials(CredentialProvider):
    """Reads the password anew for every connection, so that a changed file needs no restart."""

    def __init__(self, user: str | None, password: Callable[[], str]) -> None:
        """Take the user's name and what returns the password."""
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes; raise PasswordUnreadable."""
        try:
            password = self._password()
        except KeyringError:
            raise PasswordUnreadable from None
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes; raise PasswordUnreadable."""
        return self.get_credentials()


def credentials(
    user: str | None, password: SecretReference | None, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the arguments of a connection that logs in; none where there is no password.

    Raises UnfitEnvironment where the password cannot be read.
    """
    if password is None:
        return {}
    read = _reader(password, environ)
    try:
        read()  # so that a missing secret is reported at the start
    except KeyringError as error:
        raise UnfitEnvironment(error.reason) from None
    return {"credential_provider": Credentials(user, read)}


def tls(settings: RedisSettings) -> dict[str, Any]:
    """Return the arguments of a connection over verified TLS; none where there is no TLS.

    Raises UnfitEnvironment where a certificate or a key cannot be used.
    """
    if not settings.tls:
        return {}
    context(_path(settings.ca), _path(settings.cert), _path(settings.key))
    return {
        "ssl_ca_certs": _path(settings.ca),
        "ssl_certfile": _path(settings.cert),
        "ssl_keyfile": _path(settings.key),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }


def context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Return what verifies a Redis by `ca` alone (None: by the system's authorities).

    The files are read again when one of them has changed. Raises UnfitEnvironment where one cannot
    be used.
    """
    return _context(ca, cert, key, tuple(map(_state, (ca, cert, key))))


@lru_cache(maxsize=8)  # the system's authorities take 20 ms to read
def _context(
    ca: str | None, cert: str | None, key: str | None, _: tuple[tuple[int, ...], ...]
) -> ssl.SSLContext:
    path = ca
    try:
        made = ssl.create_default_context(cafile=ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            path = cert
            made.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UnfitEnvironment(f"{path}: not usable for TLS: {type(error).__name__}") from None
    return made


def _state(path: str | None) -> tuple[int, ...]:
    try:
        found = Path(path).stat() if path is not None else None
    except OSError as error:
        return (-(error.errno or 1),)
    return () if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _reader(reference: SecretReference, environ: Mapping[str, str]) -> Callable[[], str]:
    def read() -> str:
        if reference.file is not None:
            found = private_file.read_line(reference.file, _MOST_PASSWORD_BYTES).decode()
        else:
            found = environ.get(reference.env or "", "")
        if not found:
            raise KeyringError(f"{reference.file or reference.env}: contains no password for Redis")
        return found

    return read
