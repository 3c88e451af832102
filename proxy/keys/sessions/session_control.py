"""What operators do with the sessions of a scope: look up, rotate, revoke, refuse, erase, announce.

Messages use `sessions`; nothing here is on their path.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ...core.crypto.context import Scope
from ...core.crypto.secret import RecordKey
from ...core.errors import KeyUnavailable, OperatorError
from ..policy import REVOKE_TRIES
from ..stores import ClockRefused, Settled, StoreFailed, records
from ..stores.records import RecordRefused
from .agreement import began
from .revocation_state import RevocationState, read
from .sessions import Sessions
from .settings import Rotated
from .shared_clock import latest_not_before


async def latest(sessions: Sessions, scope: Scope) -> int:
    """Return the time (seconds since 1970) before which every session of a scope began until now.

    That is by the clock of the store, if it answers. Sessions that began after a revocation of this
    very second say its time, and those of before a clock was set back say a later one: so it is
    later than both.

    Raises OperatorError (`clock-skew`) where our clock is too far from the store's: what this
    process calls now would be another time for all others.
    """
    state = sessions.revocations.of(scope)
    with suppress(StoreFailed, KeyUnavailable):
        await _look(sessions, scope, state)
    require_clock(sessions)
    newest = _newest(sessions, state)
    sessions.revocations.began(state.name, newest)
    return max(_now(sessions), newest + 1)


def require_clock(sessions: Sessions) -> None:
    """Raise OperatorError (`clock-skew`) where our clock is too far from the store's."""
    if sessions.clock.wrong:
        ahead = sessions.clock.ahead or 0.0
        way = "ahead of" if ahead > 0 else "behind"
        text = f"the clock of the store is {abs(ahead):.0f} s {way} ours: synchronise both by NTP"
        raise OperatorError("clock-skew", detail=text)


async def _look(sessions: Sessions, scope: Scope, state: RevocationState) -> None:
    """Learn from the store the revocation of a scope, and when its current session began."""
    for place in sessions.keyring.places_of(scope):
        found = await sessions.store.find(place.sessions, (), current=True)
        sessions.revocations.learn(state, found.revocation, sessions.notice, place)
        if found.current is not None:
            with suppress(RecordRefused):
                current = records.decode_session(found.current, *place.named)
                sessions.revocations.began(state.name, began(current.sid))


def _newest(sessions: Sessions, state: RevocationState) -> int:
    return max(state.not_before, sessions.revocations.newest(state.name))


def _now(sessions: Sessions) -> int:
    return latest_not_before(sessions.now(), shared=sessions.store.keeps_time)


