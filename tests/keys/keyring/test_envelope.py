from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from joserfc import jwe
from joserfc.jwk import OctKey
from joserfc.registry import HeaderParameter
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from proxy.core.crypto import base64url
from proxy.core.errors import KeyringError
from proxy.keys.keyring import envelope
from proxy.keys.keyring.root_secret import Passphrase, RootKey

ROOT = RootKey(b"canary-root-key-canary-root-key!")
PHRASE = Passphrase("canary horse battery")
PLAINTEXT = b'{"keys":[]}'
PBES2 = envelope.PBES2_ALG


def with_header(text: bytes, **changes: object) -> bytes:
    head, rest = text.split(b".", 1)
    header: dict[str, Any] = json.loads(base64url.decode(head))
    header.update(changes)
    header = {name: value for name, value in header.items() if value is not None}
    return base64url.encode(json.dumps(header).encode()) + b"." + rest


@pytest.fixture(scope="module")
def under_phrase() -> bytes:
    # PHRASE keeps what it has opened, whatever the order of the tests, and would write as that.
    return envelope.encrypt(PLAINTEXT, Passphrase("canary horse battery"))


@pytest.fixture(scope="module")
def under_root() -> bytes:
    return envelope.encrypt(PLAINTEXT, ROOT)


def test_what_is_encrypted_decrypts(under_phrase: bytes, under_root: bytes) -> None:
    assert envelope.decrypt(under_phrase, PHRASE) == PLAINTEXT
    assert envelope.decrypt(under_root, ROOT) == PLAINTEXT


def test_the_header_is_the_one_promised(under_phrase: bytes) -> None:
    header = json.loads(base64url.decode(under_phrase.split(b".")[0]))
    assert len(base64url.decode(header.pop("p2s").encode())) == 16
    assert header == {"alg": PBES2, "enc": "A256GCM", "cty": "jwk-set+json", "p2c": 250_000}


def test_the_content_key_is_wrapped_as_rfc_7518_says(under_phrase: bytes) -> None:
    segments = under_phrase.split(b".")
    salt = base64url.decode(json.loads(base64url.decode(segments[0]))["p2s"].encode())
    kdf = PBKDF2HMAC(SHA512(), 32, PBES2.encode() + b"\0" + salt, 250_000)
    assert len(aes_key_unwrap(kdf.derive(PHRASE.reveal()), base64url.decode(segments[1]))) == 32


def test_another_jose_library_opens_it(under_root: bytes) -> None:
    other = JWE(algs=["A256KW", "A256GCM"])
    other.deserialize(under_root.decode())
    other.decrypt(JWK(kty="oct", k=base64url.encode(ROOT.reveal()).decode()))
    assert other.payload == PLAINTEXT


