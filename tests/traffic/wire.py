"""Raw sockets on both sides of a proxy: bytes in, bytes out, nothing in between."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

PATIENCE = 9.0  # a shorter one than any deadline that would end what hangs: a head has ten seconds
"""Far more than anything takes; only a failing test waits so long."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Seen:
    """One request as the origin received it."""

    head: bytes
    body: bytes

    @property
    def target(self) -> bytes:
        return self.head.split(b" ")[1]

    def values(self, name: bytes) -> list[bytes]:
        lines = self.head.split(b"\r\n")[1:]
        pairs = [line.split(b":", 1) for line in lines if line]
        return [value.strip() for key, value in pairs if key.lower() == name.lower()]


@dataclass
class Peer:
    """One connection at the origin."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> Seen:
        seen = Seen(await self.head(), b"")
        if lengths := seen.values(b"content-length"):
            seen.body = await self.reader.readexactly(int(lengths[0]))
        elif seen.values(b"transfer-encoding"):
            seen.body = b"".join([chunk async for chunk in self.chunks()])
        return seen

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def cut(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Peer, "Origin"], Awaitable[None]]


async def obliging(peer: Peer, origin: Origin) -> None:
    """Answer everything with the origin's reply."""
    while True:
        origin.seen.append(await peer.request())
        peer.send(origin.reply)
        await peer.writer.drain()


@dataclass
class Origin:
    """A recording origin that plays a script on each connection."""

    script: Script = obliging
    reply: bytes = OK
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self.script(Peer(reader, writer), self)
        except asyncio.CancelledError:
            pass
        finally:
            self.open_connections -= 1
            writer.close()


@contextlib.asynccontextmanager
async def running(
    origin: Origin, *, tls: ssl.SSLContext | None = None, path: str | None = None, port: int = 0
) -> AsyncIterator[Origin]:
    """Run an origin on a TCP port, of its own unless it is given, or on a Unix socket."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await origin.serve(reader, writer)

    if path is None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
        origin.port = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(serve, path, ssl=tls)
    try:
        yield origin
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Response:
    """One response as the client received it."""

    raw: bytes

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1]) if self.raw else 0

    def values(self, name: bytes) -> list[bytes]:
        pairs = [line.split(b":", 1) for line in self.head.split(b"\r\n")[1:]]
        return [value.strip() for key, value in pairs if key.lower() == name.lower()]


class Client:
    """One raw connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE)

    async def rest(self) -> bytes:
        """Return what comes until the connection ends, in whatever way."""
        data = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while part := await self.reader.read(65536):
                    data += part
        return data

    async def was_cut(self) -> bool:
        """Read to the end and return whether it was a reset."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        return False

    async def response(self) -> Response:
        """Return the next response with a Content-Length or chunks."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            response = Response(head)
            if lengths := response.values(b"content-length"):
                return Response(head + await self.reader.readexactly(int(lengths[0])))
            if response.values(b"transfer-encoding"):
                peer = Peer(self.reader, self.writer)
                return Response(head + b"".join([chunk async for chunk in peer.chunks()]))
            return response

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def connected(
    port: int = 0, *, path: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    """Connect to a proxy."""
    if path is not None:
        reader, writer = await asyncio.open_unix_connection(path)
    elif tls is not None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer)
    try:
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):
            await asyncio.wait_for(writer.wait_closed(), PATIENCE)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that nobody tells about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def talk(port: int, data: bytes) -> Response:
    """Send one request that asks for the connection to be closed, and return all that comes."""
    async with connected(port) as client:
        client.send(data)
        return Response(await client.rest())


def get(target: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    """Return a request without a body that ends its connection."""
    head = (method + b" " + target + b" HTTP/1.1", b"Host: h", b"Connection: close", *lines)
    return b"\r\n".join([*head, b"", b""])


def post(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    """Return a request with a body that ends its connection."""
    return get(target, b"Content-Length: %d" % len(body), *lines, method=b"POST") + body
