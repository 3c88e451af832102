"""A server that speaks Redis' protocol and says in answer to some commands what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from proxy.config.settings import RedisSettings, TcpAddress

MARK: Final = b"the mark"
"""Stands in a lie for the last word of the command, which an answer of a script begins with."""

_OK = b"+OK\r\n"
_HELLO: Mapping[bytes, bytes] = {
    b"2": b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:2\r\n",
    b"3": b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n",
}


def marked(shape: bytes, seconds: int = 1_700_000_000) -> bytes:
    """Return the answer of a script whose own answer is `shape`, at that time of Redis."""
    close = b"close" if shape.startswith(b"close") else b""
    clock = b"*2\r\n$10\r\n%010d\r\n$1\r\n0\r\n" % seconds
    return close + b"*3\r\n$8\r\n" + MARK + b"\r\n" + clock + shape.removeprefix(close)


_WAITED: Final = {b"WAIT": b":0\r\n", b"WAITAOF": b"*2\r\n:0\r\n:0\r\n"}


@dataclass
class Liar:
    """`lies` says what is answered to a command, by its first word; other commands get a +OK.

    What begins with `close` ends the connection after it. `asked` are the words that came.
    """

    lies: dict[bytes, bytes] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)
    port: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def settings(self) -> RedisSettings:
        """How Sealyard finds it."""
        return RedisSettings(TcpAddress("127.0.0.1", self.port))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while True:
                words = await _command(reader)
                word = words[0].upper()
                self.asked.append(word)
                lie = self.lies.get(word)
                if lie is None and word in _WAITED:
                    lie = _WAITED[word]
                elif lie is None:
                    lie = _HELLO[(*words, b"2")[1]] if word == b"HELLO" else _OK
                writer.write(lie.removeprefix(b"close").replace(MARK, words[-1]))
                await writer.drain()
                if lie.startswith(b"close"):
                    break
        writer.close()
        self.writers.discard(writer)


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    number = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(number):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return words


@asynccontextmanager
async def lying() -> AsyncIterator[Liar]:
    """Run such a server on 127.0.0.1."""
    liar = Liar()
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    liar.port = int(server.sockets[0].getsockname()[1])
    try:
        yield liar
    finally:
        server.close()
        for writer in liar.writers:
            writer.transport.abort()
        await asyncio.sleep(0)
