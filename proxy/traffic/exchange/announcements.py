"""Attachments that a poll of Engine.IO has announced, and that a later one brings.

Clients and servers of Engine.IO send a packet in one HTTP message, and its attachments in the next
one of the same session, or over the WebSocket that it is upgraded to. In between, what is to be
done to them is kept here, in the memory of one process: no name and no key leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from ...core.errors import BodyTooLarge, InvalidBody
from ...core.formats.parameters import fields_of_query
from ...core.http.message import Direction
from ...core.planning.exchange import Announced, Exchange
from ..policy import (
    ANNOUNCED_BYTES,
    ANNOUNCED_BYTES_OF_ONE,
    ANNOUNCED_SECONDS,
    ANNOUNCED_SESSIONS,
    ANNOUNCED_SID_CHARS,
)

_BYTES_OF_SESSION: Final = 400
_BYTES_OF_ATTACHMENT: Final = 8
_BYTES_OF_SELECTED: Final = 400

Key = tuple[str, str, Direction]
"""Path and `sid` of a session, and the direction of its packets."""


class _Entry(NamedTuple):
    announced: Announced
    size: int
    until: float


class Announcements:
    """What is announced in the sessions of one upstream. An entry is gone once all has come.

    It outlives a reload: an attachment is treated as the rules said when its packet came. `clock`
    returns seconds; it may be that of the process.
    """

    __slots__ = ("_clock", "_entries", "_size")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing announced."""
        self._clock = clock
        self._entries: dict[Key, _Entry] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are kept, by estimate."""
        return self._size

    def __len__(self) -> int:
        """Return in how many sessions and directions something is announced."""
        return len(self._entries)

    def begin(self, exchange: Exchange, direction: Direction) -> Begun | None:
        """Tell an exchange what its session awaits in a direction, before its message is planned.

        Returns what keeps what is awaited then; None: the message is of no session.
        """
        if direction == "response" and exchange.head.method != "GET":
            return None  # the answer to a POST holds no packet
        key = _key(exchange, direction)
        if key is None:
            return None
        entry = self._entries.get(key)
        fresh = entry is not None and self._clock() < entry.until
        exchange.announced[direction] = entry.announced if entry is not None and fresh else ()
        return Begun(self, key, entry)

    def keep(self, key: Key, before: _Entry | None, announced: Announced) -> None:
        """Keep what a session awaits now, if it awaited `before` until now.

        Raises InvalidBody where another message of the session came between, BodyTooLarge where
        that is too much. Then nothing is kept: it is not clear what comes next.
        """
        current = self._entries.get(key)
        self._take(key)
        if current is not before:
            raise InvalidBody("packets-at-the-same-time")
        if not announced:
            return
        size = _size(key, announced)
        if size > ANNOUNCED_BYTES_OF_ONE:
            raise BodyTooLarge("too-much-announced")
        now = self._clock()
        self._drop_old(now, size)
        self._entries[key] = _Entry(announced, size, now + ANNOUNCED_SECONDS)
        self._size += size

    def of_socket(self, exchange: Exchange, direction: Direction) -> Callable[[], Announced] | None:
        """Return what takes over the announcements of a session that a WebSocket goes on with."""
        key = _key(exchange, direction)
        return None if key is None else lambda: self._take(key)

    def _take(self, key: Key) -> Announced:
        entry = self._entries.pop(key, None)
        if entry is None:
            return ()
        self._size -= entry.size
        return entry.announced if self._clock() < entry.until else ()

    def _drop_old(self, now: float, size: int) -> None:
        """Make room; the entries are in the order of their age."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            full = len(self._entries) >= ANNOUNCED_SESSIONS or self._size + size > ANNOUNCED_BYTES
            if not full and now < entry.until:
                return
            self._take(key)


class Begun(NamedTuple):
    """A message of a session that is being planned: what was awaited when it began."""

    announcements: Announcements
    key: Key
    before: _Entry | None

    def settler(self, exchange: Exchange) -> Callable[[], None]:
        """Return what keeps what is awaited behind the message, once its plan was applied."""
        announced = exchange.announced.get(self.key[2], ())
        return partial(self.announcements.keep, self.key, self.before, announced)


def _key(exchange: Exchange, direction: Direction) -> Key | None:
    """Return the key of the session that a request names; None where it names none, or two."""
    parameters = fields_of_query(exchange.head.query or "")
    sids = [value for name, value in parameters if name == "sid"]
    if len(sids) != 1 or not sids[0] or len(sids[0]) > ANNOUNCED_SID_CHARS:
        return None
    return exchange.head.path, sids[0], direction


def _size(key: Key, announced: Announced) -> int:
    size = _BYTES_OF_SESSION + 4 * (len(key[0]) + len(key[1]))
    for one in announced:
        size += _BYTES_OF_ATTACHMENT
        if one is not None:
            scope = one.context.scope
            names = (scope.tenant, scope.conversation, one.context.message)
            size += _BYTES_OF_SELECTED + 4 * sum(len(name) for name in names if name is not None)
            if scope.parties is not None:
                size += 4 * sum(map(len, scope.parties.recipients))
    return size
