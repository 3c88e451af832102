"""One listener with its handler and upstream, and their replacement at runtime."""

from __future__ import annotations

import asyncio
import ssl
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from ...config.settings import Address, ListenerSettings, OriginalPort
from ...core.compiled.rule_table import RuleTable
from ...core.errors import Busy
from ...core.rules.model import Rule
from ...process.circuit_breaker import BreakerState
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ...telemetry.reporter import MessageReporter
from ...traffic.byte_budget import ByteBudget
from ...traffic.downstream.acceptor import REASONS, FrontProxies
from ...traffic.downstream.listener import ClientRoom, HttpListener, Lane
from ...traffic.downstream.sockets import Sockets
from ...traffic.exchange.exchange import Handler
from ...traffic.exchange.steps import Watches, rules_with_packets
from ...traffic.interfaces import OpensLog
from ...traffic.slices import Slices
from ...traffic.turns import LoopLag
from ...traffic.upstream.client import HttpUpstream
from ...traffic.upstream.permits import KINDS
from .. import telemetry_setup
from ..policy import REPLACED_SECONDS
from ..reload.material import ListenerMaterial
from .end_to_end import LateEndToEnd

if TYPE_CHECKING:  # only where they are wanted: they take memory
    from ...telemetry.tap import Tap
    from ...telemetry.traces import Traces
    from ...traffic.callers.callers import Callers
    from ...traffic.callers.opens_limit import OpensLimit
    from ...traffic.exchange.announcements import Announcements
    from ...traffic.exchange.original_port import PortHandlers, PortUpstreams
    from ...traffic.exchange.unlisted_names import UnlistedNames
    from .lane_callers import LaneCallers


LaneUpstream: TypeAlias = "HttpUpstream | PortUpstreams"
LaneHandler: TypeAlias = "Handler | PortHandlers"


@dataclass(frozen=True, slots=True)
class LaneChange:
    """A prepared change of a lane. `upstream` is a new one if `fresh`, else the one it has."""

    material: ListenerMaterial
    handler: LaneHandler
    callers: Callers | None
    upstream: LaneUpstream
    fresh: bool

    async def discard(self) -> None:
        """Close the new upstream, if there is one."""
        if self.fresh:
            await self.upstream.close()


