"""Points that are nobody's key, however they are spelled; and those that are."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ParticipantError
from proxy.keys.participants import public_key, x_wing
from proxy.keys.participants.points import check_ed25519
from tests.keys.participants.builders import a_public_jwk

P = 2**255 - 19
ORDER_8 = tuple(
    int.from_bytes(bytes.fromhex(one), "little")
    for one in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)
SIGN = 1 << 255


def of(number: int) -> bytes:
    return number.to_bytes(32, "little")


def jwk(crv: str, point: bytes) -> bytes:
    x = urlsafe_b64encode(point).decode().rstrip("=")
    return json.dumps({"kty": "OKP", "crv": crv, "x": x}).encode()


ED_SMALL = [0, 1, P - 1, *ORDER_8]
ED_SECOND = [P, P + 1, 2 * P, 2**255 - 1]  # all above the prime, with or without the sign


def test_these_are_the_points_of_small_order() -> None:
    """Under each of them, some signature of the right shape fits, whoever wrote the text."""
    fitting = 0
    for y in (1, P - 1, 0):
        key = Ed25519PublicKey.from_public_bytes(of(y))
        for text in range(64):
            try:
                key.verify(of(1) + bytes(32), str(text).encode())
            except InvalidSignature:
                continue
            fitting += 1
    assert fitting > 64


@pytest.mark.parametrize("y", [*ED_SMALL, *ED_SECOND])
@pytest.mark.parametrize("sign", [0, SIGN])
def test_a_point_of_small_order_is_no_signing_key(y: int, sign: int) -> None:
    if y + sign >= 2**256 or y & SIGN:
        return
    with pytest.raises(ParticipantError):
        public_key.parse(jwk("Ed25519", of(y | sign)))


def test_what_lies_not_on_the_curve_is_no_key() -> None:
    told: list[str] = []
    for y in range(2, 40):
        try:
            check_ed25519(of(y))
        except ParticipantError as error:
            told.append(str(error))
    assert 10 < len(told) < 30  # about half of all numbers
    assert all("not a point" in one for one in told)


@pytest.mark.parametrize(
    "u", [0, 1, P - 1, P, P + 1, P + 9, 2**255 - 1, SIGN, SIGN | 9, 2**256 - 1]
)
def test_a_point_of_small_order_or_in_a_second_spelling_is_no_key_to_wrap_for(u: int) -> None:
    with pytest.raises(ParticipantError):
        public_key.parse(jwk("X25519", of(u)))
    whole = x_wing.public_bytes(bytes(32))[:-32] + of(u)
    with pytest.raises(ParticipantError):
        x_wing.check(whole)


@settings(deadline=None, max_examples=50)
@given(seed=st.binary(min_size=32, max_size=32))
def test_every_real_key_is_taken(seed: bytes) -> None:
    signs = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    agrees = X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert public_key.parse(jwk("Ed25519", signs)).kind == "Ed25519"
    assert public_key.parse(jwk("X25519", agrees)).kind == "X25519"


@pytest.mark.parametrize("name", ["alice-sig", "bob-x", "bob-xw"])
def test_keys_of_before_are_taken(name: str) -> None:
    assert public_key.parse(json.dumps(a_public_jwk(name)).encode())
