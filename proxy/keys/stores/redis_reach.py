"""How a store reaches its Redis: one of it, the master that Sentinels know, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis

from ...config.settings import RedisCluster, RedisSentinels, RedisSettings
from .redis_client import arguments, client, command, disconnected
from .redis_cluster import Cluster
from .redis_sentinel import Sentinels, master


class Reach(Protocol):
    """Sends commands to whichever Redis holds their keys; raises what redis-py raises."""

    async def ask(self, key: str, *words: Any) -> Any:  # noqa: ANN401 - whatever the command takes and returns
        """Return the answer to a command all of whose keys are in the slot of `key`."""
        ...

    async def nodes(self) -> Sequence[Redis]:
        """Return a client of each Redis that holds records."""
        ...

    def any_node(self) -> Redis:
        """Return a client of a Redis where publications are heard."""
        ...

    async def doubt(self) -> None:
        """Close all connections that nobody uses: one of them may be an answer behind."""
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
