"""What operators do with participants: find, add, rotate, revoke, expire, accept, hand out.

Each change is in the audit log before it is in the store.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import KeyringError, ParticipantError, UnknownParticipantKey
from ..keyring.root_secret import Passphrase, RootKey
from . import public_key, registry
from .calls import ParticipantCall
from .key_generation import KeyMaker
from .participant import Participant, ParticipantKey
from .pins import PinBook, Pins
from .private_key import keyring_opener
from .registry import Change, Participants

Write = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""Writes an event and its values into the audit log; raises SealyardError where that fails."""


@dataclass(frozen=True, slots=True)
class ParticipantResult:
    """A participant after a call; `name` is that of their record, a keyed hash.

    `kid` is the key that was added, changed or asked for; `pins` are the accepted keys, where they
    were looked up.
    """

    name: str
    participant: Participant
    kid: str = ""
    pins: Pins = field(default_factory=Pins)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON, for another process."""
        keys = [registry.key_members(one) for one in self.participant.keys]
        pins = {"enc": sorted(self.pins.enc), "sig": sorted(self.pins.sig)}
        fields = {"name": self.name, "kid": self.kid, "epoch": self.participant.epoch}
        return {**fields, "keys": keys, "pins": pins}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ParticipantResult:
        """Return the result that another process of the same version sent."""
        keys = tuple(registry.key_of(one) for one in value["keys"])
        pins = Pins(0, *(frozenset(value["pins"][use]) for use in ("enc", "sig")))
        return cls(value["name"], Participant(value["epoch"], keys), value["kid"], pins)


class ParticipantOperations:
    """Runs calls in the process that has the store. `clock` returns seconds since 1970."""

    def __init__(
        self,
        participants: Participants,
        pins: PinBook,
        maker: KeyMaker,
        write: Write,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the collaborators, which apply each change here at once."""
        self._participants = participants
        self._pins = pins
        self._maker = maker
        self._write = write
        self._clock = clock

    async def run(self, call: ParticipantCall) -> ParticipantResult:
        """Run the call.

        Raises ParticipantError for an invalid change, UnknownParticipantKey for an unknown key, and
        UnfitEnvironment where the audit log cannot be written; then nothing is changed.
        """
        name = self._participants.name(call.participant)
        if call.action == "find":
            found = await self._participants.find(call.participant)
            return ParticipantResult(name, found, pins=await self._pins.find(name))
        if call.action == "private":
            return await self._hand_out(name, call)
        if call.action == "accept":
            return await self._accept(name, call)
        kid, change = await self._change(call)
        change(await self._participants.find(call.participant))  # an invalid change is no event
        await self._write(f"participants.{call.action}", {"participant": name, "kid": kid})
        after = await self._participants.change(call.participant, change)
        return ParticipantResult(name, after, kid, await self._pins.find(name))

    async def _accept(self, name: str, call: ParticipantCall) -> ParticipantResult:
        participant = await self._participants.find(call.participant)
        key = participant.find(call.kid)
        self._pins.require_acceptable(name, key, self._clock())
        await self._write("participants.accept", {"participant": name, "kid": call.kid})
        return ParticipantResult(name, participant, call.kid, await self._pins.accept(name, key))

    async def _hand_out(self, name: str, call: ParticipantCall) -> ParticipantResult:
        participant = await self._participants.find(call.participant)
        if not participant.find(call.kid).private:
            raise UnknownParticipantKey("only the public part of that key is stored")
        await self._write("participants.private", {"participant": name, "kid": call.kid})
        return ParticipantResult(name, participant, call.kid)

    async def _change(self, call: ParticipantCall) -> tuple[str, Change]:
        now = int(self._clock())
        if call.action == "revoke":
            return call.kid, lambda one: one.revoke(call.kid, call.reason, now)
        if call.action == "expire":
            return call.kid, lambda one: one.expire(call.kid, call.seconds or now)
        key = await self._new_key(call)
        if call.action == "rotate":
            return key.public.kid, lambda one: one.rotate(key, grace=call.seconds)
        return key.public.kid, lambda one: one.add(key)

    async def _new_key(self, call: ParticipantCall) -> ParticipantKey:
        private = ""
        if call.jwk is not None:
            public = public_key.from_members(call.jwk, call.use)
            if public.use != call.use:
                raise ParticipantError(f"the key is for use {public.use}")
        elif call.keyring or call.passphrase is not None:
            public, private = await self._maker.make(call.use, self._opener(call))
        else:
            raise ParticipantError(
                "give a public key, or a passphrase or the keyring for a new pair"
            )
        now = int(self._clock())
        return ParticipantKey(public, call.device, now, private=private, expires=call.expires)

    def _opener(self, call: ParticipantCall) -> Passphrase | RootKey:
        if call.passphrase is not None:
            return _passphrase(call.passphrase)
        return keyring_opener(self._participants.keyring)


def _passphrase(text: str) -> Passphrase:
    try:
        passphrase = Passphrase(text)
        passphrase.require_strength()
    except KeyringError as error:
        raise ParticipantError(error.reason) from None
    return passphrase
