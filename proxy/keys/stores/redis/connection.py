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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from ....config.settings import Address, UnixAddress
from ...policy import BULK_MAX, COMMAND_SECONDS, CONNECT_SECONDS, LEVELS_MAX, LINE_MAX, LIST_MAX
from ..store import Misshapen, Patience

_NUMBER: Final = re.compile(rb"-?[0-9]{1,20}")
_END: Final = b"\r\n"
_END_BYTES: Final = len(_END)
_TEXT, _ERROR, _INTEGER, _BULK, _LIST = b"+-:$*"
_NUMBERED: Final = frozenset({_INTEGER, _BULK, _LIST})
_LOGIN_CODES: Final = frozenset({"NOAUTH", "WRONGPASS"})

Answer = Any
"""What a Redis has answered: bytes, a number, None, or a list of those; nothing is known of it yet.

In a list there may be an `AnsweredError` as well."""
Word = str | bytes | int


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
        self._lists: list[tuple[list[Answer], int]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None

    @property
    def quiet(self) -> bool:
        """Whether the connection is open and nothing has come that was not asked for."""
        return self._lost is None and not self._came

    def send(self, *words: Word) -> None:
        """Send a command; raise ConnectionError where the connection has ended."""
        if self._lost is not None or self._transport is None:
            raise ConnectionResetError from self._lost
        texts = [one if type(one) is bytes else str(one).encode() for one in words]
        parts = [b"$%d\r\n%b\r\n" % (len(text), text) for text in texts]
        self._transport.write(b"*%d\r\n%b" % (len(parts), b"".join(parts)))

    async def read(self, seconds: float | None = None) -> Answer:
        """Return the next answer.

        Raises TimeoutError where it is not there within `seconds` (None: COMMAND_SECONDS): what has
        come of it is kept for the next call. Raises AnsweredError, LoginRefused, Misshapen, and
        OSError for a connection that has ended.
        """
        async with Patience(COMMAND_SECONDS if seconds is None else seconds) as patience:
            try:
                while (whole := self._answer()) is None:
                    if self._lost is not None:
                        raise ConnectionResetError from self._lost
                    self._waiter = patience.loop.create_future()
                    await self._waiter
            except Misshapen:  # whatever follows it cannot be told from it
                self.close()
                raise
        return _checked(whole[0])

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

    def _answer(self) -> tuple[Answer] | None:
        """Parse on from where the bytes ended; return the answer once it is there, None until then.

        `_lists` are those that are not complete, each within the one before, and their lengths.
        """
        came, at, lists = self._came, self._at, self._lists
        while (end := came.find(_END, at)) >= 0:
            kind, rest, behind = came[at], bytes(came[at + 1 : end]), end + _END_BYTES
            size = _number(rest) if kind in _NUMBERED else 0
            value: Answer
            if kind == _BULK and size >= 0:
                if (value := self._bulk(behind, size)) is None:
                    break
                behind += size + _END_BYTES
            elif kind == _LIST and 0 < size <= LIST_MAX and len(lists) < LEVELS_MAX:
                lists.append(([], size))
                at = behind
                continue
            else:
                value = _short(kind, rest, size)
            at = behind
            while lists:
                found, size = lists[-1]
                found.append(value)
                if len(found) < size:
                    break
                value = lists.pop()[0]
            else:
                del came[:at]
                self._at = 0
                return (value,)
        if end < 0 and len(came) - at > LINE_MAX:
            raise Misshapen
        self._at = at
        return None

    def _bulk(self, at: int, size: int) -> bytes | None:
        """Return a text once all of it has come."""
        end = at + size
        behind = end + _END_BYTES
        if size <= BULK_MAX and len(self._came) < behind:
            return None
        if size > BULK_MAX or self._came[end:behind] != _END:
            raise Misshapen
        return bytes(self._came[at:end])


def _short(kind: int, rest: bytes, size: int) -> Answer:
    """Return an answer that is one line."""
    if kind == _ERROR:
        return AnsweredError(rest.decode("utf-8", "replace"))
    if kind == _TEXT:
        return rest
    if kind == _INTEGER:
        return size
    if kind not in _NUMBERED or size != -1:
        if kind != _LIST or size:
            raise Misshapen
        return []
    return None


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
        async with Patience(CONNECT_SECONDS):
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
