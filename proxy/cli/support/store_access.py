"""Where commands do verbs: at the store that running processes share."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ...config.settings import KeySettings
from ...keys.end_to_end.package_store import PackageStore
from ...keys.fleet.command_lease import CommandLease
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import Roots
from ...keys.operations.keyring_revocations import KeyringRevocations
from ...keys.operations.values import ValueOperations
from ...keys.operations.verb import At
from ...keys.participants import private_key
from ...keys.participants.pins import PinBook
from ...keys.participants.private_key import Opener
from ...keys.participants.public_key import Kind, PublicKey
from ...keys.participants.registry import Participants
from ...keys.policy import OPERATOR_SECONDS
from ...keys.sessions import ledger
from ...keys.sessions.ledger import FenceLedger
from ...keys.sessions.pending_revocations import PendingRevocations, files
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import open_store
from .keyring_options import KeyringPlace


@dataclass(frozen=True, slots=True)
class AtStore:
    """Sessions in the configured store, and the reasons for its failures so far."""

    sessions: Sessions
    notices: list[str]

    @property
    def reason(self) -> str:
        """Why the store failed."""
        return ", ".join(dict.fromkeys(self.notices)) or "store-failed"

    def here(self, place: KeyringPlace, keys: KeySettings) -> At:
        """Return where verbs act: this process, and the audit log of `place`."""
        held = self.sessions

        async def write_down(event: str, **values: str | int) -> None:
            place.write_down(held.keyring, event, **values)

        async def participants() -> tuple[Participants, PinBook]:
            pins = PinBook(held.store, held.keyring, keys.pins.listed)
            return Participants(held.store, held.keyring), pins

        async def make(kind: Kind, opener: Opener) -> tuple[PublicKey, str]:
            return private_key.generate(kind, opener)

        return At(
            held,
            keys,
            write_down=write_down,
            keep=KeyringRevocations(
                place.path, place.roots, place.audit, lambda: held.keyring.id
            ).revoke,
            pending=PendingRevocations(held, files(place.path, place.audit.path)),
            participants=participants,
            packages=PackageStore(held, clock=time.time, notice=self.notices.append),
            make=make,
            values=lambda: ValueOperations(held),
            clock=time.time,
            ledger=FenceLedger(held, ledger.files(place.path, place.audit.path), clock=time.time),
        )


class KeyringAt(NamedTuple):
    """A keyring that is only read: its file and the roots that may open it."""

    path: Path
    roots: Roots


@asynccontextmanager
async def at_store(place: KeyringPlace | KeyringAt, keys: KeySettings) -> AsyncIterator[AtStore]:
    """Yield sessions with the keyring of `place`; close the store afterwards.

    Raises KeyringError or UnfitEnvironment if the keyring or the store's files cannot be used.
    """
    notices: list[str] = []
    store = open_store(keys.store.address, options=keys.store.options, environ=os.environ)
    try:
        sessions = Sessions(
            open_keyring(place.path, place.roots),
            store,
            replace(SessionSettings.of(keys), store_timeout=OPERATOR_SECONDS),
            clock=time.time,
            random=os.urandom,
            notice=notices.append,
            mode=keys.sessions.mode,
        )
        yield AtStore(sessions, notices)
    finally:
        await store.close()


def lease_for(place: KeyringPlace, keyring: Keyring) -> Callable[[], CommandLease] | None:
    """Return what makes the lease under which a process of a command seals with a keyring.

    None where the configuration names no store that processes share, or there is none.
    """
    keys = place.shared()
    if keys is None:
        return None
    opens = partial(open_store, keys.store.address, options=keys.store.options, environ=os.environ)
    return partial(
        CommandLease, keyring, opens, without_store=keys.sessions.without_store == "seal"
    )
