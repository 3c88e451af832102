"""An issuer of tokens, and listeners that verify them."""

from __future__ import annotations

import json
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from proxy.config.settings import Network
from proxy.config.settings.callers import (
    CallerCertificate,
    CallerHeader,
    CallerJwt,
    CallerKeys,
    CallerOver,
    CallerSettings,
    CallerTenants,
    CallerXfcc,
)
from proxy.process.certificates import RevocationLists
from proxy.traffic.callers.callers import Callers
from proxy.traffic.callers.issuer_keys import IssuerKeys
from proxy.traffic.callers.key_set import KeySet
from proxy.traffic.callers.material import CallerMaterial
from proxy.traffic.callers.table import CallerTable

ISSUER: Final = "https://id.clinic"
AUDIENCE: Final = "messages"
JWKS: Final = CallerKeys(Path("jwks.json"))
EVERY: Final = ("EdDSA", "ES256", "ES384", "ES512", "PS256", "RS256")
KEYS: Final[Mapping[str, Any]] = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "ES512": ECKey.generate_key("P-521"),
    "PS256": (rsa := RSAKey.generate_key(2048)),
    "RS256": rsa,
}


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def public(of: str, kid: str | None = None, **more: object) -> dict[str, Any]:
    return {**KEYS[of].as_dict(private=False), "kid": kid or of, **more}


def jwk_set(*keys: dict[str, Any]) -> KeySet:
    found = keys or tuple(public(alg) for alg in EVERY)
    return KeySet(json.dumps({"keys": found}).encode())


def claims(**more: object) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "grace",
        "org": "clinic",
        "roles": ["doctor"],
        "iat": now,
        "exp": now + 3600,
        **more,
    }


def signed(
    said: object = None, *, alg: str = "ES256", header: Mapping[str, Any] | None = None
) -> str:
    """Return a token; what is None in `header` is left out of it."""
    whole = {"alg": alg, "kid": alg, "typ": "JWT"} | dict(header or {})
    head = json.dumps({name: one for name, one in whole.items() if one is not None})
    text = said if isinstance(said, str) else json.dumps(claims() if said is None else said)
    message = f"{encoded(head.encode())}.{encoded(text.encode())}"
    signature = JWSRegistry.algorithms[alg].sign(message.encode(), KEYS[alg])
    return f"{message}.{encoded(signature)}"


def a_caller(
    name: str = "doctor",
    *,
    issuer: str = ISSUER,
    wanted: tuple[tuple[str, str], ...] = (("roles", "doctor"),),
    algorithms: tuple[str, ...] = EVERY,
    jwks: CallerKeys = JWKS,
    tenants: CallerTenants | None = None,
) -> CallerSettings:
    return CallerSettings(
        name, CallerJwt(issuer, AUDIENCE, jwks, algorithms, wanted, tenants), None
    )


def by_certificate(name: str, kind: str, value: str) -> CallerSettings:
    return CallerSettings(name, CallerCertificate((kind, value)), None)


def by_xfcc(
    name: str, uri: str, by: str, hops: int = 1, through: str | None = None
) -> CallerSettings:
    return CallerSettings(name, CallerXfcc(("uri", uri), by, hops, through), None)


def by_header(
    name: str, value: str, over: CallerCertificate | CallerXfcc, header: str = "X-Role"
) -> CallerSettings:
    return CallerSettings(name, CallerHeader(header, value), CallerOver(over))


def verifying(
    *callers: CallerSettings,
    keys: KeySet | None = None,
    order: Sequence[str] = (),
    trusted_proxies: Sequence[Network] = (),
    tls: ssl.SSLContext | None = None,
    revoked: RevocationLists | None = None,
    clock: Callable[[], float] = time.time,
    sources: Mapping[CallerKeys, IssuerKeys] | None = None,
) -> Callers:
    """Return what verifies some callers, whose keys are those of this module."""
    material = CallerMaterial(CallerTable(callers or (a_caller(),)), {})
    known = {JWKS: IssuerKeys(None, jwk_set() if keys is None else keys, time.monotonic, _quiet)}
    return Callers(
        material.table,
        sources or known,
        order=order,
        trusted_proxies=trusted_proxies,
        tls=tls,
        revoked=revoked,
        counts={},
        clock=clock,
    )


def _quiet(_: str) -> None:
    """Say nothing."""
