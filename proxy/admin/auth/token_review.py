"""Tokens of Kubernetes service accounts, verified by the API server (TokenReview, v1).

Any failure refuses the caller. A review is cached for `REVIEWED_SECONDS`, so that scrapers do
not load the API server; a revoked token is accepted for at most that long.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ...config.settings import AdminKubernetes
from ...keys.lru_map import BoundedMap
from ...process.boot_clock import since_boot
from ...process.kubernetes_api import ApiServer, CallFailed, trust
from ...process.policy import KUBERNETES_SECONDS
from .. import policy
from .tokens import Caller, ReviewFailed

_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCOUNT: Final = "system:serviceaccount:"
_SEGMENTS: Final = 3


@dataclass(frozen=True, slots=True)
class _Reviewed:
    caller: Caller | None
    until: float  # since boot: a clock that is set back keeps no token that was revoked


class TokenReviews:
    """Asks one API server. `clock` returns seconds since 1970."""

    def __init__(self, settings: AdminKubernetes, clock: Callable[[], float]) -> None:
        """Read the CA of the API server; raise UnfitEnvironment where it is not usable."""
        self._settings = settings
        self._clock = clock
        self._api = ApiServer(
            str(settings.api), settings.token_file, trust(settings.ca, "admin-kubernetes")
        )
        self._kept: BoundedMap[bytes, _Reviewed] = BoundedMap(policy.REVIEWS_KEPT)
        self._room = asyncio.Semaphore(policy.REVIEWS_AT_ONCE)
        self._callers = {
            one.account: Caller(f"account:{one.account}", one.scopes) for one in settings.accounts
        }

    def known(self, token: bytes) -> Caller | None:
        """Return the caller of a token from the cache; None where it is not there."""
        reviewed = self._kept.get(hashlib.sha256(token).digest())
        return reviewed.caller if reviewed is not None and since_boot() < reviewed.until else None

    async def caller(self, token: bytes) -> Caller | None:
        """Return the caller of a token; None for one that the API server or the settings refuse.

        Raises ReviewFailed where the API server gives no usable answer in time.
        """
        long = len(token) > policy.REVIEWED_TOKEN_BYTES
        if long or token.count(b".") != _SEGMENTS - 1 or not token.isascii():
            return None  # not a JWT, so not of a service account
        digest = hashlib.sha256(token).digest()
        reviewed = self._kept.get(digest)
        if reviewed is None or since_boot() >= reviewed.until:
            reviewed = self._reviewed(await self._ask(token), token)
            self._kept.put(digest, reviewed)
        return reviewed.caller

    def _reviewed(self, status: dict[str, Any], token: bytes) -> _Reviewed:
        caller = self._callers.get(_account(status, self._settings.audience))
        seconds = policy.REFUSED_SECONDS
        if caller is not None:
            seconds = min(policy.REVIEWED_SECONDS, _ends(token) - self._clock())
        return _Reviewed(caller, since_boot() + seconds)

    async def _ask(self, token: bytes) -> dict[str, Any]:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.decode("ascii"), "audiences": [self._settings.audience]},
        }
        try:
            async with asyncio.timeout(KUBERNETES_SECONDS), self._room:
                answer = await self._api.call("POST", _PATH, review, most=policy.REVIEW_BYTES)
        except (TimeoutError, CallFailed):
            answer = None
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise ReviewFailed
        return status


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
