"""A Redis Cluster: which node holds which slot, learned from any node and from its redirections.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ is the protocol.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from ....config.settings import TcpAddress
from ...policy import CLUSTER_AGAIN_SECONDS, CLUSTER_ASKED, CLUSTER_TURNS
from ..store import Misshapen, StoreFailed
from . import replies
from .client import Client, ServerClock, Then, first_answer
from .connection import Answer, AnsweredError, RedisError, Word

_T = TypeVar("_T")

_SLOTS: Final = 16_384
_DOWN: Final = frozenset({"CLUSTERDOWN", "LOADING", "MASTERDOWN"})
"""Errors after which another node may hold a slot."""


class Cluster:
    """Asks the node that holds a key. `connect` returns a client of a node, which is owned here."""

    def __init__(
        self, seeds: Sequence[TcpAddress], connect: Callable[[TcpAddress], Client]
    ) -> None:
        """Know only the nodes that the configuration names."""
        self._seeds = tuple(seeds)
        self._connect = connect
        self._clients: dict[TcpAddress, Client] = {}
        self._owners: list[TcpAddress] = []  # by slot; empty until learned
        self._learning = asyncio.Lock()
        self._turn = 0

    async def ask(self, key: str, *words: Word, read: Callable[[Answer], _T]) -> _T:
        """Return what `read` makes of the answer of the node that holds `key`."""

        def send(client: Client, first: Sequence[str]) -> Awaitable[_T]:
            return client.ask(*words, read=read, first=first)

        return await self._sent(key, send)

    async def ask_script(
        self, key: str, *words: Word, read: Callable[[Answer], tuple[float, _T]], then: Then = None
    ) -> _T:
        """Do as Reach says."""

        def send(client: Client, first: Sequence[str]) -> Awaitable[_T]:
            return client.ask_script(*words, read=read, first=first, then=then)

        return await self._sent(key, send)

    @property
    def clocks(self) -> list[ServerClock]:
        """The clocks of the nodes that were asked so far."""
        return [one.clock for one in self._clients.values()]

    async def _sent(self, key: str, send: Callable[[Client, Sequence[str]], Awaitable[_T]]) -> _T:
        """Return the answer of the node that holds `key`, to what `send` sends it."""
        slot = slot_of(key.encode())
        try:
            node, asking = (await self._learned())[slot], False
            for _ in range(CLUSTER_TURNS):
                try:
                    # ASKING is for the next command of its connection alone.
                    first = ("ASKING",) if asking else ()
                    return await send(self._client(node), first)
                except AnsweredError as error:
                    if error.code == "TRYAGAIN":
                        await asyncio.sleep(CLUSTER_AGAIN_SECONDS)
                        continue
                    if error.code not in {"ASK", "MOVED"}:
                        raise
                    node, asking = _named(error, node), error.code == "ASK"
                    if self._owners and not asking:
                        self._owners[slot] = node
        except (RedisError, OSError, asyncio.CancelledError) as error:
            if not isinstance(error, AnsweredError) or error.code in _DOWN:
                self._owners = []  # another node may hold the slot by now
            raise
        raise StoreFailed

    async def nodes(self) -> list[Client]:
        """Return a client of each node that holds slots."""
        return [self._client(node) for node in dict.fromkeys(await self._learned())]

    def any_node(self) -> Client:
        """Return a client of one node that is known, and of the next one the next time."""
        known = self._known()
        self._turn += 1
        return self._client(known[self._turn % len(known)])

    def close(self) -> None:
        """Close all connections."""
        clients, self._clients, self._owners = self._clients, {}, []
        for client in clients.values():
            client.close()

    async def _learned(self) -> list[TcpAddress]:
        async with self._learning:
            if not self._owners:
                nodes = self._known()[:CLUSTER_ASKED]
                self._owners = await first_answer(self._slots_of(node) for node in nodes)
                self._close_left()
            return self._owners

    async def _slots_of(self, node: TcpAddress) -> list[TcpAddress]:
        """Return which node holds each slot, as `node` sees it."""
        owners: list[TcpAddress | None] = [None] * _SLOTS
        held = await self._client(node).ask("CLUSTER", "SLOTS", read=_listed)
        for first, last, host, port in held:
            # A node that does not know its own name means the one that was asked.
            owner = TcpAddress(host.decode() if host else node.host, port)
            owners[first : last + 1] = [owner] * (last + 1 - first)
        found = [owner for owner in owners if owner is not None]
        if len(found) < len(owners):
            raise AnsweredError("CLUSTERDOWN not all slots are held")
        return found

    def _known(self) -> list[TcpAddress]:
        return list(dict.fromkeys((*self._seeds, *self._owners, *self._clients)))

    def _client(self, node: TcpAddress) -> Client:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._connect(node)
        return client

    def _close_left(self) -> None:
        """Close the connections to nodes that have left the cluster."""
        for node in self._clients.keys() - {*self._seeds, *self._owners}:
            self._clients.pop(node).close()


def _listed(answer: Answer) -> list[tuple[int, int, bytes, int]]:
    return list(replies.slots(answer))


def _named(redirection: AnsweredError, asked: TcpAddress) -> TcpAddress:
    """Return the node that a redirection names; without a host it is that of the one asked.

    Raises Misshapen where it names none.
    """
    _, _, address = redirection.text.partition(" ")
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise Misshapen
    return TcpAddress(host or asked.host, replies.whole(port.encode(), 1, 65_535))


def slot_of(key: bytes) -> int:
    """Return the slot of a key: that of what is in its first braces, if there is anything."""
    _, brace, rest = key.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    return binascii.crc_hqx(tag if brace and closing and tag else key, 0) % _SLOTS
