"""What a plan asks of the keys, and what it gets: the one wait of a message's path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..crypto.context import Scope
from ..crypto.session_cipher import Session
from ..crypto.token import KeyId
from ..http.message import Direction


@dataclass(slots=True)
class Needs:
    """The sessions that a plan needs.

    `seals` counts, for each scope, the values to be sealed; `opens` names the session of each token
    to be opened, in the scope that it must belong to.
    """

    seals: Mapping[Scope, int]
    opens: frozenset[tuple[Scope, KeyId]] = frozenset()


@dataclass(slots=True)
class Keys:
    """The sessions that were found.

    `sealing` has every scope that was asked for. `opening` lacks what cannot be had: an unknown or
    disabled KEK, a revoked or expired session. For these, `decoys` has what is tried instead: a
    session with a key that no token was sealed under, so that it fails after as much work as a
    forged token takes. `refusals` says, for the log, why each of them must not open; None for a
    session that may.
    """

    sealing: Mapping[Scope, Session]
    opening: Mapping[tuple[Scope, KeyId], Session]
    decoys: Mapping[tuple[Scope, KeyId], Session] = field(default_factory=dict)
    refusals: Mapping[tuple[Scope, KeyId], str | None] = field(default_factory=dict)

    def session(self, wanted: tuple[Scope, KeyId]) -> tuple[Session | None, str | None]:
        """Return who opens a token, or is tried in place of that; and why it must not open."""
        session = self.opening.get(wanted) or self.decoys.get(wanted)
        return session, self.refusals.get(wanted) if self.refusals else None


NO_KEYS: Final = Keys({}, {})
"""For what needs none. Nothing is ever put into it."""


class Attempt(NamedTuple):
    """Where somebody tried to open tokens that did not open; `listener` and `rule` are names.

    `shuts` says whether the rule is shut where a poison token is among them.
    """

    listener: str
    rule: str
    direction: Direction
    request_id: str
    shuts: bool = False
