"""The sessions that open: durable ones are derived, ephemeral ones are asked of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ...core.edits.key_needs import Keys
from ...core.slices import paused
from ..stores.guarded import REST_SECONDS
from .agreement import began
from .durable import TRIED_SESSIONS, DurableSessions
from .ephemeral import EphemeralSessions
from .revocation_state import RevocationState, RevocationStates

# Above all times that a session id can name.
_NEVER: Final = 1 << 32
_MANY: Final = 16
_KNOWN_MAX: Final = TRIED_SESSIONS
_NOTHING: Final[Mapping[Scope, Session]] = MappingProxyType({})


class OpeningSessions:
    """Finds the sessions of tokens to be opened. `clock` returns seconds since 1970."""

    def __init__(
        self,
        durable: DurableSessions,
        ephemeral: EphemeralSessions,
        revocations: RevocationStates,
        *,
        clock: Callable[[], float],
        begun: Callable[[int], bool],
    ) -> None:
        """Take the caches of both kinds of sessions, and what is known of revocations.

        `begun` tells whether a time, in seconds since 1970, is not of the future.
        """
        self._begun = begun
        self._durable = durable
        self._ephemeral = ephemeral
        self._revocations = revocations
        self._clock = clock
        # Messages of one conversation often need the same single session again. It is found for
        # sure while its scope is not revoked: of the other ways to lose it, all forget this. What
        # must not open is kept alike, so that the time tells nothing of it. The state is that of
        # its scope in the generation that is noted beside it.
        self._known: dict[frozenset[tuple[Scope, KeyId]], tuple[RevocationState, int, Keys]] = {}

    def get(self, opens: frozenset[tuple[Scope, KeyId]], now: float) -> Keys | None:
        """Return the sessions that open, the decoys and the refusals; None to ask the store.

        What is returned may be returned again: it must not be changed.
        """
        known = self._known.get(opens)
        if known is not None:
            scoped, generation, keys = known
            in_use = generation == self._revocations.generation
            if in_use and now < scoped.fresh_until and not scoped.not_before:
                return keys
        opening: dict[tuple[Scope, KeyId], Session] = {}
        decoys: dict[tuple[Scope, KeyId], Session] = {}
        refusals: dict[tuple[Scope, KeyId], str | None] = {}
        for need in opens if len(opens) < _MANY else paused(opens):
            scope, key_id = need
            state = self._revocations.fresh(scope, now)
            found = None if state is None else self._session(scope, key_id, state, now)
            if state is None or found is None:
                return None
            session, refusal = found
            (opening if refusal is None else decoys)[need] = session
            refusals[need] = refusal
        keys = Keys(_NOTHING, opening, decoys, refusals)
        if len(opens) == 1 and _is_durable(key_id):
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = self._revocations.of(scope), self._revocations.generation, keys
            self._known[opens] = known
        return keys

    def forget(self) -> None:
        """Forget what was found for one durable session; to be called with their clearing."""
        self._known.clear()

    def missing(self, opens: Iterable[tuple[Scope, KeyId]], now: float) -> dict[Scope, set[bytes]]:
        """Return the scopes that the store must be asked for, with the unknown session ids."""
        missing: dict[Scope, set[bytes]] = {}
        for scope, key_id in opens:
            unknown = self._unknown(scope, key_id, now)
            if unknown or self._revocations.fresh(scope, now) is None:
                missing.setdefault(scope, set()).update({key_id.sid} if unknown else ())
        return missing

    async def find(self, scope: Scope, sids: set[bytes], record_key: RecordKey) -> None:
        """Ask the store for the scope's revocation and its ephemeral sessions, where not fresh.

        The caller holds the lock of the scope. Raises KeyUnavailable when the store does not answer
        and an ephemeral session is not known or has ended.
        """
        now = self._clock()
        wanted = [sid for sid in sids if not self._ephemeral.at_hand(scope, sid, now)]
        if wanted or self._revocations.fresh(scope, now) is None:
            state = self._revocations.of(scope)
            answered = await self._ephemeral.find(scope, state, wanted, record_key)
            if not answered and self._revocations.fresh(scope, self._clock()) is None:
                state.fresh_until = self._clock() + REST_SECONDS

    def knows(self, scope: Scope) -> bool:
        """Return whether a session of the scope is known; it looks at all of them."""
        return self._durable.knows(scope) or self._ephemeral.knows(scope)

    def _unknown(self, scope: Scope, key_id: KeyId, now: float) -> bool:
        return not _is_durable(key_id) and not self._ephemeral.at_hand(scope, key_id.sid, now)

    def _session(
        self, scope: Scope, key_id: KeyId, state: RevocationState, now: float
    ) -> tuple[Session, str | None] | None:
        """Return the session of a token, or a decoy and why it must not open; None if unknown."""
        not_before = state.not_before
        if not_before and not self._begun(began(key_id.sid)):
            # Its clock was wrong: it may have begun before the revocation.
            not_before = _NEVER
        if not _is_durable(key_id):
            if not self._ephemeral.at_hand(scope, key_id.sid, now):
                return None
            return self._ephemeral.get(scope, key_id.sid, not_before, now)
        return self._durable.find(scope, key_id, not_before)


def _is_durable(key_id: KeyId) -> bool:
    return key_id.kek_id is not None or key_id.kek_number is not None
