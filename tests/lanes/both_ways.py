"""One exchange sent through a Sealyard that changes it at once, and through one that plans it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from proxy.config.ladder_settings import LadderSettings
from proxy.core.compiled.flat_json import Kept
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.transform import Changed, Lacking, PreparedJson, PreparedWhole, WarmKeys
from proxy.core.values.key_needs import Keys, Needs
from proxy.keys.keyring.keyring import create
from proxy.keys.sessions.sessions import Sessions
from proxy.traffic.exchange.steps import CLIENT_CLOSED
from tests.keys.builders import NOW, a_world
from tests.smuggling.parsers import Disagreement, agreed
from tests.traffic.ours import Ours, local, proxied
from tests.traffic.wire import PATIENCE, eventually

_OURS: Final = (
    (re.compile(rb"sealyard-[0-9a-f]{8}"), b"sealyard"),
    (re.compile(rb'"instance":"[^"]*"'), b'"instance":""'),
    (re.compile(rb"\r\nDate: [^\r]*"), b""),
)
"""What differs from one message to the next: the pseudonym, the request's id, the date."""
_CLOSE: Final = b"\r\nConnection: close"


def _alike(data: bytes) -> bytes:
    for pattern, text in _OURS:
        data = pattern.sub(text, data)
    return data


@dataclass(frozen=True)
class Exchanged:
    """Every byte that the client and the origin got, and what the log tells."""

    answer: bytes
    forwarded: bytes
    told: tuple[tuple[str, dict[str, object]], ...]


@dataclass
class Echo:
    """An origin that sends back the body of each request, in the way that it is told to."""

    chunked: bool = False
    got: bytearray = field(default_factory=bytearray)
    lines: set[_Line] = field(default_factory=set)

    def reply(self, body: bytes) -> bytes:
        head = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\n'
        if self.chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + piece + b"0\r\n\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class _Line(asyncio.Protocol):
    def __init__(self, echo: Echo) -> None:
        self.echo = echo
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        self.echo.lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.echo.lines.discard(self)

    def data_received(self, data: bytes) -> None:
        self.echo.got += data
        self.pending += data
        try:
            view = agreed(self.pending)
        except Disagreement:
            self.transport.abort()
            return
        self.pending = view.rest
        for read in view.requests:
            self.transport.write(self.echo.reply(read.body))


class WarmSessions:
    """Sessions that are always at hand, as they are for nearly every message."""

    def __init__(self, sessions: Sessions) -> None:
        self.remember = sessions.remember
        self.refused = sessions.refused
        self.shut = sessions.shut
        self.resolve = sessions.resolve
        self._sessions = sessions

    def resolve_warm(self, needs: Needs) -> Keys | None:
        keys = self._sessions.resolve_warm(needs)
        if keys is None:
            with contextlib.suppress(StopIteration):
                self._sessions.resolve(needs).send(None)
            keys = self._sessions.resolve_warm(needs)
        return keys


@dataclass
class Way:
    """A Sealyard, and the echo behind it."""

    ours: Ours
    echo: Echo
    host: bytes

    async def send(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Exchanged:
        """Send the bytes at once, and an end; nothing is drawn at random.

        An answer says that it is the last where the client has asked for that, or where its end has
        come before the answer is written. Where it has not asked, that is chance.
        """
        exchanged = await self._exchanged(_deliver(self.ours.port, data), monkeypatch)
        if b"connection: close" in data.lower() or b"HTTP/1.0" in data:
            return exchanged
        return replace(exchanged, answer=exchanged.answer.replace(_CLOSE, b""))

    async def send_in_turn(
        self, messages: Iterable[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> Exchanged:
        """Send one after the other on one connection, each when the one before is answered."""
        return await self._exchanged(_in_turn(self.ours.port, messages), monkeypatch)

    async def _exchanged(
        self, delivery: Awaitable[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> Exchanged:
        with monkeypatch.context() as patched:
            patched.setattr("os.urandom", bytes)
            answer = await delivery
            await eventually(lambda: not self.ours.listener.connections)
        heard, self.ours.ear.heard = self.ours.ear.heard, []
        forwarded = bytes(self.echo.got).replace(self.host, b"origin")
        self.echo.got.clear()
        told = tuple((event, _facts(fields)) for event, fields in heard if "status" in fields)
        return Exchanged(_alike(answer), _alike(forwarded), told)


def _facts(fields: dict[str, object]) -> dict[str, object]:
    passing = {"request_id", "duration_ms", "upstream_ms"}
    if fields["status"] == CLIENT_CLOSED:
        passing.add("request_bytes")  # how many of them came before the end is chance
    return {name: value for name, value in fields.items() if name not in passing}


async def _deliver(port: int, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        await loop.sock_connect(client, ("127.0.0.1", port))
        answer = b""
        with contextlib.suppress(ConnectionError, OSError):
            await loop.sock_sendall(client, data)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while part := await loop.sock_recv(client, 65536):
                    answer += part
        return answer


async def _in_turn(port: int, messages: Iterable[bytes]) -> bytes:
    """Return the answers, each of which must tell its length; the last may close instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = b""
    try:
        async with asyncio.timeout(PATIENCE):
            for message in messages:
                writer.write(message)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
                answers += head + await reader.readexactly(int(length[1]) if length else 0)
            writer.write_eof()
            answers += await reader.read()
    finally:
        writer.close()
    return answers


@contextlib.asynccontextmanager
async def a_way(
    rule_table: RuleTable, *, chunked: bool = False, ladder: LadderSettings | None = None
) -> AsyncIterator[Way]:
    """Run a Sealyard in front of an echo."""
    echo = Echo(chunked)
    server = await asyncio.get_running_loop().create_server(lambda: _Line(echo), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    world = a_world(keyring=create("k1", now=NOW, random=bytes), random=bytes)
    keys = WarmSessions(world.sessions)
    try:
        async with proxied(local(port), rule_table=rule_table, keys=keys, ladder=ladder) as ours:
            # Ids of one length, or the length of an answer would tell how many went before.
            answerer: Any = ours.listener.answerer
            answerer.steps._numbers = itertools.count(0x10000)
            yield Way(ours, echo, b"127.0.0.1:%d" % port)
    finally:
        server.close()
        for line in tuple(echo.lines):
            line.transport.abort()
        await asyncio.sleep(0)  # so that they are closed before the loop is


@contextlib.contextmanager
def nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every message be planned."""
    with monkeypatch.context() as patched:
        for kind in (PreparedJson, PreparedWhole):
            patched.setattr(kind, "change", lambda *_, **__: None)
        yield


@contextlib.contextmanager
def taken_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Changed]]:
    """Collect the messages that were changed without a plan."""
    taken: list[Changed] = []
    change = PreparedJson.change

    def changing(
        self: PreparedJson,
        body: bytes,
        keys: WarmKeys,
        now: float,
        kept: Kept = (),
        *,
        any_number: bool = False,
    ) -> Changed | Lacking | None:
        changed = change(self, body, keys, now, kept, any_number=any_number)
        if isinstance(changed, Changed):
            taken.append(changed)
        return changed

    with monkeypatch.context() as patched:
        patched.setattr(PreparedJson, "change", changing)
        yield taken
