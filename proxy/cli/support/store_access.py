"""Commands that work on the store which running processes share."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...config.settings import KeySettings, SecretReference
from ...core.errors import ParticipantError
from ...keys.keyring import file as keyring_file
from ...keys.keyring.file import open_keyring
from ...keys.keyring.roots import PassphraseRoot
from ...keys.participants import participant as prekey
from ...keys.participants import private_key, public_key
from ...keys.participants.participant import Participant, ParticipantKey
from ...keys.participants.pins import PinBook, Pins
from ...keys.participants.private_key import Opener
from ...keys.participants.public_key import Kind, Use
from ...keys.participants.registry import Change, Participants
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import open_store
from . import console
from .console import parse_time
from .keyring_options import KeyringPlace

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
async def at_store(place: KeyringPlace, keys: KeySettings) -> AsyncIterator[AtStore]:
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


_NO_STORE: Final = "keys.store is memory, which ends with its process: set sqlite: or redis:"
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
    """Return the key that a command's options describe: made here, or taken from a file.

    An RSA pair takes seconds. Raises ParticipantError for a key that does not fit.
    """
    ends = 0 if expires is None else parse_time(expires)
    if jwk is not None:
        return ParticipantKey(_taken(jwk, use), device, int(time.time()), expires=ends)
    opener = opener_of(place, under, private_passphrase_env, private_passphrase_file)
    public, sealed = private_key.generate(
        _kind(use, x25519=x25519, x_wing=x_wing, ps256=ps256), opener
    )
    return ParticipantKey(public, device, int(time.time()), private=sealed, expires=ends)


def opener_of(place: KeyringPlace, under: str, env: str, file: Path | None) -> Opener:
    """Return what private keys are encrypted under: the keyring's, or a passphrase."""
    if under == "keyring":
        keyring = keyring_file.open_keyring(place.path, place.root)
        return private_key.keyring_opener(keyring)
    reference = SecretReference(file=file, env=None if file else env)
    return PassphraseRoot(reference, os.environ).fetch()


def new_prekey(  # noqa: PLR0913 - each is one option
    place: KeyringPlace, participant: str, *, device: str, ttl: int, grace: int, opener: Opener
) -> ParticipantKey:
    """Return a new prekey, signed by the participant's active signing key.

    Raises ParticipantError where there is none, or `opener` does not open it.
    """
    now = int(time.time())
    signing = [
        one
        for one in find(place, participant).keys
        if one.public.use == "sig" and one.seals(now) and one.private
    ]
    if not signing:
        raise ParticipantError("the participant has no active signing key here: add one")
    signer = signing[-1]
    private = private_key.unseal(signer.private, opener, signer.public)
    public, sealed = private_key.generate("X25519", opener)
    expires = now + ttl
    signed = prekey.sign(
        public, device=device, expires=expires, private=private, signer=signer.public
    )
    return ParticipantKey(
        public, device, now, private=sealed, expires=expires, prekey=signed, lingers=grace
    )


def find(place: KeyringPlace, participant: str) -> Participant:
    """Return the participant; raise ParticipantError where the store cannot tell."""
    return look(place, participant)[0]


def look(place: KeyringPlace, participant: str) -> tuple[Participant, Pins]:
    """Return the participant and which keys are accepted; raise as `find` does."""

    async def work() -> tuple[Participant, Pins]:
        async with _participants(place) as held:
            found = await held.find(participant)
            return found, await _book(place, held).find(held.name(participant))

    return asyncio.run(work())


def accept(place: KeyringPlace, participant: str, kid: str) -> None:
    """Accept a key of the participant; it is written to the audit log first.

    Raises ParticipantError, with nothing changed and nothing written, for what cannot be.
    """

    async def work() -> None:
        async with _participants(place) as held:
            key, name = (await held.find(participant)).find(kid), held.name(participant)
            book = _book(place, held)
            book.require_acceptable(name, key, time.time())
            _write(place, held, "participants.accept", participant, kid)
            await book.accept(name, key)

    asyncio.run(work())


def change(place: KeyringPlace, event: str, participant: str, kid: str, how: Change) -> Participant:
    """Make a change and return the participant; it is written to the audit log before it stands.

    Raises ParticipantError, with nothing changed and nothing written, for what cannot be.
    """

    async def work() -> Participant:
        async with _participants(place) as held:
            how(await held.find(participant))  # what is refused is no event
            _write(place, held, event, participant, kid)
            return await held.change(participant, how)

    return asyncio.run(work())


def hand_out(place: KeyringPlace, participant: str, kid: str) -> str:
    """Return the encrypted private key, once it stands in the audit log that it was handed out."""

    async def work() -> str:
        async with _participants(place) as held:
            sealed = (await held.find(participant)).find(kid).private
            if not sealed:
                raise console.Failure("only the public part of that key is here", console.NEGATIVE)
            _write(place, held, "participants.private", participant, kid)
            return sealed

    return asyncio.run(work())


def _write(place: KeyringPlace, held: Participants, event: str, participant: str, kid: str) -> None:
    name = held.name(participant)
    place.write_down(held.keyring, event, participant=name, kid=kid)


def _book(place: KeyringPlace, held: Participants) -> PinBook:
    return PinBook(held.store, held.keyring, place.keys().pins.listed)


def _kind(use: Use, *, x25519: bool, x_wing: bool, ps256: bool) -> Kind:
    if x25519 and x_wing:
        raise ParticipantError("a key is X25519 or X-Wing: X-Wing has X25519 inside")
    if use == "sig":
        if x25519 or x_wing:
            raise ParticipantError("X25519 and X-Wing do not sign: leave --x25519, --x-wing out")
        return "RSA-PSS" if ps256 else "Ed25519"
    if ps256:
        raise ParticipantError("PS256 signs: give --use sig")
    if x_wing:
        return "X-Wing"
    return "X25519" if x25519 else "RSA"


def _taken(file: Path, use: Use) -> public_key.PublicKey:
    with file.open("rb") as opened:
        text = opened.read(_JWK_BYTES + 1)
    if len(text) > _JWK_BYTES:
        raise ParticipantError(f"{file}: more than {_JWK_BYTES} bytes")
    key = public_key.parse(text, use)
    if key.use != use:
        raise ParticipantError(f"the key is for --use {key.use}")
    return key


@asynccontextmanager
async def _participants(place: KeyringPlace) -> AsyncIterator[Participants]:
    keys = place.keys()
    if keys.store == "memory":
        raise console.Failure(_NO_STORE, console.NEGATIVE)
    async with at_store(place, keys) as at:
        yield Participants(at.sessions.store, at.sessions.keyring)
