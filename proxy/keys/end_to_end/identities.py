"""Private keys that this process may use: opened once, off the event loop, and held in memory.

The configuration names their participants. A passphrase, from a file or the environment, or the
keyring opens them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ...config.settings import IdentitySettings
from ...core.errors import KeyringError, ParticipantError
from ...telemetry.reporter import Reporter
from .. import private_file
from ..keyring.roots.passphrase import PassphraseRoot
from ..lru_map import BoundedMap
from ..participants import Use, private_key
from ..participants.package import Identity
from ..participants.participant import Participant, ParticipantKey
from ..policy import IDENTITIES_HELD, IDENTITY_AGAIN_SECONDS, IDENTITY_FILE_BYTES
from ..sessions.sessions import Sessions

_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class _Opened:
    """The result of opening a key: an identity, or None until the next attempt."""

    identity: Identity | None
    again: float
    ends: float


class Identities:
    """Opens private keys of participants. `clock` returns seconds since 1970.

    With `settings` None it takes every participant whose private keys the keyring opens.
    """

    def __init__(
        self,
        sessions: Sessions,
        settings: Sequence[IdentitySettings] | None,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float],
        reporter: Reporter,
    ) -> None:
        """Open nothing yet."""
        self._sessions = sessions
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._reporter = reporter
        self._opened: BoundedMap[tuple[str, str], _Opened]
        self.forget()

    def replace(self, settings: Sequence[IdentitySettings] | None) -> None:
        """Use other settings, and forget every private key."""
        self._settings = settings
        self.forget()

    def forget(self) -> None:
        """Forget every private key."""
        # Not cleared: a thread that opens a key now would put it back.
        self._opened = BoundedMap(IDENTITIES_HELD)

    def drop_ended(self, now: float) -> Iterator[None]:
        """Drop private keys that no longer open anything, a few at each step."""
        yield from self._opened.dropping(lambda one: now >= one.ends)

    async def find(self, participant_id: str, participant: Participant, use: Use) -> list[Identity]:
        """Return the keys of a use that still open and have a private side here, newest first.

        Opening one takes a thread, and up to 0.3 s the first time.
        """
        now = self._clock()
        wanted = [one for one in participant.keys if one.public.use == use and one.opens(now)]
        found = [await self._identity(participant_id, one) for one in reversed(wanted)]
        return [one for one in found if one is not None]

    async def _identity(self, participant_id: str, key: ParticipantKey) -> Identity | None:
        place, held = (participant_id, key.public.kid), self._opened
        opened, now = held.get(place), self._clock()
        if opened is None or (opened.identity is None and now >= opened.again):
            identity = await asyncio.to_thread(self._open, participant_id, key)
            ends = min((end for end in (key.ends, key.retires) if end), default=_NEVER)
            opened = _Opened(identity, now + IDENTITY_AGAIN_SECONDS, ends)
            held.put(place, opened)
        return opened.identity

    def _open(self, participant_id: str, key: ParticipantKey) -> Identity | None:
        """Try everything that may open the key; it takes as long as a passphrase takes."""
        if self._settings is None:
            chosen: Iterable[IdentitySettings] = (IdentitySettings(participant_id),)
        else:
            chosen = (one for one in self._settings if one.participant == participant_id)
        for one in chosen:
            try:
                sealed = key.private if one.file is None else self._read(one)
                if sealed:
                    return Identity(key.public, self._unsealed(sealed, one, key))
            except (ParticipantError, KeyringError):
                self._reporter.report("identity.open_failed", kid=key.public.kid)
        return None

    def _unsealed(self, sealed: str, one: IdentitySettings, key: ParticipantKey) -> dict[str, Any]:
        if one.passphrase is not None:
            phrase = PassphraseRoot(one.passphrase, self._environ).fetch()
            return private_key.unseal(sealed, phrase, key.public)
        *past, last = reversed(private_key.keyring_openers(self._sessions.keyring))
        for opener in past:  # the record key was rotated since it was sealed
            with suppress(ParticipantError):
                return private_key.unseal(sealed, opener, key.public)
        return private_key.unseal(sealed, last, key.public)

    @staticmethod
    def _read(one: IdentitySettings) -> str:
        assert one.file is not None  # noqa: S101 - the caller looked
        return private_file.read(one.file, IDENTITY_FILE_BYTES).decode("ascii", "replace").strip()
