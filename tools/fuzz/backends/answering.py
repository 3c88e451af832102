"""A server of a few lines: it reads requests and answers each with a body."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Final

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_REQUEST: Final = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.1\r\n")


def echo(_: bytes, body: bytes) -> bytes:
    """Return the body."""
    return body


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[bytes, bytes], bytes], strays: list[bytes] | None = None
) -> AsyncIterator[int]:
    """Serve until the context ends; yield the port. `answer` gets head and body.

    What comes in the place of a request and is none is added to `strays`: the message before it has
    been cut in two.
    """
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not _REQUEST.match(head):
                    if strays is not None:
                        strays.append(head)
                    break
                told = answer(head, await _body(reader, head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in writers), return_exceptions=True)
        # What was read by a connection that is closed now ends with it.
        await asyncio.sleep(0)


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if _CHUNKED.search(head):
        return await _chunks(reader)
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1]) if length else 0)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
