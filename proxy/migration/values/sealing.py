"""The session keys that a run seals under.

Durable session keys are derived, so a run agrees with no other process on them: it draws one
session id and derives a key for each scope. That takes a fifth of the time that an agreement for
each of a million conversations takes, and keeps next to nothing of them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ...core.crypto.context import Scope
from ...core.crypto.derivation import SID_BYTES, SID_TIME_BYTES
from ...core.crypto.session_cipher import Session
from ...keys.fleet.command_lease import NoLease, SealingLease
from ...keys.keyring.kek import RandomBytes
from ...keys.keyring.keyring import Keyring
from ...keys.sessions.durable import durable_session
from ..policy import SESSION_SECONDS, SESSION_VALUES, SESSIONS_KEPT


class RunSessions(Mapping[Scope, Session]):
    """The session of each scope under the primary KEK, derived when it is asked for.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        lease: SealingLease | None = None,
    ) -> None:
        """Begin with no session id; with each epoch of the `lease` another one begins."""
        self._lease = lease or NoLease()
        self._epoch = 0
        self._keyring = keyring
        self._clock = clock
        self._random = random
        self._sid = b""
        self._ends = 0.0
        self._left = 0
        self._held: dict[Scope, Session] = {}

    @property
    def primary(self) -> str:
        """The id of the KEK that seals."""
        return self._keyring.primary.id

    def __getitem__(self, scope: Scope) -> Session:
        """Return the session, for one value."""
        now = self._clock()
        if now >= self._ends or not self._left or self._epoch != self._lease.epoch:
            self._begin(now)
        self._left -= 1
        held = self._held.get(scope)
        if held is not None:
            return held
        if len(self._held) >= SESSIONS_KEPT:
            self._held.clear()
        held = self._held[scope] = durable_session(self._keyring.primary, self._sid, scope)
        return held

    def __iter__(self) -> Iterator[Scope]:
        """Yield the scopes whose session is at hand."""
        return iter(self._held)

    def __len__(self) -> int:
        """Return how many sessions are at hand."""
        return len(self._held)

    def _begin(self, now: float) -> None:
        self._epoch = self._lease.epoch
        begins = max(int(now), self._lease.not_before)
        self._sid = begins.to_bytes(SID_TIME_BYTES) + self._random(SID_BYTES - SID_TIME_BYTES)
        self._ends = now + SESSION_SECONDS
        self._left = SESSION_VALUES
        self._held.clear()
