from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey

from proxy.core.crypto import base64url
from proxy.core.errors import ParticipantError
from proxy.keys.participants import public_key

from .builders import a_private_jwk, a_public_jwk, a_public_key


def parsed(members: dict[str, Any]) -> public_key.PublicKey:
    return public_key.parse(json.dumps(members).encode())


def number(value: int) -> str:
    return base64url.encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()


def modulus(name: str = "alice-enc") -> int:
    return int.from_bytes(base64url.decode(a_public_jwk(name)["n"].encode()))


@pytest.mark.parametrize("name", ["alice-enc", "alice-sig"])
def test_the_kid_is_the_thumbprint_as_another_library_makes_it(name: str) -> None:
    library = RSAKey if name.endswith("enc") else OKPKey
    expected = library.import_key(a_public_jwk(name)).thumbprint()

    assert a_public_key(name).kid == expected


def test_the_thumbprint_of_the_rfc() -> None:
    """RFC 8037, appendix A.3: the thumbprint of its Ed25519 key."""
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

    key = parsed({"kty": "OKP", "crv": "Ed25519", "x": x})

    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_an_x_wing_key_names_its_alg() -> None:
    members = a_public_jwk("bob-xw")
    del members["alg"]

    with pytest.raises(ParticipantError, match="alg"):
        parsed(members)
    with pytest.raises(ParticipantError, match="private") as refused:
        parsed(a_private_jwk("bob-xw"))
    assert a_private_jwk("bob-xw")["priv"] not in str(refused.value)


def test_the_thumbprint_of_an_x_wing_key_is_over_alg_kty_and_pub() -> None:
    members = json.dumps(a_public_jwk("bob-xw"), separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(members.encode()).digest()

    assert a_public_key("bob-xw").kid == base64url.encode(digest).decode()


def test_an_rsa_key_signs_where_it_says_so_or_is_given_to_sign() -> None:
    bare = a_public_jwk("alice-enc")
    signing = [
        parsed({**bare, "use": "sig"}),
        parsed({**bare, "alg": "PS256"}),
        public_key.from_members(bare, "sig"),
    ]

    assert {(one.use, one.alg) for one in signing} == {("sig", "PS256")}
    assert parsed(bare) not in signing
    assert {one.kid for one in signing} == {parsed(bare).kid}
    # What a key says of itself is not overruled.
    assert public_key.from_members({**bare, "use": "enc"}, "sig").use == "enc"
    assert public_key.from_members({**bare, "alg": "RSA-OAEP-256"}, "sig").use == "enc"


@pytest.mark.parametrize("name", ["alice-enc", "alice-sig", "alice-ps", "bob-xw"])
def test_what_is_published_is_taken_again(name: str) -> None:
    key = a_public_key(name)

    assert parsed(key.to_jwk()) == key


def test_a_key_says_what_it_may_be_used_for() -> None:
    enc, sig = a_public_key("alice-enc"), a_public_key("alice-sig")

    assert (enc.use, enc.alg, sig.use, sig.alg) == ("enc", "RSA-OAEP-256", "sig", "EdDSA")


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("alice-enc", {"alg": "RSA-OAEP"}, "alg"),
    ("alice-enc", {"alg": "RSA1_5"}, "alg"),
    ("alice-enc", {"alg": None}, "alg"),
    ("alice-enc", {"use": "sig", "alg": "RSA-OAEP-256"}, "alg"),
    ("alice-enc", {"use": "enc", "alg": "PS256"}, "use"),
    ("alice-enc", {"use": "sig", "alg": "RS256"}, "alg"),
    ("alice-ps", {"alg": "PS512"}, "alg"),
    ("alice-ps", {"use": "both"}, "use"),
    ("alice-enc", {"kid": "mine"}, "kid"),
    ("alice-enc", {"e": number(3)}, "65537"),
    ("alice-enc", {"e": "AAEAAQ"}, "canonical"),  # a leading zero byte
    ("alice-enc", {"n": number(modulus() >> 2048)}, "4096"),
    ("alice-enc", {"n": number(modulus() << 1)}, "4096"),
    ("alice-enc", {"n": number(modulus() - 1)}, "factor"),
    ("alice-enc", {"n": number(modulus() - modulus() % 751)}, "factor"),
    ("alice-enc", {"n": 5}, "canonical"),
    ("alice-enc", {"n": a_public_jwk("alice-enc")["n"] + "="}, "canonical"),
    ("alice-enc", {"x5u": "https://example.com"}, "members"),
    ("alice-enc", {"key_ops": ["wrapKey"]}, "members"),
    ("alice-enc", {"kty": "oct"}, "kty"),
    ("alice-enc", {"kty": ["RSA"]}, "kty"),
    ("alice-sig", {"alg": "RSA-OAEP-256"}, "alg"),
    ("alice-sig", {"crv": "X448"}, "Ed25519"),
    ("alice-sig", {"crv": "X25519", "use": "sig"}, "use"),
    ("alice-sig", {"x": "AAAA"}, "32 bytes"),
    ("bob-x", {"x": "AAAA"}, "32 bytes"),
    ("bob-x", {"x": "A" * 43}, "small order"),
    ("bob-x", {"alg": "ECDH-ES"}, "alg"),
    ("bob-xw", {"alg": "ML-DSA-65"}, "alg"),
    ("bob-xw", {"alg": None}, "alg"),
    ("bob-xw", {"use": "sig"}, "use"),
    ("bob-xw", {"kid": "mine"}, "kid"),
    ("bob-xw", {"pub": None}, "1216 bytes"),
    ("bob-xw", {"pub": a_public_jwk("bob-xw")["pub"] + "="}, "1216 bytes"),
    ("bob-xw", {"crv": "X25519"}, "members"),
]


@pytest.mark.parametrize(("name", "change", "told"), CHANGES)
def test_a_key_that_does_not_fit_is_refused(name: str, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ParticipantError, match=told):
        parsed({**a_public_jwk(name), **change})


@pytest.mark.parametrize("name", ["alice-enc", "alice-sig"])
def test_a_private_key_is_not_taken_for_a_public_one(name: str) -> None:
    with pytest.raises(ParticipantError, match="private") as refused:
        parsed(a_private_jwk(name))

    assert a_private_jwk(name)["d"] not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"kty":"RSA","kty":"RSA"}', b"\xff"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ParticipantError, match="JSON object"):
        public_key.parse(text)
