"""How a store reaches its Redis: one of it, the master that Sentinels know, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError

from ....config.settings import RedisCluster, RedisSentinels, RedisSettings
from . import access, replies
from .access import TlsConnection
from .client import Answer, Client, ServerClock, arguments, client, first_answer, patience
from .cluster import Cluster

_T = TypeVar("_T")


class MasterConnection(Connection):
    """A connection to the master; a Redis with another role is not used."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Log in, and ask the Redis for its role."""
        await super().on_connect_check_health(check_health)
        await self.send_command("ROLE", check_health=False)
        if replies.role(await self.read_response()) != b"master":
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

    async def master(self) -> tuple[str, int]:
        """Return the master's host and port."""
        host, port = await first_answer(self._ask(one) for one in self._clients)
        return host.decode(), port

    async def close(self) -> None:
        """Close all connections."""
        for one in self._clients:
            await one.close()

    async def _ask(self, sentinel: Client) -> tuple[bytes, int]:
        words = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service
        found = await sentinel.ask(*words, read=replies.address)
        if found is None:
            raise MasterNotFoundError("no such service")
        return found


def master(
    settings: RedisSettings, place: RedisSentinels, environ: Mapping[str, str]
) -> tuple[Client, Sentinels]:
    """Return a client of the master, and the Sentinels that it asks for each connection.

    Raises UnfitEnvironment where a certificate, a key or a password cannot be read.
    """
    made_with: dict[str, Any] = arguments(settings, environ)
    sentinels = Sentinels(place, settings, environ)
    kind = MasterTlsConnection if settings.tls else MasterConnection

    async def make() -> AbstractConnection:
        host, port = await sentinels.master()
        return kind(host=host, port=port, **made_with)

    return Client(make), sentinels


class Reach(Protocol):
    """Sends commands to whichever Redis holds their keys; raises what `Client` raises."""

    async def ask(
        self,
        key: str,
        *words: Any,  # noqa: ANN401 - whatever the command takes
        read: Callable[[Answer], _T],
    ) -> _T:
        """Return what `read` makes of the answer to a command.

        All its keys are in the slot of `key`.
        """
        ...

    async def ask_script(
        self,
        key: str,
        *words: Any,  # noqa: ANN401 - as above
        read: Callable[[Answer], tuple[float, _T]],
    ) -> _T:
        """Do as `ask` for an answer that holds Redis' time too, in milliseconds since 1970."""
        ...

    @property
    def clocks(self) -> Sequence[ServerClock]:
        """The clocks of all that were asked so far."""
        ...

    async def nodes(self) -> Sequence[Client]:
        """Return a client of each Redis that holds records."""
        ...

    def any_node(self) -> Client:
        """Return a client of a Redis that receives publications."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class One:
    """One Redis, or the one that Sentinels call the master."""

    def __init__(self, redis: Client, sentinels: Sentinels | None = None) -> None:
        """Own the client, and the Sentinels that it asks."""
        self._redis = redis
        self._sentinels = sentinels

    async def ask(
        self,
        key: str,
        *words: Any,  # noqa: ANN401 - as Reach says
        read: Callable[[Answer], _T],
    ) -> _T:
        """Do as Reach says."""
        return await self._redis.ask(*words, read=read)

    async def ask_script(
        self,
        key: str,
        *words: Any,  # noqa: ANN401 - as Reach says
        read: Callable[[Answer], tuple[float, _T]],
    ) -> _T:
        """Do as Reach says."""
        return await self._redis.ask_script(*words, read=read)

    @property
    def clocks(self) -> Sequence[ServerClock]:
        """The clock of the one Redis."""
        return [self._redis.clock]

    async def nodes(self) -> Sequence[Client]:
        """Do as Reach says."""
        return [self._redis]

    def any_node(self) -> Client:
        """Do as Reach says."""
        return self._redis

    async def close(self) -> None:
        """Do as Reach says."""
        await self._redis.close()
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
