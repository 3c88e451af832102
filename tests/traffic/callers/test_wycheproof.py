"""Wycheproof: signatures in the forms that JWS has them in, against tests made by others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.core.errors import CallerUnverified
from proxy.traffic.callers.key_set import KeySet
from proxy.traffic.callers.token import SignedToken

FILE: Final = Path(__file__).parents[2] / "vectors" / "wycheproof" / "signatures.json"
SIGNATURES: Final[dict[str, list[dict[str, Any]]]] = json.loads(FILE.read_text())
EITHER: Final = {"ES256": 0, "ES384": 0, "ES512": 0, "EdDSA": 0, "PS256": 0, "RS256": 1}
"""How many may be taken or not: a PKCS #1 v1.5 signature without the NULL of its algorithm."""


def holds(alg: str, jwk: dict[str, str], vector: dict[str, str]) -> bool:
    """Return whether a key takes a signature, as one that an issuer has published."""
    keys = KeySet(json.dumps({"keys": [{**jwk, "kid": "k"}]}).encode())
    message, signature = (bytes.fromhex(vector[name]) for name in ("msg", "sig"))
    try:
        keys.verify(SignedToken(alg, "k", message, signature, {}))
    except CallerUnverified as error:
        assert error.reason == "signature"  # noqa: PT017 - many are tried, and each for this
        return False
    return True


@pytest.mark.parametrize("alg", SIGNATURES)
def test_signatures_hold_that_should_and_no_others(alg: str) -> None:
    judged = [
        (vector["result"], holds(alg, group["publicKeyJwk"], vector), vector["tcId"])
        for group in SIGNATURES[alg]
        for vector in group["tests"]
    ]

    assert [one for one in judged if one[0] == "valid" and not one[1]] == []
    assert [one for one in judged if one[0] == "invalid" and one[1]] == []
    assert sum(result == "acceptable" for result, _, _ in judged) == EITHER[alg]


def test_every_signature_was_read() -> None:
    assert {
        alg: sum(len(one["tests"]) for one in groups) for alg, groups in SIGNATURES.items()
    } == {
        "ES256": 252,
        "ES384": 270,
        "ES512": 308,
        "EdDSA": 150,
        "PS256": 108,
        "RS256": 259,
    }
