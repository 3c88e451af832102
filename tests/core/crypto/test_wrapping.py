from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.core.crypto import aead
from proxy.core.crypto.secret import Kek, SessionKey
from proxy.core.errors import OpenFailed
from tests.factories import KEK, a_sid

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "wrapping.json").read_text())
KEY = SessionKey(bytes(range(32)))


@pytest.mark.parametrize("vector", VECTORS)
def test_a_frozen_wrapped_key_unwraps(vector: dict[str, str]) -> None:
    given = {name: bytes.fromhex(value) for name, value in vector.items()}
    found = aead.unwrap(
        Kek(given["kek"]), given["wrapped"], given["sid"], identity=given["identity"]
    )
    assert SessionKey(given["session_key"]) == found


def test_what_is_wrapped_unwraps() -> None:
    wrapped = aead.wrap(KEK, KEY, a_sid(), identity=b"i")
    assert aead.unwrap(KEK, wrapped, a_sid(), identity=b"i") == KEY


def test_wrapping_twice_gives_two_wrapped_keys() -> None:
    first, second = (aead.wrap(KEK, KEY, a_sid(), identity=b"i") for _ in range(2))
    assert first != second


def test_a_wrapped_key_does_not_show_the_key() -> None:
    assert KEY.reveal() not in aead.wrap(KEK, KEY, a_sid(), identity=b"i")


@pytest.mark.parametrize(
    ("kek", "sid", "identity"),
    [(Kek(bytes(32)), a_sid(), b"i"), (KEK, a_sid(1), b"i"), (KEK, a_sid(), b"j")],
)
def test_another_kek_session_or_identity_does_not_unwrap(
    kek: Kek, sid: bytes, identity: bytes
) -> None:
    wrapped = aead.wrap(KEK, KEY, a_sid(), identity=b"i")
    with pytest.raises(OpenFailed, match="bad-tag"):
        aead.unwrap(kek, wrapped, sid, identity=identity)


def test_no_flipped_bit_unwraps() -> None:
    wrapped = aead.wrap(KEK, KEY, a_sid(), identity=b"i")
    for bit in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(OpenFailed):
            aead.unwrap(KEK, bytes(changed), a_sid(), identity=b"i")


@pytest.mark.parametrize("size", [0, 59, 61])
def test_a_wrapped_key_has_60_bytes(size: int) -> None:
    with pytest.raises(OpenFailed, match="malformed-wrapped-key"):
        aead.unwrap(KEK, bytes(size), a_sid(), identity=b"i")


def test_a_session_id_has_12_bytes() -> None:
    with pytest.raises(ValueError, match="exactly 12 bytes"):
        aead.wrap(KEK, KEY, b"short", identity=b"i")
