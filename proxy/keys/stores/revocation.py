"""Revocation records: since when the sessions of a conversation count.

Form: u8 version ‖ u64be not before (seconds since 1970) ‖ HMAC:32.
"""

from __future__ import annotations

import struct
from typing import Final

from ...core.crypto.secret import RecordKey
from . import authentic
from .authentic import RecordUnknown

VERSION: Final = 1

_LABEL: Final = b"sealyard/v1/record/revocation\x00"
_FORM: Final = struct.Struct(">BQ")


def encode(not_before: int, name: str, key: RecordKey) -> bytes:
    """Return the record that revokes all sessions of `name` that began before `not_before`."""
    return authentic.sign(_FORM.pack(VERSION, not_before), _LABEL, name, key)


def decode(data: bytes, name: str, key: RecordKey) -> int:
    """Return since when sessions count; raise RecordRefused unless the record is authentic."""
    values = authentic.verified(data, _LABEL, name, key)
    if len(values) != _FORM.size or values[0] != VERSION:
        raise RecordUnknown("record-version")
    not_before: int = _FORM.unpack(values)[1]
    return not_before
