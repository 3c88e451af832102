"""What the tests of the keys share: builders of values, and collaborators that really work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from proxy.config.settings import SecretReference
from proxy.core.crypto.context import Context, Scope
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.kek import RandomBytes
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot, create_root_file
from proxy.keys.sessions.key_events import KeyEvents
from proxy.keys.sessions.sessions import SessionMode, Sessions, SessionSettings
from proxy.keys.stores import Changed, HeldRecords, MemoryStore, Offer, Store, StoreFailed, erased

NOW = 1_800_000_000
SCOPE = Scope("clinic", "c1")
CONTEXT = Context(SCOPE, field="content")

_counter = count(1)


def some_bytes(size: int) -> bytes:
    """Return bytes that no other call returns; keys of tests need be no better."""
    return next(_counter).to_bytes(4) * (size // 4)


def a_keyring(*more: str) -> Keyring:
    """Return a keyring with the primary KEK k1, and `more` that open."""
    keyring = create("k1", now=NOW, random=some_bytes)
    for kek_id in more:
        keyring = keyring.add(kek_id, now=NOW, random=some_bytes)
    return numbered(keyring)


def numbered(keyring: Keyring) -> Keyring:
    """Return the keyring with the KEK numbers 1, 2, 3 in place of those that were drawn."""
    keks = tuple(replace(kek, number=at) for at, kek in enumerate(keyring.keks, 1))
    return replace(keyring, keks=keks)


def a_root(folder: Path) -> FileRoot:
    """Return a root provider whose key stands in a new file of `folder`."""
    path = folder / f"root{next(_counter)}.key"
    create_root_file(path, random=some_bytes)
    return FileRoot(SecretReference(file=path))


def seal_need(scope: Scope = SCOPE, values: int = 1) -> Needs:
    """Return the need to seal that many values in a scope."""
    return Needs(seals={scope: values})


@dataclass
class Time:
    """A clock that goes on only when told to."""

    now: float = float(NOW)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class SharedStore(MemoryStore):
    """A memory store that several processes use, each of which must ask for what others did."""

    def __init__(self, clock: Callable[[], float], *, shared: bool = True) -> None:
        """Begin empty."""
        super().__init__(clock)
        self.shared = self.subscribed = shared
        self.listeners: list[Changed] = []

    async def open(self, changed: Changed) -> None:
        """Hear of every change."""
        self.listeners.append(changed)

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Do as memory does, and publish it."""
        held = await super().replace(offer, seen=seen)
        self._publish(offer.name)
        return held

    async def revoke(self, name: str, *record: Any, **seen: Any) -> bytes:  # noqa: ANN401 - passed on
        """Do as memory does, and publish it."""
        held = await super().revoke(name, *record, **seen)
        self._publish(name)
        return held

    async def note(
        self,
        name: str,
        *record: Any,  # noqa: ANN401 - passed on
        publish: bool = False,
        **seen: Any,  # noqa: ANN401 - passed on
    ) -> bytes | None:
        """Do as memory does, and publish it where that is asked for."""
        before = await super().note(name)
        held = await super().note(name, *record, **seen)
        if publish and held != before:
            self._publish(name)
        return held

    async def erase(self, name: str, *fence: Any, **seen: Any) -> dict[str, bytes]:  # noqa: ANN401 - passed on
        """Do as memory does, and publish it."""
        gone = await super().erase(name, *fence, **seen)
        self._publish(erased(name))
        return gone

    def _publish(self, name: str) -> None:
        for changed in self.listeners if self.shared else ():
            changed(name)


class HookedStore(SharedStore):
    """Awaits `before` ahead of each operation."""

    _OPERATIONS = frozenset(
        {"erase", "find", "get_or_create", "keep", "kept", "note", "replace", "revoke"}
    )

    async def before(self, operation: str) -> None:
        """Do what a test wants."""
        raise NotImplementedError

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as it is found
        """Return the attribute; an operation comes with what is before it."""
        found = super().__getattribute__(name)
        if name not in HookedStore._OPERATIONS:
            return found

        async def hooked(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on
            await self.before(name)
            return await found(*arguments, **more)

        return hooked


class CountingStore(HookedStore):
    """Counts what it is asked. Where sessions are agreed on, others come first."""

    def __init__(self, clock: Callable[[], float], *, shared: bool = False) -> None:
        """Begin empty."""
        super().__init__(clock, shared=shared)
        self.asked: list[str] = []

    async def before(self, operation: str) -> None:
        """Count it."""
        self.asked.append(operation)
        if operation in {"find", "get_or_create", "replace"}:
            await asyncio.sleep(0)


class BrokenStore(HookedStore):
    """Fails at once, or hangs."""

    def __init__(
        self,
        reason: str = "store-failed",
        *,
        hangs: bool = False,
        shared: bool = False,
        subscribed: bool = False,
    ) -> None:
        """Begin empty, as it stays."""
        super().__init__(Time())
        self.shared, self.subscribed, self.hangs, self.reason = shared, subscribed, hangs, reason
        self.asked = 0

    async def before(self, operation: str) -> None:
        """Fail or hang."""
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        raise StoreFailed(self.reason)


@dataclass
class World:
    """Sessions of one process, and what they were made of."""

    sessions: Sessions
    keyring: Keyring
    store: Store
    time: Time
    notices: list[str]
    mode: SessionMode = "durable"
    settings: SessionSettings = field(default_factory=SessionSettings)

    def another_process(self, keyring: Keyring | None = None, *, time: Time | None = None) -> World:
        """Return the world of another process with the same store, clock and keyring."""
        return a_world(
            keyring=keyring or self.keyring,
            store=self.store,
            time=time or self.time,
            mode=self.mode,
            settings=self.settings,
        )


def a_world(
    *,
    keyring: Keyring | None = None,
    store: Store | None = None,
    settings: SessionSettings | None = None,
    time: Time | None = None,
    mode: SessionMode = "durable",
    random: RandomBytes = some_bytes,
    key_events: KeyEvents | None = None,
) -> World:
    """Return sessions with a keyring, a memory store and a clock of their own."""
    time = time or Time()
    keyring = keyring or a_keyring()
    store = store or MemoryStore(time)
    notices: list[str] = []
    sessions = Sessions(
        keyring,
        store,
        settings := settings or SessionSettings(),
        clock=time,
        random=random,
        notice=notices.append,
        mode=mode,
        key_events=key_events,
    )
    return World(sessions, keyring, store, time, notices, mode, settings)
