"""What the verbs about participants do. Each change is in the audit log before it is in the store.

Each function raises ParticipantError for an invalid change, UnknownParticipantKey for an unknown
key, and SealyardError where the audit log cannot be written; then nothing is changed. An error that
comes after a change, or may, says so. A key that is to be added and accepted may be given again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ...core.errors import KeyringError, ParticipantError, ParticipantsUnavailable, SealyardError
from ..keyring.root_secret import Passphrase
from ..participants import Use, private_key, public_key
from ..participants.participant import Participant, ParticipantKey, sign_prekey
from ..participants.pins import Pins
from ..participants.private_key import Opener
from ..participants.public_key import Kind
from ..participants.registry import Change
from ..policy import DIRECTORY_SECONDS
from ..sessions.session_control import require_clock
from .verb import At, Done, Fresh

_TAKES_AWAY: Final = frozenset({"revoke", "rotate", "expire"})
"""The changes that an earlier record would undo to somebody's harm."""


async def find(at: At, participant: str) -> Done:
    """Return all keys; none of an unknown participant."""
    people, book = await at.participants()
    found, pins = await people.find(participant), await book.find(people.name(participant))
    return Done({"keys": [_facts(at, one, pins) for one in found.keys]})


async def jwks(at: At, participant: str) -> Done:
    """Return the active public keys, and for how long they stay so unless an operator acts."""
    people, _ = await at.participants()
    found, now = await people.find(participant), at.clock()
    ends = [end for key in found.keys for end in (key.expires, key.retires) if end > now]
    age = min([DIRECTORY_SECONDS, *(int(end - now) for end in ends)])
    published = found.jwks(now)
    body = json.dumps(published, separators=(",", ":"))
    return Done(published, body=body, fresh_for=age)


async def has_valid_keys(at: At, participant: str, use: Use = "enc") -> Done:
    """Return whether there is an active key of a use."""
    people, _ = await at.participants()
    return Done(
        {"has_valid_keys": (await people.find(participant)).has_valid_keys(at.clock(), use)}
    )


async def private(at: At, participant: str, kid: str) -> Done:
    """Hand out a private key as it is stored: encrypted."""
    people, _ = await at.participants()
    sealed = (await people.find(participant)).find(kid).private
    if not sealed:
        told = {"detail": "only the public part of this key is stored here"}
        return Done(told, failed="unknown-participant-key")
    name = people.name(participant)
    await at.write_down("participants.private", participant=name, kid=kid)
    return Done({"private": sealed}, body=sealed)


async def add(at: At, participant: str, *, accept: bool = False, **options: Any) -> Done:  # noqa: ANN401 - the options of a new key
    """Add a key: theirs, or that of a new pair."""
    key = await _new_key(at, **options)
    return await _added(at, "add", participant, key, lambda one: one.add(key), accept_it=accept)


async def rotate(
    at: At,
    participant: str,
    *,
    grace: int,
    accept: bool = False,
    **options: Any,  # noqa: ANN401 - the options of a new key
) -> Done:
    """Replace the active key of a device; the old one opens for `grace` seconds more."""
    key = await _new_key(at, **options)
    change: Change = lambda one: one.rotate(key, grace=grace)  # noqa: E731 - as the others
    return await _added(at, "rotate", participant, key, change, accept_it=accept)


async def prekey(  # noqa: PLR0913 - each is one option
    at: At,
    participant: str,
    *,
    device: str,
    ttl: int,
    grace: int,
    under: str = "",
    passphrase: Passphrase | None = None,
) -> Done:
    """Add a prekey, signed by the participant's active signing key.

    Raises OperatorError (`clock-skew`) where our clock is too far from the store's.
    """
    people, _ = await at.participants()
    found = await people.find(participant)
    require_clock(at.sessions)  # those past their grace are deleted, by our clock
    opener, now = _opener(at, under, passphrase), int(at.clock())
    signing = [
        one for one in found.keys if one.public.use == "sig" and one.seals(now) and one.private
    ]
    if not signing:
        raise ParticipantError(
            "the participant has no active signing key here: add one with --use sig"
        )
    signer = signing[-1]
    opened = private_key.unseal(signer.private, opener, signer.public)
    public, sealed = await at.make("X25519", opener)
    signed = sign_prekey(
        public, device=device, expires=now + ttl, private=opened, signer=signer.public
    )
    key = ParticipantKey(
        public, device, now, private=sealed, expires=now + ttl, prekey=signed, lingers=grace
    )
    change: Change = lambda one: one.add_prekey(key, grace=grace)  # noqa: E731 - as the others
    return await _change(at, "prekey", participant, key.public.kid, change)


