"""Other JOSE libraries open our standard form, and we open what they make, given the key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc import jwe as rfc_jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey
from jwcrypto import jwe as crypto_jwe
from jwcrypto import jwk as crypto_jwk

from proxy.core.crypto import base64url, derivation, token
from proxy.core.crypto.context import Context
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.token import KeyId
from tests.factories import EPHEMERAL_KEY, KEK, NOW, SCOPE, a_session, a_sid

from .conftest import needs_jose, node

CONTEXT = Context(SCOPE, field="content")
PLAINTEXTS = (b"", b"x", "Grüße 🌍".encode(), bytes(range(256)) * 20)


@dataclass(frozen=True)
class Case:
    plaintext: bytes
    ephemeral: bool
    cty: str | None = None
    exp: int | None = None

    @property
    def key(self) -> SessionKey:
        durable = derivation.session_key(KEK, a_sid(), SCOPE)
        return EPHEMERAL_KEY if self.ephemeral else durable

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "oct", "k": base64url.encode(self.key.reveal()).decode()}

    @property
    def token(self) -> str:
        session = a_session(ephemeral=self.ephemeral)
        return session.seal(self.plaintext, CONTEXT, cty=self.cty, exp=self.exp).decode()


CASES = [
    *(Case(plaintext, ephemeral) for plaintext in PLAINTEXTS for ephemeral in (False, True)),
    Case(b"[1.10]", ephemeral=False, cty="json"),
    Case(b"<p>", ephemeral=True, cty="text/html; charset=utf-8", exp=NOW),
]
each_case = pytest.mark.parametrize("case", CASES)
# Header members that a library does not know (`ctx`, and for some `exp`) must be ignored, as
# RFC 7516 says: joserfc wants to be told.
REGISTRY = JWERegistry(algorithms=["dir", "A256GCM"], strict_check_header=False)


@each_case
def test_joserfc_opens_a_token(case: Case) -> None:
    key = OctKey.import_key(case.jwk)  # type: ignore[arg-type]  # a plain JWK
    opened = rfc_jwe.decrypt_compact(case.token, key, registry=REGISTRY)
    assert case.plaintext == opened.plaintext


# jwcrypto takes an empty plaintext for a failure.
@pytest.mark.parametrize("case", [case for case in CASES if case.plaintext])
def test_jwcrypto_opens_a_token(case: Case) -> None:
    opened = crypto_jwe.JWE(algs=["dir", "A256GCM"])
    opened.deserialize(case.token, crypto_jwk.JWK(**case.jwk))
    assert case.plaintext == opened.payload


def in_node(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return node("opener.mjs", asked=cases)


@pytest.mark.interop
@needs_jose
def test_npm_jose_opens_every_token() -> None:
    answers = in_node([{"jwk": case.jwk, "token": case.token} for case in CASES])
    assert [case.plaintext.hex() for case in CASES] == [one["plaintext"] for one in answers]
    assert {"sy1"} == {one["header"]["typ"] for one in answers}


@pytest.mark.interop
@needs_jose
def test_npm_jose_opens_nothing_under_another_key() -> None:
    jwk = {"kty": "oct", "k": base64url.encode(bytes(32)).decode()}
    answers = in_node([{"jwk": jwk, "token": CASES[0].token}])
    assert answers == [{"error": "ERR_JWE_DECRYPTION_FAILED"}]


@each_case
def test_a_token_made_by_joserfc_with_our_members_opens(case: Case) -> None:
    kctx = derivation.commitment_key(case.key)
    commitment = derivation.commitment(kctx, CONTEXT.encode())
    key_id = KeyId(a_sid(), kek_id=None if case.ephemeral else "k1")
    head = token.encode_header(key_id, commitment, case.cty, case.exp)
    header = json.loads(base64url.decode(head))
    key = OctKey.import_key(case.jwk)  # type: ignore[arg-type]  # a plain JWK
    made = rfc_jwe.encrypt_compact(header, case.plaintext, key, registry=REGISTRY)
    decoded = token.decode(made.encode())
    session = a_session(ephemeral=case.ephemeral)
    assert case.plaintext == session.open(decoded, CONTEXT, NOW)
    assert (key_id, case.cty, case.exp) == (decoded.key_id, decoded.cty, decoded.exp)
