"""The connections to one Redis: without hidden retries, with short timeouts, dropped on any doubt.

Only this module and those beside it import redis-py, and they are imported only when Redis is the
store: it costs 20 MiB and half of the start-up time. Of redis-py, a connection (TLS, login) and
the parser of replies are used. Its pool and its subscriptions are not: they keep a connection
whose state they do not know, and lose one that a cancellation met in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from ....config.settings import Address, RedisSettings, UnixAddress
from ..store import Misshapen, StoreFailed, StoreFull
from . import access
from .access import PasswordUnreadable, TlsConnection, TlsUnusable

CONNECT_SECONDS: Final = 0.2
COMMAND_SECONDS: Final = 0.2
IDLE: Final = 8
"""Connections to one Redis that are kept for later: a process asks so many questions at a time."""

Answer = Any
"""What redis-py makes of an answer; nothing is known of it yet."""

_T = TypeVar("_T")


def arguments(settings: RedisSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what every connection to a Redis that holds records is made with.

    Raises UnfitEnvironment where a certificate, a key or the password cannot be read.
    """
    login = access.credentials(settings.user, settings.password, environ)
    return access.tls(settings) | login | {"db": settings.db} | patience()


def patience() -> dict[str, Any]:
    """Return what every connection is made with: how long it waits, and that it tries once."""
    return {
        "protocol": 2,
        # The caller has one deadline and a circuit breaker: ten retries would be out of place.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": COMMAND_SECONDS,
        "driver_info": None,
    }


def as_it_is(answer: Answer) -> Answer:
    """Return an answer as redis-py made it."""
    return answer


class ServerClock:
    """The clock of one server, as far as its answers tell: it is read between two times of ours."""

    __slots__ = ("ahead",)

    def __init__(self) -> None:
        """Know nothing yet."""
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

    def __init__(self, make: Callable[[], Awaitable[AbstractConnection]]) -> None:
        """`make` returns a new connection, which is not connected yet."""
        self._make = make
        self._idle: list[AbstractConnection] = []
        self._closed = False
        self.clock = ServerClock()
        """What is known of the clock of this Redis."""

    async def ask(
        self,
        *words: Any,  # noqa: ANN401 - whatever the command takes
        read: Callable[[Answer], _T] = as_it_is,
        first: Sequence[str] = (),
    ) -> _T:
        """Return what `read` makes of the answer to one command.

        `first` is a command that goes before it over the same connection. Raises what redis-py,
        the event loop and `read` raise.
        """
        line = await self._taken()
        well = fell = False
        try:
            if first:
                await line.send_command(*first, check_health=False)
                await line.read_response()
            await line.send_command(*words, check_health=False)
            value = read(await line.read_response())
            well = not await line.can_read()
        except ReadOnlyError:  # it is no master any more
            fell = True
            raise
        except ResponseError:  # an answer too, if nothing is behind it
            well = not await line.can_read()
            raise
        except BaseException:
            fell = True
            raise
        finally:
            await self._give_back(line, well=well)
            if fell:  # those that rest lead to the same Redis, and may have ended as this one did
                await self.forget()
        return value

    async def ask_script(
        self,
        *words: Any,  # noqa: ANN401 - as above
        read: Callable[[Answer], tuple[float, _T]],
        first: Sequence[str] = (),
    ) -> _T:
        """Do as `ask` for an answer that holds Redis' time too, in milliseconds since 1970."""
        before = time.monotonic()

        def timed(answer: Answer) -> _T:
            theirs, value = read(answer)
            self.clock.read(theirs / 1000, before, time.monotonic())
            return value

        return await self.ask(*words, read=timed, first=first)

    async def connected(self) -> AbstractConnection:
        """Return a new connection, logged in, for the caller to use and to close by `closed`."""
        line = await self._make()
        try:
            await line.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except BaseException:
            # redis-py closes it for some errors alone, and would use it again without a login.
            await closed(line)
            raise
        return line

    async def forget(self) -> None:
        """Close the connections that rest."""
        lines, self._idle = self._idle, []
        for line in lines:
            await closed(line)

    async def close(self) -> None:
        """Close all connections, those in use once they are given back."""
        self._closed = True
        lines, self._idle = self._idle, []
        for line in lines:
            with suppress(Exception):  # whatever state it is in
                await line.disconnect()  # it waits, for CONNECT_SECONDS at most

    async def _taken(self) -> AbstractConnection:
        while self._idle:
            line = self._idle.pop()
            if await _fit(line):
                return line
            await closed(line)
        return await self.connected()

    async def _give_back(self, line: AbstractConnection, *, well: bool) -> None:
        if well and not self._closed and len(self._idle) < IDLE:
            self._idle.append(line)
        else:
            await closed(line)


async def closed(line: AbstractConnection) -> None:
    """Close a connection, in whatever state it is, without waiting for the other side."""
    with suppress(Exception):
        await line.disconnect(nowait=True)


async def _fit(line: AbstractConnection) -> bool:
    """Whether an idle connection is open and nothing has come on it."""
    try:
        return line.is_connected and not await line.can_read()
    except Exception:  # noqa: BLE001 - redis-py and event loops tell in many ways that it is gone
        return False


def client(address: Address, made_with: Mapping[str, Any]) -> Client:
    """Return a client of the Redis there, which connects when it is first used."""

    async def make() -> AbstractConnection:
        if isinstance(address, UnixAddress):
            return UnixDomainSocketConnection(path=str(address.path), **made_with)
        kind = TlsConnection if "ssl_cert_reqs" in made_with else Connection
        return kind(host=address.host, port=address.port, **made_with)

    return Client(make)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn whatever redis-py, TLS and the event loop raise into StoreFailed.

    Their texts may hold addresses and values. Where Redis has no room left it is StoreFull, which
    does not prevent reading. A cancellation that none asked for is a failed store as well: it must
    end neither a message nor the process.
    """
    try:
        yield
    except OutOfMemoryError:  # and no policy that evicts
        raise StoreFull from None
    except StoreFailed:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        reason = "store-failed"
    except RecursionError:
        raise Misshapen from None
    except (RedisError, OSError, EOFError, RuntimeError) as error:
        reason = _reason(error)  # uvloop's transports raise RuntimeError when they are gone
    except Exception:  # noqa: BLE001 - redis-py unpacks what comes before it looks at it
        raise Misshapen from None
    else:
        return
    raise StoreFailed(reason)


def _reason(error: Exception) -> str:
    if isinstance(error, PasswordUnreadable):
        return "store-password-unreadable"
    if isinstance(error.__cause__, TlsUnusable):  # redis-py wraps what connecting raises
        return "store-tls-unusable"
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
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
