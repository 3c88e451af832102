"""Shares of a number of places, and turns in the queue for one of them.

Who asks is a client on a route: a `Flow`. A tenth of the places is always left to other clients,
and a tenth to other routes; also a tenth of the places of one route to its other clients. What is
idle beyond that may be used by whoever asks. In the queue, clients take turns, and the routes of
one client take turns (round-robin, as in fair queueing: J. Nagle, RFC 970). A flow that must leave
what is free to others is parked at the share that has all it may have, so that it costs nothing to
the turns of the others, and comes back when that share gives a place back.

An operation takes constant time for each share that has all it may have: one client, one route and
a few flows, unless a rule gives its route less. Memory is bounded by the places and by the length
of the queue.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ..overload import QueueRoom, StandingDelay

_UNDIVIDED: Final = 5
"""Fewer places than this are not divided: one of them would be more than a fifth."""


def without_rest(places: int) -> int:
    """Return how many of so many places one share may have: a tenth, at least one, stays free."""
    return places if places < _UNDIVIDED else places - max(1, places // 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many of `places` one client, one route, and one client on one route may have."""

    places: int
    client: int
    route: int
    flow: int

    @classmethod
    def of(cls, places: int, most_of_a_route: int | None = None) -> Scale:
        """Divide so many places; one route may have at most so many, if that is given."""
        route = without_rest(places)
        if most_of_a_route is not None:
            route = min(route, most_of_a_route)
        return cls(places, without_rest(places), route, without_rest(route))

    def full(self, flow: Flow, number: Callable[[Share], int], own: int = 0) -> Share | None:
        """Return the share of a flow that has all it may have by `number`, None if none has.

        The route may have `own` places, unless that is 0.
        """
        client, route = flow.client, flow.route
        if number(client) >= self.client:
            return client
        most, most_of_flow = self.route, self.flow
        if own:
            most = self.of_route(own)
            most_of_flow = without_rest(most)
        if number(route) >= most:
            return route
        return flow if number(flow) >= most_of_flow else None

    def of_route(self, own: int) -> int:
        """Return how many places a route may have to which a rule gives `own`, 0 for none."""
        return min(own, without_rest(self.places)) if own else self.route

    def beyond(self, clients: Iterable[Share], routes: Iterable[Share]) -> Beyond:
        """Return what has more places than it may have, since there are fewer than before."""
        sides = (
            tuple((one, self.client) for one in clients if one.in_use > self.client),
            tuple((one, most) for one in routes if one.in_use > (most := self.of_route(one.most))),
        )
        return Beyond(sides)


@dataclass(frozen=True, slots=True)
class Beyond:
    """Clients, and routes, with more places than they may have, and how many these are."""

    sides: tuple[tuple[tuple[Share, int], ...], ...] = ()

    @property
    def places(self) -> int:
        """How many places they have beyond that: nobody else has to make up for these."""
        counts = (sum(max(0, share.in_use - most) for share, most in side) for side in self.sides)
        return max(counts, default=0)


NOTHING_BEYOND: Final = Beyond()


@dataclass(slots=True, eq=False, weakref_slot=True)
class Share:
    """What a client or a route has.

    Attributes:
        most: The largest number of places that a route may have by its rule; 0: as any other.
        in_use: How many places it has.
        waiting: How many of its waiters are in the queue.
        parked: Flows that could have a turn if this share had fewer places.
    """

    most: int = 0
    in_use: int = 0
    waiting: int = 0
    parked: OrderedDict[Flow, None] = field(default_factory=OrderedDict)


@dataclass(slots=True, eq=False)
class ClientShare(Share):
    """What a client has; `ready` are its flows that have turns, `beside` what counts by kind."""

    ready: OrderedDict[Flow, None] = field(default_factory=OrderedDict)
    beside: dict[str, Share] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class Flow(Share):
    """What a client has on a route.

    `delay` is that of its queue, and `room` how many may be in it; `ring` is where it waits for its
    turn, None if it does not.
    """

    client: ClientShare
    route: Share
    delay: StandingDelay
    room: QueueRoom = field(default_factory=QueueRoom)
    waiters: OrderedDict[Waiter, None] = field(default_factory=OrderedDict)
    ring: OrderedDict[Flow, None] | None = None


@dataclass(slots=True, eq=False)
class Waiter:
    """One who waits for a place `since` a loop time. `given` is set to what it gets."""

    flow: Flow
    given: asyncio.Future[Any]
    since: float
    queued: bool = False


