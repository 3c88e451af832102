"""Who Sealyard is to a Redis and how it trusts it: user, password, TLS, as redis-py takes them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from ...config.settings import RedisSettings, SecretReference
from ...core.errors import KeyringError, UnfitEnvironment
from .. import private_file

_MOST_PASSWORD_BYTES: Final = 1024


class PasswordUnreadable(RedisError):
    """The password's file cannot be read now.

    It is an error of redis-py's family because only for those a connection that was being made is
    closed; any other would leave one behind that never logged in.
    """


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
        read()  # so that a missing secret is told at the start
    except KeyringError as error:
        raise UnfitEnvironment(error.reason) from None
    return {"credential_provider": Credentials(user, read)}


def tls(settings: RedisSettings) -> dict[str, Any]:
    """Return the arguments of a connection over verified TLS; none where there is no TLS.

    Raises UnfitEnvironment where a certificate or a key cannot be used.
    """
    if not settings.tls:
        return {}
    _require_pem(settings)
    return {
        "ssl_ca_certs": None if settings.ca is None else str(settings.ca),
        "ssl_certfile": None if settings.cert is None else str(settings.cert),
        "ssl_keyfile": None if settings.key is None else str(settings.key),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }


def _require_pem(settings: RedisSettings) -> None:
    """Read the TLS files once, so that an unusable one is told at the start."""
    path: Path | None = settings.ca
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.cert is not None:
            path = settings.cert
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise UnfitEnvironment(f"{path}: not usable for TLS: {type(error).__name__}") from None


def _reader(reference: SecretReference, environ: Mapping[str, str]) -> Callable[[], str]:
    def read() -> str:
        if reference.file is not None:
            found = private_file.read_line(reference.file, _MOST_PASSWORD_BYTES).decode()
        else:
            found = environ.get(reference.env or "", "")
        if not found:
            raise KeyringError(f"{reference.file or reference.env}: holds no password for Redis")
        return found

    return read
