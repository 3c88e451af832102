"""What a process knows of revocations: before when the sessions of each scope are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.errors import KeyUnavailable
from ..keyring.keyring import Keyring
from ..keyring.name_keys import NamePlace
from ..lru_map import BoundedMap
from ..stores import records
from ..stores.guarded import Notice
from ..stores.records import RecordRefused, RecordUnknown

FOREVER: Final = float("inf")


@dataclass(slots=True)
class RevocationState:
    """One scope: its names in the store, its revocation, and how long that stays fresh.

    New records are kept under `name`; `others` are its names under other name keys. Sessions that
    began before `not_before` (seconds since 1970) neither seal nor open. `changes` counts how often
    another process announced a change.
    """

    name: str
    not_before: int = 0
    fresh_until: float = 0.0
    changes: int = 0
    others: tuple[str, ...] = ()

    def named(self, name: str) -> bool:
        """Whether that is one of its names."""
        return name == self.name or name in self.others


class RevocationStates:
    """Knows at most `limit` scopes, and every revocation that it has learned.

    Where the store is not `shared`, no other process revokes, so the states are always fresh.
    `generation` changes whenever a state is given up: until then, its scope has no other one.
    """

    def __init__(
        self, keyring: Keyring, limit: int, *, shared: bool, begun: Callable[[int], bool]
    ) -> None:
        """Begin with the revocations of the keyring.

        `begun` tells whether a time, in seconds since 1970, is not of the future.
        """
        self._keyring = keyring
        self._listed = _listed(keyring)
        self.shared = shared
        """Whether other processes revoke."""
        self.limit = limit
        """How many scopes are known at most."""
        self._begun = begun
        self._newest: BoundedMap[str, int] = BoundedMap(limit)
        self._revocations: BoundedMap[Scope, RevocationState] = BoundedMap(limit)
        # Authentic ones only, so as many as operators have made.
        self._learned: dict[str, int] = {}
        self.generation = 0

    def fresh(self, scope: Scope, now: float) -> RevocationState | None:
        """Return the state of the scope; None when the store must be asked."""
        state = self._revocations.get(scope)
        if state is not None and now < state.fresh_until:
            return state
        return None if self.shared else self.of(scope)

    def of(self, scope: Scope) -> RevocationState:
        """Return the state of the scope, as far as it is known."""
        state = self._revocations.get(scope)
        if state is None:
            name, *others = self._keyring.names_of(scope)
            known = max(map(self._known, (name, *others)))
            until = 0.0 if self.shared else FOREVER
            state = RevocationState(name, known, until, others=tuple(others))
            if self._revocations.put(scope, state) is not None:
                self.generation += 1
        return state

    def scope_of(self, name: str) -> Scope | None:
        """Return the scope of that name, if it is one of those known here."""
        for scope, state in self._revocations.items():
            if state.named(name):
                return scope
        return None

    def not_before(self, scope: Scope) -> int:
        """Return the time before which sessions of a scope are refused, as far as it is known."""
        state = self._revocations.peek(scope)
        if state is not None or not (self._learned or self._listed):
            return 0 if state is None else state.not_before
        return max(map(self._known, self._keyring.names_of(scope)))

    def began(self, name: str, created: int) -> None:
        """Note when a session of a name began (seconds since 1970)."""
        self._newest.put(name, max(created, self.newest(name)))

    def newest(self, name: str) -> int:
        """Return when the newest session known of a name began, by the clock of then; 0: unknown.

        That may be after now, if the clock was set back since. One of the future does not count.
        """
        newest = self._newest.get(name) or 0
        return newest if newest and self._begun(newest) else 0

    def learn(
        self,
        state: RevocationState,
        record: bytes | None,
        notice: Notice,
        place: NamePlace | None = None,
    ) -> int | None:
        """Learn the scope's revocation from a record of the store, if authentic, and return it.

        `place` is where it was, by default that of new records. Raises KeyUnavailable where another
        version wrote it: it may revoke any of the sessions.
        """
        if record is None:
            return None
        name, key = (state.name, self._keyring.record_key) if place is None else place.named
        not_before = read(record, name, key, notice)
        if not_before is not None:
            self.revoke(state, not_before)
        return not_before

    def revoke(self, state: RevocationState, not_before: int) -> None:
        """Refuse the sessions from before `not_before`; earlier revocations stay."""
        learned = self._learned.get(state.name, 0)  # more, where the scope has another state by now
        state.not_before = max(state.not_before, not_before, learned)
        self._learned[state.name] = state.not_before

    def know(self, name: str, not_before: int) -> None:
        """Do as `revoke` for a name whose scope need not be known here."""
        self._learned[name] = max(not_before, self._learned.get(name, 0))
        for state in self._revocations.entries():
            if state.named(name):
                state.not_before = max(state.not_before, not_before)

    def changed(self, name: str | None) -> None:
        """Ask the store again about one conversation, or about all."""
        for state in self._revocations.entries():
            if self.shared and (name is None or state.named(name)):
                state.fresh_until = 0.0
                state.changes += 1

    def unchanged(self, scope: Scope, state: RevocationState, changes: int) -> bool:
        """Whether no change of the scope was announced since its state had so many of them.

        Else what the store answered may be of before the change.
        """
        return self.of(scope) is state and state.changes == changes

    def replace_keyring(self, keyring: Keyring) -> None:
        """Use the revocations of another keyring; what was learned stays."""
        for name, not_before in self._listed.items():
            self._learned[name] = max(not_before, self._learned.get(name, 0))
        self._keyring, self._listed = keyring, _listed(keyring)
        self.clear()

    def clear(self) -> None:
        """Forget the scopes."""
        self._revocations.clear()
        self.generation += 1

    def _known(self, name: str) -> int:
        return max(self._learned.get(name, 0), self._listed.get(name, 0))


def read(record: bytes | None, name: str, key: RecordKey, notice: Notice) -> int | None:
    """Return since when sessions of a name count; None where no authentic record says.

    Raises KeyUnavailable where another version wrote it: it may revoke any of the sessions.
    """
    if record is None:
        return None
    try:
        return records.decode_revocation(record, name, key)
    except RecordUnknown as unknown:
        notice(str(unknown))
        raise KeyUnavailable(str(unknown)) from None
    except RecordRefused as refused:
        notice(str(refused))
        return None


def _listed(keyring: Keyring) -> dict[str, int]:
    return {one.name: one.not_before for one in keyring.revocations}
