"""Authentic records: values and an HMAC over their kind, their conversation's name and themselves.

Each kind has a label of its own, so that no record stands for one of another kind; the name is
covered, so that no record stands for another conversation.
"""

from __future__ import annotations

import hmac
from typing import Final

from ...core.crypto import derivation
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
    values, tag = record[:-TAG_BYTES], record[-TAG_BYTES:]
    expected = derivation.record_tag(key, identity(values, label, name))
    if not hmac.compare_digest(tag, expected):
        raise RecordRefused("record-forged")
    return values
