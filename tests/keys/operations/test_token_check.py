from __future__ import annotations

import json
from base64 import b64decode

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from proxy.core.crypto import derivation
from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import FORMS
from proxy.core.errors import OpenFailed
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.name_keys import record_name
from proxy.keys.operations import token_check
from proxy.keys.sessions.durable import durable_session

from ..builders import CONTEXT, NOW, SCOPE, a_keyring

SID = NOW.to_bytes(4) + b"12345678"


@pytest.fixture
def keyring() -> Keyring:
    return a_keyring("k2")


@pytest.fixture
def session(keyring: Keyring) -> Session:
    return durable_session(keyring.primary, SID, SCOPE)


def test_a_token_of_each_form_opens_and_names_its_kek(keyring: Keyring, session: Session) -> None:
    forms = [one for one in FORMS if one != "equal"]  # which names no KEK
    texts = [session.seal(b"x", CONTEXT, form=form) for form in forms]
    for text in (*texts, b64decode(texts[-1])):
        verdict = token_check.verify(keyring, text, CONTEXT, now=NOW)
        assert (verdict.kek, verdict.opens) == ("k1", True)


def test_what_does_not_open_tells_why(keyring: Keyring, session: Session) -> None:
    text = session.seal(b"x", CONTEXT)
    ephemeral = Session(
        key=derivation.session_key(keyring.primary.key, SID, SCOPE),
        sid=SID,
        scope=SCOPE,
    ).seal(b"x", CONTEXT)
    disabled = keyring.promote("k2").disable("k1")
    short = session.seal(b"x", CONTEXT, form="short")
    cases = [
        (keyring, text, CONTEXT._replace(field="other"), "k1", "wrong-context"),
        (keyring, text[:-1], CONTEXT, "none", "malformed-token"),
        (keyring, b"hello", CONTEXT, "none", "not-a-token"),
        (disabled, text, CONTEXT, "k1", "unknown-or-disabled-kek"),
        (disabled, short, CONTEXT, "number 1", "unknown-or-disabled-kek"),
        (keyring, ephemeral, CONTEXT, "none (ephemeral)", "unknown-or-disabled-kek"),
    ]
    for ring, sealed, context, kek, reason in cases:
        verdict = token_check.verify(ring, sealed, context, now=NOW)
        assert (verdict.kek, verdict.reason, verdict.opens) == (kek, reason, False)


def test_a_token_of_another_context_tells_whether_its_scope_is_right(
    keyring: Keyring, session: Session
) -> None:
    text = session.seal(b"x", CONTEXT)
    bound = token_check.verify(keyring, text, CONTEXT._replace(field=None), now=NOW)
    elsewhere = CONTEXT._replace(scope=Scope("clinic", "other"))
    moved = token_check.verify(keyring, text, elsewhere, now=NOW)

    assert (bound.reason, bound.in_scope) == ("wrong-context", True)
    assert (moved.reason, moved.in_scope) == ("wrong-context", False)


def test_stock_jose_readers_open_the_token_with_the_derived_key(
    keyring: Keyring, session: Session
) -> None:
    text = session.seal("grüße".encode(), CONTEXT)
    jwk = token_check.session_jwk(keyring, text, SCOPE)
    assert json.loads(jwk)["kid"].startswith("k1.")
    one = jwe.decrypt_compact(
        text,
        OctKey.import_key(json.loads(jwk)),
        registry=jwe.JWERegistry(strict_check_header=False, algorithms=["dir", "A256GCM"]),
    )
    other = JWE(algs=["dir", "A256GCM"])
    other.deserialize(text.decode(), JWK.from_json(jwk))
    assert one.plaintext == other.payload == "grüße".encode()


def test_no_key_is_derived_for_a_token_that_does_not_verify(
    keyring: Keyring, session: Session
) -> None:
    text = session.seal(b"x", CONTEXT)
    cases = [
        (keyring, text, Scope("clinic", "other"), "bad-tag"),
        (keyring, text[:-30] + b"AAAAAA" + text[-24:], SCOPE, "bad-tag"),
        (keyring, session.seal(b"x", CONTEXT, form="short"), SCOPE, "short-form"),
        (keyring, session.seal(b"x", CONTEXT, form="base64"), SCOPE, "base64-form"),
        (keyring.promote("k2").disable("k1"), text, SCOPE, "unknown-or-disabled-kek"),
    ]
    for ring, sealed, scope, _ in cases:
        with pytest.raises(OpenFailed):
            token_check.session_jwk(ring, sealed, scope)


def test_a_revocation_in_the_keyring_is_honoured(keyring: Keyring, session: Session) -> None:
    text = session.seal(b"x", CONTEXT)
    name = record_name(keyring.name_key, SCOPE)
    before, after = keyring.revoke(name, NOW), keyring.revoke(name, NOW + 1)
    assert token_check.verify(before, text, CONTEXT, now=NOW).opens
    verdict = token_check.verify(after, text, CONTEXT, now=NOW)
    assert (verdict.kek, verdict.reason) == ("k1", "revoked-session")
    assert token_check.session_jwk(before, text, SCOPE)
    with pytest.raises(OpenFailed, match="revoked"):
        token_check.session_jwk(after, text, SCOPE)
