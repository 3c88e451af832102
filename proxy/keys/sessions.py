"""Session keys: what a plan needs, found in the process, agreed over the store, or derived.

A warm message is answered without a wait. Only the first message of a scope, and the first after
its session ended, waits for the store. Opening never does: the key travels with the token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from ..core.context import Scope
from ..core.errors import ConfigurationError, KeyUnavailable, OperatorError
from ..core.needs import Keys, Needs
from ..core.session import Session
from ..core.token import KeyId
from .agreement import (
    MAX_AGE_SECONDS,
    MAX_MESSAGES,
    Agreed,
    Agreement,
    Notice,
    SessionSettings,
    began,
)
from .bounded import BoundedMap
from .durable import durable_session
from .keyring import Keyring, RandomBytes
from .stores import Store

__all__ = ["SessionMode", "SessionSettings", "Sessions"]

SessionMode = Literal["durable", "ephemeral"]

# Each round one message gets its session, so only a plan of more scopes than fit fails.
_ROUNDS = 16


@dataclass(slots=True)
class _Sealing:
    """A session that seals: until when (seconds since 1970), and how many values it has sealed."""

    session: Session
    soft_end: float
    used: int = 0


class Sessions:
    """Finds the sessions of plans. One object serves one process and one event loop.

    `clock` returns seconds since 1970. Nothing of it holds key bytes, only sessions.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        keyring: Keyring,
        store: Store,
        settings: SessionSettings,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        notice: Notice = lambda _: None,
        mode: SessionMode = "durable",
    ) -> None:
        """Begin with empty caches; raise ConfigurationError for settings that cannot be."""
        _check(settings, mode)
        self._keyring = keyring
        self._settings = settings
        self._clock = clock
        self._agreement = Agreement(store, settings, clock=clock, random=random, notice=notice)
        self._sealing: BoundedMap[Scope, _Sealing] = BoundedMap(settings.max_scopes)
        self._opening: BoundedMap[tuple[Scope, int, bytes], Session] = BoundedMap(
            settings.max_scopes
        )
        self._not_before: dict[Scope, int] = {}
        self._locks: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()
        self._pid = os.getpid()

    @property
    def keyring(self) -> Keyring:
        """The keyring in use."""
        return self._keyring

    @property
    def cached(self) -> tuple[int, int]:
        """How many sessions are at hand for sealing, and how many for opening."""
        return len(self._sealing), len(self._opening)

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions of a plan, asking the store for those that are not at hand.

        Raises KeyUnavailable when a scope's session cannot be had.
        """
        for _ in range(_ROUNDS):
            keys = self.resolve_warm(needs)
            if keys is not None:
                return keys
            if max(needs.seals.values()) > self._settings.max_messages:
                raise KeyUnavailable("too-many-values")
            await self._obtain_all(needs)
        keys = self.resolve_warm(needs)
        if keys is None:
            raise KeyUnavailable("too-many-scopes")
        return keys

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions of a plan, or None when the store must be asked.

        What is returned counts as used; None counts nothing.
        """
        if os.getpid() != self._pid:
            self._begin_after_fork()
        now = self._clock()
        sealing: dict[Scope, Session] = {}
        found: list[tuple[_Sealing, int]] = []
        for scope, count in needs.seals.items():
            held = self._sealing.get(scope)
            if held is None or not self._seals(held, scope, count, now):
                return None
            sealing[scope] = held.session
            found.append((held, count))
        for held, count in found:
            held.used += count
        opening = {}
        for scope, key_id in needs.opens:
            session = self._opening_session(scope, key_id)
            if session is not None:
                opening[scope, key_id] = session
        return Keys(sealing=sealing, opening=opening)

    def remember(self, sessions: Iterable[Session]) -> None:
        """Keep sessions under which a tag has verified, so that they need not be derived again.

        Others must not be kept: anyone can name session ids that never were, and so drive out those
        that are.
        """
        for session in sessions:
            if session.kek_number is not None:
                self._opening.put((session.scope, session.kek_number, session.sid), session)

    async def rotate(self, scope: Scope) -> Session:
        """Return a new session that seals for the scope from now on; its old tokens still open."""
        async with self._lock(scope):
            keyring = self._keyring
            return self._install(scope, keyring, await self._agreement.fresh(scope, keyring))

    def revoke(self, scope: Scope, not_before: int) -> None:
        """Refuse all sessions of the scope that began before `not_before` (seconds since 1970).

        They neither seal nor open in this process any more; a later time wins over an earlier one.
        Raises OperatorError for a time to come, which would refuse sessions not yet made.
        """
        if not_before > self._clock():
            raise OperatorError("not-before-in-the-future")
        self._not_before[scope] = max(not_before, self._not_before.get(scope, 0))

    def replace_keyring(self, keyring: Keyring) -> None:
        """Go on with another keyring. Plans already resolved keep the sessions they have."""
        if keyring != self._keyring:
            self._keyring = keyring
            self._sealing.clear()
            self._opening.clear()

    def _seals(self, held: _Sealing, scope: Scope, count: int, now: float) -> bool:
        return (
            now < held.soft_end
            and held.used + count <= self._settings.max_messages
            and not self._revoked(scope, held.session.sid)
        )

    def _revoked(self, scope: Scope, sid: bytes) -> bool:
        # Most processes never see a revocation, and every message passes here.
        return bool(self._not_before) and began(sid) < self._not_before.get(scope, 0)

    async def _obtain_all(self, needs: Needs) -> None:
        if len(needs.seals) == 1:
            # Without a task in between, so that the caller counts before anyone else can.
            ((scope, count),) = needs.seals.items()
            await self._obtain(scope, count)
        else:
            await asyncio.gather(*(self._obtain(*need) for need in needs.seals.items()))

    async def _obtain(self, scope: Scope, count: int) -> None:
        """See that a session of the scope can seal `count` values; callers of one scope queue."""
        async with self._lock(scope):
            held = self._sealing.get(scope)
            if held is not None and self._seals(held, scope, count, self._clock()):
                return
            spent = held.session.sid if held is not None else None

            def fits(sid: bytes) -> bool:
                return sid != spent and not self._revoked(scope, sid)

            keyring = self._keyring
            self._install(scope, keyring, await self._agreement.current(scope, keyring, fits))

    def _install(self, scope: Scope, keyring: Keyring, agreed: Agreed) -> Session:
        session = durable_session(keyring.primary, agreed.sid, scope)
        if keyring is self._keyring:  # it may have been replaced while the store was asked
            self._sealing.put(scope, _Sealing(session, agreed.soft_end))
            self.remember((session,))
        return session

    def _opening_session(self, scope: Scope, key_id: KeyId) -> Session | None:
        if self._revoked(scope, key_id.sid):
            return None
        entry = self._keyring.opening(kek_id=key_id.kek_id, number=key_id.kek_number)
        if entry is None:
            return None
        known = self._opening.get((scope, entry.number, key_id.sid))
        return known or durable_session(entry, key_id.sid, scope)

    def _lock(self, scope: Scope) -> asyncio.Lock:
        lock = self._locks.get(scope)
        if lock is None:
            lock = self._locks[scope] = asyncio.Lock()
        return lock

    def _begin_after_fork(self) -> None:
        # A child begins as any new process does: with no session, and with no lock of the
        # parent's event loop. Two processes would else spend one count of messages twice.
        self._pid = os.getpid()
        self._sealing.clear()
        self._opening.clear()
        self._locks = WeakValueDictionary()


def _check(settings: SessionSettings, mode: SessionMode) -> None:
    problems: list[str] = []
    if mode != "durable":
        problems.append(f"keys.sessions.mode: {mode} is not supported yet; one of: durable")
    if not 1 <= settings.ttl <= MAX_AGE_SECONDS:
        problems.append(f"keys.sessions.ttl: not within 1s to {MAX_AGE_SECONDS // 3600}h")
    if not 1 <= settings.max_messages <= MAX_MESSAGES or settings.max_scopes < 1:
        problems.append(f"keys.sessions: at most {MAX_MESSAGES} messages, at least 1 scope")
    if settings.grace < 0:
        problems.append("keys.sessions.grace: negative")
    if problems:
        raise ConfigurationError(tuple(problems))
