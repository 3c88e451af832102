"""How long tokens get: what a column must hold, and what fits into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..core.crypto import token
from ..core.crypto.derivation import COMMITMENT_BYTES, SID_BYTES
from ..core.crypto.token import KeyId

USUAL_BYTES: Final = (0, 1, 16, 20, 32, 64, 100, 128, 256, 512, 1024, 4096, 10240, 65536)
USUAL_CHARACTERS: Final = (191, 255, 512, 1024, 2048, 4096, 10000, 65535)


@dataclass(frozen=True, slots=True)
class Length:
    """The characters of a token of so many plaintext bytes, in both forms."""

    plaintext_bytes: int
    jwe: int
    short: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """The plaintext bytes that fit into so many characters; None: not even an empty value."""

    characters: int
    jwe: int | None
    short: int | None


def head_of(kek_id: str | None, cty: str | None = None) -> bytes:
    """Return a header as long as those under a KEK of that id (None: ephemeral keys)."""
    return token.encode_header(KeyId(bytes(SID_BYTES), kek_id=kek_id), bytes(COMMITMENT_BYTES), cty)


def length(size: int, head: bytes) -> Length:
    """Return how long the token of `size` plaintext bytes is."""
    return Length(size, token.jwe_length(head, size), token.short_length(size))


def capacity(characters: int, head: bytes) -> Capacity:
    """Return how many plaintext bytes fit into a column of `characters`."""
    jwe = token.jwe_capacity(head, characters) if token.jwe_length(head, 0) <= characters else None
    short = token.short_capacity(characters) if token.short_length(0) <= characters else None
    return Capacity(characters, jwe, short)
