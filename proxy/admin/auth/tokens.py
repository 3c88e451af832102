"""The bearer tokens of the admin API: read from references, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...config.settings import AdminScope, AdminToken, SecretReference
from ...core.errors import KeyringError, UnfitEnvironment
from ...keys import private_file
from ..policy import LEAST_CHARS, TOKEN_BYTES


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; `name` is that of its credential in the configuration."""

    name: str
    scopes: frozenset[AdminScope]


class ReviewFailed(Exception):
    """The Kubernetes API server gave no usable response about a token."""


class BearerToken:
    """A token that is accepted. It holds a digest, never the token."""

    __slots__ = ("__digest",)

    def __init__(self, token: bytes) -> None:
        self.__digest = hashlib.sha256(token).digest()

    def admits(self, digest: bytes) -> bool:
        """Return whether `digest` is the SHA-256 of the token."""
        return hmac.compare_digest(digest, self.__digest)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, the caller that it authenticates, and its expiry (seconds since 1970; 0: never)."""

    token: BearerToken
    caller: Caller
    expires: int = 0


class Tokens:
    """All bearer tokens that are accepted."""

    def __init__(self, issued: Sequence[Issued]) -> None:
        self._issued = tuple(issued)

    def caller(self, shown: bytes, now: float) -> Caller | None:
        """Return the caller of the token `shown`; None for an unknown or expired one."""
        digest = hashlib.sha256(shown).digest()
        # All are compared, so that the time does not even reveal which one it was.
        found = [one for one in self._issued if one.token.admits(digest)]
        live = [one for one in found if not one.expires or now < one.expires]
        return live[0].caller if live else None


def read_tokens(settings: Sequence[AdminToken], environ: Mapping[str, str]) -> Tokens:
    """Return the tokens that the references lead to now.

    Raises UnfitEnvironment, naming the file or variable, where a token is missing, too short, or
    readable by others.
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
    """Return the token itself, for a client; raise as `read_tokens` does."""
    if reference.file is not None:
        try:
            token = private_file.read_line(reference.file, TOKEN_BYTES)
        except KeyringError as error:
            raise UnfitEnvironment("admin-token", detail=error.reason) from None
    else:
        token = environ.get(reference.env or "", "").encode(errors="surrogateescape")
    source = reference.file or f"environment variable {reference.env}"
    token = token.strip()
    if len(token) < LEAST_CHARS or not token.isascii() or b" " in token:
        raise UnfitEnvironment(
            "admin-token",
            detail=f"{source}: not a token of at least {LEAST_CHARS} characters",
        )
    return token
