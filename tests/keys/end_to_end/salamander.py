"""An invisible salamander: one AES-GCM ciphertext that opens under two keys.

Dodis, Grubbs, Ristenpart, Woodage: "Fast Message Franking: From Invisible Salamanders to
Encryptment" (CRYPTO 2018). GHASH is linear, so that one free block makes two tags meet.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 16
_R = 0xE1 << 120


def salamander(first: bytes, second: bytes, iv: bytes, aad: bytes, blocks: int = 2) -> bytes:
    """Return ciphertext and tag that open under both keys, with that IV and additional data."""
    ciphertext = bytes(range(_BLOCK * blocks))
    padded = aad + bytes(-len(aad) % _BLOCK)
    lengths = (len(aad) * 8).to_bytes(8) + (len(ciphertext) + _BLOCK << 3).to_bytes(8)
    hashes, ends = [], []
    for key in (first, second):
        h = int.from_bytes(_encrypt(key, bytes(_BLOCK)))
        # The free block stands before the lengths, so that it is multiplied by h twice.
        ends.append(_multiply(h, h))
        known = _ghash(h, padded + ciphertext + bytes(_BLOCK) + lengths)
        hashes.append(known ^ int.from_bytes(_encrypt(key, iv + b"\x00\x00\x00\x01")))
    free = _multiply(hashes[0] ^ hashes[1], _inverse(ends[0] ^ ends[1]))
    tag = hashes[0] ^ _multiply(ends[0], free)
    return ciphertext + free.to_bytes(_BLOCK) + tag.to_bytes(_BLOCK)


def _encrypt(key: bytes, block: bytes) -> bytes:
    # AES on one block, the building stone of GCM (NIST SP 800-38D, section 6.4).
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)  # noqa: S305 - see above


def _ghash(h: int, data: bytes) -> int:
    value = 0
    for at in range(0, len(data), _BLOCK):
        value = _multiply(value ^ int.from_bytes(data[at : at + _BLOCK]), h)
    return value


def _multiply(x: int, y: int) -> int:
    """Multiply in GF(2^128) as GCM writes it: the first bit is that of x^0 (section 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ _R if y & 1 else y >> 1
    return product


def _inverse(x: int) -> int:
    """Return x^(2^128 - 2)."""
    result = 1 << 127
    for _ in range(127):
        x = _multiply(x, x)
        result = _multiply(result, x)
    return result
