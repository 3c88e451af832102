"""Session records: what the store holds of a session, authenticated over its name and all values.

Form: u8 version ‖ u64be epoch, created, soft end, hard end (each in milliseconds since 1970) ‖
u16be KEK number ‖ sid:12 ‖ HMAC:32. In version 2, which ephemeral sessions have, the wrapped key
(60 bytes) stands before the HMAC. A durable session key is derived, so no record holds it.
"""

from __future__ import annotations

import hmac
import struct
import time
from dataclasses import dataclass
from typing import Final

from ...core.crypto import base64url, derivation
from ...core.crypto.aead import WRAPPED_BYTES
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.secret import RecordKey

TAG_BYTES: Final = 32


class RecordRefused(Exception):
    """A record that no holder of the keyring wrote, or not under this name. `str` is a reason."""


class RecordUnknown(RecordRefused):
    """An authentic record in a form of another version: it is not used, and not overwritten."""


def identity(values: bytes, label: bytes, name: str) -> bytes:
    """Return what makes a record this one: kind, name and values, each unmistakable."""
    place = name.encode()
    return label + len(place).to_bytes(2) + place + values


def sign(values: bytes, label: bytes, name: str, key: RecordKey) -> bytes:
    """Return the record of `values`."""
    return values + derivation.record_tag(key, identity(values, label, name))


def verified(record: bytes, label: bytes, name: str, key: RecordKey) -> bytes:
    """Return the values of a record; raise RecordRefused unless it was signed for all of these."""
    return matched(record, label, name, key)[0]


def matched(record: bytes, label: bytes, name: str, key: RecordKey) -> tuple[bytes, RecordKey]:
    """Do as `verified`, and return the key that signed it, too: this one, or one beside it."""
    values, tag = record[:-TAG_BYTES], record[-TAG_BYTES:]
    signed = identity(values, label, name)
    if hmac.compare_digest(tag, derivation.record_tag(key, signed)):
        return values, key
    for other, until in key.also:
        if time.time() < until and hmac.compare_digest(tag, derivation.record_tag(other, signed)):
            return values, other
    raise RecordRefused("record-forged")


DURABLE: Final = 1
EPHEMERAL: Final = 2

_SESSION_LABEL: Final = b"sealyard/v1/record/session\x00"
_SESSION_FORM: Final = struct.Struct(f">BQQQQH{SID_BYTES}s")
_BYTES: Final = {DURABLE: _SESSION_FORM.size, EPHEMERAL: _SESSION_FORM.size + WRAPPED_BYTES}


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
        return identity(self._values(EPHEMERAL), _SESSION_LABEL, name)

    def encode(self) -> bytes:
        """Return all values, in the version that has them."""
        return self._values(EPHEMERAL if self.wrapped else DURABLE) + self.wrapped

    def _values(self, version: int) -> bytes:
        times = self.epoch, self.created, self.soft_end, self.hard_end
        return _SESSION_FORM.pack(version, *times, self.kek_number, self.sid)


def encode_session(record: SessionRecord, name: str, key: RecordKey) -> bytes:
    """Return the record's bytes for the conversation `name`."""
    return sign(record.encode(), _SESSION_LABEL, name, key)


def authentic_one(data: bytes | None, name: str, key: RecordKey) -> bool:
    """Whether there is a record and a holder of the keyring wrote it, in whatever version."""
    try:
        return data is not None and bool(decode_session(data, name, key).sid)
    except RecordUnknown:
        return True
    except RecordRefused:
        return False


def stood(key_id: str, data: bytes, name: str, key: RecordKey) -> bool:
    """Whether a record is that of the session, with a key, under whose id it was found."""
    try:
        record = decode_session(data, name, key)
    except RecordRefused:
        return False
    return record.key_id == key_id and bool(record.wrapped)


def decode_session(data: bytes, name: str, key: RecordKey) -> SessionRecord:
    """Return the record found under `name`; raise RecordRefused unless it was made for it."""
    values = verified(data, _SESSION_LABEL, name, key)
    if not values or _BYTES.get(values[0]) != len(values):
        raise RecordUnknown("record-version")
    _, epoch, created, soft_end, hard_end, kek_number, sid = _SESSION_FORM.unpack_from(values)
    wrapped = values[_SESSION_FORM.size :]
    return SessionRecord(epoch, created, soft_end, hard_end, kek_number, sid, wrapped)


VERSION: Final = 1

_REVOCATION_LABEL: Final = b"sealyard/v1/record/revocation\x00"
_REVOCATION_FORM: Final = struct.Struct(">BQ")


def encode_revocation(not_before: int, name: str, key: RecordKey) -> bytes:
    """Return the record that revokes all sessions of `name` that began before `not_before`."""
    return sign(_REVOCATION_FORM.pack(VERSION, not_before), _REVOCATION_LABEL, name, key)


def decode_revocation(data: bytes, name: str, key: RecordKey) -> int:
    """Return since when sessions count; raise RecordRefused unless the record is authentic."""
    values = verified(data, _REVOCATION_LABEL, name, key)
    if len(values) != _REVOCATION_FORM.size or values[0] != VERSION:
        raise RecordUnknown("record-version")
    not_before: int = _REVOCATION_FORM.unpack(values)[1]
    return not_before


def revokes(data: bytes, name: str, key: RecordKey) -> bool:
    """Whether a holder of the keyring wrote this revocation of `name`, in whatever version."""
    try:
        return bool(verified(data, _REVOCATION_LABEL, name, key))
    except RecordRefused:
        return False
