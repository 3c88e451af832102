"""Permits: the right to have one request under way at the upstream.

How many there are is the `value` of a `Limit`, at most `limits.connections`. They are divided, and
who waits for one takes turns, as `fair_queue` says; a flow's queue is first in, first out, and ends
at the deadline `timeouts.queue`. If that of a flow has not been empty for so long, or no permit has
been free, more is asked than can be done (`StandingDelay`). Then the deadline is a tenth, and only
as many wait as have their turn before it (`QueueRoom`). A pool of connections has no limit and no
queue of its own: whoever has a permit gets a connection. While the upstream is left alone after
failures (`UpstreamHealth`), nobody gets or waits for one.

So all that an upstream tells goes through its permits: when a request begins, what answers it, and
how it ended. The limit, the shares, the queue and the health learn from that, and from nothing
else.

WebSockets, streams of events and long transfers count beside the permits (`Permit.becomes`), each
kind with a limit of its own, of which a client leaves a tenth to others as well.

No exception and no cancellation, wherever it is raised, reduces the number of permits for good:
each count changes in one step with the state of its permit, and a lost permit gives itself back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from operator import attrgetter
from typing import Final, Literal
from weakref import WeakValueDictionary

from ...config.limits import Timeouts, TrafficLimits
from ...core.errors import Busy
from ...process.circuit_breaker import NO_TRIAL
from ..overload import QueueRoom, StandingDelay
from ..policy import OVERLOADED_SHARE
from ..timers import RepeatingTimer, interval
from .concurrency_limit import ConcurrencyLimit
from .fair_queue import NOTHING_BEYOND, ClientShare, FairQueue, Flow, Scale, Share, Waiter
from .health import UpstreamHealth
from .limit import Limit, Outcome

Kind = Literal["websocket", "event-stream", "long-transfer"]
KINDS: Final[tuple[Kind, ...]] = ("websocket", "event-stream", "long-transfer")

_IN_USE: Final = attrgetter("in_use")


class Claim:
    """Who asks for a permit: a client on a route.

    `client` is a verified caller, or else the name of a client as `forwarding_headers.client_name`
    returns it. `route` is the name of the rule or, without one, the shape of the path. `most` is
    the largest number of permits that the rule gives its route, 0 if it does not say. `flow` is
    what `Permits` knows of it.
    """

    __slots__ = ("client", "flow", "most", "route")

    def __init__(self, client: str, route: str, most: int = 0) -> None:
        self.client: Final = client
        self.route: Final = route
        self.most: Final = most
        self.flow: tuple[Permits, Flow] | None = None


class Permit:
    """The right to one request, from `take` until `release`.

    Attributes:
        began: Monotonic time in seconds at which it was taken.
        held: It is one of the permits.
        beside: What it counts as instead: a kind, and what its client has of that kind.
    """

    __slots__ = ("_flow", "_permits", "_trial", "began", "beside", "held")

    def __init__(self, permits: Permits, flow: Flow) -> None:
        self.held = False
        self.beside: tuple[Share, Share] | None = None
        self._permits = permits
        self._flow = flow
        self._trial: int | None = None  # while the upstream's health waits for what becomes of it
        self.began = time.monotonic()
        # In one step, so that no exception can come between.
        every, client, route = permits.everything, flow.client, flow.route
        every.in_use, client.in_use, route.in_use, flow.in_use, self.held = (
            every.in_use + 1,
            client.in_use + 1,
            route.in_use + 1,
            flow.in_use + 1,
            True,
        )

    def begins(self) -> None:
        """Note that its request is sent now: how long it was prepared says nothing of the upstream.

        Raises:
            UpstreamResting: The upstream has failed, and is left alone. The permit is still held.
        """
        self._trial = self._permits.health.admit()
        self.began = time.monotonic()

    def answered(self, status: int) -> None:
        """Note that the head of a response has come."""
        self._permits.health.answered(status, self._trial or NO_TRIAL)
        self._trial = None

    def becomes(self, kind: Kind) -> None:
        """Count beside the permits from now on; do nothing where it does already.

        Raises:
            Busy: There is no room for another of this kind. The permit is still held.
        """
        if self.held:
            self._permits.place_beside(self, self._flow, kind)

    def release(self, outcome: Outcome) -> None:
        """Give the permit back. It is idempotent."""
        if self._trial is not None:
            trial, self._trial = self._trial, None
            self._permits.health.ended(outcome, trial)
        if self.beside is not None:
            kind, own = self.beside
            kind.in_use, own.in_use, self.beside = kind.in_use - 1, own.in_use - 1, None
        if self.held:
            self._permits.take_back(self, self._flow, outcome)

    def __del__(self) -> None:
        """Give a permit back that an exception has lost, from whichever thread that is seen in."""
        try:
            if self.held or self.beside is not None:
                self._permits.lost(self)
        except AttributeError:  # the exception came while it was made
            return


class Permits:
    """The permits of one upstream."""

    __slots__ = (
        "_beyond",
        "_clients",
        "_closed",
        "_flows",
        "_kinds",
        "_limit",
        "_loop",
        "_most",
        "_most_of_a_route",
        "_most_waiting",
        "_patience",
        "_queue",
        "_room",
        "_routes",
        "_scale",
        "_seen",
        "_standing",
        "_timer",
        "everything",
        "health",
        "waited",
        "waits",
    )

    def __init__(
        self,
        limits: TrafficLimits,
        timeouts: Timeouts,
        limit: Limit | None = None,
        health: UpstreamHealth | None = None,
    ) -> None:
        """Give permits by `limit`, an adaptive one if there is none, and by a health of its own."""
        self._most: Final = limits.connections
        self._limit = limit or ConcurrencyLimit(limits.connections)
        self._most_of_a_route: Final = limits.connections_per_route
        self._patience = timeouts.queue
        self._loop = asyncio.get_running_loop()
        self._scale = Scale.of(0)
        self._rescale()
        self._most_waiting: Final = limits.waiting
        self._queue = FairQueue(limits.waiting)
        self._room = QueueRoom()
        self._standing = StandingDelay(self._patience)
        self._beyond = NOTHING_BEYOND
        self._closed = False
        self.everything = Share()
        self.health: Final = health or UpstreamHealth(limits, timeouts)
        self.waits = 0
        self.waited = 0.0
        self._timer = RepeatingTimer(
            self.check,
            interval=interval(timeouts),
            rests=lambda: not (self.waiting or self.in_use),
        )
        self._clients: WeakValueDictionary[str, ClientShare] = WeakValueDictionary()
        self._routes: WeakValueDictionary[tuple[str, int], Share] = WeakValueDictionary()
        self._flows: WeakValueDictionary[tuple[str, str, int], Flow] = WeakValueDictionary()
        most = (limits.websockets, limits.event_streams, limits.long_transfers)
        self._kinds = {
            kind: (Share(), Scale.of(one)) for kind, one in zip(KINDS, most, strict=True)
        }

    @property
    def in_use(self) -> int:
        """How many permits are taken."""
        return self.everything.in_use

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._queue)

    @property
    def places(self) -> int:
        """How many permits there are at present."""
        return self._scale.places

    def beside(self, kind: Kind) -> int:
        """Return how many of a kind there are beside the permits."""
        return self._kinds[kind][0].in_use

    def take_at_once(self, claim: Claim) -> Permit | None:
        """Return a permit if one is free for a claim."""
        if self._limit.value != self._seen:
            self._rescale()
            self._queue.look_again()
            self._give_free()
        known = claim.flow
        flow = known[1] if known is not None and known[0] is self else self._flow_of(claim)
        # Where all together have less than the least share is, no share of anyone is used up.
        few = self.everything.in_use < self._scale.flow and not flow.route.most
        if self._closed or (not few and (self._full(flow) or self._none_free())):
            return None
        # Whoever waits now waits for a share, not because more is asked than can be done.
        if self._standing.since is not None:
            self._standing.short(self._loop.time())
        if flow.delay.since is not None:
            flow.delay.short(self._loop.time())
        return Permit(self, flow)

    async def take(self, claim: Claim) -> Permit:
        """Return a permit as soon as it is the turn of a claim.

        Raises:
            Busy: The queue is full, or the wait in it was too long, or the upstream is closed.
            UpstreamResting: The upstream has failed, and is left alone.
        """
        permit = self.take_at_once(claim)
        if permit is not None:
            return permit
        self.refuse_if_full(claim)
        flow = self._flow_of(claim)
        now = self._loop.time()
        self._standing.long(now)
        flow.delay.long(now)
        self._expire(now, (flow,))
        waiter = Waiter(flow, self._loop.create_future(), now)
        try:
            self._queue.put(waiter)
            self._timer.start()
            given: Permit = await waiter.given
        except BaseException:
            self._queue.remove(waiter)
            _give_back(waiter.given)
            self._give_free()
            raise
        finally:
            # A refusal is the exception of its future, and has this frame in its traceback. Such a
            # cycle for each refused message keeps the garbage collector busy in an overload.
            del waiter
        return given

    def refuse_if_full(self, claim: Claim) -> None:
        """Raise Busy where a claim would get neither a permit nor a place in the queue.

        Or UpstreamResting, while the upstream is left alone.
        """
        if self._closed:
            raise Busy("closing")
        self.health.refuse_if_resting()
        if self.everything.in_use < self._scale.flow and not claim.most:
            return  # a permit is free, as in `take_at_once`
        flow = self._flow_of(claim)
        now = self._loop.time()
        # What a flow may have in the queue was measured while it stood there.
        late = flow.waiting >= flow.room.most and flow.delay.stands(now)
        if (late or self._queue.full_for(flow)) and (self._none_free() or self._full(flow)):
            self._standing.long(now)
            flow.delay.long(now)
            raise Busy("queue-full")

    def has_room(self, kind: Kind, claim: Claim) -> bool:
        """Return whether there is room for another of a kind."""
        return self._has_room(kind, self._flow_of(claim).client)

    def check(self, now: float) -> None:
        """End waits whose deadline is before `now`, a loop time; give what is free."""
        self._expire(now, self._queue.flows())
        self._rescale()
        self._beyond = NOTHING_BEYOND
        if self.everything.in_use > self._scale.places:
            self._beyond = self._scale.beyond(self._clients.values(), self._routes.values())
        self._queue.look_again()
        self._give_free()
        self._measure()

    def close(self) -> None:
        """Refuse those who wait, and whoever asks from now on."""
        self._closed = True
        self._timer.stop()
        self._refuse(self._queue.expired(float("inf")), "closing")

    # --- called by permits --------------------------------------------------------------------

    def place_beside(self, permit: Permit, flow: Flow, kind: Kind) -> None:
        """Count a permit as one of a kind; raise Busy where there is no room for it."""
        if not self._has_room(kind, flow.client):
            raise Busy(f"{kind}s")
        every, own = self._kinds[kind][0], flow.client.beside.setdefault(kind, Share())
        every.in_use, own.in_use, permit.beside = every.in_use + 1, own.in_use + 1, (every, own)
        _count_out(self.everything, permit, flow)
        self._freed(flow)

    def take_back(self, permit: Permit, flow: Flow, outcome: Outcome) -> None:
        """Count a permit as free, and give it to who waits."""
        # A flow leaves a part of the limit to others, and so waits before all of it is used.
        full = bool(flow.waiters) or self.everything.in_use >= self._scale.places
        _count_out(self.everything, permit, flow)
        self._limit.ended(time.monotonic() - permit.began, outcome, full=full)
        if self._queue.waiters:
            self._freed(flow)

    def lost(self, permit: Permit) -> None:
        """Give a permit back in the loop's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(permit.release, "abandoned")

    # ------------------------------------------------------------------------------------------

    def _flow_of(self, claim: Claim) -> Flow:
        """Return what there is of a claim; it lives as long as a claim or a permit refers to it."""
        if claim.flow is not None and claim.flow[0] is self:
            return claim.flow[1]
        key = claim.client, claim.route, claim.most
        flow = self._flows.get(key)
        if flow is None:
            client = self._clients.get(claim.client)
            if client is None:
                client = self._clients[claim.client] = ClientShare()
            route = self._routes.get(key[1:])
            if route is None:
                route = self._routes[key[1:]] = Share(claim.most)
            flow = self._flows[key] = Flow(
                client=client, route=route, delay=StandingDelay(self._patience)
            )
        claim.flow = self, flow
        return flow

    def _has_room(self, kind: Kind, client: ClientShare) -> bool:
        every, scale = self._kinds[kind]
        own = client.beside.get(kind)
        return every.in_use < scale.places and (own is None or own.in_use < scale.client)

    @property
    def overloaded(self) -> bool:
        """Whether no permit has been free for as long as a request may wait."""
        return self._standing.stands(self._loop.time())

    def _expire(self, now: float, flows: Iterable[Flow]) -> None:
        """End the waits of all, and those of some flows by their own queues."""
        short = self._patience * OVERLOADED_SHARE
        patience = short if self.overloaded else self._patience
        self._refuse(self._queue.expired(now - patience), "queue-timeout")
        for flow in flows:
            if flow.delay.stands(now):
                self._refuse(self._queue.expired_of(flow, now - short), "queue-timeout")

    def _refuse(self, waiters: Iterable[Waiter], reason: str) -> None:
        now = self._loop.time()
        for waiter in waiters:
            if not waiter.given.done():
                self.waits, self.waited = self.waits + 1, self.waited + now - waiter.since
                waiter.given.set_exception(Busy(reason))

    def _measure(self) -> None:
        now, short = self._loop.time(), self._patience * OVERLOADED_SHARE
        self._room.measure(now, short, stands=self.overloaded, places=self._scale.places)
        self._queue.resize(round(min(self._most_waiting, self._room.most)))
        for flow in self._queue.flows():
            flow.room.measure(now, short, stands=flow.delay.stands(now))

    def _rescale(self) -> None:
        self._seen = self._limit.value
        places = min(self._seen, self._most)
        if places != self._scale.places:
            self._scale = Scale.of(places, self._most_of_a_route)

    def _none_free(self) -> bool:
        """Return whether all permits are taken, without what a lower limit left beyond shares.

        So a route that hangs does not take all of what its own answers have made scarce.
        """
        in_use, places = self.everything.in_use, self._scale.places
        if in_use < places or self._beyond is NOTHING_BEYOND:
            return in_use >= places
        return in_use - self._beyond.places >= places

    def _full(self, flow: Flow) -> Share | None:
        return self._scale.full(flow, _IN_USE, flow.route.most)

    def _freed(self, flow: Flow) -> None:
        """Let others have what a flow has given back."""
        for share in (flow.client, flow.route, flow):
            self._queue.freed(share)
        self._give_free()

    def _give_free(self) -> None:
        while self._queue and not self._none_free():
            waiter = self._queue.next(self._full)
            if waiter is None:
                return
            if not waiter.given.done():
                waited = self._loop.time() - waiter.since
                self.waits, self.waited = self.waits + 1, self.waited + waited
                permit = Permit(self, waiter.flow)
                self._room.given += 1
                waiter.flow.room.given += 1
                waiter.given.set_result(permit)
            self._queue.remove(waiter)
            if not waiter.flow.waiters:
                waiter.flow.delay.short(self._loop.time())
            if not self._queue:
                self._standing.short(self._loop.time())


def _count_out(every: Share, permit: Permit, flow: Flow) -> None:
    # In one step, as it was counted.
    client, route = flow.client, flow.route
    every.in_use, client.in_use, route.in_use, flow.in_use, permit.held = (
        every.in_use - 1,
        client.in_use - 1,
        route.in_use - 1,
        flow.in_use - 1,
        False,
    )


def _give_back(given: asyncio.Future[Permit]) -> None:
    """Give back the permit that a waiter has got and cannot use."""
    if given.done() and not given.cancelled() and given.exception() is None:
        given.result().release("unsent")
