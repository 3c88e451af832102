"""Commands that work on the store which running processes share."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from ..config.settings import KeySettings
from ..keys.keyring.file import open_keyring
from ..keys.sessions.sessions import Sessions, SessionSettings
from ..keys.stores import open_store
from .keyring_place import Place

_PATIENCE_SECONDS: Final = 2.0
"""A command may wait longer than a message."""


@dataclass(frozen=True, slots=True)
class AtStore:
    """Sessions over the configured store, and the reasons for which it failed so far."""

    sessions: Sessions
    notices: list[str]

    @property
    def reason(self) -> str:
        """Why the store did not do as it was asked."""
        return ", ".join(dict.fromkeys(self.notices)) or "store-failed"


@asynccontextmanager
async def at_store(place: Place, keys: KeySettings) -> AsyncIterator[AtStore]:
    """Return sessions with the place's keyring; the store is closed in the end.

    Raises KeyringError or UnfitEnvironment where the keyring or the store's files cannot be used.
    """
    notices: list[str] = []
    store = open_store(
        keys.store, time.monotonic, redis=keys.redis, environ=os.environ, wall=time.time
    )
    try:
        sessions = Sessions(
            open_keyring(place.path, place.root),
            store,
            replace(SessionSettings.of(keys), store_timeout=_PATIENCE_SECONDS),
            clock=time.time,
            random=os.urandom,
            notice=notices.append,
            mode=keys.mode,
        )
        yield AtStore(sessions, notices)
    finally:
        await store.close()
