"""What a plan asks of the keys, and what it gets: the one wait of a message's path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .context import Scope
from .session import Session
from .token import KeyId


@dataclass(frozen=True, slots=True)
class Needs:
    """The sessions that a plan needs.

    `seals` counts, for each scope, the values to be sealed; `opens` names the session of each token
    to be opened, in the scope that it must belong to.
    """

    seals: Mapping[Scope, int] = field(default_factory=dict)
    opens: frozenset[tuple[Scope, KeyId]] = frozenset()


@dataclass(frozen=True, slots=True)
class Keys:
    """The sessions that were found.

    `sealing` has every scope that was asked for. `opening` lacks what cannot be had: an unknown or
    disabled KEK, a revoked or expired session.
    """

    sealing: Mapping[Scope, Session] = field(default_factory=dict)
    opening: Mapping[tuple[Scope, KeyId], Session] = field(default_factory=dict)
