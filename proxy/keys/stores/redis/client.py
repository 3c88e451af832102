"""The connections to one Redis, dropped on any doubt. Nothing is tried again by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ....config.settings import Address, RedisSettings
from ....process.fitness import INTERCEPTION_VARIABLE
from ...policy import IDLE_CONNECTIONS
from ..store import Misshapen, StoreFailed, StoreFull, errno_of
from . import access
from .access import PasswordUnreadable, TlsUnusable
from .connection import Answer, AnsweredError, Connection, RedisError, Terms, Word, connected

_T = TypeVar("_T")
Then = Callable[[Connection], Awaitable[None]] | None


def terms(settings: RedisSettings, environ: Mapping[str, str]) -> Terms:
    """Return how to connect to a Redis that holds records.

    Raises UnfitEnvironment where a certificate, a key or the password cannot be read.
    """
    login = access.login(settings.user, settings.password, environ)
    inside = INTERCEPTION_VARIABLE in environ
    return Terms(login, access.tls(settings), settings.db, numeric=inside)


def as_it_is(answer: Answer) -> Answer:
    """Return an answer as it came."""
    return answer


class ServerClock:
    """The clock of one server, as far as its answers tell: it is read between two times of ours."""

    __slots__ = ("ahead", "runs")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.runs = 0
        """How often a connection was made after one was lost, the first one included."""
        self.ahead: float | None = None
        """By how many seconds it is ahead of our monotonic clock, which nobody sets."""

    def read(self, theirs: float, before: float, after: float) -> None:
        """Take a time of the server that it told between two of our monotonic clock."""
        least, most = theirs - after, theirs - before
        known = (least + most) / 2 if self.ahead is None else self.ahead
        self.ahead = min(max(known, least), most)


class Client:
    """Sends commands to one Redis, over as many connections as there are commands at a time.

    A connection is used again only if its last command was answered whole, in the expected shape,
    and nothing came behind it. After a time-out, a cancellation or whatever else, it is closed: a
    late reply must not be taken for that of the next command. Nothing here waits for another
    caller, so a cancellation leaves nothing behind.
    """

    def __init__(self, make: Callable[[], Awaitable[Connection]]) -> None:
        """`make` returns a new connection, logged in."""
        self._make = make
        self._idle: list[Connection] = []
        self._closed = False
        self._lost = True
        self.clock = ServerClock()
        """What is known of the clock of this Redis."""

    async def ask(
        self,
        *words: Word,
        read: Callable[[Answer], _T] = as_it_is,
        first: Sequence[str] = (),
        then: Then = None,
    ) -> _T:
        """Return what `read` makes of the answer to one command.

        `first` is a command that goes before it over the same connection; `then` is awaited with
        that connection afterwards. Raises what `connected`, `Connection.ask` and `read` raise.
        """
        line = await self._taken()
        well = fell = False
        try:
            if first:
                await line.ask(*first)
            value = read(await line.ask(*words))
            if then is not None:
                await then(line)
            well = line.quiet
        except AnsweredError as error:
            fell = error.code == "READONLY"  # it is no master any more
            well = line.quiet and not fell  # an answer too, if nothing is behind it
            raise
        except BaseException:
            fell = True
            raise
        finally:
            self._give_back(line, well=well)
            if fell:  # those that rest lead to the same Redis, and may have ended as this one did
                self.forget()
        return value

    async def ask_script(
        self,
        *words: Word,
        read: Callable[[Answer], tuple[float, _T]],
        first: Sequence[str] = (),
        then: Then = None,
    ) -> _T:
        """Do as `ask` for an answer that holds Redis' time too, in milliseconds since 1970."""
        before = time.monotonic()

        def timed(answer: Answer) -> _T:
            theirs, value = read(answer)
            self.clock.read(theirs / 1000, before, time.monotonic())
            return value

        return await self.ask(*words, read=timed, first=first, then=then)

    async def connected(self) -> Connection:
        """Return a new connection, logged in, for the caller to use and to close."""
        return await self._make()

    def forget(self) -> None:
        """Close the connections that rest."""
        lines, self._idle, self._lost = self._idle, [], True
        for line in lines:
            line.close()

    def close(self) -> None:
        """Close all connections, those in use once they are given back."""
        self._closed = True
        self.forget()

    async def _taken(self) -> Connection:
        while self._idle:
            line = self._idle.pop()
            if line.quiet:
                return line
            self._lost = True
            line.close()
        line = await self._make()
        if self._lost:
            self._lost = False
            self.clock.runs += 1
        return line

    def _give_back(self, line: Connection, *, well: bool) -> None:
        if well and not self._closed and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(line)
        else:
            line.close()


def client(address: Address, how: Terms) -> Client:
    """Return a client of the Redis there, which connects when it is first used."""
    return Client(lambda: connected(address, how))


class Translating:
    """Turns whatever connections, TLS and the event loop raise into StoreFailed.

    Their texts may hold addresses and values. Where Redis has no room left it is StoreFull, which
    does not prevent reading. A cancellation that none asked for is a failed store as well: it must
    end neither a message nor the process.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        """Raise what an error is turned into."""
        if error is not None and (failed := _translated(error)) is not None:
            raise failed from None


def _translated(error: BaseException) -> StoreFailed | None:
    """Return what an error is turned into; None where it stays what it is."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return None if task is None or task.cancelling() else StoreFailed("store-failed")
    if isinstance(error, StoreFailed) or not isinstance(error, Exception):
        return None
    if isinstance(error, AnsweredError) and error.code == "OOM":  # and no policy that evicts
        return StoreFull()
    # uvloop's transports raise RuntimeError when they are gone.
    known = isinstance(error, (RedisError, OSError, EOFError, RuntimeError))
    if known and not isinstance(error, RecursionError):
        return StoreFailed(_reason(error), errno=errno_of(error))
    return Misshapen()  # what reads an answer must not end a message by an error of ours


def _reason(error: Exception) -> str:
    if isinstance(error, PasswordUnreadable):
        return "store-password-unreadable"
    if isinstance(error, TlsUnusable):
        return "store-tls-unusable"
    if isinstance(error, TimeoutError):
        return "store-timeout"
    return "store-failed"


async def first_answer(questions: Iterable[Awaitable[_T]]) -> _T:
    """Return the first answer; raise the last error where there is none.

    One after the other, a frozen server would use up the deadline of every question.
    """
    asked = [asyncio.ensure_future(one) for one in questions]  # noqa: TID251 - held here, and ended below
    try:
        for done in asyncio.as_completed(asked):
            try:
                return await done
            except Exception as error:  # noqa: BLE001 - another server may have an answer
                failed: Exception = error
        raise failed
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
