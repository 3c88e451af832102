"""A signed JWT as its one strict reading (RFC 7515, RFC 7519, RFC 8725), before it is verified."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ...core import leaves
from ...core.errors import CallerUnverified
from ..policy import CLAIM_BYTES, CLOCK_SKEW_SECONDS, JOSE_HEADER_BYTES

_PARTS: Final = 3
_REFUSED: Final = {
    "jku": "key-in-token",
    "x5u": "key-in-token",
    "jwk": "key-in-token",
    "crit": "critical-extension",
    "b64": "critical-extension",
    "cty": "nested-token",
    "enc": "nested-token",
    "zip": "nested-token",
}
"""Parameters that would let a token choose its key or its reading."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""What a token may say that it is (RFC 8725 section 3.11, RFC 9068)."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature was not looked at: nothing in it is true yet."""

    alg: str
    kid: str
    signed: bytes
    signature: bytes
    claims: dict[str, Any]

    @property
    def issuer(self) -> object:
        """Who it says has issued it."""
        return self.claims.get("iss")

    def ends(self, audience: str, now: float) -> float:
        """Return when it expires; raise CallerUnverified if it is not for `audience` or not now.

        Times are in seconds since 1970. The end has CLOCK_SKEW_SECONDS in it.
        """
        claims = self.claims
        meant = claims.get("aud")
        if audience not in (meant if isinstance(meant, list) else [meant]):
            raise CallerUnverified("other-audience")
        if "cnf" in claims:  # bound to a key (RFC 7800), of which it comes without a proof
            raise CallerUnverified("sender-constrained")
        ends = _time(claims.get("exp"))
        if ends is None:
            raise CallerUnverified("no-expiry")
        if now >= ends + CLOCK_SKEW_SECONDS:
            raise CallerUnverified("expired")
        begins = _time(claims.get("nbf", 0))
        if begins is None or now < begins - CLOCK_SKEW_SECONDS:
            raise CallerUnverified("not-yet-valid")
        return ends + CLOCK_SKEW_SECONDS


def has(claims: Mapping[str, Any], wanted: Sequence[tuple[str, str]]) -> bool:
    """Return whether each claim that is wanted is that text, or a list with it."""
    return all(
        value in found if isinstance(found := claims.get(name), list) else value == found
        for name, value in wanted
    )


def read(text: bytes) -> SignedToken:
    """Return what a token says; raise CallerUnverified where it has more than one reading."""
    parts = text.split(b".")
    if len(parts) != _PARTS:
        raise CallerUnverified("not-a-signed-token")
    header = _object(parts[0], JOSE_HEADER_BYTES)
    for name, reason in _REFUSED.items():
        if name in header:
            raise CallerUnverified(reason)
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise CallerUnverified("other-type-of-token")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str):
        raise CallerUnverified("other-algorithm")
    if not isinstance(kid, str) or not kid:
        raise CallerUnverified("no-key-id")
    signature = leaves.decode(parts[2])
    if not signature:
        raise CallerUnverified("not-a-signed-token")
    signed = text[: -len(parts[2]) - 1]
    return SignedToken(alg, kid, signed, signature, _object(parts[1], CLAIM_BYTES))


def _object(part: bytes, most: int) -> dict[str, Any]:
    """Return the JSON object in a part: canonical base64url, UTF-8, each name once."""
    data = leaves.decode(part) if len(part) <= 2 * most else None
    if data is None or len(data) > most:
        raise CallerUnverified("malformed-token" if data is None else "token-too-long")
    try:
        found = json.loads(
            data.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise CallerUnverified("malformed-token") from None
    if not isinstance(found, dict) or (b"\\u" in data and not _is_text(found)):
        raise CallerUnverified("malformed-token")
    return found


def _is_text(found: dict[str, Any]) -> bool:
    """Return whether no text in an object has half of a surrogate pair: there is no UTF-8 of it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("not a number that anybody can compare")
    return number


def _time(value: object) -> float | None:
    """Return a NumericDate (RFC 7519 section 2), None for anything else."""
    try:
        return float(value) if type(value) in {int, float} else None  # type: ignore[arg-type]  # a number
    except OverflowError:
        return None
