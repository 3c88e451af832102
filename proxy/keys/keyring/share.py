"""One share of the secret that opens a keyring, as a text that can be printed and typed.

20 groups of 5 characters in the alphabet of Crockford's base32: 4 hold 20 bits, the fifth checks
them and their place, so that a mistake is found in its group. All groups hold, big-endian:

    u8 version ‖ u8 needed ‖ u8 index ‖ keyring:8 ‖ u32 split ‖ value:32 ‖ check:3

`keyring` is how the keyring's id begins, `split` the time of the split in seconds since 1970,
`check` how SHA-256 over all before it begins. docs/reference/keyring-file.md describes it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from typing import Final

from ...config.settings.roots.shares import MOST_SHARES
from ...core.crypto import base64url
from ...core.crypto.secret import Secret
from ...core.errors import KeyringError

VERSION: Final = 1
GROUPS: Final = 20
_FORM: Final = struct.Struct(">BBB8sL32s3s")
_CHECK_BYTES: Final = 3
_KEYRING_BYTES: Final = 8
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans("OIL", "011")
_IGNORED: Final = re.compile(r"[\s-]+")
_GROUP_CHARS: Final = 5
_DATA_CHARS: Final = _GROUP_CHARS - 1
_CHAR_BITS: Final = 5
_WEIGHTS: Final = (1, 3, 5, 7)
"""Odd, so that every change of one character changes the check, and each one of two neighbours but
those that are 16 apart."""
_PLACE_WEIGHT: Final = 11

COMMITMENT_LABEL: Final = b"sealyard/v1/share"
COMMITMENT_BYTES: Final = 16


class ShareValue(Secret):
    """The value of one share."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class KeyringShare:
    """A share of a split: `keyring` is how the id begins, `split` seconds since 1970."""

    keyring: bytes
    split: int
    needed: int
    index: int
    value: ShareValue

    @classmethod
    def of(cls, keyring_id: str, split: int, needed: int, index: int, value: bytes) -> KeyringShare:
        """Return a share of the keyring with this id."""
        return cls(keyring_begin(keyring_id), split, needed, index, ShareValue(value))

    @property
    def commitment(self) -> str:
        """What the keyring's file holds of the share, to recognise it by: 22 characters."""
        named = struct.pack(">8sLBB", self.keyring, self.split, self.needed, self.index)
        found = hmac.digest(self.value.reveal(), COMMITMENT_LABEL + b"\0" + named, "sha256")
        return base64url.encode(found[:COMMITMENT_BYTES]).decode()

    def text(self) -> str:
        """Return the share to be printed: 4 lines of 5 groups."""
        parts = (VERSION, self.needed, self.index, self.keyring, self.split, self.value.reveal())
        whole = _FORM.pack(*parts, b"\0" * _CHECK_BYTES)[:-_CHECK_BYTES]
        groups = _groups(whole + _check(whole))
        return "\n".join("  ".join(groups[at : at + 5]) for at in range(0, GROUPS, 5))


def keyring_begin(keyring_id: str) -> bytes:
    """Return how a share names a keyring."""
    return base64url.decode(keyring_id.encode())[:_KEYRING_BYTES]


def parse(text: str) -> KeyringShare:
    """Return the share that was typed; case, spaces, hyphens and line ends do not matter.

    Raises KeyringError, naming the group where it can, and never a character of it.
    """
    typed = _IGNORED.sub("", text).upper().translate(_READ_AS)
    if len(typed) != GROUPS * _GROUP_CHARS:
        reason = f"this has {len(typed)}" if typed else "nothing was typed"
        raise KeyringError(f"a share has {GROUPS} groups of {_GROUP_CHARS} characters; {reason}")
    bits = 0
    for place in range(GROUPS):
        group = typed[place * _GROUP_CHARS :][:_GROUP_CHARS]
        digits = [_ALPHABET.find(one) for one in group]
        if min(digits) < 0 or _group_check(digits[:-1], place) != digits[-1]:
            raise KeyringError(f"group {place + 1} of the share is mistyped")
        for digit in digits[:-1]:
            bits = bits << _CHAR_BITS | digit
    whole = bits.to_bytes(_FORM.size, "big")
    version, needed, index, keyring, split, value, check = _FORM.unpack(whole)
    if not hmac.compare_digest(check, _check(whole[:-_CHECK_BYTES])):
        raise KeyringError("the share is mistyped: its groups do not belong together")
    if version != VERSION:
        raise KeyringError("the share is of a newer Sealyard")
    if not 2 <= needed <= MOST_SHARES or not 1 <= index <= MOST_SHARES:  # noqa: PLR2004 - as it is split
        raise KeyringError("the share has numbers that no split has")
    return KeyringShare(keyring, split, needed, index, ShareValue(value))


def _check(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECK_BYTES]


def _groups(content: bytes) -> list[str]:
    bits = int.from_bytes(content, "big")
    found = []
    for place in range(GROUPS):
        rest = bits >> (GROUPS - 1 - place) * _DATA_CHARS * _CHAR_BITS
        digits = [rest >> (_DATA_CHARS - 1 - at) * _CHAR_BITS & 31 for at in range(_DATA_CHARS)]
        digits.append(_group_check(digits, place))
        found.append("".join(_ALPHABET[one] for one in digits))
    return found


def _group_check(digits: list[int], place: int) -> int:
    weighted = sum(weight * digit for weight, digit in zip(_WEIGHTS, digits, strict=True))
    return (weighted + _PLACE_WEIGHT * place) % len(_ALPHABET)
