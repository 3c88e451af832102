"""The sessions that seal: one for each scope, with how much each has sealed and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import NamedTuple

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.crypto.session_cipher import Session
from ...core.values.key_needs import Keys, Standing
from ..lru_map import BoundedMap
from ..policy import SHOWN_DUE, SPENT_SESSIONS
from .agreement import began
from .revocation_state import RevocationState


@dataclass(slots=True)
class Sealing:
    """A session that seals: until when (seconds since 1970), and how many values it has sealed.

    After `fresh_until` the store is asked whether it is still the one. `keys` are those of a plan
    that needs it alone, once there was one.
    """

    session: Session
    state: RevocationState
    soft_end: float
    fresh_until: float
    used: int = 0
    keys: Keys | None = None


class _Spent(NamedTuple):
    """How many values a session has sealed that is not held; it seals until `soft_end`."""

    used: int
    soft_end: float


class SealingSessions:
    """Holds at most `limit`, each of which seals at most `max_messages` values in this process.

    How much a session has sealed is kept for longer than the session: otherwise one that was pushed
    out or dropped by a reload, and comes back from the store, would count from zero.
    """

    def __init__(
        self,
        limit: int,
        max_messages: int,
        *,
        begun: Callable[[int], bool],
        standing: Standing,
    ) -> None:
        """Begin with none.

        `begun` tells whether a time, in seconds since 1970, is not of the future; `standing` is
        what plans get to know of their keys later.
        """
        self._standing = standing
        self._begun = begun
        self._max_messages = max_messages
        self._held: BoundedMap[Scope, Sealing] = BoundedMap(limit)
        self._spent: BoundedMap[bytes, _Spent] = BoundedMap(SPENT_SESSIONS)

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._held)

    def alive(self, now: float) -> Iterator[Sealing]:
        """Yield the sessions that may still seal."""
        return (held for held in self._held.entries() if self._alive(held, now))

    def get(self, scope: Scope) -> Sealing | None:
        """Return the session of a scope, if one is held; it may have ended."""
        return self._held.get(scope)

    def take(self, seals: Mapping[Scope, int], now: float) -> dict[Scope, Session] | None:
        """Return a session for each scope, and count as many values as it is to seal.

        Return None, and count nothing, where one cannot or the store must be asked.
        """
        sessions: dict[Scope, Session] = {}
        for scope, count in seals.items():
            held = self._held.get(scope)
            if held is None or now >= held.fresh_until or not self._goes_on(held, count, now):
                return None
            sessions[scope] = held.session
        for scope, count in seals.items():
            held = self._held.get(scope)
            assert held is not None  # noqa: S101 - all were there a moment ago
            held.used += count
        return sessions

    def take_one(self, seals: Mapping[Scope, int], now: float) -> Keys | None:
        """Do as `take` for one scope, and return the keys of a plan that opens nothing.

        What is returned may be returned again: it must not be changed.
        """
        ((scope, count),) = seals.items()
        held = self._held.peek(scope)
        if held is None or now >= held.fresh_until or not self._goes_on(held, count, now):
            return None
        self._held.mark(scope)
        held.used += count
        if held.keys is None:
            held.keys = Keys({scope: held.session}, {}, standing=self._standing)
        return held.keys

    def able(self, held: Sealing, count: int, now: float) -> bool:
        """Return whether a session may seal so many more values."""
        return self._goes_on(held, count, now) and self._begun(held.session.created)

    def put(
        self, session: Session, state: RevocationState, *, soft_end: float, fresh_until: float
    ) -> None:
        """Hold a session in place of its scope's; it counts on where it was."""
        self._lose(self._held.get(session.scope))
        spent = self._spent.get(session.sid)
        held = Sealing(session, state, soft_end, fresh_until, 0 if spent is None else spent.used)
        self._lose(self._held.put(session.scope, held))

    def ask_anew(self, name: str | None) -> None:
        """Ask the store before the session of that name seals again; None: before any does."""
        for held in self._held.entries():
            if name is None or held.state.named(name):
                held.fresh_until = 0.0

    def refuse(self, name: str, not_before: int) -> None:
        """Seal no more under sessions of that name that began before `not_before`."""
        for held in self._held.entries():
            if held.state.named(name):
                held.state.not_before = max(held.state.not_before, not_before)

    def drop(self, scope: Scope) -> None:
        """Drop the session of a scope at once."""
        self._lose(self._held.get(scope))
        self._held.forget(scope)

    def drop_ended(self, now: float) -> Iterator[None]:
        """Drop sessions that have ended, are revoked or of the future, a few at each step."""
        yield from self._held.dropping(lambda held: not self._alive(held, now))
        yield from self._spent.dropping(lambda spent: now >= spent.soft_end)

    def forget(self) -> None:
        """Hold none, and know how much they had sealed."""
        for held in self._held.entries():
            self._lose(held)
        self._held.clear()

    def begin_anew(self) -> None:
        """Hold none and know of none: what a new process begins with."""
        self._held.clear()
        self._spent.clear()

    def _goes_on(self, held: Sealing, count: int, now: float) -> bool:
        """Do as `able` for a session that is fresh.

        It is none of the future: a clock that goes back leaves none fresh.
        """
        return (
            now < held.soft_end
            and held.used + count <= self._max_messages
            and held.session.created >= held.state.not_before
        )

    def _alive(self, held: Sealing, now: float) -> bool:
        created = held.session.created
        return now < held.soft_end and created >= held.state.not_before and self._begun(created)

    def _lose(self, held: Sealing | None) -> None:
        if held is not None and held.used:
            self._spent.put(held.session.sid, _Spent(held.used, held.soft_end))


@dataclass(frozen=True, slots=True)
class DueSession:
    """One session that seals, without its key, so that showing it keeps no key in memory.

    `scope` is the scope's keyed hash. Times are in seconds since 1970; `sealed` counts values.
    """

    scope: str
    sid: str
    created: int
    soft_end: float
    sealed: int


@dataclass(frozen=True, slots=True)
class Due:
    """When the sessions that seal began and end, in seconds since 1970.

    `created` is when the oldest was made, `due` when the first reaches its soft end; both are 0
    where there is none. `first` are those that are due first, at most `SHOWN_DUE`.
    """

    created: int = 0
    due: float = 0.0
    first: tuple[DueSession, ...] = ()


def due(held: Iterable[Sealing]) -> Due:
    """Return when these sessions began and end."""
    sessions = list(held)
    if not sessions:
        return Due()
    first = nsmallest(SHOWN_DUE, sessions, key=lambda one: one.soft_end)
    oldest = min(began(one.session.sid) for one in sessions)
    return Due(oldest, first[0].soft_end, tuple(map(_shown, first)))


def _shown(held: Sealing) -> DueSession:
    sid = held.session.sid
    name = base64url.encode(sid).decode()
    return DueSession(held.state.name, name, began(sid), held.soft_end, held.used)