class WiredLane:
    """Wires one listener; owns its upstream and the retired ones."""

    def __init__(  # noqa: PLR0913 - what the sidecar hands in, once
        self,
        material: ListenerMaterial,
        end_to_end: LateEndToEnd,
        reporter: MessageReporter,
        clock: Callable[[], float],
        *,
        tap: Tap | None,
        traces: Traces | None,
        lag: LoopLag,
        slices: Slices,
        opens: OpensLog | None,
        place_key: bytes,
        budget: ByteBudget,
    ) -> None:
        self._place_key = place_key
        self._unlisted: UnlistedNames | None = None
        self._tap = tap
        self._opens = opens
        self._lag = lag
        self._slices = slices
        self._budget = budget
        self._traces = traces
        self._end_to_end = end_to_end
        self._reporter = reporter
        self._clock = clock
        self._material = material
        self._upstream = _upstream(material)
        self._announcements: dict[Address, Announcements] = {}
        self._callers: LaneCallers | None = None
        self._handler, self._verifier = self._wire(material, self._upstream)
        self._listener: HttpListener | None = None
        self._retired: dict[asyncio.Task[None], LaneUpstream] = {}

    @property
    def listener(self) -> HttpListener:
        """The listener; there is one once `open` was called."""
        if self._listener is None:
            raise ValueError("the lane was not opened")
        return self._listener

    @property
    def lane(self) -> Lane:
        """The listener with the upstream that new requests go to."""
        return Lane(self.listener, self._upstream)

    @property
    def port(self) -> int:
        """The TCP port."""
        return self.listener.port

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._listener.connections if self._listener is not None else 0

    @property
    def retired(self) -> int:
        """How many former upstreams still finish messages."""
        return len(self._retired)

    def open(self, sockets: Sockets, room: ClientRoom) -> None:
        """Create the listener on open sockets, for clients in the room of all."""
        settings = self._material.settings
        self._listener = HttpListener(
            settings.listen,
            self._handler,
            tls=self._material.tls,
            limits=settings.limits,
            timeouts=settings.timeouts,
            sockets=sockets,
            redirected=isinstance(settings.upstream.address, OriginalPort),
            on_client_close=settings.on_client_close,
            proxies=_proxies(settings),
            name=settings.name,
            report=self._reporter.report,
            room=room,
            budget=self._budget,
            lag=self._lag,
        )

    def change(self, old: ListenerMaterial, new: ListenerMaterial) -> LaneChange:
        """Return the change from one material to another, with nothing changed yet."""
        fresh = not new.same_upstream(old)
        upstream = _upstream(new) if fresh else self._upstream
        return LaneChange(new, *self._wire(new, upstream), upstream, fresh)

    def take(self, change: LaneChange) -> None:
        """Serve new requests with `change`; those in progress finish with the old handler."""
        old_handler, old_upstream = self._handler, self._upstream
        settings = change.material.settings
        self._material, self._handler = change.material, change.handler
        self._verifier = change.callers
        self._upstream = change.upstream
        self.listener.answer_with(
            change.handler,
            limits=settings.limits,
            timeouts=settings.timeouts,
            on_client_close=settings.on_client_close,
            tls=change.material.tls,
            proxies=_proxies(settings),
        )
        if self._callers is not None:
            self._callers.keep(change.material)
        if change.fresh:
            self._retire(weakref.ref(old_handler), old_upstream)

    async def close(self) -> None:
        """Close the upstream and the retired ones."""
        if self._callers is not None:
            self._callers.close()
        await self._upstream.close()
        for task, upstream in tuple(self._retired.items()):
            task.cancel()
            await upstream.close()

    def count(self, samples: Samples, name: str) -> None:
        """Add the numbers of connections."""
        samples.add(table.CLIENT_CONNECTIONS, self.connections, labels=(name,))
        counts = self._listener.refusals.counts if self._listener is not None else {}
        for reason in REASONS:
            if reason != "loop-lag":
                samples.add(table.CLIENTS_REFUSED, counts.get(reason, 0), labels=(name, reason))
            elif late := counts.get(reason, 0):  # as of requests: others have been read further
                samples.add(
                    table.REFUSAL_REASONS, late, labels=(name, "request", Busy.code, reason)
                )
        pool = self._upstream.pool
        samples.add(table.UPSTREAM_CONNECTIONS, pool.idle, labels=(name, "idle"))
        samples.add(table.UPSTREAM_CONNECTIONS, pool.size - pool.idle, labels=(name, "busy"))
        if self._callers is not None:
            self._callers.count(samples, name)
        upstream = self._upstream
        for one in (upstream,) if isinstance(upstream, HttpUpstream) else upstream.every:
            _count(one, samples, name)

    def unlisted(self, name: str) -> Iterable[Mapping[str, Any]]:
        """Return what was counted of names that its rules in mode `observe` do not list."""
        return () if self._unlisted is None else self._unlisted.rows(name)

    @property
    def verifier(self) -> Callers | None:
        """What verifies callers now; None where the listener has none."""
        return self._verifier

    @property
    def opens_limit(self) -> OpensLimit | None:
        """Where opens of callers are counted; None where the listener limits none."""
        return None if self._callers is None else self._callers.limit

    @property
    def rules(self) -> Iterable[Rule]:
        """The rules in force."""
        return (one.rule for one in self._material.rule_table.rules)

    def _wire(
        self, material: ListenerMaterial, upstream: LaneUpstream
    ) -> tuple[LaneHandler, Callers | None]:
        callers = self._wire_callers(material)
        if isinstance(upstream, HttpUpstream):
            return self._handler_for(material, upstream, callers), callers
        from ...traffic.exchange.original_port import PortHandlers  # noqa: PLC0415 - see above

        ports = PortHandlers(upstream, lambda one: self._handler_for(material, one, callers))
        return ports, callers

    def _wire_callers(self, material: ListenerMaterial) -> Callers | None:
        if material.callers is None:
            return None
        if self._callers is None:
            from .lane_callers import LaneCallers  # noqa: PLC0415 - see above

            self._callers = LaneCallers(self._reporter, self._clock)
        return self._callers.wire(material)

    def _handler_for(
        self, material: ListenerMaterial, upstream: HttpUpstream, callers: Callers | None
    ) -> Handler:
        settings = material.settings
        if self._unlisted is None and any(one.rule.observes for one in material.rule_table.rules):
            from ...traffic.exchange.unlisted_names import UnlistedNames  # noqa: PLC0415 - see above

            self._unlisted = UnlistedNames(self._place_key)
        return Handler(
            material.rule_table,
            self._end_to_end.keys_for(material.rule_table),
            upstream,
            self._reporter,
            clock=self._clock,
            name=settings.name,
            limits=settings.limits,
            timeouts=settings.timeouts,
            trusted_proxies=settings.trusted_proxies,
            upstream_names=frozenset(one.encode() for one in settings.upstream_names),
            tap=self._tap,
            lag=self._lag,
            slices=self._slices,
            budget=self._budget,
            announcements=self._announced_at(upstream.address, material.rule_table),
            ladder=settings.ladder,
            add_request_id=settings.add_request_id,
            accept=frozenset(settings.accept),
            origins=frozenset(settings.cors.origins) if settings.cors else frozenset(),
            watches=self._watches(material, upstream.address),
            opens=self._opens_of(material),
            place_key=self._place_key,
            unlisted=self._unlisted,
            callers=callers,
        )

    def _opens_of(self, material: ListenerMaterial) -> OpensLog | None:
        callers = self._callers
        return self._opens if callers is None else callers.limited(material, self._opens)

    def _announced_at(self, address: Address, rule_table: RuleTable) -> Announcements | None:
        """Return what is announced in the sessions of an upstream, also before a reload.

        None where no rule reads packets.
        """
        if not rules_with_packets(rule_table):
            return None
        from ...traffic.exchange.announcements import Announcements  # noqa: PLC0415 - see above

        return self._announcements.setdefault(address, Announcements(time.monotonic))

    def _watches(self, material: ListenerMaterial, address: Address) -> Watches | None:
        """Return what gathers spans: only where traces are wanted is anything timed."""
        if self._traces is None:
            return None
        return telemetry_setup.spans(
            self._traces,
            telemetry_setup.end(material.settings.listen, secure=material.tls is not None),
            telemetry_setup.end(address, secure=material.upstream_tls is not None),
        )

    def _retire(self, handler: weakref.ref[LaneHandler], upstream: LaneUpstream) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(_close_when_unused(handler, upstream))
        self._retired[task] = upstream
        task.add_done_callback(self._retired.pop)