async def revoke(at: At, participant: str, kid: str, reason: str) -> Done:
    """Revoke a key for good."""
    now = int(at.clock())
    return await _change(at, "revoke", participant, kid, lambda one: one.revoke(kid, reason, now))


async def expire(here: At, /, participant: str, kid: str, at: int = 0) -> Done:
    """Let a key expire at a time, by default now."""
    ends = at or int(here.clock())
    return await _change(here, "expire", participant, kid, lambda one: one.expire(kid, ends))


async def accept(at: At, participant: str, kid: str) -> Done:
    """Accept a key as that of the participant."""
    people, book = await at.participants()
    found, name = await people.find(participant), people.name(participant)
    key = found.find(kid)
    book.require_acceptable(name, key, at.clock())
    await at.write_down("participants.accept", participant=name, kid=kid)
    pins = await book.accept(name, key)
    fresh = await at.outlives(book.place(name), pins.epoch, of_record=True)
    return _done(at, "accept", name, key, pins, fresh)


async def _added(  # noqa: PLR0913 - a change of a key, and whether it is accepted
    at: At, action: str, participant: str, key: ParticipantKey, change: Change, *, accept_it: bool
) -> Done:
    kid = key.public.kid
    if not accept_it:
        return await _change(at, action, participant, kid, change)
    people, book = await at.participants()
    found = await people.find(participant, anew=True)
    book.require_acceptable(people.name(participant), key, at.clock())

    def is_it(one: ParticipantKey) -> bool:
        same = (one.public.kid, one.device, one.expires) == (kid, key.device, key.expires)
        return same and one.seals(at.clock())

    if not any(map(is_it, found.keys)):  # else it is done again, after one that failed below
        await _change(at, action, participant, kid, change)
    try:
        return await accept(at, participant, kid)
    except SealyardError as error:
        text = f"{kid} is stored, but not accepted: {error.reason}; accept it later"
        raise ParticipantError(text) from None


async def _change(at: At, action: str, participant: str, kid: str, change: Change) -> Done:
    people, book = await at.participants()
    name = people.name(participant)
    change(await people.find(participant, anew=True))  # an invalid change is no event
    await at.write_down(f"participants.{action}", participant=name, kid=kid)
    try:
        after: Participant = await people.change(participant, change)
    except ParticipantsUnavailable as error:
        text = f"{error.reason}; whether {kid} was changed is not known: list the keys"
        raise ParticipantsUnavailable(text) from None
    fresh: Fresh | None = None
    if action in _TAKES_AWAY:
        fresh = await at.outlives(name, after.epoch, of_record=True)
    pins = Pins()
    with suppress(ParticipantError):  # it is done: only whether the key is accepted is not told
        pins = await book.find(name)
    return _done(at, action, name, after.find(kid), pins, fresh)


def _done(  # noqa: PLR0913, PLR0917 - what there is to tell
    at: At, action: str, name: str, key: ParticipantKey, pins: Pins, fresh: Fresh | None
) -> Done:
    told = {"participant": name, "kid": key.public.kid, "action": action}
    more = {} if fresh is None else {"fresh": fresh}
    return Done({**_facts(at, key, pins), **more}, told)


def _facts(at: At, key: ParticipantKey, pins: Pins) -> dict[str, Any]:
    return {**key.facts(at.clock()), **pins.facts(key), "jwk": key.public.to_jwk()}


async def _new_key(  # noqa: PLR0913 - each is one option
    at: At,
    *,
    device: str,
    use: Use,
    expires: int = 0,
    jwk: Mapping[str, Any] | None = None,
    under: str = "",
    passphrase: str | Passphrase | None = None,
    **kinds: bool,
) -> ParticipantKey:
    """Return the key that the arguments describe: theirs, or that of a new pair."""
    private = ""
    if jwk is not None:
        public = public_key.from_members(jwk, use)
        if public.use != use:
            raise ParticipantError(f"this key is for --use {public.use}")
    else:
        opener = _opener(at, under, passphrase)
        public, private = await at.make(_kind(use, **kinds), opener)
    return ParticipantKey(public, device, int(at.clock()), private=private, expires=expires)


def _kind(use: Use, *, x25519: bool = False, x_wing: bool = False, ps256: bool = False) -> Kind:
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


def _opener(at: At, under: str, passphrase: str | Passphrase | None) -> Opener:
    """Return what private keys are encrypted under: the keyring, or a passphrase."""
    if under == "keyring":
        return private_key.keyring_opener(at.sessions.keyring)
    if passphrase is None:
        raise ParticipantError("give a public key, or a passphrase or the keyring for a new pair")
    try:
        found = Passphrase(passphrase) if isinstance(passphrase, str) else passphrase
        found.require_strength()
    except KeyringError as error:
        raise ParticipantError(error.reason) from None
    return found
