"""Sessions and participants in the store that running processes share."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from ...config.settings import KeySettings, SecretReference
from ...core.errors import ParticipantError
from ...keys.keyring.file import open_keyring
from ...keys.keyring.roots import PassphraseRoot, Roots
from ...keys.participants import private_key, public_key
from ...keys.participants.calls import Use
from ...keys.participants.participant import Participant, ParticipantKey, sign_prekey
from ...keys.participants.pins import PinBook, Pins
from ...keys.participants.private_key import Opener
from ...keys.participants.public_key import Kind
from ...keys.participants.registry import Change, Participants
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import open_store
from . import console
from .console import parse_time
from .keyring_options import KeyringPlace

_PATIENCE_SECONDS: Final = 2.0
"""A command may wait longer than a message does."""


@dataclass(frozen=True, slots=True)
class AtStore:
    """Sessions in the configured store, and the reasons for its failures so far."""

    sessions: Sessions
    notices: list[str]

    @property
    def reason(self) -> str:
        """Why the store failed."""
        return ", ".join(dict.fromkeys(self.notices)) or "store-failed"


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
    store = open_store(
        keys.store.address,
        time.monotonic,
        options=keys.store.options,
        environ=os.environ,
        wall=time.time,
    )
    try:
        sessions = Sessions(
            open_keyring(place.path, place.roots),
            store,
            replace(SessionSettings.of(keys), store_timeout=_PATIENCE_SECONDS),
            clock=time.time,
            random=os.urandom,
            notice=notices.append,
            mode=keys.sessions.mode,
        )
        yield AtStore(sessions, notices)
    finally:
        await store.close()


_NO_STORE: Final = "keys.store is memory, which ends with its process; use sqlite: or redis:"
_JWK_BYTES: Final = 8192


def new_key(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    *,
    device: str,
    use: Use,
    x25519: bool,
    x_wing: bool,
    ps256: bool,
    jwk: Path | None,
    expires: str | None,
    under: str,
    private_passphrase_env: str,
    private_passphrase_file: Path | None,
) -> ParticipantKey:
    """Return the key that a command's options describe: generated here, or read from a file.

    An RSA key pair takes seconds. Raises ParticipantError for a key that does not fit.
    """
    ends = 0 if expires is None else parse_time(expires)
    if jwk is not None:
        return ParticipantKey(_public_key(jwk, use), device, int(time.time()), expires=ends)
    opener = opener_of(place, under, private_passphrase_env, private_passphrase_file)
    public, sealed = private_key.generate(
        _kind(use, x25519=x25519, x_wing=x_wing, ps256=ps256), opener
    )
    return ParticipantKey(public, device, int(time.time()), private=sealed, expires=ends)


def opener_of(place: KeyringPlace, under: str, env: str, file: Path | None) -> Opener:
    """Return what private keys are encrypted under: the keyring, or a passphrase."""
    if under == "keyring":
        keyring = open_keyring(place.path, place.roots)
        return private_key.keyring_opener(keyring)
    reference = SecretReference(file=file, env=None if file else env)
    return PassphraseRoot(reference, os.environ).fetch()


def new_prekey(  # noqa: PLR0913 - each is one option
    place: KeyringPlace, participant: str, *, device: str, ttl: int, grace: int, opener: Opener
) -> ParticipantKey:
    """Return a new prekey, signed by the participant's active signing key.

    Raises ParticipantError if there is no such key or `opener` does not open it.
    """
    now = int(time.time())
    signing = [
        one
        for one in find(place, participant).keys
        if one.public.use == "sig" and one.seals(now) and one.private
    ]
    if not signing:
        raise ParticipantError(
            "the participant has no active signing key here: add one with --use sig"
        )
    signer = signing[-1]
    private = private_key.unseal(signer.private, opener, signer.public)
    public, sealed = private_key.generate("X25519", opener)
    expires = now + ttl
    signed = sign_prekey(
        public, device=device, expires=expires, private=private, signer=signer.public
    )
    return ParticipantKey(
        public, device, now, private=sealed, expires=expires, prekey=signed, lingers=grace
    )


def find(place: KeyringPlace, participant: str) -> Participant:
    """Return the participant; raise ParticipantError if the store fails."""
    return look(place, participant)[0]


def look(place: KeyringPlace, participant: str) -> tuple[Participant, Pins]:
    """Return the participant and which keys are accepted; raise as `find` does."""

    async def work() -> tuple[Participant, Pins]:
        async with _participants(place) as held:
            found = await held.find(participant)
            return found, await _book(place, held).find(held.name(participant))

    return asyncio.run(work())


def accept(place: KeyringPlace, participant: str, kid: str) -> None:
    """Accept a key of the participant; the audit log records it first.

    Raises ParticipantError, with nothing changed and nothing recorded, for a key that cannot be.
    """

    async def work() -> None:
        async with _participants(place) as held:
            key, name = (await held.find(participant)).find(kid), held.name(participant)
            book = _book(place, held)
            book.require_acceptable(name, key, time.time())
            _record(place, held, "participants.accept", participant, kid)
            await book.accept(name, key)

    asyncio.run(work())


def change(place: KeyringPlace, event: str, participant: str, kid: str, how: Change) -> Participant:
    """Make a change and return the participant; the audit log records it first.

    Raises ParticipantError, with nothing changed and nothing recorded, if it is refused.
    """

    async def work() -> Participant:
        async with _participants(place) as held:
            how(await held.find(participant))  # a refused change is not recorded
            _record(place, held, event, participant, kid)
            return await held.change(participant, how)

    return asyncio.run(work())


def hand_out(place: KeyringPlace, participant: str, kid: str) -> str:
    """Return the encrypted private key; the audit log records it first."""

    async def work() -> str:
        async with _participants(place) as held:
            sealed = (await held.find(participant)).find(kid).private
            if not sealed:
                raise console.Failure(
                    "only the public part of this key is stored here", console.NEGATIVE
                )
            _record(place, held, "participants.private", participant, kid)
            return sealed

    return asyncio.run(work())


def _record(
    place: KeyringPlace, held: Participants, event: str, participant: str, kid: str
) -> None:
    name = held.name(participant)
    place.write_down(held.keyring, event, participant=name, kid=kid)


def _book(place: KeyringPlace, held: Participants) -> PinBook:
    return PinBook(held.store, held.keyring, place.keys().pins.listed)


def _kind(use: Use, *, x25519: bool, x_wing: bool, ps256: bool) -> Kind:
    if x25519 and x_wing:
        raise ParticipantError("give --x25519 or --x-wing, not both: X-Wing includes X25519")
    if use == "sig":
        if x25519 or x_wing:
            raise ParticipantError("X25519 and X-Wing cannot sign: omit --x25519 and --x-wing")
        return "RSA-PSS" if ps256 else "Ed25519"
    if ps256:
        raise ParticipantError("PS256 is for signing: give --use sig")
    if x_wing:
        return "X-Wing"
    return "X25519" if x25519 else "RSA"


def _public_key(file: Path, use: Use) -> public_key.PublicKey:
    with file.open("rb") as opened:
        text = opened.read(_JWK_BYTES + 1)
    if len(text) > _JWK_BYTES:
        raise ParticipantError(f"{file}: longer than {_JWK_BYTES} bytes")
    key = public_key.parse(text, use)
    if key.use != use:
        raise ParticipantError(f"this key is for --use {key.use}")
    return key


@asynccontextmanager
async def _participants(place: KeyringPlace) -> AsyncIterator[Participants]:
    keys = place.keys()
    if keys.store.address == "memory":
        raise console.Failure(_NO_STORE, console.NEGATIVE)
    async with at_store(place, keys) as at:
        yield Participants(at.sessions.store, at.sessions.keyring)
