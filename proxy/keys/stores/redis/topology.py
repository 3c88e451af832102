"""How a store reaches its Redis: one of it, the master that Sentinels know, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from ....config.settings import RedisCluster, RedisSentinels, RedisSettings, TcpAddress
from . import access, replies
from .client import Client, ServerClock, Then, client, first_answer, terms
from .cluster import Cluster
from .connection import Answer, Connection, Terms, Word, WrongRole, connected

_T = TypeVar("_T")


class Sentinels:
    """Asks all Sentinels at once where the master is."""

    def __init__(
        self, place: RedisSentinels, settings: RedisSettings, environ: Mapping[str, str]
    ) -> None:
        """Connect to nothing yet; raise UnfitEnvironment where the password cannot be read."""
        login = access.login(place.user, place.password, environ)
        how = Terms(login, access.tls(settings))
        self._service = place.service
        self._clients = [client(node, how) for node in place.nodes]

    async def master(self) -> tuple[str, int]:
        """Return the master's host and port."""
        host, port = await first_answer(self._ask(one) for one in self._clients)
        return host.decode(), port

    def close(self) -> None:
        """Close all connections."""
        for one in self._clients:
            one.close()

    async def _ask(self, sentinel: Client) -> tuple[bytes, int]:
        words = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service
        found = await sentinel.ask(*words, read=replies.address)
        if found is None:
            raise WrongRole("no such service")
        return found


def master(
    settings: RedisSettings, place: RedisSentinels, environ: Mapping[str, str]
) -> tuple[Client, Sentinels]:
    """Return a client of the master, and the Sentinels that it asks for each connection.

    Raises UnfitEnvironment where a certificate, a key or a password cannot be read.
    """
    how = replace(terms(settings, environ), to_master=True)
    sentinels = Sentinels(place, settings, environ)

    async def make() -> Connection:
        return await connected(TcpAddress(*await sentinels.master()), how)

    return Client(make), sentinels


class Reach(Protocol):
    """Sends commands to whichever Redis holds their keys; raises what `Client` raises."""

    async def ask(self, key: str, *words: Word, read: Callable[[Answer], _T]) -> _T:
        """Return what `read` makes of the answer to a command.

        All its keys are in the slot of `key`.
        """

    async def ask_script(
        self, key: str, *words: Word, read: Callable[[Answer], tuple[float, _T]], then: Then = None
    ) -> _T:
        """Do as `ask` for an answer that holds Redis' time too, in milliseconds since 1970.

        `then` is awaited afterwards with the connection that it came over.
        """

    @property
    def clocks(self) -> Sequence[ServerClock]:
        """The clocks of all that were asked so far."""

    async def nodes(self) -> Sequence[Client]:
        """Return a client of each Redis that holds records."""

    def any_node(self) -> Client:
        """Return a client of a Redis that receives publications."""

    def close(self) -> None:
        """Close all connections."""


class One:
    """One Redis, or the one that Sentinels call the master."""

    def __init__(self, redis: Client, sentinels: Sentinels | None = None) -> None:
        """Own the client, and the Sentinels that it asks."""
        self._redis = redis
        self._sentinels = sentinels

    async def ask(self, key: str, *words: Word, read: Callable[[Answer], _T]) -> _T:
        """Do as Reach says."""
        return await self._redis.ask(*words, read=read)

    async def ask_script(
        self, key: str, *words: Word, read: Callable[[Answer], tuple[float, _T]], then: Then = None
    ) -> _T:
        """Do as Reach says."""
        return await self._redis.ask_script(*words, read=read, then=then)

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

    def close(self) -> None:
        """Do as Reach says."""
        self._redis.close()
        if self._sentinels is not None:
            self._sentinels.close()


def reach(settings: RedisSettings, environ: Mapping[str, str]) -> Reach:
    """Return the way to the Redis of the settings; it connects when it is first used.

    Raises UnfitEnvironment where a certificate, a key or a password cannot be read.
    """
    place = settings.address
    if isinstance(place, RedisSentinels):
        return One(*master(settings, place, environ))
    how = terms(settings, environ)
    if isinstance(place, RedisCluster):
        return Cluster(place.nodes, lambda node: client(node, how))
    return One(client(place, how))
