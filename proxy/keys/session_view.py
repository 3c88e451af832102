"""What sessions tell of themselves to those who operate them."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.crypto.session_cipher import Session


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new session, and whether the store took it, so that other processes take it too."""

    session: Session
    agreed: bool


@dataclass(frozen=True, slots=True)
class SessionView:
    """What this process holds for a scope; `name` is the scope's in the store.

    `session` is what seals until `soft_end` (seconds since 1970), and has sealed `sealed` values;
    None where nothing does. Sessions that began before `not_before` are revoked.
    """

    name: str
    not_before: int
    session: Session | None = None
    soft_end: float = 0.0
    sealed: int = 0


@dataclass(slots=True)
class Lookups:
    """How many plans got their sessions, and how often the store had to be asked for one."""

    plans: int = 0
    asked: int = 0
