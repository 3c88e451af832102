"""The sessions that open: durable ones are derived, ephemeral ones are asked of the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from ...core.crypto.context import Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ...core.errors import KeyUnavailable
from ...core.slices import paused
from ...core.values.key_needs import Keys, Needs
from ..keyring.name_keys import NamePlace
from ..pieces import pieces
from ..policy import PAUSED_OPENS, REST_SECONDS, TRIED_SESSIONS
from .agreement import began
from .durable import DurableSessions
from .ephemeral import EphemeralSessions, possible
from .revocation_state import RevocationState, RevocationStates

# Above all times that a session id can name.
_NEVER: Final = 1 << 32
_KNOWN_MAX: Final = TRIED_SESSIONS
_NOTHING: Final[Mapping[Scope, Session]] = MappingProxyType({})

Need = tuple[Scope, KeyId]


class _Found(NamedTuple):
    """The sessions that open, the decoys, and why there are decoys."""

    opening: dict[Need, Session]
    decoys: dict[Need, Session]
    refusals: dict[Need, str | None]


class OpeningSessions:
    """Finds the sessions of tokens to be opened. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what the sessions hand in, each by name
        self,
        durable: DurableSessions,
        ephemeral: EphemeralSessions,
        revocations: RevocationStates,
        *,
        clock: Callable[[], float],
        begun: Callable[[int], bool],
        leased: Callable[[], bool],
        equal: Callable[[Scope, int], tuple[Session, str | None]],
    ) -> None:
        """Take the caches of both kinds of sessions, and what is known of revocations.

        `begun` tells whether a time, in seconds since 1970, is not of the future; `leased` whether
        this process has a lease. Without one it may not know of an erasure that was answered.
        `equal` returns who opens values of a generation in the equal form, as `_session` does.
        """
        self._begun = begun
        self._leased = leased
        self._equal = equal
        self._durable = durable
        self._ephemeral = ephemeral
        self._revocations = revocations
        self._clock = clock
        # Messages of one conversation often need the same single session again. It is found for
        # sure while its scope is not revoked: of the other ways to lose it, all forget this. What
        # must not open is kept alike, so that the time tells nothing of it. The state is that of
        # its scope in the generation that is noted beside it.
        self._known: dict[frozenset[Need], tuple[RevocationState, int, Keys]] = {}

    def get(self, opens: frozenset[Need], now: float) -> Keys | None:
        """Return the sessions that open, the decoys and the refusals; None to ask the store.

        What is returned may be returned again: it must not be changed.
        """
        known = self._known.get(opens)
        if known is not None:
            scoped, generation, keys = known
            in_use = generation == self._revocations.generation
            if in_use and now < scoped.fresh_until and not scoped.not_before:
                return keys
        found = _Found({}, {}, {})
        if not self._add(found, opens if len(opens) < PAUSED_OPENS else paused(opens), now, now):
            return None
        keys = Keys(_NOTHING, *found)
        if len(opens) == 1:
            ((scope, key_id),) = opens
            if _is_durable(key_id):
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                known = self._revocations.of(scope), self._revocations.generation, keys
                self._known[opens] = known
        return keys

    async def get_many(self, opens: frozenset[Need], asked: float | None) -> Keys | None:
        """Do as `get`, in pieces. `asked` is when the store was asked, in seconds since 1970.

        What it did not have then is still taken for absent: to ask for all may take longer than
        that is remembered.
        """
        found = _Found({}, {}, {})
        async for piece in pieces(opens):
            now = self._clock()
            if not self._add(found, piece, now, now if asked is None else asked):
                return None
        return Keys(_NOTHING, *found)

    async def require_room(self, needs: Needs) -> None:
        """Raise KeyUnavailable for more than can be at hand at once, before the store is asked.

        Of a shared store, the revocation of each scope must be at hand as well.
        """
        limit, sessions, scopes = self._revocations.limit, 0, set[Scope]()
        if max(len(needs.seals), len(needs.opens)) <= limit:
            return
        async for piece in pieces(needs.opens):
            now = self._clock()
            sessions += sum(_is_kept(key_id, now) for _, key_id in piece)
            if self._revocations.shared:
                scopes.update(scope for scope, _ in piece)
            if max(len(needs.seals), sessions, len(scopes)) > limit:
                raise KeyUnavailable("too-many-scopes")

    def needs_lease(self, opens: Iterable[Need]) -> bool:
        """Return whether a session is among them that may be erased."""
        now = self._clock()
        return any(_is_kept(key_id, now) for _, key_id in opens)

    def forget(self) -> None:
        """Forget what was found for one durable session; to be called with their clearing."""
        self._known.clear()

    async def missing(self, opens: Collection[Need]) -> dict[Scope, set[bytes]]:
        """Return the scopes that the store must be asked for, with the unknown session ids."""
        missing: dict[Scope, set[bytes]] = {}
        async for piece in pieces(opens):
            now = self._clock()
            for scope, key_id in piece:
                unknown = self._unknown(scope, key_id, now)
                if unknown or self._revocations.fresh(scope, now) is None:
                    missing.setdefault(scope, set()).update({key_id.sid} if unknown else ())
        return missing

    async def find(self, scope: Scope, sids: set[bytes], places: Sequence[NamePlace]) -> None:
        """Ask the store for the scope's revocation and its ephemeral sessions, where not fresh.

        The caller holds the lock of the scope. Raises KeyUnavailable when the store does not answer
        and an ephemeral session is not known or has ended.
        """
        now = self._clock()
        wanted = [sid for sid in sids if not self._ephemeral.at_hand(scope, sid, now, now)]
        if wanted or self._revocations.fresh(scope, now) is None:
            state = self._revocations.of(scope)  # whose names and keys are those of the places
            async for piece in pieces(wanted):
                answered = await self._ephemeral.find(scope, state, piece, places)
                if not answered and self._revocations.fresh(scope, self._clock()) is None:
                    state.fresh_until = self._clock() + REST_SECONDS

    def knows(self, scope: Scope) -> bool:
        """Return whether a session of the scope is known; it looks at all of them."""
        return self._durable.knows(scope) or self._ephemeral.knows(scope)

    def _add(self, found: _Found, needs: Iterable[Need], now: float, asked: float) -> bool:
        """Add what is found for the needs; return whether the store need not be asked."""
        for need in needs:
            scope, key_id = need
            state = self._revocations.fresh(scope, now)
            one = None if state is None else self._session(scope, key_id, state, now, asked)
            if one is None:
                return False
            session, refusal = one
            (found.opening if refusal is None else found.decoys)[need] = session
            found.refusals[need] = refusal
        return True

    def _unknown(self, scope: Scope, key_id: KeyId, now: float) -> bool:
        at_hand = self._ephemeral.at_hand
        return not _is_durable(key_id) and not at_hand(scope, key_id.sid, now, now)

    def _session(
        self, scope: Scope, key_id: KeyId, state: RevocationState, now: float, asked: float
    ) -> tuple[Session, str | None] | None:
        """Return the session of a token, or a decoy and why it must not open; None if unknown."""
        if not key_id.sid:
            return self._equal(scope, key_id.kek_number or 0)
        not_before = state.not_before
        if not_before and not self._begun(began(key_id.sid)):
            # Its clock was wrong: it may have begun before the revocation.
            not_before = _NEVER
        if not _is_durable(key_id):
            if possible(key_id.sid, now) and not self._leased():
                return None
            if not self._ephemeral.at_hand(scope, key_id.sid, now, asked):
                return None
            return self._ephemeral.get(scope, key_id.sid, not_before, now)
        return self._durable.find(scope, key_id, not_before)


def _is_kept(key_id: KeyId, now: float) -> bool:
    """Return whether what the store has of a session must be kept to open with it."""
    return not _is_durable(key_id) and possible(key_id.sid, now)


def _is_durable(key_id: KeyId) -> bool:
    return key_id.kek_id is not None or key_id.kek_number is not None