async def _close_when_unused(handler: weakref.ref[LaneHandler], upstream: LaneUpstream) -> None:
    # Every request in progress references its handler; with the last of them the handler is gone,
    # and nothing can send any more. Counting requests instead would cost each of them.
    while handler() is not None or upstream.pool.size > upstream.pool.idle:  # noqa: ASYNC110 - a reference that dies sets no event
        await asyncio.sleep(REPLACED_SECONDS)
    await upstream.close()


def _proxies(settings: ListenerSettings) -> FrontProxies:
    return FrontProxies(settings.trusted_proxies, settings.proxy_protocol)


def _count(upstream: HttpUpstream, samples: Samples, name: str) -> None:
    """Add how busy an upstream is, and how healthy; the ports of a listener are one."""
    permits, breaker = upstream.permits, upstream.permits.health.breaker
    samples.add(table.UPSTREAM_LIMIT, permits.places, labels=(name,))
    samples.add(table.UPSTREAM_REQUESTS, permits.in_use, labels=(name, "under_way"))
    samples.add(table.UPSTREAM_REQUESTS, permits.waiting, labels=(name, "waiting"))
    for kind in KINDS:
        samples.add(table.UPSTREAM_LONG_LIVED, permits.beside(kind), labels=(name, kind))
    samples.add(table.UPSTREAM_WAITS, permits.waits, labels=(name,))
    samples.add(table.UPSTREAM_WAITED, permits.waited, labels=(name,))
    for state in get_args(BreakerState):
        samples.add(table.UPSTREAM_BREAKER, int(breaker.state == state), labels=(name, state))
    samples.add(table.UPSTREAM_BREAKER_OPENED, breaker.opened, labels=(name,))


def _upstream(material: ListenerMaterial) -> LaneUpstream:
    address = material.settings.upstream.address
    if isinstance(address, OriginalPort):
        from ...traffic.exchange.original_port import PortUpstreams  # noqa: PLC0415 - see above

        return PortUpstreams(lambda one: _one_upstream(material, one))
    return _one_upstream(material, address)


def _one_upstream(material: ListenerMaterial, address: Address) -> HttpUpstream:
    settings = material.settings
    context: ssl.SSLContext | None = material.upstream_tls
    return HttpUpstream(
        address,
        tls=context,
        server_name=settings.upstream_tls.server_name if settings.upstream_tls else None,
        limits=settings.limits,
        timeouts=settings.timeouts,
    )
