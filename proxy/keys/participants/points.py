"""Points of Curve25519 that may be public keys: of full order, in canonical encoding.

A point of small order is no key: under such an Ed25519 key one signature fits any text, and with
such an X25519 key all parties get the same secret. A second encoding would give one key a second
thumbprint. OpenSSL refuses neither of them when it loads a key.
"""

from __future__ import annotations

from typing import Final

from ...core.errors import ParticipantError

POINT_BYTES: Final = 32
_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)
_SIGN: Final = 1 << 255
_COFACTOR_DOUBLINGS: Final = 3


def check_ed25519(data: bytes) -> None:
    """Raise ParticipantError unless 32 bytes spell a point of Ed25519 that may be a key."""
    number = int.from_bytes(data, "little")
    point = _decompressed(number & ~_SIGN, odd=bool(number & _SIGN))
    if point is None:
        raise ParticipantError("the key is not a point of Ed25519 (RFC 8032, section 5.1.3)")
    x, y, z = *point, 1
    for _ in range(_COFACTOR_DOUBLINGS):
        x, y, z = _doubled(x, y, z)
    if x == 0 and y == z:
        raise ParticipantError("the key is a point of small order")


def check_x25519(data: bytes) -> None:
    """Raise ParticipantError unless 32 bytes spell a coordinate as X25519 writes it (RFC 7748).

    Readers take others too, so that one key would have several thumbprints.
    """
    if int.from_bytes(data, "little") >= _P:
        raise ParticipantError(
            "the key is not in the canonical encoding of X25519: it is above the prime"
        )


def _decompressed(y: int, *, odd: bool) -> tuple[int, int] | None:
    """Return the point of a coordinate y and the lowest bit of x; None where there is none."""
    if y >= _P:
        return None
    square, below = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = square * pow(below, 3, _P) * pow(square * pow(below, 7, _P), (_P - 5) // 8, _P) % _P
    if below * x * x % _P == -square % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if below * x * x % _P != square or (x == 0 and odd):
        return None
    return (_P - x if bool(x & 1) != odd else x), y


def _doubled(x: int, y: int, z: int) -> tuple[int, int, int]:
    """Return twice a point in projective coordinates (RFC 8032, 5.1.4, with a = -1)."""
    a, b, c = x * x, y * y, 2 * z * z
    h, g = a + b, a - b
    e, f = h - (x + y) ** 2, c + g
    return e * f % _P, g * h % _P, f * g % _P
