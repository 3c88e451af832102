"""Processes of a fleet that seal under leases, as the sidecar wires them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.values.key_needs import Needs
from proxy.keys.fleet.fence_log import FenceEvent
from proxy.keys.fleet.lease import Lease
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.settings import SessionMode, SessionSettings
from proxy.keys.stores import Store, StoreFailed, erased
from tests.keys.builders import CONTEXT, SCOPE, a_keyring, seal_need

KEYRING = a_keyring()


class Line:
    """A store as one process reaches it: deaf to what is published, and cut off if a test says."""

    subscribed = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cut = False

    async def open(self, _: object) -> None: ...

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as it is
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def asked(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on
            if self.cut:
                raise StoreFailed
            return await found(*arguments, **more)

        return asked


@dataclass
class Member:
    """One process of a fleet, as the sidecar wires it."""

    store: Any
    without_store: bool = True
    mode: SessionMode = "durable"
    sessions: Sessions = field(init=False)
    lease: Lease = field(init=False)
    may_seal: bool = True
    keyring: Keyring = KEYRING
    heard: list[FenceEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = SessionSettings(store_timeout=20.0)
        self.sessions = Sessions(
            self.keyring,
            self.store,
            settings,
            clock=time.time,
            random=os.urandom,
            notice=lambda _: None,
            mode=self.mode,
        )
        self.lease = Lease(
            self.sessions.store.beside(),
            keyring=lambda: self.keyring,
            may_seal=lambda: self.may_seal,
            learn=self.learn,
            extend=lambda until: setattr(self.sessions, "sealing_until", until),
            clock=self.sessions.now,
            random=os.urandom,
            without_store=self.without_store,
        )
        self.sessions.lease, self.sessions.sealing_until = self.lease, 0.0

    async def learn(self, events: Sequence[FenceEvent | None]) -> None:
        self.heard += [one for one in events if one is not None]
        for one in events:
            if one is None:
                self.sessions.announce(None)
            elif one.kind == "revoked":
                session_control.know(self.sessions, one.name, one.value)
            elif one.kind == "erased":
                self.sessions.announce(erased(one.name))

    async def sealed(self, scope: Scope = SCOPE) -> bytes:
        need = seal_need(scope)
        keys = self.sessions.resolve_warm(need) or await self.sessions.resolve(need)
        return keys.sealing[scope].seal(b"hello", CONTEXT)

    async def opens(self, text: bytes) -> bool:
        need = SCOPE, decode(text).key_id
        return need in (await self.sessions.resolve(Needs({}, frozenset({need})))).opening

    @property
    def place(self) -> str:
        return self.lease._place


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    for one in members:
        await one.lease.renew()
        one.lease.start()
    try:
        yield
    finally:
        for one in members:
            await one.lease.close()


async def back(member: Member) -> None:
    """Let a process reach the store again, and wait until it does."""
    member.store.cut = False
    async with asyncio.timeout(10):
        while member.lease.away:
            await member.lease.renew()
            await asyncio.sleep(0.05)
