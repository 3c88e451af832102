"""Name keys beside the one in use, and where a conversation's records are under each of them.

Nobody can tell which key a name was made with, and nobody has the conversations: so nothing is
named anew. A former name key finds what was kept and revoked under it, and names nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ...core.crypto import base64url, derivation
from ...core.crypto.context import Scope
from ...core.crypto.secret import NameKey, RecordKey
from ...core.errors import KeyringError
from ..policy import CLOCKS_SECONDS, MAX_FORMER_NAMES
from .kek import check_beside, mark_of

NameKeyState = Literal["next", "former"]
STATES: Final[tuple[NameKeyState, ...]] = ("next", "former")


@dataclass(frozen=True, slots=True)
class OtherNameKey:
    """A name key that is not in use, and since when (seconds since 1970) it has its state.

    A `next` one is known to processes before one of them keeps anything under it.
    """

    key: NameKey
    state: NameKeyState
    since: int

    @property
    def id(self) -> str:
        """Four characters of its thumbprint."""
        return id_of(self.key)


class NamePlace(NamedTuple):
    """Where a conversation's records are: two names, and the key that authenticates them.

    `adopted` is the id of the keyring whose names these are, if it is another one.
    """

    sessions: str
    packages: str
    key: RecordKey
    adopted: str = ""

    @property
    def named(self) -> tuple[str, RecordKey]:
        """The name of the sessions, and the key of the records there."""
        return self.sessions, self.key


def id_of(key: NameKey) -> str:
    """Return the four characters that name a name key for an operator."""
    return mark_of(derivation.key_thumbprint(key))


def record_name(key: NameKey, scope: Scope) -> str:
    """Return the name of a conversation's sessions and of its revocation: 22 characters."""
    return base64url.encode(derivation.record_name(key, scope)).decode()


def packages_name(key: NameKey, scope: Scope) -> str:
    """Return the name of a conversation's key packages: 22 characters."""
    return base64url.encode(derivation.packages_name(key, scope)).decode()


def check(own: NameKey, others: Sequence[OtherNameKey]) -> None:
    """Raise KeyringError for an impossible set of name keys."""
    check_beside("name key", own, others, STATES, MAX_FORMER_NAMES)
    if sum(one.state == "next" for one in others) > 1:
        raise KeyringError("at most one name key is next")


def with_others(
    own: NameKey, some: Sequence[OtherNameKey], more: Sequence[OtherNameKey]
) -> tuple[OtherNameKey, ...]:
    """Return the name keys of two states of a keyring, of which `own` is in use, each once.

    What only the second state knows is former: nothing new is kept under it.
    """
    found = [one for one in some if one.key != own]
    for one in more:
        if one.key != own and all(one.key != each.key for each in found):
            found.append(OtherNameKey(one.key, "former", one.since))
    return tuple(found)


def needed_by(one: OtherNameKey, idle_until: int) -> str:
    """Return why a former name key must stay; an empty text where nothing needs it.

    What was revoked up to `idle_until` (seconds since 1970) refuses nothing any more.
    """
    if one.state == "next":
        return "it is next in use: `sealyard keys rotate-names`"
    if one.since + CLOCKS_SECONDS <= idle_until:
        return ""
    return "what was revoked under it would open again"
