"""Participants as this process knows them: asked of the store, and believed for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...core.errors import KeyUnavailable, ParticipantError
from ..bounded import BoundedMap
from ..guarded import Notice
from ..participants.participant import Participant
from ..participants.registry import Participants, record_name
from ..sessions import Sessions
from .pinning import Pinning

_KNOWN: Final = 10_000


@dataclass(slots=True)
class Known:
    """A participant, and until when (seconds since 1970) that is believed.

    `trusted` is the same participant with those keys that may be used for them and believed.
    """

    participant: Participant
    trusted: Participant
    fresh_until: float


class People:
    """Finds participants; one who changed is asked about anew where that is heard.

    `clock` returns seconds since 1970. Nobody is believed for longer than `max_age` seconds, nor
    beyond the next end of one of their keys.
    """

    def __init__(
        self,
        sessions: Sessions,
        max_age: float,
        pinning: Pinning,
        *,
        clock: Callable[[], float],
        notice: Notice,
    ) -> None:
        """Know nobody yet."""
        self._sessions = sessions
        self._pinning = pinning
        self._max_age = max_age
        self._clock = clock
        self._notice = notice
        self._known: BoundedMap[str, Known] = BoundedMap(_KNOWN)
        self.heard = 0
        """How often it was heard that something changed."""

    def name(self, participant_id: str) -> str:
        """Return the name of a participant's record; raise KeyUnavailable for no fit id."""
        try:
            return record_name(self._sessions.keyring.name_key, participant_id)
        except ParticipantError:
            raise KeyUnavailable("participant-id") from None

    async def find(self, name: str) -> Known:
        """Return the participant whose record has that name; one whom nobody added has no keys.

        Raises KeyUnavailable where the store cannot tell.
        """
        known = self._known.get(name)
        now = self._clock()
        if known is not None and now < known.fresh_until:
            return known
        heard = self.heard
        try:
            participant = await self._registry().find_named(name)
            if known is not None and participant.epoch < known.participant.epoch:
                self._notice("record-stale")
                participant = known.participant
            trusted = await self._pinning.trusted(name, participant)
        except ParticipantError:
            raise KeyUnavailable("participant-unavailable") from None
        now = self._clock()
        ends = [
            end
            for one in participant.keys
            for end in (one.expires, one.ends, one.retires)
            if end > now
        ]
        fresh_until = min([now + self._max_age, *ends])
        found = Known(participant, trusted, fresh_until if heard == self.heard else 0.0)
        self._known.put(name, found)
        return found

    def changed(self, name: str | None) -> bool:
        """Ask anew about the participant of that name, or all; return whether one is known."""
        self.heard += 1
        known = self._known.entries() if name is None else (self._known.get(name),)
        for one in known:
            if one is not None:
                one.fresh_until = 0.0
        return any(known)

    def _registry(self) -> Participants:
        return Participants(self._sessions.store, self._sessions.keyring)
