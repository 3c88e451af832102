"""The clients that are connected to one listener: how many there may be, and how they leave."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..config.limits import TrafficLimits
from .addresses import Addresses
from .hop import Peer


class Guest(Protocol):
    """A connection of a client, as the listener sees it."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    def check(self, now: float) -> None:
        """End what has lasted too long."""

    def leave(self) -> None:
        """Close the connection if it is idle; let end what would never end by itself."""

    def abort(self) -> None:
        """Drop the connection."""


class Guests:
    """Counts connections in and out."""

    __slots__ = ("_addresses", "_here", "_none")

    def __init__(self) -> None:
        self._here: set[Guest] = set()
        self._addresses = Addresses()
        self._none: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Return how many are connected."""
        return len(self._here)

    def admits(self, guest: Guest, limits: TrafficLimits) -> bool:
        """Count a new connection in; return whether there was room for it."""
        if len(self._here) >= limits.clients:
            return False
        if not self._addresses.admits(guest.peer.address, limits.clients_per_address):
            return False
        self._here.add(guest)
        return True

    def lost(self, guest: Guest) -> None:
        """Count a connection out."""
        if guest in self._here:
            self._here.remove(guest)
            self._addresses.lost(guest.peer.address)
        if not self._here and self._none is not None and not self._none.done():
            self._none.set_result(None)

    def replace(self, guest: Guest, heir: Guest) -> None:
        """Let `heir` go on with the connection of `guest`."""
        self._here.discard(guest)
        self._here.add(heir)

    def check(self, now: float) -> None:
        """End what has lasted too long."""
        for guest in tuple(self._here):
            guest.check(now)

    async def gone(self, seconds: float) -> bool:
        """Let all leave, and wait for it; return whether they did in time."""
        for guest in tuple(self._here):
            guest.leave()
        if not self._here:
            return True
        self._none = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._none
        except TimeoutError:
            return False
        finally:
            self._none = None
        return True

    def abort(self) -> None:
        """Drop all connections."""
        for guest in tuple(self._here):
            guest.abort()
