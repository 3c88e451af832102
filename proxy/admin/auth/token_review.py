"""Tokens of Kubernetes service accounts, verified by the API server (TokenReview, v1).

Any failure refuses the caller. A review is cached for KEPT_SECONDS, so that scrapers do not load
the API server; a revoked token is accepted for at most that long.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from ...config.settings import AdminKubernetes
from ...core.errors import UnfitEnvironment
from ...keys.lru_map import BoundedMap
from .tokens import Caller, ReviewFailed

KEPT_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 10.0
_MOST_KEPT: Final = 256
_MOST_AT_ONCE: Final = 4
_TOKEN_BYTES: Final = 16 * 1024
_ANSWER_BYTES: Final = 256 * 1024
_SECONDS: Final = 5.0
_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCOUNT: Final = "system:serviceaccount:"
_SEGMENTS: Final = 3


@dataclass(frozen=True, slots=True)
class _Reviewed:
    caller: Caller | None
    until: float


class TokenReviews:
    """Asks one API server. `clock` returns seconds since 1970."""

    def __init__(self, settings: AdminKubernetes, clock: Callable[[], float]) -> None:
        """Read the CA of the API server; raise UnfitEnvironment where it is not usable."""
        self._settings = settings
        self._clock = clock
        self._tls = _context(settings.ca)
        self._kept: BoundedMap[bytes, _Reviewed] = BoundedMap(_MOST_KEPT)
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)
        self._callers = {
            one.account: Caller(f"account:{one.account}", one.scopes) for one in settings.accounts
        }

    def known(self, token: bytes) -> Caller | None:
        """Return the caller of a token from the cache; None where it is not there."""
        reviewed = self._kept.get(hashlib.sha256(token).digest())
        return reviewed.caller if reviewed is not None and self._clock() < reviewed.until else None

    async def caller(self, token: bytes) -> Caller | None:
        """Return the caller of a token; None for one that the API server or the settings refuse.

        Raises ReviewFailed where the API server gives no usable answer in time.
        """
        if token.count(b".") != _SEGMENTS - 1 or len(token) > _TOKEN_BYTES or not token.isascii():
            return None  # not a JWT, so not of a service account
        digest = hashlib.sha256(token).digest()
        reviewed = self._kept.get(digest)
        if reviewed is None or self._clock() >= reviewed.until:
            reviewed = self._reviewed(await self._ask(token), token)
            self._kept.put(digest, reviewed)
        return reviewed.caller

    def _reviewed(self, status: dict[str, Any], token: bytes) -> _Reviewed:
        caller = self._callers.get(_account(status, self._settings.audience))
        now = self._clock()
        if caller is None:
            return _Reviewed(None, now + REFUSED_SECONDS)
        return _Reviewed(caller, min(now + KEPT_SECONDS, _ends(token)))

    async def _ask(self, token: bytes) -> dict[str, Any]:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.decode("ascii"), "audiences": [self._settings.audience]},
        }
        try:
            async with asyncio.timeout(_SECONDS), self._room:
                ours = await asyncio.to_thread(self._settings.token_file.read_bytes)
                answer = await self._post(review, ours.strip().decode("ascii"))
        except (TimeoutError, ClientError, OSError, ValueError, RecursionError):
            answer = None
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise ReviewFailed
        return status

    async def _post(self, review: dict[str, Any], ours: str) -> object:
        url = f"https://{self._settings.api}{_PATH}"
        headers = {"Authorization": f"Bearer {ours}", "Accept": "application/json"}
        connector = TCPConnector(ssl=self._tls, force_close=True)
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=_SECONDS),
            ) as session,
            session.post(url, json=review, headers=headers, allow_redirects=False) as response,
        ):
            if response.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
                raise ReviewFailed
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _ANSWER_BYTES:
                    raise ReviewFailed
            found: object = json.loads(body)
            return found


def _account(status: dict[str, Any], audience: str) -> str:
    """Return the account (`namespace/name`) of a TokenReview status; an empty string for none."""
    user, audiences = status.get("user"), status.get("audiences")
    if status.get("authenticated") is not True or status.get("error"):
        return ""
    # An API server without support for audiences omits them: then the audience was not checked.
    if not isinstance(audiences, list) or audience not in audiences or not isinstance(user, dict):
        return ""
    name = user.get("username")
    if not isinstance(name, str) or not name.startswith(_ACCOUNT):
        return ""
    return name.removeprefix(_ACCOUNT).replace(":", "/", 1)


def _ends(token: bytes) -> float:
    """Return when a reviewed token expires; 0 where it does not say."""
    claims = token.split(b".")[1]
    try:
        read = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
        return float(read["exp"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return 0.0


def _context(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not usable"
        raise UnfitEnvironment("admin-kubernetes", detail=f"{authority}: {reason}") from None
    return context
