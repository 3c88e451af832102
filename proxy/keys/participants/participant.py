"""A participant and their keys: which may seal, which may open, and until when.

Everything is values and pure functions; times are seconds since 1970. Keys other than prekeys are
never removed: a key id stays known, so that a revoked key cannot come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ...core.errors import ParticipantError, UnknownParticipantKey
from ..policy import MAX_KEYS, MAX_REASON_CHARS
from . import Use, signature
from .public_key import PublicKey
from .stored_records import Kept

TYP: Final = "sy1-prekey"


def sign_prekey(
    key: PublicKey, *, device: str, expires: int, private: dict[str, Any], signer: PublicKey
) -> str:
    """Return the signature of a prekey that ends at `expires` (seconds since 1970): a JWS."""
    claims = _claims(key, device, expires)
    return signature.sign(claims, private, signer, typ=TYP).decode()


def _claims(key: PublicKey, device: str, expires: int) -> dict[str, Any]:
    return {"kid": key.kid, "device": device, "exp": expires}


Status = Literal["active", "rotated", "revoked", "expired"]

_DEVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class ParticipantKey:
    """One key of one device. A time of 0 means that it is not set.

    `private` is the encrypted JWK, empty where only the public key was given to us. From `expires`
    on nothing is sealed for it and, `lingers` seconds later, nothing opened; `retires` is the end
    of a key that was rotated. A prekey has the participant's signature over it in `prekey`.
    """

    public: PublicKey
    device: str
    created: int
    private: str = ""
    expires: int = 0
    retires: int = 0
    revoked: int = 0
    reason: str = ""
    prekey: str = ""
    lingers: int = 0

    def status(self, now: float) -> Status:
        """Return the status of the key: active ones seal, active and rotated ones open."""
        if self.revoked:
            return "revoked"
        if any(end and now >= end for end in (self.ends, self.retires)):
            return "expired"
        over = bool(self.expires) and now >= self.expires
        return "rotated" if self.retires or over else "active"

    @property
    def ends(self) -> int:
        """When it stops opening, rotation aside; 0: not set."""
        return self.expires + self.lingers if self.expires else 0

    def opens(self, now: float) -> bool:
        """Whether what was sealed for the key may be opened with it."""
        return self.status(now) in {"active", "rotated"}

    def seals(self, now: float) -> bool:
        """Whether others may seal for the key, or its holder may sign with it."""
        return self.status(now) == "active"

    def facts(self, now: float) -> dict[str, Any]:
        """Return what may be shown of the key, as JSON."""
        fields = {"kid": self.public.kid, "device": self.device, "use": self.public.use}
        times = {
            name: value
            for name in ("created", "expires", "retires", "revoked", "reason")
            if (value := getattr(self, name))
        }
        return {**fields, "status": self.status(now), **self._holds(), **times}

    def _holds(self) -> dict[str, bool]:
        prekey = {"prekey": True} if self.prekey else {}
        return {"private": bool(self.private), **prekey}


@dataclass(frozen=True, slots=True)
class Participant(Kept):
    """All keys of one participant."""

    keys: tuple[ParticipantKey, ...] = ()

    def jwks(self, now: float) -> dict[str, Any]:
        """Return the keys that others may seal for or check signatures with, as a JWK Set."""
        return {"keys": [one.public.to_jwk() for one in self.keys if one.status(now) == "active"]}

    def sealing_keys(self, now: float) -> list[PublicKey]:
        """Return the keys that session keys are wrapped for now: one or more for each device.

        A device that has a prekey is reached by that alone.
        """
        wanted = [one for one in self.keys if one.public.use == "enc" and one.seals(now)]
        signed = [one for one in wanted if one.prekey and self._signed(one, now)]
        devices = {one.device for one in signed}
        static = [one for one in wanted if not one.prekey and one.device not in devices]
        return [one.public for one in (*static, *signed)]

    def verifying_key(self, kid: str, now: float) -> PublicKey | None:
        """Return the key of that id if what it signed is believed: it is active or in its grace."""
        for one in self.keys:
            if one.public.kid == kid and one.public.use == "sig" and one.opens(now):
                return one.public
        return None

    def has_valid_keys(self, now: float, use: Use = "enc") -> bool:
        """Whether there is an active key of that use."""
        return any(one.public.use == use and one.status(now) == "active" for one in self.keys)

    def find(self, kid: str) -> ParticipantKey:
        """Return the key of that id; raise ParticipantError where there is none."""
        for one in self.keys:
            if one.public.kid == kid:
                return one
        raise UnknownParticipantKey("the participant has no key with that id")

    def add(self, key: ParticipantKey) -> Participant:
        """Return the participant with one more key, whose id was never there before."""
        _check(key)
        if any(one.public.kid == key.public.kid for one in self.keys):
            raise ParticipantError("the participant has, or had, that key already")
        if len(self.keys) >= MAX_KEYS:
            raise ParticipantError(f"a participant has at most {MAX_KEYS} keys, old ones included")
        return replace(self, keys=(*self.keys, key))

    def rotate(self, key: ParticipantKey, *, grace: int) -> Participant:
        """Return the participant with `key` in place of the active keys of its device and use.

        Those still open for `grace` seconds. Raises ParticipantError where there are none.
        """
        now = key.created

        def goes(one: ParticipantKey) -> bool:
            same = (one.device, one.public.use) == (key.device, key.public.use)
            return same and not one.prekey and one.status(now) == "active"

        if not any(map(goes, self.keys)):
            raise ParticipantError("the device has no active key to rotate: add one")
        retires = now + grace
        return self._with(goes, lambda one: replace(one, retires=retires)).add(key)

    def add_prekey(self, key: ParticipantKey, *, grace: int) -> Participant:
        """Return the participant with a new prekey of a device, in place of the one before.

        That one still opens for `grace` seconds. Prekeys that no longer open anything are
        removed, with their private sides. Raises ParticipantError where the key is none, or is
        not signed by the participant.
        """
        now = key.created
        if key.public.kind != "X25519" or not key.expires or not self._signed(key, now):
            raise ParticipantError(
                "a prekey must be X25519, have an end, and be signed by its participant"
            )
        retires = now + grace
        kept = tuple(
            replace(one, retires=retires)
            if one.prekey and one.device == key.device and one.seals(now)
            else one
            for one in self.without_ended(now).keys
        )
        return replace(self, keys=kept).add(key)

    def without_ended(self, now: float) -> Participant:
        """Return the participant without ended prekeys, private sides included."""
        return replace(self, keys=tuple(one for one in self.keys if not _is_over(one, now)))

    def _signed(self, key: ParticipantKey, now: float) -> bool:
        """Whether a prekey is signed by a valid signing key of the participant."""
        claims = _claims(key.public, key.device, key.expires)
        return any(
            signature.verified(key.prekey.encode(), one.public, typ=TYP) == claims
            for one in self.keys
            if one.public.use == "sig" and one.opens(now)
        )

    def revoke(self, kid: str, reason: str, now: int) -> Participant:
        """Return the participant with that key revoked: it no longer seals or opens.

        With a key of a device that opens go the device's prekeys. A key that is revoked already
        keeps its time and reason.
        """
        if not reason or len(reason) > MAX_REASON_CHARS or not reason.isprintable():
            raise ParticipantError(f"a reason is 1 to {MAX_REASON_CHARS} printable characters")
        found = self.find(kid)
        if found.revoked:
            return self

        def goes(one: ParticipantKey) -> bool:
            of_device = bool(one.prekey) and one.device == found.device and not one.revoked
            return one is found or (of_device and found.public.use == "enc")

        return self._with(goes, lambda one: replace(one, revoked=now, reason=reason))

    def expire(self, kid: str, at: int) -> Participant:
        """Return the participant whose key ends at `at`, or earlier where it already did."""
        found = self.find(kid)
        ended = replace(found, expires=min(found.expires or at, at))
        return self._with(lambda one: one is found, lambda _: ended)

    def _with(
        self,
        which: Callable[[ParticipantKey], bool],
        change: Callable[[ParticipantKey], ParticipantKey],
    ) -> Participant:
        keys: Iterable[ParticipantKey] = (change(one) if which(one) else one for one in self.keys)
        return replace(self, keys=tuple(keys))


def _is_over(key: ParticipantKey, now: float) -> bool:
    return bool(key.prekey) and (now >= key.ends or key.status(now) == "expired")


def _check(key: ParticipantKey) -> None:
    if not _DEVICE.fullmatch(key.device):
        raise ParticipantError("a device's name is 1 to 64 of A-Z a-z 0-9 . _ -")
    if key.expires and key.expires <= key.created:
        raise ParticipantError("the key would already have expired")
