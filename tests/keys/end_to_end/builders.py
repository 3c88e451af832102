"""A small fleet for tests: processes that share a store, and participants with fixed keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from proxy.config.settings import IdentitySettings, PinSettings
from proxy.core.crypto.context import Context, Parties, Scope
from proxy.core.crypto.joined_names import Name
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Token, decode
from proxy.core.values.key_needs import Needs
from proxy.keys.end_to_end.key_source import EndToEnd
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.participants import private_key
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.participants.registry import Participants
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.settings import SessionSettings
from proxy.keys.stores import Store
from tests.factories import Ear
from tests.keys.builders import SharedStore, Time, a_keyring, some_bytes
from tests.keys.participants.builders import a_private_jwk, a_public_key

KEYRING: Final = a_keyring()
FIELD: Final = "content"
TTL: Final = 600
GRACE: Final = 1200
MAX_AGE: Final = 30


@lru_cache
def kept(name: str) -> str:
    """Return the private key of that name as it is kept under the keyring."""
    return private_key.seal(a_private_jwk(name), private_key.keyring_opener(KEYRING))[1]


def a_held_key(
    name: str,
    *,
    device: str = "phone",
    private: bool = True,
    **more: Any,  # noqa: ANN401 - values of any field
) -> ParticipantKey:
    """Return a participant's key with its private side under the keyring."""
    created = more.pop("created", int(Time().now) - 100)
    sealed = kept(name) if private else ""
    return ParticipantKey(a_public_key(name), device, created, private=sealed, **more)


class Reports(Ear):
    """Keeps what is reported."""

    def causes(self) -> list[object]:
        """Return why packages were issued."""
        return [fields["cause"] for fields in self.all("package.issued")]


@dataclass
class Process:
    """One process of the fleet."""

    store: Store
    time: Time
    identities: tuple[IdentitySettings, ...] | None = None
    pins: PinSettings = field(default_factory=PinSettings)
    keyring: Keyring = KEYRING
    max_messages: int = 1 << 22
    environ: dict[str, str] = field(default_factory=dict)
    reports: Reports = field(default_factory=Reports)
    notices: list[str] = field(default_factory=list)
    sessions: Sessions = field(init=False)
    keys: EndToEnd = field(init=False)

    def __post_init__(self) -> None:
        """Wire it as the sidecar does."""
        settings = SessionSettings(
            ttl=TTL,
            grace=GRACE,
            revocation_max_age=MAX_AGE,
            max_messages=self.max_messages,
            store_timeout=5.0,
        )
        common: dict[str, Any] = {"random": some_bytes, "notice": self.notices.append}
        self.sessions = Sessions(self.keyring, self.store, settings, clock=self.time, **common)
        self.keys = EndToEnd(
            self.sessions,
            settings,
            self.identities,
            self.environ,
            pins=self.pins,
            clock=self.sessions.now,
            reporter=self.reports,
            **common,
        )

    async def open(self) -> Process:
        """Begin to hear."""
        await self.sessions.open(self.keys.changed)
        return self

    @property
    def people(self) -> Participants:
        """The participants."""
        return Participants(self.sessions.store, self.keyring)

    async def add(self, participant: str, *keys: ParticipantKey) -> None:
        """Give a participant keys."""
        for key in keys:
            await self.people.change(participant, lambda one, key=key: one.add(key))  # type: ignore[misc]  # mypy cannot infer lambdas with defaults

    async def revoke(self, participant: str, name: str) -> None:
        """Revoke a key."""
        kid, now = a_public_key(name).kid, int(self.time.now)
        await self.people.change(participant, lambda one: one.revoke(kid, "phone lost", now))

    async def session(
        self, sender: str, recipients: Iterable[str], conversation: Name | None = "c1"
    ) -> Session:
        """Return the session that seals for some recipients."""
        scope = sealing(sender, recipients, conversation)
        return (await self.keys.resolve(Needs({scope: 1}))).sealing[scope]

    async def seal(
        self, text: bytes, sender: str, recipients: Iterable[str], conversation: Name | None = "c1"
    ) -> bytes:
        """Return a token of a text."""
        session = await self.session(sender, recipients, conversation)
        return session.seal(text, context(Scope("clinic", conversation)))

    async def open_for(self, reader: str, sealed: bytes, conversation: Name | None = "c1") -> bytes:
        """Return what a token holds; raise OpenFailed, with the true reason, where it does not."""
        token = decode(sealed)
        scope = reading(reader, conversation)
        keys = await self.keys.resolve(needs_of(scope, token))
        place = scope, token.key_id
        session = keys.opening.get(place) or keys.decoys[place]
        return session.open(token, context(scope), self.time.now, refusal=keys.refusals[place])


def sealing(sender: str, recipients: Iterable[str], conversation: Name | None = "c1") -> Scope:
    """Return the scope of what a sender seals."""
    return Scope("clinic", conversation, Parties(sender, tuple(sorted(recipients))))


def reading(reader: str, conversation: Name | None = "c1") -> Scope:
    """Return the scope of what a reader opens."""
    return Scope("clinic", conversation, Parties(reader=reader))


def context(scope: Scope) -> Context:
    """Return the context of the one field."""
    return Context(scope, field=FIELD)


def needs_of(scope: Scope, *tokens: Token) -> Needs:
    """Return the need to open tokens."""
    return Needs({}, frozenset((scope, token.key_id) for token in tokens))


async def a_fleet(*, processes: int = 1, store: Store | None = None) -> tuple[Process, ...]:
    """Return processes of one store, in which alice signs, and she, bob and an outsider read."""
    time = Time()
    store = store or SharedStore(lambda: time.now)
    fleet = tuple([await Process(store, time).open() for _ in range(processes)])
    await fleet[0].add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await fleet[0].add("bob", a_held_key("bob-enc"))
    await fleet[0].add("eve", a_held_key("outsider-enc"), a_held_key("outsider-sig"))
    return fleet
