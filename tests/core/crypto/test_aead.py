from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.aead import IV_BYTES, TAG_BYTES, Aead
from proxy.core.crypto.secret import SessionKey
from proxy.core.errors import OpenFailed

AEAD = Aead(SessionKey(bytes(range(32))))


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_sealed_opens_with_its_additional_data(plaintext: bytes, aad: bytes) -> None:
    iv, sealed = AEAD.seal(plaintext, aad)
    assert (IV_BYTES, len(plaintext) + TAG_BYTES) == (len(iv), len(sealed))
    assert plaintext == AEAD.open(iv, sealed, aad)


@given(st.binary(max_size=50), st.binary(max_size=20), st.binary(max_size=20))
def test_the_iv_can_stand_inside_the_additional_data(
    plaintext: bytes, before: bytes, after: bytes
) -> None:
    head, sealed = AEAD.seal_covering_iv(plaintext, lambda iv: before + iv, after)
    assert plaintext == AEAD.open(head[len(before) :], sealed, head + after)


@pytest.mark.parametrize(
    ("iv", "sealed", "aad"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["iv", "sealed", "aad"]
)
def test_nothing_may_change(iv: int, sealed: int, aad: int) -> None:
    an_iv, a_sealed = AEAD.seal(b"text", b"aad")

    def changed(data: bytes, by: int) -> bytes:
        return bytes((data[0] ^ by,)) + data[1:]

    with pytest.raises(OpenFailed) as caught:
        AEAD.open(changed(an_iv, iv), changed(a_sealed, sealed), changed(b"aad", aad))
    assert caught.value.reason == "bad-tag"
    assert caught.value.__suppress_context__


def test_every_sealing_has_an_iv_of_its_own() -> None:
    ivs = {AEAD.seal(b"same", b"")[0] for _ in range(100)}
    ivs |= {AEAD.seal_covering_iv(b"same", bytes, b"")[0] for _ in range(100)}
    assert len(ivs) == 200
