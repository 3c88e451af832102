"""Who Sealyard is to a Redis and how it trusts it: user, password, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from ....config.settings import RedisSettings, SecretReference
from ....core.errors import KeyringError, UnfitEnvironment
from ... import private_file
from ...policy import PASSWORD_BYTES
from .connection import RedisError


class PasswordUnreadable(RedisError):
    """The password's file cannot be read now."""


class TlsUnusable(RedisError):
    """A file of TLS cannot be used now."""


def login(
    user: str | None, password: SecretReference | None, environ: Mapping[str, str]
) -> Callable[[], tuple[str, ...]] | None:
    """Return what returns the words of AUTH; None where there is no password.

    The password is read anew for every connection, so that a changed file needs no restart; that
    raises PasswordUnreadable. Raises UnfitEnvironment where it cannot be read now.
    """
    if password is None:
        return None
    read = _reader(password, environ)
    try:
        read()  # so that a missing secret is reported at the start
    except KeyringError as error:
        raise UnfitEnvironment(error.reason) from None

    def words() -> tuple[str, ...]:
        try:
            found = read()
        except KeyringError:
            raise PasswordUnreadable from None
        return (found,) if user is None else (user, found)

    return words


def tls(settings: RedisSettings) -> Callable[[], ssl.SSLContext] | None:
    """Return what returns the context of a connection over verified TLS; None without TLS.

    It sees changed files, and raises TlsUnusable. Raises UnfitEnvironment where a certificate or a
    key cannot be used now.
    """
    if not settings.tls:
        return None
    paths = _path(settings.ca), _path(settings.cert), _path(settings.key)
    context(*paths)

    def made() -> ssl.SSLContext:
        try:
            return context(*paths)
        except UnfitEnvironment:
            raise TlsUnusable from None

    return made


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
            found = private_file.read_line(reference.file, PASSWORD_BYTES).decode()
        else:
            found = environ.get(reference.env or "", "")
        if not found:
            raise KeyringError(f"{reference.file or reference.env}: contains no password for Redis")
        return found

    return read
