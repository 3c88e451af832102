"""The master that Sentinels know: found anew for each connection, and verified to be one.

https://redis.io/docs/latest/develop/reference/sentinel-clients/ is the protocol. redis-py's own
Sentinel asks one Sentinel after the other, and believes without asking the Redis itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    SentinelConnectionPool,
    SentinelManagedConnection,
)

from ...config.settings import RedisSentinels, RedisSettings
from . import redis_access, redis_answers
from .redis_access import TlsConnection, Wary
from .redis_client import arguments, client, command, patience
from .redis_race import first_answer
from .store import Misshapen


class MasterConnection(Wary, SentinelManagedConnection):
    """A connection to the master; a Redis that says it is none is not used."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Log in, and ask the Redis for its role."""
        await super().on_connect_check_health(check_health)
        await self.send_command("ROLE", check_health=False)
        try:
            role = redis_answers.role(await self.read_response())
        except Misshapen:  # of redis-py's family, so that it closes the connection
            raise MasterNotFoundError("no answer of a Redis") from None
        if role != b"master":
            raise MasterNotFoundError("not the master")


class MasterTlsConnection(MasterConnection, TlsConnection):
    """The same over TLS."""


class Sentinels:
    """Asks all Sentinels at once where the master is."""

    def __init__(
        self, place: RedisSentinels, settings: RedisSettings, environ: Mapping[str, str]
    ) -> None:
        """Connect to nothing yet; raise UnfitEnvironment where the password cannot be read."""
        login = redis_access.credentials(place.user, place.password, environ)
        made_with = redis_access.tls(settings) | login | patience()
        self._service = place.service
        self._clients = [client(node, made_with) for node in place.nodes]

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the master's host and port; redis-py's pool asks before it connects."""
        return await first_answer(self._ask(one) for one in self._clients)

    async def close(self) -> None:
        """Close all connections."""
        for one in self._clients:
            await one.aclose(close_connection_pool=True)

    async def _ask(self, sentinel: Redis) -> tuple[str, int]:
        words = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service
        found = redis_answers.address(await command(sentinel, *words))
        if found is None:
            raise MasterNotFoundError("no such service")
        host, port = found
        return host.decode(), port


def master(
    settings: RedisSettings, place: RedisSentinels, environ: Mapping[str, str]
) -> tuple[Redis, Sentinels]:
    """Return a client of the master, which owns its pool, and the Sentinels that it asks.

    Raises UnfitEnvironment where a certificate, a key or a password cannot be read.
    """
    made_with: dict[str, Any] = arguments(settings, environ)
    sentinels = Sentinels(place, settings, environ)
    make: Callable[..., SentinelConnectionPool] = SentinelConnectionPool
    pool = make(
        place.service,
        sentinels,
        connection_class=MasterTlsConnection if settings.tls else MasterConnection,
        **made_with,
    )
    return Redis.from_pool(pool), sentinels
