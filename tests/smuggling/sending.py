"""Ways to send a row to Sealyard, and all that can be seen of it on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.config.limits import Timeouts
from proxy.core.compiled.rule_table import RuleTable
from proxy.traffic.turns import LoopLag
from tests.smuggling.parsers import Disagreement, Read, agreed
from tests.traffic.ours import PASSING, Ours, local, proxied
from tests.traffic.wire import OK, PATIENCE, eventually

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) ")
_QUICK: Final = Timeouts(linger=0.5)


@dataclass
class RawOrigin:
    """An origin that reads with two parsers, and answers each request on which they agree."""

    requests: list[Read] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    lines: set[_Line] = field(default_factory=set)

    def unfinished(self) -> list[bytes]:
        """Return what open connections hold of requests that have not ended."""
        return [line.pending for line in self.lines if line.pending]

    def look(self, data: bytes, requests: Sequence[Read]) -> None:
        """Look at the bytes of whole requests, or at those that a connection left of none."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Accept connections until the block ends; give the port."""
        server = await asyncio.get_running_loop().create_server(lambda: _Line(self), "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for line in tuple(self.lines):
                if line.transport is not None:
                    line.transport.abort()
            await eventually(lambda: not self.lines)


class _Line(asyncio.Protocol):
    def __init__(self, origin: RawOrigin) -> None:
        self.origin = origin
        self.pending = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        self.origin.lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.origin.lines.discard(self)
        self.origin.look(self.pending, ())

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.pending += data
        try:
            view = agreed(self.pending)
        except Disagreement as error:
            self.origin.disagreements.append(str(error))
            self.transport.abort()
            return
        self.origin.look(self.pending[: len(self.pending) - len(view.rest)], view.requests)
        self.pending = view.rest
        self.origin.requests += view.requests
        self.transport.write(OK * len(view.requests))


_TURNS_TO_REPORT = 3
"""So many turns of the loop behind an answer, its message has been reported."""


@dataclass(frozen=True)
class Outcome:
    """What became of the bytes of one connection.

    `logged` holds the method and the size of the body of each message that Sealyard reports as
    handled, `refused` the reasons of the others.
    """

    statuses: tuple[int, ...]
    requests: tuple[Read, ...]
    logged: tuple[tuple[str, int], ...]
    refused: tuple[str, ...]


@dataclass
class Lane:
    """A Sealyard, and the origin behind it."""

    ours: Ours
    origin: RawOrigin

    async def send(self, pieces: Sequence[bytes]) -> Outcome:
        """Send the pieces one by one, so that Sealyard reads each of them alone, and an end."""
        answer = await _deliver(self.ours.port, pieces)
        await _soon(lambda: not self.ours.listener.connections)
        await _soon(lambda: not self.origin.unfinished())
        for _ in range(_TURNS_TO_REPORT):
            await asyncio.sleep(0)
        heard, self.ours.ear.heard = self.ours.ear.heard, []
        requests, self.origin.requests = self.origin.requests, []
        assert self.origin.disagreements == []
        return Outcome(
            statuses=tuple(int(status) for status in _STATUS.findall(answer)),
            requests=tuple(requests),
            logged=tuple(
                (str(fields["method"]), int(str(fields["request_bytes"])))
                for event, fields in heard
                if event == "message.handled" and fields["status"] != 499
            ),
            refused=tuple(
                str(fields["reason"]) for event, fields in heard if event == "message.refused"
            ),
        )


async def _soon(condition: Callable[[], object]) -> None:
    """Wait for what takes a few turns of the loop, and no timer."""
    for _ in range(50):
        if condition():
            return
        await asyncio.sleep(0)
    await eventually(condition)


async def _deliver(port: int, pieces: Sequence[bytes]) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(client, ("127.0.0.1", port))
        with contextlib.suppress(ConnectionError, OSError):
            for piece in pieces:
                await loop.sock_sendall(client, piece)
                # Once around for the selector to see the bytes, and once to have them read.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while part := await loop.sock_recv(client, 65536):
                    answer += part
        return answer


@contextlib.asynccontextmanager
async def lane(rule_table: RuleTable = PASSING, lag: LoopLag | None = None) -> AsyncIterator[Lane]:
    """Run a Sealyard in front of an origin of its own; with a `lag`, as that has time."""
    origin = RawOrigin()
    async with (
        origin.running() as port,
        proxied(local(port), rule_table=rule_table, timeouts=_QUICK, lag=lag) as ours,
    ):
        yield Lane(ours, origin)


def byte_by_byte(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


def cut_at(raw: bytes, at: int) -> list[bytes]:
    return [raw[:at], raw[at:]]
