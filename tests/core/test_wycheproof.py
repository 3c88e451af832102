"""Wycheproof: the cipher and the derivations against tests made by others."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import derivation
from proxy.core.aead import Aead
from proxy.core.context import Scope
from proxy.core.errors import OpenFailed
from proxy.core.secret import Kek, SessionKey

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
