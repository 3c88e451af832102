"""One connection to a Redis, in RESP 2: log in, send commands, read one answer after the other.

https://redis.io/docs/latest/develop/reference/protocol-spec/ is the protocol. What does not keep to
it is a failed store, and so are sizes that no answer to a question of ours has. Nothing is tried
again here, and nothing is hidden: whoever asks has one deadline and a circuit breaker.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, cast

from ....config.settings import Address, UnixAddress
from ...policy import BULK_MAX, COMMAND_SECONDS, CONNECT_SECONDS, LEVELS_MAX, LINE_MAX, LIST_MAX
from ..store import Misshapen, patience

_NUMBER: Final = re.compile(rb"-?[0-9]{1,20}")
_END: Final = b"\r\n"
_LOGIN_CODES: Final = frozenset({"NOAUTH", "WRONGPASS"})

Answer = Any
"""What a Redis has answered: bytes, a number, None, or a list of those; nothing is known of it yet.

In a list there may be an `AnsweredError` as well."""
Word = str | bytes | int
_Parsing = Generator[None, None, Answer]


class RedisError(Exception):
    """A Redis cannot be used as it is, or has said no."""


class LoginRefused(RedisError):
    """The Redis does not take this user or password, or wants one and there is none."""


class UsersUnknown(RedisError):
    """The Redis is of before version 6 and knows no users."""


class WrongRole(RedisError):
    """This Redis is not the master, or nobody knows a master."""


class AnsweredError(RedisError):
    """An error that is the answer to a command: the connection is as good as it was.

    `code` is its first word: `ERR`, `NOSCRIPT`, `MOVED`; `text` is what follows.
    """

    def __init__(self, said: str) -> None:
        """Take the error as the Redis has said it."""
        super().__init__(said)
        self.code, _, self.text = said.partition(" ")


@dataclass(frozen=True, slots=True)
class Terms:
    """How to connect. All of it is asked for at each connection, so that files may change.

    `login` returns what AUTH takes, `tls` what verifies the Redis; `db` is the database. A
    connection `to_master` is used only where the Redis says that it is one. Where names are not to
    be trusted, as in a pod that others write, `numeric` refuses them without TLS: nodes of a
    cluster and Sentinels give names too.
    """

    login: Callable[[], tuple[str, ...]] | None = None
    tls: Callable[[], ssl.SSLContext] | None = None
    db: int = 0
    to_master: bool = False
    numeric: bool = False


class Connection(asyncio.Protocol):
    """A connection, logged in; made by `connected`. One task at a time sends and reads."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._at = 0
        self._parsing: _Parsing | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None

    @property
    def quiet(self) -> bool:
        """Whether the connection is open and nothing has come that was not asked for."""
        return self._lost is None and not self._came and self._parsing is None

    def send(self, *words: Word) -> None:
        """Send a command; raise ConnectionError where the connection has ended."""
        if self._lost is not None or self._transport is None:
            raise ConnectionResetError from self._lost
        parts = [b"*%d\r\n" % len(words)]
        for one in words:
            text = one if isinstance(one, bytes) else str(one).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
        self._transport.write(b"".join(parts))

    async def read(self, seconds: float | None = None) -> Answer:
        """Return the next answer.

        Raises TimeoutError where it is not there within `seconds` (None: COMMAND_SECONDS): what has
        come of it is kept for the next call. Raises AnsweredError, LoginRefused, Misshapen, and
        OSError for a connection that has ended.
        """
        parsing = self._parsing = self._parsing or self._answer(0)
        async with patience(COMMAND_SECONDS if seconds is None else seconds):
            while True:
                try:
                    next(parsing)
                except StopIteration as whole:
                    self._parsing = None
                    del self._came[: self._at]
                    self._at = 0
                    return _checked(whole.value)
                except Misshapen:  # whatever follows it cannot be told from it
                    self.close()
                    raise
                if self._lost is not None:
                    raise ConnectionResetError from self._lost
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    async def ask(self, *words: Word) -> Answer:
        """Send a command and return its answer; raises what both raise."""
        self.send(*words)
        return await self.read()

    def close(self) -> None:
        """End the connection at once, in whatever state it is."""
        self._end(ConnectionAbortedError())
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Take bytes; end a connection with more of them than any answer has."""
        self._came += data
        if len(self._came) > 2 * BULK_MAX:
            self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that nothing more will come."""
        self._end(exc or ConnectionResetError())

    def _end(self, why: Exception) -> None:
        self._lost = self._lost or why
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _answer(self, level: int) -> _Parsing:
        """Parse one answer, going on with each `next` where the bytes ended."""
        line = yield from self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return AnsweredError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return _number(rest)
        size = _number(rest)
        if size == -1 and kind in {b"$", b"*"}:
            return None
        if kind == b"$" and 0 <= size <= BULK_MAX:
            return (yield from self._bulk(size))
        if kind == b"*" and 0 <= size <= LIST_MAX and level < LEVELS_MAX:
            found = []
            for _ in range(size):
                found.append((yield from self._answer(level + 1)))  # noqa: PERF401 - no comprehension may yield
            return found
        raise Misshapen

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._came.find(_END, self._at)) < 0:
            if len(self._came) - self._at > LINE_MAX:
                raise Misshapen
            yield
        line = bytes(self._came[self._at : end])
        self._at = end + len(_END)
        return line

    def _bulk(self, size: int) -> Generator[None, None, bytes]:
        end = self._at + size
        while len(self._came) < end + len(_END):
            yield
        text = bytes(self._came[self._at : end])
        self._at = end + len(_END)
        if self._came[end : self._at] != _END:
            raise Misshapen
        return text


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text):
        raise Misshapen
    return int(text)


def _checked(answer: Answer) -> Answer:
    if isinstance(answer, AnsweredError):
        if answer.code in _LOGIN_CODES:
            raise LoginRefused(answer.code)
        raise answer
    return answer


async def connected(address: Address, terms: Terms) -> Connection:
    """Return a connection to the Redis there, logged in.

    Raises OSError (TimeoutError after CONNECT_SECONDS), what `terms` and `Connection.ask` raise,
    UsersUnknown and WrongRole.
    """
    loop = asyncio.get_running_loop()
    context = None if terms.tls is None else terms.tls()
    made = Connection()
    try:
        async with patience(CONNECT_SECONDS):
            if isinstance(address, UnixAddress):
                await loop.create_unix_connection(lambda: made, str(address.path))
            else:
                flags = socket.AI_NUMERICHOST if terms.numeric and context is None else 0
                await loop.create_connection(
                    lambda: made, address.host, address.port, ssl=context, flags=flags
                )
        if terms.login is not None:
            await _log_in(made, terms.login())
        if terms.db:
            _require_ok(await made.ask("SELECT", terms.db))
        if terms.to_master:
            await _require_master(made)
    except BaseException:
        made.close()
        raise
    return made


async def _log_in(line: Connection, words: tuple[str, ...]) -> None:
    try:
        _require_ok(await line.ask("AUTH", *words))
    except AnsweredError as error:
        if len(words) > 1 and "wrong number of arguments" in error.text:
            raise UsersUnknown from None
        raise LoginRefused(error.code) from None


def _require_ok(answer: Answer) -> None:
    if answer != b"OK":
        raise Misshapen


async def _require_master(line: Connection) -> None:
    said = await line.ask("ROLE")
    if not isinstance(said, list) or not said or said[0] != b"master":
        raise WrongRole("not the master")
