"""B3, A11: an upstream that leaves in the middle of an upload, with a response or without."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from itertools import product
from typing import Final

import pytest
import uvloop

from ..ours import Ours, local, proxied
from ..wire import Origin, Peer, Response, eventually, running

SOON: Final = 1.0
ANSWER: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
FRAMINGS: Final = {"length": b"Content-Length: 100000000", "chunks": b"Transfer-Encoding: chunked"}
PIECE: Final = bytes(65536)


def leaving(end: str, *, answers: bool, after: int) -> Origin:
    """Return an origin that reads some of a body, and leaves by a reset, a close or a FIN."""

    async def script(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.head())  # type: ignore[arg-type] # the number alone is wanted
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.reader.readexactly(after)
        if answers:
            peer.send(ANSWER)
            await peer.writer.drain()
        if end == "half-close":
            peer.writer.write_eof()
            await asyncio.sleep(SOON)
        elif end == "reset":
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.close()

    return Origin(script)


async def upload(ours: Ours, framing: bytes, *, fast: bool) -> Response:
    """Send a body without an end, all the time or only its beginning; return the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if b"chunked" in framing else PIECE
    head = b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n"

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(head + piece)
            while fast:
                writer.write(piece)
                await writer.drain()

    sending = asyncio.get_running_loop().create_task(send())
    try:
        async with asyncio.timeout(SOON):
            start = await reader.readuntil(b"\r\n\r\n")
            return Response(start + await reader.read(1))
    finally:
        sending.cancel()
        writer.transport.abort()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("end", ["reset", "close", "half-close"])
def test_a11_b3_an_upstream_that_leaves_in_an_upload_is_heard_at_once(
    end: str, *, answers: bool
) -> None:
    async def run() -> None:
        for after in (0, 1000, 65536, 1_000_000):
            async with (
                running(leaving(end, answers=answers, after=after)) as origin,
                proxied(local(origin.port)) as ours,
            ):
                speeds = (True,) if after > len(PIECE) else (True, False)
                got = [
                    (framing, fast, (await upload(ours, FRAMINGS[framing], fast=fast)).status)
                    for framing, fast in product(FRAMINGS, speeds)
                    for _ in range(5)
                ]
                await eventually(lambda: not ours.upstream.pool.size)
                assert {status for *_, status in got} == {413 if answers else 502}, (after, got)
                assert len(origin.seen) == len(got)

    # asyncio's own loop now and then writes first, and misses an answer before a reset: 502.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
