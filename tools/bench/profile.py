"""`python -m tools.bench.profile [--json]`: the stages of one message, and their time.

A sealed and opened message of 1 KiB goes through the sidecar's own objects, from the bytes of the
client to the answer, between two transports that keep what is written: so all stages are as cold,
and as warm, as they are in a process that serves, but no socket is in the figures. A stage that is
timed alone in a loop, as `tools.bench.stages` does it, takes little more than half as long.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from proxy.config.settings import TcpAddress
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.session_cipher import Session
from proxy.core.formats.json import selection
from proxy.core.leaves import Finder
from proxy.core.transform import PreparedJson
from proxy.keys.keyring import keyring
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from proxy.telemetry.logs.logger import Logs, Sink
from proxy.telemetry.reporter import CountingReporter
from proxy.traffic.bodies import response_writer
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.downstream.listener import HttpListener
from proxy.traffic.exchange import exchange, prepared_steps, steps
from proxy.traffic.exchange.exchange import Handler
from proxy.traffic.http1.reader import RequestReader, ResponseReader
from proxy.traffic.upstream import client as upstream
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.connection import UpstreamConnection

from .transform import RULES
from .works import a_message


class TimedFinder:
    """A finder whose work can be timed: the native one is a type that cannot be changed."""

    def __init__(self, *given: Any) -> None:  # noqa: ANN401 - as a finder is made
        """Make the finder."""
        self._finder = Finder(*given)

    def find(self, body: bytes) -> object:
        """Return what it finds."""
        return self._finder.find(body)


_NOWHERE: Final = TcpAddress("127.0.0.1", 0)
_MESSAGES: Final = 6000
_UNCOUNTED: Final = 1000
_HEAD: Final = (
    b"POST /api/messages HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\n"
    b"Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
_REPLY: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: bench\r\n"
    b"Content-Length: %d\r\n\r\n"
)
_STAGES: Final[tuple[tuple[str, object, str], ...]] = (
    ("read the head of the request", RequestReader, "read"),
    ("gate", steps.Steps, "let_in"),
    ("rules", steps.Steps, "admit"),
    ("treat the request", exchange, "treat_request"),
    ("prepare the change of the request", prepared_steps, "prepare_request"),
    ("read the response", ResponseReader, "feed"),
    ("treat the response", steps.Steps, "treat_response"),
    ("prepare the change of the response", prepared_steps, "prepare_response"),
    ("change the body (both)", PreparedJson, "change"),
    ("- find the values (both)", TimedFinder, "find"),
    ("- keys, at hand (both)", Sessions, "resolve_warm"),
    ("- seal", Session, "seal_all"),
    ("- open", Session, "open_all"),
    ("write the head of the request", upstream, "request_lines"),
    ("write the head of the answer", response_writer, "response_lines"),
    ("log line and counters", steps.Steps, "report"),
)


class _Transport:
    """What a connection needs of its transport; it keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Tell the client's address, and nothing else."""
        return ("127.0.0.1", 5) if name == "peername" else default

    def is_closing(self) -> bool:
        """Return that it stays."""
        return False

    def is_reading(self) -> bool:
        """Return that it reads."""
        return True

    def resume_reading(self) -> None:
        """Do nothing: it never stops."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self.written)
        self.written.clear()
        return data


def main() -> None:
    """Measure, and print a table, or an object of µs by stage."""
    with Path(os.devnull).open("wb", buffering=0) as log:
        found = asyncio.run(_measured(lambda line: void(log.write(line))))
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(found))
        return
    sys.stdout.write("| stage | µs a message |\n|---|--:|\n")
    for name, cost in found.items():
        sys.stdout.write(f"| {name} | {cost:.1f} |\n")


def void(_: object) -> None:
    """Return nothing, as a sink does."""


async def _measured(sink: Sink) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    client, origin = _Transport(), _Transport()
    origins: list[UpstreamConnection] = []

    async def connected(
        made: Callable[[], UpstreamConnection], *_: object, **__: object
    ) -> tuple[object, UpstreamConnection]:
        origins.append(made())
        origins[-1].connection_made(origin)  # type: ignore[arg-type] # all that it uses is there
        return origin, origins[-1]

    loop.create_connection = connected  # type: ignore[assignment, method-assign] # of this loop alone
    selection.Finder = TimedFinder  # type: ignore[assignment, attr-defined] # as timed
    answerer = Handler(
        RuleTable(RULES, pass_unmatched=True),
        _sessions(),
        HttpUpstream(_NOWHERE),
        CountingReporter(Logs(sink)),
        clock=time.time,
        name="in",
    )
    connection = ClientConnection(HttpListener(_NOWHERE, answerer), loop)
    connection.connection_made(client)  # type: ignore[arg-type] # as above
    body = a_message(1024)
    request = _HEAD % len(body) + body
    connection.data_received(request)  # cold: a task obtains the session and a connection
    await asyncio.sleep(0.1)
    _reply(origins[0], origin)
    await asyncio.sleep(0.1)

    taken: dict[str, list[float]] = defaultdict(list)
    for name, owner, function in _STAGES:
        _time(owner, function, taken[name])
    _time(ClientConnection, "data_received", taken["all of the request's half"])
    _time(UpstreamConnection, "data_received", taken["all of the response's half"])
    for _ in range(_MESSAGES):
        client.written.clear()
        connection.data_received(request)
        await asyncio.sleep(0)  # what is written is sent when the turn of the loop is over
        _reply(origins[0], origin)
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the last line is written behind its answer
    await asyncio.sleep(0)
    if body not in client.taken():
        message = "the message did not come back"
        raise AssertionError(message)
    if idle := [name for name, times in taken.items() if not round(len(times) / _MESSAGES)]:
        raise AssertionError(f"no message comes by these stages: {idle}")
    return {name: _a_message(times) for name, times in taken.items()}


def _sessions() -> Sessions:
    return Sessions(
        keyring.create("k1", now=int(time.time()), random=os.urandom),
        MemoryStore(time.time),
        SessionSettings(),
        clock=time.time,
        random=os.urandom,
    )


def _reply(away: UpstreamConnection, origin: _Transport) -> None:
    sealed = origin.taken().partition(b"\r\n\r\n")[2]
    away.data_received(_REPLY % len(sealed) + sealed)


def _time(owner: Any, name: str, into: list[float]) -> None:  # noqa: ANN401 - module or class
    function: Callable[..., object] = getattr(owner, name)
    clock, put = time.perf_counter, into.append

    def timed(*given: object, **named: object) -> object:
        began = clock()
        result = function(*given, **named)
        put(clock() - began)
        return result

    setattr(owner, name, timed)


def _a_message(times: list[float]) -> float:
    """Return the median of what a stage takes of one message, both halves together, in µs."""
    each = round(len(times) / _MESSAGES)  # the first messages go another way
    rest = times[_UNCOUNTED * each :]
    return statistics.median(sum(rest[at : at + each]) for at in range(0, len(rest), each)) * 1e6


if __name__ == "__main__":
    main()
