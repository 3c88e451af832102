from __future__ import annotations

import copy
import json

import pytest
from joserfc import jwe as rfc_jwe
from joserfc.jwk import OctKey
from jwcrypto import jwa
from jwcrypto import jwe as crypto_jwe
from jwcrypto import jwk as crypto_jwk

from proxy.core.crypto import base64url
from proxy.core.errors import KeyringError, ParticipantError
from proxy.keys.keyring import envelope
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.participants import private_key
from proxy.keys.policy import P2C

from .builders import PASSPHRASE, a_private_jwk, a_public_key


def test_a_key_pair_is_made_sealed_and_opened() -> None:
    """The one test that makes an RSA key."""
    public, sealed = private_key.generate("RSA", PASSPHRASE)
    members = private_key.unseal(sealed, PASSPHRASE, public)

    assert (public.use, members["kid"], members["alg"]) == ("enc", public.kid, "RSA-OAEP-256")
    assert members["d"] not in sealed


def test_a_signing_key_pair_is_made() -> None:
    public, sealed = private_key.generate("Ed25519", PASSPHRASE)

    assert private_key.unseal(sealed, PASSPHRASE, public)["kid"] == public.kid


def test_a_sealed_key_has_the_promised_form() -> None:
    _, sealed = private_key.seal(a_private_jwk("alice-sig"), PASSPHRASE)
    header = json.loads(base64url.decode(sealed.split(".")[0].encode()))

    assert len(base64url.decode(header.pop("p2s").encode())) == 16
    assert header == {
        "alg": "PBES2-HS512+A256KW",
        "enc": "A256GCM",
        "cty": "jwk+json",
        "p2c": 250_000,
    }


@pytest.mark.parametrize("name", ["alice-enc", "alice-sig"])
def test_other_libraries_open_a_sealed_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sealed = private_key.seal(a_private_jwk(name), PASSPHRASE)
    secret = PASSPHRASE.reveal()
    algs = ["PBES2-HS512+A256KW", "A256GCM"]

    opened = rfc_jwe.decrypt_compact(sealed, OctKey(secret, secret), algorithms=algs).plaintext
    monkeypatch.setattr(jwa, "default_max_pbkdf2_iterations", P2C)
    other = crypto_jwe.JWE(algs=algs)
    other.deserialize(sealed, crypto_jwk.JWK(kty="oct", k=base64url.encode(secret).decode()))

    assert opened is not None
    assert json.loads(opened)["d"] == json.loads(other.payload)["d"] == a_private_jwk(name)["d"]


def test_a_wrong_passphrase_opens_nothing() -> None:
    public, sealed = private_key.seal(a_private_jwk("alice-sig"), PASSPHRASE)

    with pytest.raises(ParticipantError, match="does not open"):
        private_key.unseal(sealed, Passphrase("another passphrase"), public)


def test_a_weak_passphrase_seals_nothing() -> None:
    with pytest.raises(ParticipantError, match="12 characters"):
        private_key.seal(a_private_jwk("alice-sig"), Passphrase("short"))


def test_a_sealed_key_of_somebody_else_is_refused() -> None:
    _, sealed = private_key.seal(a_private_jwk("alice-sig"), PASSPHRASE)

    with pytest.raises(ParticipantError, match="belong"):
        private_key.unseal(sealed, PASSPHRASE, a_public_key("bob-sig"))


def test_a_keyring_is_not_taken_for_a_private_key_nor_the_other_way() -> None:
    text = json.dumps(a_private_jwk("alice-sig")).encode()
    as_keyring = envelope.encrypt(text, PASSPHRASE).decode()
    _, sealed = private_key.seal(a_private_jwk("alice-sig"), PASSPHRASE)

    with pytest.raises(ParticipantError, match="does not open"):
        private_key.unseal(as_keyring, PASSPHRASE, a_public_key("alice-sig"))
    with pytest.raises(KeyringError, match="header members"):
        envelope.decrypt(sealed.encode(), PASSPHRASE)


@pytest.mark.parametrize(
    ("name", "member"),
    [*(("alice-enc", one) for one in ("d", "p", "q", "dp", "dq", "qi")), ("alice-sig", "d")],
)
def test_a_private_part_of_another_key_is_refused(name: str, member: str) -> None:
    members = copy.deepcopy(a_private_jwk(name))
    members[member] = a_private_jwk(name.replace("alice", "bob"))[member]

    with pytest.raises(ParticipantError, match="belong"):
        private_key.seal(members, PASSPHRASE)


@pytest.mark.parametrize("name", ["alice-enc", "alice-sig"])
def test_a_private_part_that_is_missing_is_refused(name: str) -> None:
    members = a_private_jwk(name)
    del members["d"]

    with pytest.raises(ParticipantError, match="belong"):
        private_key.seal(members, PASSPHRASE)


def test_an_x25519_pair_wraps_by_agreement_and_is_opened_again() -> None:
    public, sealed = private_key.generate("X25519", PASSPHRASE)
    assert (public.kind, public.use, public.alg) == ("X25519", "enc", "ECDH-ES+A256KW")
    members = private_key.unseal(sealed, PASSPHRASE, public)
    assert {name: members[name] for name in ("kty", "crv")} == {"kty": "OKP", "crv": "X25519"}
    other, _ = private_key.generate("X25519", PASSPHRASE)
    with pytest.raises(ParticipantError):
        private_key.unseal(sealed, PASSPHRASE, other)


def test_an_x_wing_pair_is_made_sealed_and_opened_again() -> None:
    public, sealed = private_key.generate("X-Wing", PASSPHRASE)
    assert (public.kty, public.kind, public.use) == ("AKP", "X-Wing", "enc")
    members = private_key.unseal(sealed, PASSPHRASE, public)
    assert len(members["priv"]) == 43
    assert members["priv"] not in sealed
    assert members["priv"] not in json.dumps(public.to_jwk())
    other, _ = private_key.generate("X-Wing", PASSPHRASE)
    with pytest.raises(ParticipantError, match="belong"):
        private_key.unseal(sealed, PASSPHRASE, other)


@pytest.mark.parametrize("priv", [None, "AA", a_private_jwk("outsider-xw")["priv"]])
def test_a_seed_that_is_not_that_of_the_public_key_is_refused(priv: str | None) -> None:
    with pytest.raises(ParticipantError, match="belong"):
        private_key.seal({**a_private_jwk("bob-xw"), "priv": priv}, PASSPHRASE)
