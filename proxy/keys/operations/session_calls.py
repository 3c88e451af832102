"""Calls about the sessions of one scope, and their results, also as they travel to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from ...core.crypto.context import Scope
from ...core.crypto.joined_names import some_from_json, to_json

Action = Literal["show", "create", "rotate", "revoke", "erase", "refresh"]

StillOpen = Literal[
    "others-late", "others-not-told", "not-stored-yet", "lost-with-store", "lost-with-process"
]
STILL_OPEN: Final[Mapping[StillOpen, str]] = {
    "others-late": (
        "processes that missed the notification may open for `others_within` seconds more"
    ),
    "others-not-told": "no store notifies other processes: they open until they load the keyring",
    "not-stored-yet": (
        "the store has not taken it: it is retried until the store has, and until then other"
        " processes open"
    ),
    "lost-with-process": (
        "no file holds it: if this process ends before the store takes it, the revocation is lost"
    ),
    "lost-with-store": (
        "it is not in the keyring: if the store loses its data, the revocation is lost"
    ),
}
"""What a revocation does not cover yet, or not permanently."""


@dataclass(frozen=True, slots=True)
class SessionCall:
    """A call about a scope. `not_before` (seconds since 1970; 0: now) is for `revoke` and `erase`.

    `keep` says whether a revocation is to be written to the store and the keyring as well; of
    several workers one does. `refresh` makes a worker ask the store again after another's change.
    """

    action: Action
    scope: Scope
    not_before: int = 0
    keep: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, for another process."""
        said = {"action": self.action, "not_before": self.not_before, "keep": self.keep}
        return {**said, **scope_to_json(self.scope)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SessionCall:
        """Return the call that another process of the same version sent."""
        scope = scope_from_json(value)
        return cls(value["action"], scope, value["not_before"], value["keep"])


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session that seals: its id, its KEK (None: ephemeral), its times (seconds since 1970)."""

    sid: str
    kek: str | None
    began: int
    soft_end: int
    sealed: int


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The sessions of a scope after a call; `scope` is its name in the store, a keyed hash.

    `agreed` is whether other processes use a new session too; None without a shared store. `store`
    is whether the store holds a revocation, read back and verified; where it does not, `kept` is
    whether a file holds it until it does. `durable` is whether the keyring holds it, and `problem`
    why not; `open` where it does not hold yet, and `others_within` for how many seconds at most.
    `unknown` is True where nothing was known of the scope. `erased` are the ids of session keys
    that were destroyed, `receipt` the signed statement of it (a compact JWS), and `key` the public
    JWK that verifies it.
    """

    scope: str
    not_before: int
    sessions: tuple[SessionFacts, ...] = ()
    agreed: bool | None = None
    store: bool | None = None
    durable: bool | None = None
    problem: str = ""
    open: tuple[StillOpen, ...] | None = None
    others_within: float | None = None
    unknown: bool | None = None
    erased: tuple[str, ...] | None = None
    receipt: str = ""
    key: dict[str, str] | None = None
    kept: bool | None = None

    @property
    def reaches_others(self) -> bool:
        """Whether a revocation outlives this process."""
        return bool(self.store or self.durable or self.kept)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON, without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SessionResult:
        """Return the result that another process of the same version sent."""
        sessions = tuple(SessionFacts(**one) for one in value["sessions"])
        lists: dict[str, Any] = {
            name: tuple(value[name]) for name in ("erased", "open") if name in value
        }
        return cls(**{**value, "sessions": sessions, **lists})

    def joined(self, other: SessionResult) -> SessionResult:
        """Return this result together with that of another worker."""
        held = {one.sid: one for one in self.sessions}
        for one in other.sessions:
            before = held[one.sid].sealed if one.sid in held else 0
            held[one.sid] = replace(one, sealed=before + one.sealed)
        return replace(
            self,
            not_before=max(self.not_before, other.not_before),
            sessions=tuple(held.values()),
            unknown=(self.unknown and other.unknown) or None,
        )


def scope_to_json(scope: Scope) -> dict[str, Any]:
    """Return the names of a scope as JSON holds them, for another process."""
    return {"tenant": to_json(scope.tenant), "conversation": to_json(scope.conversation)}


def scope_from_json(value: Mapping[str, Any]) -> Scope:
    """Return the scope that another process of the same version named."""
    return Scope(some_from_json(value["tenant"]), some_from_json(value["conversation"]))
