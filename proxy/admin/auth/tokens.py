"""The bearer tokens of the admin API: read by reference, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...config.settings import AdminScope, AdminToken, SecretReference
from ...core.errors import KeyringError, UnfitEnvironment
from ...keys import private_file


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose credentials are right; `name` is that of the credentials."""

    name: str
    scopes: frozenset[AdminScope]


class ReviewFailed(Exception):
    """The API server of Kubernetes gave no usable answer about a caller."""


MIN_CHARS: Final = 16
_MAX_BYTES: Final = 1024


class BearerToken:
    """What a caller must show. It holds a digest, never the token."""

    __slots__ = ("__digest",)

    def __init__(self, token: bytes) -> None:
        self.__digest = hashlib.sha256(token).digest()

    def admits(self, digest: bytes) -> bool:
        """Tell whether `digest` is the SHA-256 of the token."""
        return hmac.compare_digest(digest, self.__digest)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, who it makes its holder, and when it ends (seconds since 1970; 0: never)."""

    token: BearerToken
    caller: Caller
    expires: int = 0


class Tokens:
    """All bearer tokens that are admitted."""

    def __init__(self, issued: Sequence[Issued]) -> None:
        self._issued = tuple(issued)

    def caller(self, shown: bytes, now: float) -> Caller | None:
        """Return whose token `shown` is; None for an unknown one, and for one that has ended."""
        digest = hashlib.sha256(shown).digest()
        # All of them are compared, so that the time tells not even which one it was.
        found = [one for one in self._issued if one.token.admits(digest)]
        live = [one for one in found if not one.expires or now < one.expires]
        return live[0].caller if live else None


def read_tokens(settings: Sequence[AdminToken], environ: Mapping[str, str]) -> Tokens:
    """Return the tokens as they stand in their places now.

    Raises UnfitEnvironment, naming the place, where one is missing, open to others or too short.
    """
    return Tokens(
        [
            Issued(read_token(one.secret, environ), Caller(one.name, one.scopes), one.expires)
            for one in settings
        ]
    )


def read_token(reference: SecretReference, environ: Mapping[str, str]) -> BearerToken:
    """Return the token that `reference` leads to, as `read_tokens` does."""
    return BearerToken(token_bytes(reference, environ))


def token_bytes(reference: SecretReference, environ: Mapping[str, str]) -> bytes:
    """Return the token itself, for who must show it; raise as `read_tokens` does."""
    if reference.file is not None:
        try:
            token = private_file.read_line(reference.file, _MAX_BYTES)
        except KeyringError as error:
            raise UnfitEnvironment("admin-token", detail=error.reason) from None
    else:
        token = environ.get(reference.env or "", "").encode(errors="surrogateescape")
    place = reference.file or f"environment variable {reference.env}"
    token = token.strip()
    if len(token) < MIN_CHARS or not token.isascii() or b" " in token:
        raise UnfitEnvironment(
            "admin-token", detail=f"{place}: not a token of at least {MIN_CHARS} characters"
        )
    return token
