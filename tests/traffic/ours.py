"""Sealyard's traffic port as the tests start it: a listener, a handler and an upstream."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from proxy.config.ladder_settings import LadderSettings
from proxy.config.limits import Timeouts, TrafficLimits
from proxy.config.settings import Address, ClientClose, Network, TcpAddress
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import Unopened
from proxy.core.values.key_needs import Attempt, Keys, Needs
from proxy.telemetry.tap import Tap
from proxy.traffic.callers.callers import Callers
from proxy.traffic.downstream.acceptor import FrontProxies
from proxy.traffic.downstream.listener import HttpListener, Lane, TrafficServer
from proxy.traffic.exchange.exchange import Handler, KeySource
from proxy.traffic.slices import Slices
from proxy.traffic.turns import LoopLag
from proxy.traffic.upstream.client import HttpUpstream
from tests.factories import Ear

ANY_PORT = TcpAddress("127.0.0.1", 0)
HASTY = Timeouts(
    head=0.4,
    body=0.4,
    keepalive=2.0,
    write=0.4,
    linger=0.4,
    connect=1.0,
    response=0.4,
    stream=0.4,
    queue=0.3,
    idle=1.0,
    tunnel=2.0,
)
"""Waits for tests of waiting."""


class NoKeys:
    """Keys for traffic that needs none."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return Keys(sealing={}, opening={})

    async def resolve(self, needs: Needs) -> Keys:
        return Keys(sealing={}, opening={})

    def remember(self, sessions: Iterable[Session]) -> None:
        return None

    shut: frozenset[tuple[str, str]] = frozenset()

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        return False


@dataclass
class Ours:
    """A running proxy."""

    server: TrafficServer
    listener: HttpListener
    upstream: HttpUpstream
    ear: Ear
    tap: Tap

    @property
    def port(self) -> int:
        return self.listener.port


PASSING = RuleTable((), pass_unmatched=True)


@contextlib.asynccontextmanager
async def proxied(
    to: Address,
    *,
    listen: Address = ANY_PORT,
    rule_table: RuleTable = PASSING,
    keys: KeySource | None = None,
    limits: TrafficLimits | None = None,
    timeouts: Timeouts | None = None,
    tls: ssl.SSLContext | None = None,
    upstream_tls: ssl.SSLContext | None = None,
    trusted_proxies: Sequence[Network] = (),
    upstream_names: frozenset[bytes] = frozenset(),
    on_client_close: ClientClose = "probe",
    proxy_protocol: bool = False,
    slices: Slices | None = None,
    ladder: LadderSettings | None = None,
    add_request_id: bool = False,
    origins: frozenset[str] = frozenset(),
    callers: Callers | None = None,
) -> AsyncIterator[Ours]:
    """Run the traffic port in front of `to`."""
    ear, tap = Ear(), Tap(time.time)
    upstream = HttpUpstream(to, tls=upstream_tls, limits=limits, timeouts=timeouts)
    handler = Handler(
        rule_table,
        keys or NoKeys(),
        upstream,
        ear,
        clock=time.time,
        limits=limits,
        timeouts=timeouts,
        trusted_proxies=trusted_proxies,
        upstream_names=upstream_names,
        slices=slices,
        add_request_id=add_request_id,
        origins=origins,
        callers=callers,
        tap=tap,
        ladder=ladder,
        # Clients and origin are on this loop as well: how long its turns are says nothing of the
        # proxy, and on a busy machine it would refuse requests that these tests wait for.
        lag=LoopLag(clock=lambda: 0.0),
    )
    listener = HttpListener(
        listen,
        handler,
        tls=tls,
        limits=limits,
        timeouts=timeouts,
        on_client_close=on_client_close,
        proxies=FrontProxies(tuple(trusted_proxies), protocol=proxy_protocol),
        name="ours",
        report=ear.report,
    )
    async with serving(listener, upstream) as server:
        yield Ours(server, listener, upstream, ear, tap)


@contextlib.asynccontextmanager
async def serving(listener: HttpListener, upstream: HttpUpstream) -> AsyncIterator[TrafficServer]:
    """Run a listener in front of an upstream."""
    server = TrafficServer([Lane(listener, upstream)])
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def local(port: int) -> TcpAddress:
    """Return the address of an origin."""
    return TcpAddress("127.0.0.1", port)
