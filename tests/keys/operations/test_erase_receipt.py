from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import RecordKey
from proxy.keys.operations import erase_receipt

from ..builders import NOW, SCOPE, a_keyring

KEY = RecordKey(b"r" * 32)
SIDS = ("a0nSAAAAAAEAAAAB", "a0nSAAAAAAIAAAAC")


def said() -> dict[str, Any]:
    return erase_receipt.of_sessions(
        SCOPE,
        SIDS,
        name="N" * 22,
        names=["N" * 22],
        not_before=NOW,
        revoked_in_store=True,
        revoked_in_keyring=True,
        shared=True,
    )


def a_receipt() -> bytes:
    return erase_receipt.sign(said(), KEY, now=NOW).encode()


def test_a_receipt_says_what_is_gone_and_what_it_does_not_cover() -> None:
    found = erase_receipt.verified(a_receipt() + b"\n", erase_receipt.public_jwk(KEY))
    assert found is not None
    assert (found["destroyed"], found["iat"], found["iss"]) == ("session-keys", NOW, "sealyard")
    assert [one["sid"] for one in found["sids"]] == list(SIDS)
    assert any("backups" in one for one in found["not_covered"])
    assert "clinic" not in json.dumps(found)


def test_a_receipt_names_the_stores_of_adopted_keyrings_that_it_did_not_reach() -> None:
    told = erase_receipt.of_sessions(
        SCOPE,
        SIDS,
        name="N" * 22,
        names=["N" * 22],
        not_before=NOW,
        revoked_in_store=True,
        revoked_in_keyring=True,
        shared=True,
        elsewhere=[("I" * 22, "T" * 22)],
    )
    text = f"the store of the adopted keyring {'I' * 22}, where the conversation is {'T' * 22}"
    assert text in told["not_covered"]
    assert not any("adopted" in one for one in said()["not_covered"])


def test_stock_jose_libraries_verify_it_with_the_public_key() -> None:
    jwk, text = erase_receipt.public_jwk(KEY), a_receipt().decode()
    assert "d" not in jwk
    with pytest.warns(SecurityWarning, match="RFC 9864"):  # which renames it, for new protocols
        opened = jws.deserialize_compact(text, OKPKey.import_key(dict(jwk)), algorithms=["EdDSA"])
    assert json.loads(opened.payload)["destroyed"] == "session-keys"
    other = JWS()
    other.deserialize(text, JWK(**jwk))
    assert json.loads(other.payload) == json.loads(opened.payload)


def test_whoever_knows_the_conversation_sees_that_it_is_about_it() -> None:
    found = said()
    assert erase_receipt.is_about(found, SCOPE)
    for scope in (Scope("clinic"), Scope(None, "c1"), Scope("clinic", "c2")):
        assert not erase_receipt.is_about(found, scope)
    assert not erase_receipt.is_about({}, SCOPE)
    assert not erase_receipt.is_about({"subject": {"salt": 7}}, SCOPE)
    assert found["subject"] != said()["subject"]  # two receipts cannot be linked by it


def test_another_key_has_not_signed_it() -> None:
    assert (
        erase_receipt.verified(a_receipt(), erase_receipt.public_jwk(RecordKey(b"o" * 32))) is None
    )
    assert erase_receipt.verified(a_receipt(), {"kty": "oct"}) is None


@given(st.data())
def test_no_receipt_that_was_edited_passes(data: st.DataObject) -> None:
    text = a_receipt()
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.binary(max_size=3).filter(lambda one: one != text[at : at + 1]))
    changed = text[:at] + new + text[at + 1 :]
    if changed.strip() != text:
        assert erase_receipt.verified(changed, erase_receipt.public_jwk(KEY)) is None


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256"])
def test_no_other_algorithm_is_read(alg: str) -> None:
    head, *rest = a_receipt().split(b".")
    header = json.loads(base64url.decode(head)) | {"alg": alg}
    forged = base64url.encode(json.dumps(header, separators=(",", ":")).encode())
    assert erase_receipt.verified(b".".join([forged, *rest]), erase_receipt.public_jwk(KEY)) is None


def test_a_receipt_of_a_kek_names_it() -> None:
    entry = a_keyring().primary
    claims = {"kek": entry.id, "number": entry.number, "created": entry.created}
    text = erase_receipt.sign(erase_receipt.of_kek(claims), KEY, now=NOW)
    found = erase_receipt.verified(text.encode(), erase_receipt.public_jwk(KEY))
    assert found is not None
    assert (found["kek"], found["number"]) == (entry.id, entry.number)
    assert any("exports" in one for one in found["not_covered"])
    assert not any("tags" in one for one in found["not_covered"])
    told = erase_receipt.of_kek(claims, indexed=True)["not_covered"]
    assert any("`sealyard migrate index --drop`" in one for one in told)
    assert any(one.startswith("values of `form: equal`") for one in told)
