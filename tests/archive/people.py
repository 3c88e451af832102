"""One process of a fleet with the archive's keyring, and the participants whose keys it holds."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.config.settings import PinSettings
from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Parties, Scope
from proxy.core.crypto.joined_names import some_from_json
from proxy.core.errors import OpenFailed
from proxy.core.values.key_needs import KeysInUse, Needs
from proxy.keys.end_to_end.key_source import EndToEnd
from proxy.keys.keyring.kek import RandomBytes
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.participants import participant, private_key
from proxy.keys.participants.participant import Participant, ParticipantKey
from proxy.keys.participants.registry import Participants
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.settings import SessionMode, SessionSettings
from proxy.keys.stores import Store
from tests.keys.participants.builders import a_private_jwk, a_public_key

WEEK: Final = 7 * 86_400
SETTINGS: Final = SessionSettings(ttl=3600, grace=86_400, store_timeout=5.0)

_HELD: Final = {
    "alice": ("alice-sig", "alice-enc"),
    "bob": ("bob-enc", "bob-x", "bob-xw", "bob-sig"),
    "eve": ("outsider-enc",),
}


@dataclass
class Silent:
    """Keeps what is reported."""

    events: list[str] = field(default_factory=list)

    def report(self, event: str, **_: object) -> None:
        """Keep the name of an event."""
        self.events.append(event)


@dataclass
class Process:
    """Sessions of both modes and end to end over one store; `now` is in seconds since 1970."""

    keyring: Keyring
    store: Store
    now: float
    random: RandomBytes = os.urandom
    durable: Sessions = field(init=False)
    ephemeral: Sessions = field(init=False)
    end_to_end: EndToEnd = field(init=False)
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire it as the sidecar does."""
        self.durable, self.ephemeral = self._sessions("durable"), self._sessions("ephemeral")
        self.end_to_end = EndToEnd(
            self.durable,
            SETTINGS,
            None,
            {},
            pins=PinSettings(),
            clock=self.clock,
            random=self.random,
            notice=self.notices.append,
            reporter=Silent(),
        )

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def _sessions(self, mode: SessionMode) -> Sessions:
        return Sessions(
            self.keyring,
            self.store,
            SETTINGS,
            clock=self.clock,
            random=self.random,
            notice=self.notices.append,
            mode=mode,
        )

    @property
    def people(self) -> Participants:
        """The participants in the store."""
        return Participants(self.durable.store, self.keyring)

    def sessions(self, mode: str) -> Sessions:
        """Return the sessions of a mode."""
        return self.ephemeral if mode == "ephemeral" else self.durable

    async def seal(self, mode: str, context: Context, plaintext: bytes, **how: Any) -> str:  # noqa: ANN401 - as Session.seal takes them
        """Return a token of a text under the session that the store has for its scope."""
        found = await self.sessions(mode).resolve(Needs({context.scope: 1}))
        return found.sealing[context.scope].seal(plaintext, context, **how).decode()

    async def seal_for(
        self, context: Context, sender: str, recipients: tuple[str, ...], plaintext: bytes
    ) -> str:
        """Return a token that is end to end; its key package is put into the store."""
        scope = context.scope._replace(parties=Parties(sender, tuple(sorted(recipients))))
        found = await self.end_to_end.resolve(Needs({scope: 1}))
        return found.sealing[scope].seal(plaintext, context._replace(scope=scope)).decode()

    async def open(
        self, mode: str, context: Context, text: str, reader: str | None = None
    ) -> bytes:
        """Return what a token holds; raise OpenFailed, with the true reason, where it cannot."""
        sealed = token.decode(text.encode())
        keys: Sessions | EndToEnd = self.sessions(mode)
        if reader is not None:
            scope = context.scope._replace(parties=Parties(reader=reader))
            context, keys = context._replace(scope=scope), self.end_to_end
        place = context.scope, sealed.key_id
        found = await keys.resolve(Needs({}, frozenset({place})))
        return KeysInUse(found).open(sealed, context, self.now)[1]

    async def reason(
        self, mode: str, context: Context, text: str, reader: str | None = None
    ) -> str:
        """Return why a token does not open; an empty text where it does."""
        try:
            await self.open(mode, context, text, reader)
        except OpenFailed as failed:
            return failed.reason
        return ""


async def enrol(process: Process) -> None:
    """Give alice, bob and eve their keys, one of each kind among them, and bob a prekey."""
    opener, created = private_key.keyring_opener(process.keyring), int(process.now) - 100
    for who, names in _HELD.items():
        for name in names:
            _, sealed = private_key.seal(a_private_jwk(name), opener)
            key = ParticipantKey(a_public_key(name), "phone", created, private=sealed)
            await process.people.change(who, lambda one, key=key: one.add(key))  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
    signed = _a_prekey(process, "bob-sig", "laptop")
    await process.people.change("bob", lambda one: one.add_prekey(signed, grace=WEEK))
    await process.people.change("eve", _loses_a_key(created))


def _a_prekey(process: Process, signer: str, device: str) -> ParticipantKey:
    public, sealed = private_key.generate("X25519", private_key.keyring_opener(process.keyring))
    now = int(process.now)
    said = participant.sign_prekey(
        public,
        device=device,
        expires=now + WEEK,
        private=a_private_jwk(signer),
        signer=a_public_key(signer),
    )
    return ParticipantKey(
        public, device, now, private=sealed, expires=now + WEEK, prekey=said, lingers=WEEK
    )


def _loses_a_key(now: int) -> Any:  # noqa: ANN401 - a Change
    def change(one: Participant) -> Participant:
        lost = ParticipantKey(a_public_key("outsider-sig"), "tablet", now)
        return one.add(lost).revoke(lost.public.kid, "tablet lost", now + 10)

    return change


def drawn(seed: str) -> RandomBytes:
    """Return what stands for randomness where an archive is made: other bytes at each call."""
    calls = itertools.count()
    return lambda size: hashlib.shake_256(f"{seed} {next(calls)}".encode()).digest(size)


def context_of(said: Mapping[str, Any]) -> Context:
    """Return the context whose parts JSON names."""
    names = {part: some_from_json(name) for part, name in said.items()}
    scope = Scope(names.get("tenant"), names.get("conversation"))
    rest: list[Any] = [names.get(name) for name in ("field", "message", "purpose", "kind")]
    return Context(scope, *rest)
