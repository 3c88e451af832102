"""The head of a keyring's file: what operators sign, with keys that are in no keyring.

Whoever has all keys of an old copy could write a file that runs under them. A signature of a key
outside of it cannot be made so. The head names the keyring, its state by the digest of its keys,
the wrappings, and the states that it follows from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from ...core.crypto import base64url
from ..policy import MOST_FORMER

_KIND: Final = "keyring-head/v1"


class State(NamedTuple):
    """What tells one state of a keyring from another: its generation and its digest."""

    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class KeyringHead:
    """What a signature covers. `wrappings` is the digest of the wrappings, `former` goes back."""

    id: str
    state: State
    wrappings: str
    former: tuple[State, ...] = ()

    def text(self) -> bytes:
        """Return the bytes that are signed, in the canonical form of RFC 8785."""
        members = {
            "sealyard": _KIND,
            "id": self.id,
            "generation": self.state.generation,
            "digest": self.state.digest,
            "wrappings": self.wrappings,
            "former": self.former,
        }
        return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()

    def follows(self, state: State) -> bool:
        """Whether it is that state, or came of it."""
        return state == self.state or state in self.former


@dataclass(frozen=True, slots=True)
class Origin:
    """The head of the file that a keyring was read from, and its signatures.

    `signed` says whether one of the configured keys signed the file; None: none is configured.
    """

    head: KeyringHead
    signatures: tuple[bytes, ...] = ()
    signed: bool | None = None

    def after(self, states: Iterable[State]) -> Origin:
        """Return it as one that follows from other states, too."""
        return replace(self, head=replace(self.head, former=united(self.head.former, states)))


def united(*lines: Iterable[State]) -> tuple[State, ...]:
    """Return the states of several lines, each once, by their generations; the latest that fit."""
    return tuple(sorted({one for line in lines for one in line}))[-MOST_FORMER:]


def next_origin(
    origin: Origin | None, keyring_id: str, state: State, wrappings: Sequence[dict[str, Any]]
) -> Origin:
    """Return head and signatures of a file; these stay while nothing changes that they cover."""
    digest = digest_of(wrappings)
    if origin is None:
        return Origin(KeyringHead(keyring_id, state, digest))
    before = origin.head
    former = before.former
    if before.state != state:
        former = united(former, (before.state,))
    head = KeyringHead(keyring_id, state, digest, former)
    return Origin(head, origin.signatures if head == before else ())


def digest_of(wrappings: Sequence[dict[str, Any]]) -> str:
    """Return the digest of wrappings, as a head has it."""
    text = json.dumps(wrappings, separators=(",", ":"), sort_keys=True).encode()
    return base64url.encode(hashlib.sha256(text).digest()).decode()
