"""The connections to Redis: a small pool without hidden retries, with short timeouts.

Only this module and the store beside it import redis-py, and they are imported only when Redis is
the store: it costs 20 MiB and half of the start-up time.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from ...config.settings import RedisSettings, SecretReference, UnixAddress
from ...core.errors import KeyringError, UnfitEnvironment
from .. import private_file
from .store import StoreFailed

CONNECT_SECONDS: Final = 0.2
COMMAND_SECONDS: Final = 0.2
# One for each question that a process asks at a time, one to listen, one to spare.
CONNECTIONS: Final = 10
_MOST_PASSWORD_BYTES: Final = 1024


class Credentials(CredentialProvider):
    """Reads the password anew for every connection, so that a changed file needs no restart."""

    def __init__(self, user: str | None, password: Callable[[], str]) -> None:
        """Take the user's name and what returns the password."""
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes."""
        password = self._password()
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes."""
        return self.get_credentials()


def connect(settings: RedisSettings, environ: Mapping[str, str]) -> Redis:
    """Return a client that connects when it is first used, and owns its pool.

    Raises UnfitEnvironment where a certificate, a key or the password cannot be read.
    """
    kind, more = _place(settings)
    if settings.password is not None:
        read = _password(settings.password, environ)
        try:
            read()  # so that a missing secret is told at the start
        except KeyringError as error:
            raise UnfitEnvironment(error.reason) from None
        more["credential_provider"] = Credentials(settings.user, read)
    pool = BlockingConnectionPool(
        connection_class=kind,
        max_connections=CONNECTIONS,
        timeout=COMMAND_SECONDS,
        db=settings.db,
        protocol=2,
        # The caller has one deadline and a circuit breaker: ten retries would be out of place.
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=COMMAND_SECONDS,
        driver_info=None,
        **more,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn whatever redis-py raises into StoreFailed; its texts may hold addresses and values."""
    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        slow = isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError"
        reason = "store-timeout" if slow else "store-failed"
    except KeyringError:
        reason = "store-password-unreadable"
    else:
        return
    raise StoreFailed(reason)


def _place(settings: RedisSettings) -> tuple[type[AbstractConnection], dict[str, Any]]:
    if isinstance(settings.address, UnixAddress):
        return UnixDomainSocketConnection, {"path": str(settings.address.path)}
    place: dict[str, Any] = {"host": settings.address.host, "port": settings.address.port}
    if not settings.tls:
        return Connection, place
    _require_pem(settings)
    return SSLConnection, place | {
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


def _password(reference: SecretReference, environ: Mapping[str, str]) -> Callable[[], str]:
    def read() -> str:
        if reference.file is not None:
            found = private_file.read_line(reference.file, _MOST_PASSWORD_BYTES).decode()
        else:
            found = environ.get(reference.env or "", "")
        if not found:
            raise KeyringError(f"{reference.file or reference.env}: holds no password for Redis")
        return found

    return read
