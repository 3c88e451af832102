"""What operators do with the sessions of a scope: look up, rotate, revoke, refuse, erase, announce.

Messages use `sessions`; nothing here is on their path.
"""

from __future__ import annotations

from typing import Final

from ...core.crypto.context import Scope
from ...core.errors import KeyUnavailable, OperatorError
from ..stores import ClockRefused, StoreFailed, records
from .sessions import Sessions
from .settings import Rotated

_MOST_TRIES: Final = 8
"""How often a revocation is written and read back while other processes write there too."""


async def known(sessions: Sessions, scope: Scope) -> bool:
    """Return whether the scope has a session or a revocation, in this process or in the store.

    Raises KeyUnavailable where the store does not answer.
    """
    if sessions.holds(scope):
        return True
    state, key = sessions.revocations.of(scope), sessions.keyring.record_key
    try:
        found = await sessions.store.find(state.name, (), current=True)
    except StoreFailed:
        raise KeyUnavailable("store-unavailable") from None
    revoked = sessions.revocations.learn(state, found.revocation, sessions.notice)
    return revoked is not None or records.authentic_one(found.current, state.name, key)


async def rotate(sessions: Sessions, scope: Scope) -> Rotated:
    """Return a new session that seals for the scope from now on; its old tokens still open.

    Other processes are notified by the store, or find it when they next ask. Raises
    KeyUnavailable when an ephemeral session cannot be agreed on.
    """
    async with sessions.lock(scope):
        rotated = await sessions.starter.rotate(scope)
        sessions.forward(sessions.name(scope))
        return rotated


async def revoke(sessions: Sessions, scope: Scope, not_before: int) -> bool:
    """Refuse all sessions of the scope that began before `not_before` (seconds since 1970).

    They neither seal nor open in this process any more; a later time wins over an earlier one.
    Returns whether the store holds the revocation, read back and verified, so that other processes
    refuse them too; a record there without a valid MAC is overwritten. Raises OperatorError for a
    time in the future, by the clock of this process or of the store: it would refuse sessions that
    have not begun yet.
    """
    refuse(sessions, scope, not_before)
    revocations, key = sessions.revocations, sessions.keyring.record_key
    state = revocations.of(scope)
    try:
        for _ in range(_MOST_TRIES):
            seen = (await sessions.store.find(state.name, ())).revocation
            # Another version's record is not overwritten: it may say more than ours would.
            stored = revocations.learn(state, seen, sessions.notice)
            if stored is not None and stored >= not_before:
                return True
            record = records.encode_revocation(state.not_before, state.name, key)
            await sessions.store.revoke(state.name, record, state.not_before, seen=seen)
    except ClockRefused:
        raise OperatorError("not-before-in-the-future") from None
    except (StoreFailed, KeyUnavailable):
        return False
    sessions.notice("revocation-not-kept")
    return False


def refuse(sessions: Sessions, scope: Scope, not_before: int) -> None:
    """Do what `revoke` does, in this process alone.

    Raises OperatorError for a time in the future.
    """
    if not_before > int(sessions.now()) + 1:
        raise OperatorError("not-before-in-the-future")
    state = sessions.revocations.of(scope)
    sessions.revocations.revoke(state, not_before)
    held = sessions.sealing.get(scope)
    if held is not None:  # it may have outlived the state that it was made with
        held.state = state


async def erase(sessions: Sessions, scope: Scope) -> tuple[str, ...]:
    """Destroy the ephemeral session keys of the scope, in the store and in this process.

    Returns the ids of those whose records were authentic. Raises KeyUnavailable where the store
    does not answer; then all of them may still be there.
    """
    name, key = sessions.name(scope), sessions.keyring.record_key
    async with sessions.lock(scope):
        sessions.drop(scope)
        try:
            gone = await sessions.store.erase(name)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
    return tuple(one for one, record in gone.items() if records.stood(one, record, name, key))


def announce(sessions: Sessions, name: str) -> None:
    """Handle a change of the conversation `name` as if the store had announced it."""
    sessions.changed(name)
    sessions.forward(name)
