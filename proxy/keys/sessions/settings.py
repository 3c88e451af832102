"""How long a session seals, how much, and what a process holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ...config.settings import KeySettings, SessionKeys
from ...config.settings.keys import MOST_TTL
from ...core.crypto.session_cipher import Session
from ...core.errors import ConfigurationError
from ..policy import MAX_MESSAGES, MAX_SCOPES, STORE_SECONDS

SessionMode = Literal["durable", "ephemeral"]

MAX_AGE_SECONDS: Final = int(MOST_TTL)
_USUAL: Final = SessionKeys()


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How long a session seals, and what the process holds.

    `ttl`, `grace`, `revocation_max_age` and `package_max_age` are seconds, `ttl` at most 24 h;
    `store_timeout` is the deadline in seconds of each question to the store. No key package lives
    longer than `package_max_age`, whoever made it.
    """

    ttl: int = int(_USUAL.ttl)
    grace: int = int(_USUAL.grace)
    max_messages: int = MAX_MESSAGES
    max_scopes: int = MAX_SCOPES
    store_timeout: float = STORE_SECONDS
    revocation_max_age: float = _USUAL.revocation_max_age
    package_max_age: float = _USUAL.package_max_age

    @classmethod
    def of(cls, keys: KeySettings) -> SessionSettings:
        """Return what the configuration says."""
        return cls(
            ttl=int(keys.sessions.ttl),
            grace=int(keys.sessions.grace),
            revocation_max_age=keys.sessions.revocation_max_age,
            package_max_age=keys.sessions.package_max_age,
        )


def require_possible(settings: SessionSettings, mode: SessionMode) -> None:
    """Raise ConfigurationError, naming every mistake, for impossible settings."""
    problems: list[str] = []
    if mode not in {"durable", "ephemeral"}:
        problems.append(f"keys.sessions.mode: {mode} is unknown; one of: durable, ephemeral")
    if not 1 <= settings.ttl <= MAX_AGE_SECONDS:
        problems.append(f"keys.sessions.ttl: not within 1s to {MAX_AGE_SECONDS // 3600}h")
    if not 1 <= settings.max_messages <= MAX_MESSAGES or settings.max_scopes < 1:
        problems.append(f"keys.sessions: at most {MAX_MESSAGES} messages, at least 1 scope")
    if settings.grace < 0 or settings.revocation_max_age <= 0:
        problems.append("keys.sessions: negative grace, or no revocation_max_age")
    if problems:
        raise ConfigurationError(tuple(problems))


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
