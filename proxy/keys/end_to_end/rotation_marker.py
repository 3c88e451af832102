"""Rotation markers: records in the store that make every process begin a new end-to-end key.

Keys that seal end to end belong to the processes that made them, so their records cannot be
replaced by others. Each process reads the marker when it looks up the participants anyway, and
begins a new key if the marker changed since the old key began. That also reaches processes without
notifications: over SQLite, or when a publication was lost.
"""

from __future__ import annotations

import secrets
from typing import Final

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeyUnavailable
from ..keyring.name_keys import packages_name
from ..policy import MARKER_MARGIN_MS, RECORD_TRIES
from ..sessions.sessions import Sessions
from ..sessions.settings import MAX_AGE_SECONDS
from ..stores import HeldRecords, StoreFailed, records
from ..stores.records import RecordRefused, RecordUnknown
from .package_records import ROTATION_MARKER

_VERSION: Final = 1
_LABEL: Final = b"sealyard/v1/record/turn\x00"
_EPOCH_BYTES: Final = 8
_RANDOM_BYTES: Final = 16
_VALUE_BYTES: Final = 1 + _EPOCH_BYTES + _RANDOM_BYTES
# No key outlives it: a key that began before the marker has ended when the marker ends.
_KEEP_MS: Final = int(MAX_AGE_SECONDS * 1000) + MARKER_MARGIN_MS


async def put(sessions: Sessions, scope: Scope) -> bool:
    """Make every process begin new keys in a conversation; return whether the store has it."""
    if not sessions.store.shared:
        return True
    names = (one.packages for one in sessions.keyring.places_of(scope) if not one.adopted)
    # Those whose keyring has another name key in use read it there.
    return all([await _put(sessions, name) for name in names])


async def _put(sessions: Sessions, name: str) -> bool:
    key = sessions.keyring.record_key
    try:
        before = await _held(sessions, name)
        for _ in range(RECORD_TRIES):
            # Above the stored one, whatever the clock of its writer.
            epoch = max(_epoch(before, name, sessions) + 1, int(sessions.now() * 1000))
            values = bytes([_VERSION]) + epoch.to_bytes(_EPOCH_BYTES)
            values += secrets.token_bytes(_RANDOM_BYTES)
            record = records.sign(values, _LABEL, name, key)
            seen = None if before is None else before.record
            before = await sessions.store.keep(name, ROTATION_MARKER, record, _KEEP_MS, seen=seen)
            if before.record == record:
                return True
    except (StoreFailed, RecordUnknown):
        pass
    return False


async def last(sessions: Sessions, scope: Scope) -> str:
    """Return the marker of a conversation, empty where there is none.

    Raises KeyUnavailable where the store does not answer, or another version wrote it.
    """
    if not sessions.store.shared:
        return ""
    name = packages_name(sessions.keyring.name_key, scope)
    try:
        held = await _held(sessions, name)
        values = None if held is None else _values(held, name, sessions)
    except StoreFailed:
        raise KeyUnavailable("store-unavailable") from None
    except RecordUnknown as unknown:
        raise KeyUnavailable(str(unknown)) from None
    return "" if values is None else base64url.encode(values).decode()


async def _held(sessions: Sessions, name: str) -> HeldRecords | None:
    found = await sessions.store.find(name, [ROTATION_MARKER], fence=True)
    if found.fence is not None:
        sessions.fences.learn(name, found.fence)
    return found.keys[0]


def _epoch(held: HeldRecords | None, name: str, sessions: Sessions) -> int:
    values = None if held is None else _values(held, name, sessions)
    return 0 if values is None else int.from_bytes(values[1 : 1 + _EPOCH_BYTES])


def _values(held: HeldRecords, name: str, sessions: Sessions) -> bytes | None:
    """Return the value of an authentic marker; None for a forged one."""
    try:
        values = records.verified(held.record, _LABEL, name, sessions.keyring.record_key)
    except RecordRefused:
        return None
    if len(values) != _VALUE_BYTES or values[0] != _VERSION:
        raise RecordUnknown("record-version")
    return values
