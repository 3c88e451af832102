"""What a refusal costs, `python -m tools.bench.overload.refusals`: CPU time of this process in µs.

Before that, where valgrind is, how many instructions there are from a head to its refusal, without
sockets, and with its line in the log: the same on a busy machine and on an idle one.

`loop-lag` is refused after the head, without a task; `queue-full` as well; `turned-away` is a
connection that is refused before it is read; `served` is the same request forwarded. `known` is one
with a token that is known, `forged` one with a token that does not hold, after those that one
client may try. wrk asks, on 16 connections, which it makes anew behind each refusal that closes
them.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from proxy.config.limits import TrafficLimits
from proxy.config.settings import TcpAddress
from proxy.core.compiled.rule_table import RuleTable
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.reporter import CountingReporter
from proxy.traffic.downstream.listener import HttpListener, Lane, TrafficServer
from proxy.traffic.exchange.exchange import Handler
from proxy.traffic.policy import LOOKED_AT
from proxy.traffic.turns import LoopLag
from proxy.traffic.upstream.client import HttpUpstream
from tests.linear.callgrind import VALGRIND, counted
from tests.traffic.callers.issuers import signed, verifying
from tests.traffic.ours import NoKeys

from ..running import a_backend
from .refused import NAMES

_SECONDS = 3


class _Refusing(LoopLag):
    def refuses(self, client: str) -> bool:
        return True


class _HoldingBack(LoopLag):
    def holds_back(self) -> int:
        return LOOKED_AT

    def lets_in(self, *, crowded: bool) -> bool:
        return False


_LAGS = {"loop-lag": _Refusing, "turned-away": _HoldingBack}


async def _cost(backend: int, name: str) -> float:
    limits = TrafficLimits(connections=1, waiting=1) if name == "queue-full" else TrafficLimits()
    upstream = HttpUpstream(TcpAddress("127.0.0.1", backend), limits=limits)
    lag = _LAGS.get(name, LoopLag)()
    reporter = CountingReporter(Logs(lambda _: None, "json"))
    token = {"known": signed(), "forged": f"{signed()[:-4]}AAAA"}.get(name)
    callers = None if token is None else verifying()
    rules, clock = RuleTable((), pass_unmatched=True), time.time
    handler = Handler(rules, NoKeys(), upstream, reporter, clock=clock, lag=lag, callers=callers)
    listener = HttpListener(TcpAddress("127.0.0.1", 0), handler, limits=limits, lag=lag)
    server = TrafficServer([Lane(listener, upstream)])
    await server.start()
    url = f"http://127.0.0.1:{listener.port}/a"
    shown = () if token is None else ("-H", f"Authorization: Bearer {token}")
    command = ("wrk", "-t1", "-c16", f"-d{_SECONDS}s", *shown, url)
    before = time.process_time()
    wrk = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await wrk.communicate()
    spent = time.process_time() - before
    await server.close()
    asked = int(output.decode().partition(" requests in ")[0].split()[-1])
    return spent / asked * 1e6


def instructions() -> dict[str, int]:
    """Return how many instructions a refusal takes, by its reason."""
    few, many = 50, 150
    names = [f"{name}{told}" for name in NAMES for told in ("", " told")]
    counts = counted(names, (few, many), module="tools.bench.overload.refused")
    return {name: (most - least) // (many - few) for name, (least, most) in counts.items()}


def main() -> None:
    """Print the figures."""
    for name, number in instructions().items() if VALGRIND else ():
        sys.stdout.write(f"{name:22}{number:10,}\n")
    with a_backend("tools.bench.overload.backend", "0", "0") as backend:
        for name in ("served", "known", "forged", *_LAGS):
            cost = uvloop.run(_cost(backend, name))
            sys.stdout.write(f"{name:12}{cost:8.1f} µs\n")
            sys.stdout.flush()
    with a_backend("tools.bench.overload.backend", "1", "5") as backend:
        cost = uvloop.run(_cost(backend, "queue-full"))
        sys.stdout.write(f"{'queue-full':12}{cost:8.1f} µs\n")


if __name__ == "__main__":
    main()
