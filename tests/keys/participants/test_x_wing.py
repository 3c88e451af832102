"""X-Wing against published vectors, through an HPKE key schedule of the test's own."""

from __future__ import annotations

import hmac
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ParticipantError
from proxy.keys.participants import x_wing

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "x_wing.json").read_text()
)
KEM: Final = 0x647A
HKDF_SHA256, AES_256_GCM = 1, 2
KEY: Final = bytes(range(32))
KID: Final = "A" * 43
SEED: Final = bytes(32)
SHARED: Final = [
    *((one["skRm"], one["enc"], one["shared_secret"]) for one in VECTORS["hpke"]),
    *((one["seed"], one["ct"], one["ss"]) for one in VECTORS["kem"]),
]


def schedule(shared: bytes, info: bytes, aead: int) -> tuple[bytes, bytes]:
    """Return the key and the nonce of RFC 9180, section 5.1, base mode, with HKDF-SHA256."""
    suite = b"HPKE" + b"".join(one.to_bytes(2) for one in (KEM, HKDF_SHA256, aead))

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + material, "sha256")

    def expand(secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        said = size.to_bytes(2) + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, said + b"\x01", "sha256")[:size]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


@cache
def wrapped() -> bytes:
    return x_wing.wrap(KEY, x_wing.public_bytes(SEED), KID)


def test_the_schedule_of_this_test_is_that_of_the_vector() -> None:
    vector = VECTORS["hpke"][0]
    assert (vector["kem_id"], vector["kdf_id"]) == (KEM, HKDF_SHA256)
    shared, info = bytes.fromhex(vector["shared_secret"]), bytes.fromhex(vector["info"])
    found = schedule(shared, info, vector["aead_id"])
    assert [one.hex() for one in found] == [vector["key"], vector["base_nonce"]]


@pytest.mark.parametrize("vector", VECTORS["hpke"], ids=["hkdf", "shake"])
def test_a_seed_makes_the_public_key_of_the_vector(vector: dict[str, Any]) -> None:
    public = x_wing.public_bytes(bytes.fromhex(vector["skRm"]))
    assert public.hex() == vector["pkRm"]
    x_wing.check(public)


def test_a_seed_makes_the_public_key_of_the_draft() -> None:
    (vector,) = VECTORS["kem"]
    public = x_wing.public_bytes(bytes.fromhex(vector["seed"])).hex()
    assert public.startswith(vector["pk_begins"])


@pytest.mark.parametrize(("seed", "enc", "shared"), SHARED)
def test_what_is_wrapped_by_the_vectors_shared_secret_is_unwrapped(
    seed: str, enc: str, shared: str
) -> None:
    info = b"sealyard/v1/x-wing\x00A256GCM\x00" + KID.encode()
    key, nonce = schedule(bytes.fromhex(shared), info, AES_256_GCM)
    text = bytes.fromhex(enc) + AESGCM(key).encrypt(nonce, KEY, None)
    assert x_wing.unwrap(text, x_wing.private_key(bytes.fromhex(seed)), KID) == KEY


def test_what_is_wrapped_is_unwrapped_by_its_key_and_for_its_kid_alone() -> None:
    text, mine, other = wrapped(), x_wing.private_key(SEED), x_wing.private_key(KEY)
    assert len(text) == x_wing.WRAPPED_BYTES
    assert x_wing.unwrap(text, mine, KID) == KEY
    assert x_wing.unwrap(text, other, KID) is None
    assert x_wing.unwrap(text, mine, "B" * 43) is None
    assert x_wing.unwrap(text[:-1], mine, KID) is None
    assert x_wing.unwrap(b"", mine, KID) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, x_wing.WRAPPED_BYTES - 1), st.integers(1, 255))
def test_whatever_byte_is_changed_nothing_is_unwrapped(place: int, by: int) -> None:
    # The highest bit of an X25519 point counts for nothing in RFC 7748, but for the combiner.
    changed = bytearray(wrapped())
    changed[place] ^= by
    assert x_wing.unwrap(bytes(changed), x_wing.private_key(SEED), KID) is None


def test_the_same_key_is_never_wrapped_alike() -> None:
    assert wrapped() != x_wing.wrap(KEY, x_wing.public_bytes(SEED), KID)
    assert x_wing.new_seed() != x_wing.new_seed()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda public: public[:-1], "1216 bytes"),
        (lambda public: public + b"\x00", "1216 bytes"),
        (lambda public: b"\xff" * 1184 + public[1184:], "ML-KEM-768"),
        (lambda public: public[:1184] + bytes(32), "small order"),
    ],
)
def test_a_public_key_that_is_none_is_refused(change: Any, told: str) -> None:  # noqa: ANN401 - a function of the table
    with pytest.raises(ParticipantError, match=told):
        x_wing.check(change(x_wing.public_bytes(SEED)))
