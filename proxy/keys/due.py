"""When the sessions that seal were made, when they are due, and which of them are due first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from ..core.crypto import base64url
from .agreement import began
from .sealing import Sealing

MOST_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class DueSession:
    """One session that seals: nothing of its key, so that telling of it keeps no key in memory.

    `scope` is the scope's keyed hash. Times are in seconds since 1970; `sealed` counts values.
    """

    scope: str
    sid: str
    created: int
    soft_end: float
    sealed: int


@dataclass(frozen=True, slots=True)
class Due:
    """How the sessions that seal stand in time, in seconds since 1970.

    `created` is when the oldest was made, `due` when the first reaches its soft end; both are 0
    where there is none. `first` are those that are due first, at most `MOST_TOLD`.
    """

    created: int = 0
    due: float = 0.0
    first: tuple[DueSession, ...] = ()


def due(held: Iterable[Sealing]) -> Due:
    """Return how these sessions stand."""
    sessions = list(held)
    if not sessions:
        return Due()
    first = nsmallest(MOST_TOLD, sessions, key=lambda one: one.soft_end)
    oldest = min(began(one.session.sid) for one in sessions)
    return Due(oldest, first[0].soft_end, tuple(map(_told, first)))


def _told(held: Sealing) -> DueSession:
    sid = held.session.sid
    name = base64url.encode(sid).decode()
    return DueSession(held.standing.name, name, began(sid), held.soft_end, held.used)
