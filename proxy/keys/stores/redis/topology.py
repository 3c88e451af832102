"""How a store reaches its Redis: one of it, the master that Sentinels know, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    SentinelConnectionPool,
    SentinelManagedConnection,
)

from ....config.settings import RedisCluster, RedisSentinels, RedisSettings
from ..store import Misshapen
from . import access, replies
from .access import TlsConnection, Wary
from .client import arguments, client, command, disconnected, first_answer, patience
from .cluster import Cluster


class MasterConnection(Wary, SentinelManagedConnection):
    """A connection to the master; a Redis with another role is not used."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Log in, and ask the Redis for its role."""
        await super().on_connect_check_health(check_health)
        await self.send_command("ROLE", check_health=False)
        try:
            role = replies.role(await self.read_response())
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
        login = access.credentials(place.user, place.password, environ)
        made_with = access.tls(settings) | login | patience()
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
        found = replies.address(await command(sentinel, *words))
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


class Reach(Protocol):
    """Sends commands to whichever Redis holds their keys; raises what redis-py raises."""

    async def ask(self, key: str, *words: Any) -> Any:  # noqa: ANN401 - whatever the command takes and returns
        """Return the answer to a command all of whose keys are in the slot of `key`."""
        ...

    async def nodes(self) -> Sequence[Redis]:
        """Return a client of each Redis that holds records."""
        ...

    def any_node(self) -> Redis:
        """Return a client of a Redis that receives publications."""
        ...

    async def doubt(self) -> None:
        """Close all idle connections: one of them may be an answer behind."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class One:
    """One Redis, or the one that Sentinels call the master."""

    def __init__(self, redis: Redis, sentinels: Sentinels | None = None) -> None:
        """Own the client, and the Sentinels that it asks."""
        self._redis = redis
        self._sentinels = sentinels

    async def ask(self, key: str, *words: Any) -> Any:  # noqa: ANN401 - whatever the command takes and returns
        """Do as Reach says."""
        return await command(self._redis, *words)

    async def nodes(self) -> Sequence[Redis]:
        """Do as Reach says."""
        return [self._redis]

    def any_node(self) -> Redis:
        """Do as Reach says."""
        return self._redis

    async def doubt(self) -> None:
        """Do as Reach says."""
        await disconnected(self._redis)

    async def close(self) -> None:
        """Do as Reach says."""
        await self._redis.aclose(close_connection_pool=True)
        if self._sentinels is not None:
            await self._sentinels.close()


def reach(settings: RedisSettings, environ: Mapping[str, str]) -> Reach:
    """Return the way to the Redis of the settings; it connects when it is first used.

    Raises UnfitEnvironment where a certificate, a key or a password cannot be read.
    """
    place = settings.address
    if isinstance(place, RedisSentinels):
        return One(*master(settings, place, environ))
    made_with = arguments(settings, environ)
    if isinstance(place, RedisCluster):
        return Cluster(place.nodes, lambda node: client(node, made_with))
    return One(client(place, made_with))
