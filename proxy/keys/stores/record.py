"""Session records: what the store holds of a session, authenticated over its name and all values.

Form: u8 version ‖ u64be epoch, created, soft end, hard end (each in milliseconds since 1970) ‖
u16be KEK number ‖ sid:12 ‖ HMAC:32. The HMAC also covers the record's name, so that a record
cannot stand under another scope's name. A durable session key is derived, so no record holds it.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final

from ...core import base64url, derivation
from ...core.context import Scope
from ...core.derivation import SID_BYTES
from ...core.secret import NameKey, RecordKey

VERSION: Final = 1

# Records of other kinds will have labels of their own, so none can stand for another.
_LABEL: Final = b"sealyard/v1/record/session\x00"
_FORM: Final = struct.Struct(f">BQQQQH{SID_BYTES}s")
_TAG_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as all processes know it. Times and `epoch` are milliseconds since 1970.

    `epoch` grows with every new session of a scope; `soft_end` is when sealing stops, `hard_end`
    when an ephemeral reader stops too.
    """

    epoch: int
    created: int
    soft_end: int
    hard_end: int
    kek_number: int
    sid: bytes


class RecordRefused(Exception):
    """A record that its process did not write, or not under this name, or not in this form."""


def record_name(name_key: NameKey, scope: Scope) -> str:
    """Return the name of a scope's current session: 22 characters that tell nothing, and `:cur`."""
    return base64url.encode(derivation.record_name(name_key, scope)).decode() + ":cur"


def encode(record: SessionRecord, name: str, key: RecordKey) -> bytes:
    """Return the record's bytes for the place `name`."""
    values = _FORM.pack(
        VERSION,
        record.epoch,
        record.created,
        record.soft_end,
        record.hard_end,
        record.kek_number,
        record.sid,
    )
    return values + _tag(values, name, key)


def decode(data: bytes, name: str, key: RecordKey) -> SessionRecord:
    """Return the record that stood at `name`; raise RecordRefused unless it was made for it."""
    values, tag = data[:-_TAG_BYTES], data[-_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(values, name, key)):
        raise RecordRefused("record-forged")
    if len(values) != _FORM.size or values[0] != VERSION:
        raise RecordRefused("record-version")
    return SessionRecord(*_FORM.unpack(values)[1:])


def _tag(values: bytes, name: str, key: RecordKey) -> bytes:
    place = name.encode()
    return derivation.record_tag(key, _LABEL + len(place).to_bytes(2) + place + values)