class FairQueue:
    """Those who wait, by flow and in the order of their arrival."""

    __slots__ = ("_clients", "_scale", "waiters")

    def __init__(self, most: int) -> None:
        """Take at most `most` waiters, and of each share what `Scale` allows."""
        self._scale = Scale.of(most)
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._clients: OrderedDict[ClientShare, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.waiters)

    def resize(self, most: int) -> None:
        """Take at most so many from now on; those that wait already stay."""
        if most != self._scale.places:
            self._scale = Scale.of(most)

    def full_for(self, flow: Flow) -> bool:
        """Return whether there is no room for another waiter of a flow."""
        return len(self.waiters) >= self._scale.places or (
            self._scale.full(flow, lambda share: share.waiting) is not None
        )

    def put(self, waiter: Waiter) -> None:
        """Add a waiter behind the others of its flow."""
        flow = waiter.flow
        self.waiters[waiter] = None
        flow.waiters[waiter] = None
        self._count(waiter, 1)
        if flow.ring is None:
            self._make_ready(flow)

    def remove(self, waiter: Waiter) -> None:
        """Remove a waiter. It is idempotent."""
        self.waiters.pop(waiter, None)
        flow = waiter.flow
        flow.waiters.pop(waiter, None)
        if waiter.queued:
            self._count(waiter, -1)
        if not flow.waiters:
            had_turns = flow.ring is flow.client.ready
            self._take_out(flow)
            if had_turns:  # the room that gave it its turn is for those parked behind it
                self.freed(flow.client)
                self.freed(flow.route)

    def next(self, full: Callable[[Flow], Share | None]) -> Waiter | None:
        """Return whose turn it is; None where all must leave room to others.

        Of a flow, that is who has waited longest.

        `full` returns the share of a flow that has all it may have, or None. The caller removes the
        waiter once it has what it waits for.
        """
        while self._clients:
            client = next(iter(self._clients))
            flow = next(iter(client.ready))
            self._take_out(flow)
            if client.ready:
                self._clients.move_to_end(client)
            share = full(flow)
            if share is not None:
                flow.ring = share.parked
                share.parked[flow] = None
                # Another share of it may have room, which a flow parked there can use.
                for other in (flow.client, flow.route):
                    if other is not share:
                        self.freed(other)
                continue
            self._make_ready(flow)
            return next(iter(flow.waiters))
        return None

    def freed(self, share: Share) -> None:
        """Let the flow that is parked longest at a share have a turn again."""
        if share.parked:
            flow = next(iter(share.parked))
            self._take_out(flow)
            self._make_ready(flow)

    def flows(self) -> tuple[Flow, ...]:
        """Return the flows that wait."""
        return tuple({waiter.flow: None for waiter in self.waiters})

    def expired_of(self, flow: Flow, since: float) -> list[Waiter]:
        """Remove and return those of a flow who have waited since before that."""
        found = list(itertools.takewhile(lambda one: one.since < since, flow.waiters))
        for waiter in found:
            self.remove(waiter)
        return found

    def expired(self, since: float) -> list[Waiter]:
        """Remove and return those who have waited since before that."""
        found = []
        for waiter in self.waiters:
            if waiter.since >= since:
                break
            found.append(waiter)
        for waiter in found:
            self.remove(waiter)
        return found

    def look_again(self) -> None:
        """Let all parked flows have turns again: the number of places may have grown."""
        for flow in self.flows():
            if flow.ring is not flow.client.ready:
                self._take_out(flow)
                self._make_ready(flow)

    def _make_ready(self, flow: Flow) -> None:
        client = flow.client
        flow.ring = client.ready
        client.ready[flow] = None
        self._clients[client] = None

    def _take_out(self, flow: Flow) -> None:
        ring, flow.ring = flow.ring, None
        if ring is not None:
            ring.pop(flow, None)
        if not flow.client.ready:
            self._clients.pop(flow.client, None)

    def _count(self, waiter: Waiter, by: int) -> None:
        # In one step, so that no exception can come between.
        flow, client, route = waiter.flow, waiter.flow.client, waiter.flow.route
        flow.waiting, client.waiting, route.waiting, waiter.queued = (
            flow.waiting + by,
            client.waiting + by,
            route.waiting + by,
            by > 0,
        )
