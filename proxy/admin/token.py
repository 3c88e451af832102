"""The bearer token of the admin API: read by reference, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ..config.settings import SecretReference
from ..core.errors import KeyringError, UnfitEnvironment
from ..keys import private_file

MIN_CHARS: Final = 16
_MAX_BYTES: Final = 1024
_SCHEME: Final = b"bearer "


class BearerToken:
    """What a caller must show. It holds a digest, never the token."""

    __slots__ = ("__digest",)

    def __init__(self, token: bytes) -> None:
        self.__digest = hashlib.sha256(token).digest()

    def admits(self, authorization: bytes) -> bool:
        """Tell whether the value of an Authorization header shows the token (RFC 6750)."""
        scheme, shown = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        digest = hashlib.sha256(shown.strip()).digest()
        return scheme.lower() == _SCHEME and hmac.compare_digest(digest, self.__digest)


def read_token(reference: SecretReference, environ: Mapping[str, str]) -> BearerToken:
    """Return the token that `reference` leads to.

    Raises UnfitEnvironment, naming the place, where it is missing, open to others or too short.
    """
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
    return BearerToken(token)
