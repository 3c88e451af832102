"""The session key of an ephemeral session: in its record, wrapped, bound to all of the record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from ..core.crypto.aead import unwrap, wrap
from ..core.crypto.secret import Kek, SessionKey
from ..core.errors import OpenFailed
from .keyring import Keyring
from .stores.record import SessionRecord


def with_key(record: SessionRecord, name: str, kek: Kek, key: SessionKey) -> SessionRecord:
    """Return the record of the conversation `name` with its key, wrapped under `kek`."""
    return replace(record, wrapped=wrap(kek, key, record.sid, identity=record.identity(name)))


def key(record: SessionRecord, name: str, keyring: Keyring) -> SessionKey | None:
    """Return the record's session key; None where its KEK may not open, or did not wrap it."""
    for entry in keyring.candidates(number=record.kek_number):
        with suppress(OpenFailed):
            return unwrap(entry.key, record.wrapped, record.sid, identity=record.identity(name))
    return None
