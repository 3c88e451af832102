"""Session records: what the store holds of a session, authenticated over its name and all values.

Form: u8 version ‖ u64be epoch, created, soft end, hard end (each in milliseconds since 1970) ‖
u16be KEK number ‖ sid:12 ‖ HMAC:32. In version 2, which ephemeral sessions have, the wrapped key
(60 bytes) stands before the HMAC. A durable session key is derived, so no record holds it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ...core.crypto import base64url, derivation
from ...core.crypto.aead import WRAPPED_BYTES
from ...core.crypto.context import Scope
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.secret import NameKey, RecordKey
from . import authentic
from .authentic import RecordRefused, RecordUnknown

__all__ = [
    "RecordRefused",
    "RecordUnknown",
    "SessionRecord",
    "authentic_one",
    "decode",
    "encode",
    "record_name",
    "stood",
]

DURABLE: Final = 1
EPHEMERAL: Final = 2

_LABEL: Final = b"sealyard/v1/record/session\x00"
_FORM: Final = struct.Struct(f">BQQQQH{SID_BYTES}s")
_BYTES: Final = {DURABLE: _FORM.size, EPHEMERAL: _FORM.size + WRAPPED_BYTES}


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as all processes know it. Times and `epoch` are milliseconds since 1970.

    `epoch` grows with every new session of a scope; `soft_end` is when sealing stops, `hard_end`
    when an ephemeral reader stops too. Only ephemeral sessions have a `wrapped` key.
    """

    epoch: int
    created: int
    soft_end: int
    hard_end: int
    kek_number: int
    sid: bytes
    wrapped: bytes = b""

    @property
    def key_id(self) -> str:
        """The session id as text."""
        return base64url.encode(self.sid).decode()

    def identity(self, name: str) -> bytes:
        """Return what the wrapped key of an ephemeral session is bound to: name and all values."""
        return authentic.identity(self._values(EPHEMERAL), _LABEL, name)

    def encode(self) -> bytes:
        """Return all values, in the version that has them."""
        return self._values(EPHEMERAL if self.wrapped else DURABLE) + self.wrapped

    def _values(self, version: int) -> bytes:
        times = self.epoch, self.created, self.soft_end, self.hard_end
        return _FORM.pack(version, *times, self.kek_number, self.sid)


def record_name(name_key: NameKey, scope: Scope) -> str:
    """Return the name of a scope's records: 22 characters that tell nothing."""
    return base64url.encode(derivation.record_name(name_key, scope)).decode()


def encode(record: SessionRecord, name: str, key: RecordKey) -> bytes:
    """Return the record's bytes for the conversation `name`."""
    return authentic.sign(record.encode(), _LABEL, name, key)


def authentic_one(data: bytes | None, name: str, key: RecordKey) -> bool:
    """Whether there is a record and a holder of the keyring wrote it, in whatever version."""
    try:
        return data is not None and bool(decode(data, name, key).sid)
    except RecordUnknown:
        return True
    except RecordRefused:
        return False


def stood(key_id: str, data: bytes, name: str, key: RecordKey) -> bool:
    """Whether a record is that of the session, with a key, under whose id it stood."""
    try:
        record = decode(data, name, key)
    except RecordRefused:
        return False
    return record.key_id == key_id and bool(record.wrapped)


def decode(data: bytes, name: str, key: RecordKey) -> SessionRecord:
    """Return the record that stood under `name`; raise RecordRefused unless it was made for it."""
    values = authentic.verified(data, _LABEL, name, key)
    if not values or _BYTES.get(values[0]) != len(values):
        raise RecordUnknown("record-version")
    _, epoch, created, soft_end, hard_end, kek_number, sid = _FORM.unpack_from(values)
    wrapped = values[_FORM.size :]
    return SessionRecord(epoch, created, soft_end, hard_end, kek_number, sid, wrapped)
