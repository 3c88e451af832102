"""The connections to one Redis: a small pool without hidden retries, with short timeouts.

Only this module and those beside it import redis-py, and they are imported only when Redis is the
store: it costs 20 MiB and half of the start-up time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError

from ....config.settings import Address, RedisSettings, UnixAddress
from ..store import Misshapen, StoreFailed, StoreFull
from . import access
from .access import PasswordUnreadable, TlsConnection, TlsUnusable, Wary

CONNECT_SECONDS: Final = 0.2
COMMAND_SECONDS: Final = 0.2
# One for each question that a process asks at a time, one to listen, one to spare.
CONNECTIONS: Final = 10


def arguments(settings: RedisSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what every connection to a Redis that holds records is made with.

    Raises UnfitEnvironment where a certificate, a key or the password cannot be read.
    """
    login = access.credentials(settings.user, settings.password, environ)
    return access.tls(settings) | login | {"db": settings.db} | patience()


def patience() -> dict[str, Any]:
    """Return what every connection is made with: how long it waits, and that it tries once."""
    return {
        "max_connections": CONNECTIONS,
        "protocol": 2,
        # The caller has one deadline and a circuit breaker: ten retries would be out of place.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": COMMAND_SECONDS,
        "driver_info": None,
    }


class TcpConnection(Wary, Connection):
    """A connection without TLS."""


class UnixConnection(Wary, UnixDomainSocketConnection):
    """A connection over a Unix socket."""


def client(address: Address, made_with: Mapping[str, Any]) -> Redis:
    """Return a client of the Redis there, which connects when it is first used, and its pool."""
    kind: type[Wary]
    place: dict[str, Any]
    if isinstance(address, UnixAddress):
        kind, place = UnixConnection, {"path": str(address.path)}
    else:
        kind = TlsConnection if "ssl_cert_reqs" in made_with else TcpConnection
        place = {"host": address.host, "port": address.port}
    return Redis.from_pool(
        BlockingConnectionPool(
            connection_class=kind, timeout=COMMAND_SECONDS, **place, **dict(made_with)
        )
    )


async def command(client: Redis, *words: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
    """Return Redis' answer to one command."""
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    return await execute(*words)


async def disconnected(client: Redis) -> None:
    """Close the connections of a client that are idle."""
    with suppress(Exception):  # whatever state they are in
        await client.connection_pool.disconnect(inuse_connections=False)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn whatever redis-py raises into StoreFailed; its texts may hold addresses and values.

    Where Redis has no room left it is StoreFull, which does not prevent reading.
    """
    try:
        yield
    except OutOfMemoryError:  # and no policy that evicts
        raise StoreFull from None
    except StoreFailed:
        raise
    except (RedisError, OSError) as error:
        reason = _reason(error)
    except Exception:  # noqa: BLE001 - redis-py unpacks what comes before it looks at it
        raise Misshapen from None
    else:
        return
    raise StoreFailed(reason)


def _reason(error: Exception) -> str:
    if isinstance(error, PasswordUnreadable):
        return "store-password-unreadable"
    if isinstance(error.__cause__, TlsUnusable):  # redis-py wraps what connecting raises
        return "store-tls-unusable"
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        return "store-timeout"
    return "store-failed"


_T = TypeVar("_T")


async def first_answer(questions: Iterable[Awaitable[_T]]) -> _T:
    """Return the first answer; raise the last error where there is none.

    One after the other, a frozen server would use up the deadline of every question.
    """
    asked = [asyncio.ensure_future(one) for one in questions]  # noqa: TID251 - held here, and ended below
    try:
        for done in asyncio.as_completed(asked):
            try:
                return await done
            except Exception as error:  # noqa: BLE001 - another server may have an answer
                failed: Exception = error
        raise failed
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
