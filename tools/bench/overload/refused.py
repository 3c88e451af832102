"""What runs under callgrind for `refusals`: requests that are refused, without a socket.

`python -m tools.bench.overload.refused NUMBERS NAMES`: how many requests, with commas between them,
and why they are refused. What is counted is all from their complete heads to their answers, and,
with `told` behind the name, to their lines in the log.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from ipaddress import ip_network
from typing import Any, Final

import uvloop

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.config.settings import TcpAddress
from proxy.core.compiled.rule_table import RuleTable
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.reporter import CountingReporter
from proxy.traffic.downstream.acceptor import FrontProxies
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.downstream.listener import HttpListener
from proxy.traffic.exchange.exchange import Handler
from proxy.traffic.turns import LoopLag
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.permits import Claim
from tests.traffic.ours import NoKeys

NAMES: Final = ("no-time", "loop-lag", "queue-full", "upstream-resting")
_REQUEST: Final = (
    b"POST /api/messages HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\n"
    b"Accept: */*\r\nUser-Agent: client/1.0\r\nX-Forwarded-For: 192.0.2.1\r\n"
    b"Content-Length: 16\r\n\r\n" + b'{"content":"aa"}'
)
_FRONT: Final = (ip_network("127.0.0.0/8"),)


class _Refusing(LoopLag):
    def refuses(self, client: str) -> bool:
        return True


class _Wire(asyncio.Transport):
    """Takes what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.closed = False

    def write(self, data: Any) -> None:  # noqa: ANN401 - as asyncio declares it
        self.sent += data.startswith(b"HTTP/1.1 503 ")

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Read nothing more: there is nothing."""

    def resume_reading(self) -> None:
        """Read on."""

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take no notice."""


class _Silent:
    """Reports nothing."""

    def report(self, event: str, **fields: object) -> None:
        """Report nothing."""

    def messages(self, lines: object) -> None:
        """Write no line."""


def _listener(name: str, *, told: bool) -> HttpListener:
    """Return a listener that refuses all for that reason."""
    limits = TrafficLimits(connections=1, waiting=1) if name == "queue-full" else TrafficLimits()
    patient = Timeouts(queue=3600, rest=3600, longest_rest=3600)
    upstream = HttpUpstream(TcpAddress("127.0.0.1", 1), limits=limits, timeouts=patient)
    if name == "queue-full":
        held = [upstream.permits.take_at_once(Claim("another", "route"))]
        waiting = asyncio.get_running_loop().create_task(upstream.permits.take(Claim("a", "route")))
        waiting.add_done_callback(lambda _: held.clear())
    for _ in range(limits.failures * (name == "upstream-resting")):
        upstream.permits.health.breaker.failed(NO_TRIAL)
    lag = _Refusing() if name in {"no-time", "loop-lag"} else LoopLag()
    trusted = () if name == "no-time" else _FRONT
    handler = Handler(
        RuleTable((), pass_unmatched=True),
        NoKeys(),
        upstream,
        CountingReporter(Logs(lambda _: None, "json")) if told else _Silent(),
        clock=time.time,
        lag=lag,
        trusted_proxies=trusted,
    )
    proxies = FrontProxies(trusted)
    anywhere = TcpAddress("127.0.0.1", 0)
    return HttpListener(anywhere, handler, limits=limits, proxies=proxies, lag=lag)


def _client(listener: HttpListener) -> tuple[ClientConnection, _Wire]:
    client, wire = listener.welcome("127.0.0.1"), _Wire()
    if isinstance(client, str):
        raise TypeError(client)
    client.connection_made(wire)
    return client, wire


async def _refused(name: str, numbers: list[int]) -> None:
    reason, _, told = name.partition(" ")
    listener = _listener(reason, told=bool(told))
    await asyncio.sleep(0)
    for number in numbers:
        kept = _client(listener)  # a connection ends behind a refusal for which there is no time
        clients = [_client(listener) if reason == "no-time" else kept for _ in range(number)]
        gc.collect()
        os.getloadavg()
        for client, _ in clients:
            client.data_received(_REQUEST)
            await asyncio.sleep(0)
        os.getloadavg()
        if sum(wire.sent for wire in {wire for _, wire in clients}) != number:
            raise ValueError(f"{name}: not all are refused")


def main(numbers: str, *names: str) -> None:
    """Refuse so many of each; `os.getloadavg` is the mark, since nothing else here calls it."""
    gc.disable()  # collections come when they come, and look at all that lives
    gc.freeze()
    for name in names:
        uvloop.run(_refused(name, [int(one) for one in numbers.split(",")]))


if __name__ == "__main__":
    main(*sys.argv[1:])