def test_another_jose_library_opens_it_with_its_limit_raised(
    under_phrase: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwcrypto.jwa.default_max_pbkdf2_iterations", 250_000)
    other = JWE(algs=[PBES2, "A256GCM"])
    other.deserialize(under_phrase.decode())
    other.decrypt(JWK(kty="oct", k=base64url.encode(PHRASE.reveal()).decode()))
    assert other.payload == PLAINTEXT


@pytest.mark.parametrize(
    "changes",
    [
        {"p2c": 219_999},
        {"p2c": 1_000_001},
        {"p2c": 10**30},
        {"p2c": "250000"},
        {"p2c": 250_000.0},
        {"p2c": True},
        {"p2c": None},
        {"p2s": None},
        {"p2s": "AAAA"},
        {"p2s": "A" * 21 + "B"},
        {"p2s": 7},
        {"alg": "RSA1_5"},
        {"alg": "dir"},
        {"alg": "A256KW"},
        {"alg": "PBES2-HS256+A128KW"},
        {"alg": None},
        {"enc": "A128GCM"},
        {"enc": "A256CBC-HS512"},
        {"enc": None},
        {"cty": "json"},
        {"cty": None},
        {"zip": "DEF"},
        {"crit": ["exp"]},
        {"jku": "https://example.com"},
        {"kid": "x"},
    ],
)
def test_any_other_header_is_refused(under_phrase: bytes, changes: dict[str, object]) -> None:
    with pytest.raises(KeyringError) as refused:
        envelope.decrypt(with_header(under_phrase, **changes), PHRASE)
    assert "does not open" not in str(refused.value)  # refused before a key was touched


def test_a_header_with_a_member_twice_is_refused(under_root: bytes) -> None:
    header = base64url.decode(under_root.split(b".")[0])
    doubled = base64url.encode(header.replace(b"{", b'{"alg":"dir",'))
    with pytest.raises(KeyringError):
        envelope.decrypt(doubled + b"." + under_root.split(b".", 1)[1], ROOT)


def joserfc_registry(alg: str) -> jwe.JWERegistry:
    """Return the registry of joserfc, without its limit of 300,000 rounds."""
    registry = jwe.JWERegistry(algorithms=(alg, "A256GCM"))
    model = copy.copy(jwe.JWERegistry.algorithms["alg"][alg])
    if alg == PBES2:
        counted = HeaderParameter("PBES2 Count", "int", True)  # noqa: FBT003 - joserfc's form
        model.more_header_registry = {**model.more_header_registry, "p2c": counted}
    registry.algorithms = {**registry.algorithms, "alg": {alg: model}}
    return registry


def joserfc_key(secret: Passphrase | RootKey) -> OctKey:
    return OctKey(secret.reveal(), secret.reveal())


@pytest.mark.parametrize("rounds", [220_000, 310_000])
def test_what_joserfc_writes_under_a_passphrase_is_read_within_the_bounds(rounds: int) -> None:
    header = {"alg": PBES2, "enc": "A256GCM", "cty": "jwk-set+json", "p2c": rounds}
    written = jwe.encrypt_compact(
        header, PLAINTEXT, joserfc_key(PHRASE), registry=joserfc_registry(PBES2)
    )

    assert envelope.decrypt(written.encode(), PHRASE) == PLAINTEXT


def test_what_joserfc_writes_under_a_root_key_is_read() -> None:
    header = {"alg": "A256KW", "enc": "A256GCM", "cty": "jwk-set+json"}
    written = jwe.encrypt_compact(
        header, PLAINTEXT, joserfc_key(ROOT), registry=joserfc_registry("A256KW")
    )

    assert envelope.decrypt(written.encode(), ROOT) == PLAINTEXT


def test_joserfc_reads_what_is_written(under_phrase: bytes, under_root: bytes) -> None:
    for text, secret, alg in ((under_phrase, PHRASE, PBES2), (under_root, ROOT, "A256KW")):
        read = jwe.decrypt_compact(text, joserfc_key(secret), registry=joserfc_registry(alg))

        assert read.plaintext == PLAINTEXT


def test_nothing_random_is_used_twice() -> None:
    one, other = (envelope.encrypt(PLAINTEXT, ROOT).split(b".") for _ in range(2))
    phrase = Passphrase("correct horse battery")
    salts = {envelope.encrypt(PLAINTEXT, phrase).split(b".")[0] for _ in range(2)}

    assert one[0] == other[0]
    assert not set(one[1:]) & set(other[1:])
    assert len(salts) == 2


def test_a_root_of_the_other_kind_is_refused(under_phrase: bytes, under_root: bytes) -> None:
    for text, secret in ((under_phrase, ROOT), (under_root, PHRASE)):
        with pytest.raises(KeyringError, match="root provider"):
            envelope.decrypt(text, secret)


def test_a_wrong_secret_is_refused_and_not_told(under_root: bytes) -> None:
    wrong = RootKey(b"another-root-key-another-root-k!")
    with pytest.raises(KeyringError) as refused:
        envelope.decrypt(under_root, wrong)
    assert "another" not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize("segment", range(5))
def test_each_changed_segment_is_refused(under_root: bytes, segment: int) -> None:
    segments = under_root.split(b".")
    for changed in (b"", b"AAAA", b"B" + segments[segment][1:], segments[segment] + b"="):
        spoilt = [*segments[:segment], changed, *segments[segment + 1 :]]
        if spoilt != segments:
            with pytest.raises(KeyringError):
                envelope.decrypt(b".".join(spoilt), ROOT)


@pytest.mark.parametrize("text", [b"", b".", b"....", b"a.b.c", b"{}", b"\xff.\xff.\xff.\xff.\xff"])
def test_what_is_not_a_jwe_is_refused(text: bytes) -> None:
    with pytest.raises(KeyringError):
        envelope.decrypt(text, ROOT)


def test_a_short_passphrase_guards_nothing_new() -> None:
    with pytest.raises(KeyringError):
        envelope.encrypt(PLAINTEXT, Passphrase("short"))


def test_who_keeps_only_a_derived_key_opens_what_has_the_same_salt() -> None:
    def made(plaintext: bytes, salt: bytes | None) -> bytes:
        return envelope.encrypt(plaintext, Passphrase("correct horse battery"), salt=salt)

    opener = Passphrase("correct horse battery")
    assert envelope.decrypt(made(PLAINTEXT, b"s" * 16), opener) == PLAINTEXT
    opener.forget()
    assert envelope.decrypt(made(b"more", b"s" * 16), opener) == b"more"
    with pytest.raises(KeyringError, match="overwritten"):
        envelope.decrypt(made(PLAINTEXT, None), opener)
