"""CRC-32C (Castagnoli), which Google Cloud KMS asks for; RFC 3720, appendix B.4, has vectors."""

from __future__ import annotations

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ALL: Final = 0xFFFF_FFFF


def crc32c(data: bytes) -> int:
    """Return the checksum, bit by bit: it is over a root key, so no index depends on a byte."""
    found = _ALL
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ _POLYNOMIAL & -(found & 1)
    return found ^ _ALL
