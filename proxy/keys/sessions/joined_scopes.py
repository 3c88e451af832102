"""Scopes with joined names: in which form they are sealed and opened, by the keyring.

A keyring says since when joined names are set apart (`joined_since`, seconds since 1970). Sessions
of before sealed them in their old form, as texts, and so under keys and record names that belong to
the scope of these texts. Every process turns at that time, by its own clock: a session that begins
from then on has that or a later time in its id, so that ids distinguish the forms.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from ...core.crypto.context import Scope
from ...core.edits.key_needs import Needs
from ..keyring.keyring import Keyring
from .settings import MAX_SKEW_SECONDS

NEVER: Final = 1 << 32
"""Above all times that a session id can name."""


def joined_since(keyring: Keyring) -> int:
    """Return since when joined names are set apart; NEVER where they are not."""
    return NEVER if keyring.joined_since is None else keyring.joined_since


def set_apart(keyring: Keyring, now: float) -> bool:
    """Tell whether joined names are sealed as such now.

    They are a little early, so that no session in the old form names a later time than the
    keyring's, not even where the clock of another process is ahead.
    """
    return now >= joined_since(keyring) - MAX_SKEW_SECONDS


def floor(keyring: Keyring, now: float) -> int:
    """Return the time before which no session that seals may have begun; 0 for none."""
    return joined_since(keyring) if set_apart(keyring, now) else 0


def written(scope: Scope, keyring: Keyring, now: float) -> Scope:
    """Return a scope in the form in which it is sealed now."""
    return scope if not scope.joined or set_apart(keyring, now) else scope.as_text()


def forms(scope: Scope, keyring: Keyring, now: float) -> tuple[Scope, ...]:
    """Return every form in which a scope may have been sealed, first that of now."""
    if not scope.joined:
        return (scope,)
    both = scope, scope.as_text()
    return both if set_apart(keyring, now) else both[::-1]


def revocations(
    scope: Scope, keyring: Keyring, now: float, not_before: int
) -> tuple[tuple[Scope, int], ...]:
    """Return every form of a scope, as `forms` does, and before when its sessions are refused.

    Of the old form of a joined scope, only what began before joined names were set apart: later
    sessions of that text are its own.
    """
    older = min(not_before, joined_since(keyring))
    return tuple(
        (form, not_before if form == scope else older) for form in forms(scope, keyring, now)
    )


def in_forms(needs: Needs, keyring: Keyring, now: float) -> Needs:
    """Return needs that name each scope in the forms that it may have, for sealing and opening."""
    seals: Counter[Scope] = Counter()
    for scope, count in needs.seals.items():
        seals[written(scope, keyring, now)] += count
    older = (
        (scope.as_text(), key_id)
        for scope, key_id in needs.opens
        if scope.joined and key_id.created < joined_since(keyring)
    )
    return Needs(seals, needs.opens.union(older), needs.joined)