async def known(sessions: Sessions, scope: Scope) -> bool:
    """Return whether the scope has a session or a revocation, in this process or in the store.

    Raises KeyUnavailable where the store does not answer.
    """
    if sessions.holds(scope):
        return True
    state, held = sessions.revocations.of(scope), False
    try:
        for place in sessions.keyring.places_of(scope):
            found = await sessions.store.find(place.sessions, (), current=True)
            revoked = sessions.revocations.learn(state, found.revocation, sessions.notice, place)
            held |= revoked is not None or records.authentic_one(found.current, *place.named)
    except StoreFailed:
        raise KeyUnavailable("store-unavailable") from None
    return held


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

    They neither seal nor open in this process any more; a later time wins over an earlier one. It
    is written under each name of the scope. Returns whether the store holds the revocation, read
    back and verified, so that other processes refuse them too; a record there without a valid MAC
    is overwritten. Raises OperatorError for a time in the future, by the clock of this process or
    of the store: it would refuse sessions that have not begun yet.
    """
    state = sessions.revocations.of(scope)
    require_past(sessions, scope, not_before)
    refuse(sessions, scope, not_before)
    try:
        for name, key in (one.named for one in sessions.keyring.places_of(scope)):
            know(sessions, name, await put(sessions, name, lambda: state.not_before, key))
    except ClockRefused:
        raise OperatorError("not-before-in-the-future") from None
    except (StoreFailed, KeyUnavailable):
        return False
    return True


def require_past(sessions: Sessions, scope: Scope, not_before: int) -> None:
    """Raise OperatorError for a time in the future."""
    if not_before > max(_now(sessions), _newest(sessions, sessions.revocations.of(scope)) + 1):
        raise OperatorError("not-before-in-the-future")


async def put(
    sessions: Sessions, name: str, time: Callable[[], int], key: RecordKey | None = None
) -> int:
    """See that the store holds a revocation of a name at least as late as `time` returns.

    `time` is called once the store has answered; `key` is that of the record, by default ours.
    Returns the time that the store then holds, read
    back and verified. Raises StoreFailed, and KeyUnavailable for a record of another version, which
    is not overwritten: it may say more than ours would.
    """
    key = key or sessions.keyring.record_key
    for _ in range(REVOKE_TRIES):
        seen = (await sessions.store.find(name, ())).revocation
        stored, not_before = read(seen, name, key, sessions.notice) or 0, time()
        if stored and stored >= not_before:
            return stored
        record = records.encode_revocation(max(not_before, stored), name, key)
        await sessions.store.revoke(name, record, not_before, seen=seen)
    sessions.notice("revocation-not-kept")
    raise StoreFailed("revocation-not-kept")


async def settled(sessions: Sessions, scope: Scope) -> tuple[bool, Settled | None]:
    """Wait until the revocations of a scope outlast a crash and a failover of the store, if so.

    Returns whether it still holds them, told again of what it has lost, and what has the one of the
    name in use; None where that is not known.
    """
    state, first = sessions.revocations.of(scope), None
    try:
        for name, key in (one.named for one in sessions.keyring.places_of(scope)):
            for _ in range(REVOKE_TRIES):
                found = await sessions.store.settled(name)
                first = first or found
                if found is None or _held(sessions, found, name, key) >= state.not_before:
                    break
                await put(sessions, name, lambda: state.not_before, key)
            else:
                return False, None
    except (StoreFailed, KeyUnavailable):
        return False, None
    return True, first


def _held(sessions: Sessions, found: Settled, name: str, key: RecordKey) -> int:
    return read(found.revocation, name, key, sessions.notice) or 0


def know(sessions: Sessions, name: str, not_before: int) -> None:
    """Refuse the sessions of a name from before `not_before` in this process."""
    sessions.revocations.know(name, not_before)
    sessions.sealing.refuse(name, not_before)


def refuse(sessions: Sessions, scope: Scope, not_before: int) -> None:
    """Do what `revoke` does, in this process alone, which takes any time from another one."""
    state = sessions.revocations.of(scope)
    sessions.revocations.revoke(state, not_before)
    held = sessions.sealing.get(scope)
    if held is not None:  # it may have outlived the state that it was made with
        held.state = state


def erasing(sessions: Sessions, scope: Scope) -> int:
    """Return the time (seconds since 1970) before which an erasure destroys keys: all until now."""
    state = sessions.revocations.of(scope)
    fenced = map(sessions.fences.erased_before, (state.name, *state.others))
    newest = max(_newest(sessions, state), *fenced)
    # The revocation that goes before it says a time of which sessions may have begun since.
    return max(_now(sessions), newest)


async def erase(sessions: Sessions, scope: Scope) -> tuple[str, ...]:
    """Destroy the ephemeral session keys of the scope, in the store and in this process.

    In the store, that is under each of its names. Returns the ids of those whose records were
    authentic. Raises KeyUnavailable where the store does not answer; then all of them may still be
    there.
    """
    not_before, gone = erasing(sessions, scope), list[str]()
    async with sessions.lock(scope):
        sessions.drop(scope)
        try:
            for place in sessions.keyring.places_of(scope):
                found = await sessions.fences_at(place).rise(place.sessions, not_before)
                stood = (
                    (one, records.stood(one, held, *place.named)) for one, held in found.items()
                )
                gone += [one for one, authentic in stood if authentic]
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
    return tuple(gone)
