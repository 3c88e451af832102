"""Wycheproof: the cipher and the derivations against tests made by others."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import derivation, sealed_stream
from proxy.core.crypto.aead import Aead
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import Kek, SessionKey, StreamKey
from proxy.core.errors import OpenFailed

FOLDER = Path(__file__).parent.parent / "vectors" / "wycheproof"
Vector = dict[str, Any]


def vectors(name: str) -> list[Vector]:
    document = json.loads((FOLDER / name).read_text())
    return [test for group in document["testGroups"] for test in group["tests"]]


def named(vector: Vector) -> str:
    return f"{vector['tcId']} {vector['comment']}"


GCM = vectors("aes_gcm_test.json")
HKDF = vectors("hkdf_sha256_test.json")


def open_it(vector: Vector) -> bytes:
    key, iv, aad, ct, tag = (bytes.fromhex(vector[k]) for k in ("key", "iv", "aad", "ct", "tag"))
    return Aead(SessionKey(key)).open(iv, ct + tag, aad)


@pytest.mark.parametrize("vector", [one for one in GCM if one["result"] == "valid"], ids=named)
def test_a_valid_ciphertext_opens(vector: Vector) -> None:
    assert vector["msg"] == open_it(vector).hex()


@pytest.mark.parametrize("vector", [one for one in GCM if one["result"] != "valid"], ids=named)
def test_an_invalid_ciphertext_is_refused(vector: Vector) -> None:
    with pytest.raises(OpenFailed, match="bad-tag"):
        open_it(vector)


CHUNKED = vectors("c2sp_chunked_encryption_aes_256_gcm_test.json")


def open_chunks(vector: Vector, size: int, given_out: bytearray) -> None:
    """Open what stands behind the head of a frame, in pieces of `size`."""
    opener = sealed_stream.Opener(
        StreamKey(bytes.fromhex(vector["key"])), bytes.fromhex(vector["ctx"])
    )
    sealed = zlib.decompress(bytes.fromhex(vector["ct"]))
    for at in range(0, len(sealed), size):
        given_out += opener.update(sealed[at : at + size])
    given_out += opener.finish()


def assert_told(vector: Vector, plaintext: bytearray) -> None:
    assert len(plaintext) == vector["msgLength"]
    assert hashlib.sha512(plaintext).hexdigest() == vector["msgSha512"]


each_size = pytest.mark.parametrize("size", [1000, 16400, 2**23])


@each_size
@pytest.mark.parametrize("vector", [one for one in CHUNKED if one["result"] == "valid"], ids=named)
def test_valid_chunks_open(vector: Vector, size: int) -> None:
    given_out = bytearray()
    open_chunks(vector, size, given_out)
    assert_told(vector, given_out)


@each_size
@pytest.mark.parametrize("vector", [one for one in CHUNKED if one["result"] != "valid"], ids=named)
def test_invalid_chunks_are_refused(vector: Vector, size: int) -> None:
    given_out = bytearray()
    refusal = ValueError if "InvalidKeySize" in vector["flags"] else OpenFailed
    with pytest.raises(refusal):
        open_chunks(vector, size, given_out)
    if given_out:  # only what the vector says may come out of it
        assert_told(vector, given_out)


def test_every_chunked_vector_was_read() -> None:
    assert len(CHUNKED) == 35


def expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand as RFC 5869 section 2.3 spells it, to compare the library with."""
    blocks = b""
    block = b""
    for number in range(1, -(-size // 32) + 1):
        block = hmac.digest(key, block + info + bytes((number,)), "sha256")
        blocks += block
    return blocks[:size]


@pytest.mark.parametrize("vector", [one for one in HKDF if one["result"] == "valid"], ids=named)
def test_the_expansion_compared_with_is_right(vector: Vector) -> None:
    ikm, salt, info, okm = (bytes.fromhex(vector[k]) for k in ("ikm", "salt", "info", "okm"))
    extracted = hmac.digest(salt or bytes(32), ikm, "sha256")
    assert okm == expand(extracted, info, vector["size"])


keys = st.binary(min_size=32, max_size=32)


@given(key=keys, sid=st.binary(min_size=12, max_size=12), tenant=st.text(), conversation=st.text())
def test_a_session_key_is_the_labelled_expansion_of_its_kek(
    key: bytes, sid: bytes, tenant: str, conversation: str
) -> None:
    scope = Scope(tenant, conversation)
    info = b"sealyard/v1/sk\0" + sid + scope.encode()
    assert expand(key, info, 32) == derivation.session_key(Kek(key), sid, scope).reveal()


@given(key=keys)
def test_the_commitment_key_is_the_labelled_expansion_of_its_session_key(key: bytes) -> None:
    assert expand(key, b"sealyard/v1/ctx", 32) == derivation.commitment_key(SessionKey(key))
