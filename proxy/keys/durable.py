"""Durable sessions: derived from a KEK, the session id and the scope, so no store holds them."""

from __future__ import annotations

from ..core import derivation
from ..core.context import Scope
from ..core.session import Session
from .keyring import KekEntry


def durable_session(entry: KekEntry, sid: bytes, scope: Scope) -> Session:
    """Return the session `sid` (12 bytes) of `scope` under a KEK."""
    key = derivation.session_key(entry.key, sid, scope)
    return Session(key, sid=sid, scope=scope, kek_id=entry.id, kek_number=entry.number)
