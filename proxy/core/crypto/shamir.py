"""Shamir's secret sharing over GF(256), with the field of AES (FIPS 197, section 4).

Each byte of the secret is the value at 0 of a random polynomial of degree k - 1; share x has its
value at x. No branch and no index depends on a secret byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

ALL_SHARES: Final = 255
_POLYNOMIAL: Final = 0x11B
_BITS: Final = 8


def split(
    secret: bytes, needed: int, made: int, random: Callable[[int], bytes]
) -> dict[int, bytes]:
    """Return `made` shares by their index from 1, of which any `needed` give the secret.

    Fewer tell nothing of it but its length, if `random` returns independent uniform bytes. Raises
    ValueError unless 2 <= needed <= made <= ALL_SHARES.
    """
    if not 2 <= needed <= made <= ALL_SHARES:  # noqa: PLR2004 - one share would be the secret
        raise ValueError("a secret is split so that 2 to all of at most 255 shares are needed")
    coefficients = [secret, *(random(len(secret)) for _ in range(needed - 1))]
    return {index: _at(index, coefficients) for index in range(1, made + 1)}


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Return the value at 0 of the polynomial through the shares (Lagrange).

    It is the secret where the shares are of one split and as many as it needs; otherwise it is some
    other bytes: what the secret opens has to show it. Raises ValueError unless the indices are 1 to
    255 and all shares of one length.
    """
    sizes = {len(one) for one in shares.values()}
    if len(sizes) != 1 or not all(1 <= index <= ALL_SHARES for index in shares):
        raise ValueError("shares have an index of 1 to 255, and one length")
    result = bytearray(sizes.pop())
    for index, share in shares.items():
        factor = 1
        for other in shares.keys() - {index}:
            factor = _times(factor, _times(other, _inverse(other ^ index)))
        for at, byte in enumerate(share):
            result[at] ^= _times(factor, byte)
    return bytes(result)


def _at(index: int, coefficients: list[bytes]) -> bytes:
    """Return the values of the polynomials at an index (Horner)."""
    result = bytearray(len(coefficients[0]))
    for coefficient in reversed(coefficients):
        for at, byte in enumerate(coefficient):
            result[at] = _times(index, result[at]) ^ byte
    return bytes(result)


def _times(a: int, b: int) -> int:
    """Return the product of two elements of the field, bit by bit."""
    product = 0
    for bit in range(_BITS):
        product ^= a & -(b >> bit & 1)
        a = (a << 1) ^ (_POLYNOMIAL & -(a >> (_BITS - 1)))
    return product


def _inverse(a: int) -> int:
    """Return the inverse of an index that is not 0: its 254th power."""
    power, result = a, 1
    for _ in range(_BITS - 1):
        power = _times(power, power)
        result = _times(result, power)
    return result
