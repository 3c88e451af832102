"""Participants as this process knows them: read from the store, and cached for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...config.settings import PinSettings
from ...core.errors import KeyUnavailable, ParticipantError
from ...telemetry.reporter import Reporter
from ..lru_map import BoundedMap
from ..participants.participant import Participant, ParticipantKey
from ..participants.pins import PinBook, Pins
from ..participants.registry import Participants, record_name
from ..participants.stored_records import StaleRecord
from ..policy import PARTICIPANTS_KNOWN, PINS_KNOWN
from ..sessions.sessions import Sessions
from ..stores.guarded import Notice


class Pinning:
    """Removes keys that were not accepted from participants, or only reports them.

    `clock` returns seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what EndToEnd hands in, each by name
        self,
        sessions: Sessions,
        settings: PinSettings,
        *,
        clock: Callable[[], float],
        notice: Notice,
        reporter: Reporter,
        changed: Callable[[str], None],
    ) -> None:
        """Know no pins yet; `changed` gets the name of a record of pins that was changed here."""
        self._sessions = sessions
        self._clock = clock
        self._notice = notice
        self._reporter = reporter
        self._changed = changed
        self._seen: BoundedMap[str, Pins] = BoundedMap(PINS_KNOWN)
        self._whose: BoundedMap[str, str] = BoundedMap(PINS_KNOWN)
        self._reported: BoundedMap[tuple[str, str], bool] = BoundedMap(PINS_KNOWN)
        self.replace(settings)

    def replace(self, settings: PinSettings) -> None:
        """Use other settings; keys that are not accepted are reported again."""
        self._reported.clear()
        self._mode = settings.mode
        store, keyring = self._sessions.store, self._sessions.keyring
        self.book = PinBook(store, keyring, settings.listed, changed=self._changed)
        """The pins, for those who show and accept them."""

    def whose(self, name: str) -> str:
        """Return the record of the participant whose pins have that name; or the name itself."""
        return self._whose.get(name) or name

    async def trusted(self, name: str, participant: Participant) -> Participant:
        """Return the participant with the keys that may be trusted.

        `name` is that of their record. Raises ParticipantError where the store does not answer, and
        KeyUnavailable where a blocking audit log cannot record a key that is not accepted.
        """
        pins = self.book.listed(name)
        enforced = pins is not None or self._mode == "enforce"
        if pins is None:
            if self._mode == "off":
                return participant
            try:
                pins = await self._pinned(name, participant)
            except StaleRecord:  # it pins nothing anew
                if enforced:
                    raise
                return participant
        for key in pins.unknown(participant, self._clock()):
            await self._report(name, key, refused=enforced)
        return pins.trusted(participant) if enforced else participant

    async def _pinned(self, name: str, participant: Participant) -> Pins:
        """Return the pins in the store; keys of a use without pins are pinned now."""
        place = self.book.place(name)
        self._whose.put(place, name)
        seen = self._seen.get(place) or Pins()
        try:
            found = await self.book.find(name)
        except StaleRecord:
            if seen.epoch < self._sessions.keyring.not_before(place):
                self._notice("record-stale")
                raise
            found = Pins()
        if found.epoch < seen.epoch:
            # The record is older than known, or was removed: that must not pin other keys.
            self._notice("record-stale")
            return seen
        now = self._clock()
        if found.at_first_use(participant, now) != found:
            new = [one for one in participant.keys if found.status(one) is None]
            found = await self.book.pin_first(name, found, participant, now)
            self._report_first(name, filter(found.status, new))
        self._seen.put(place, found)
        return found

    def _report_first(self, name: str, keys: Iterable[ParticipantKey]) -> None:
        for one in keys:
            self._reporter.report(
                "participant.pinned", participant=name, kid=one.public.kid, use=one.public.use
            )

    async def _report(self, name: str, key: ParticipantKey, *, refused: bool) -> None:
        """Report a key that was not accepted, once in this process."""
        kid, use = key.public.kid, key.public.use
        if self._reported.get((name, kid)) is not None:
            return
        event = "participants.unaccepted"
        await self._sessions.write_down(event, participant=name, kid=kid, refused=int(refused))
        self._reported.put((name, kid), entry=True)
        self._reporter.report(
            "participant.unaccepted", participant=name, kid=kid, use=use, refused=refused
        )


@dataclass(slots=True)
class Known:
    """A participant, and how long (seconds since 1970) that is fresh.

    `trusted` is the same participant with only those keys that may be used and trusted.
    """

    participant: Participant
    trusted: Participant
    fresh_until: float


class Directory:
    """Finds participants; one who changed is looked up again where a notification arrives.

    `clock` returns seconds since 1970. A participant is cached for at most `max_age` seconds, and
    not beyond the next end of one of their keys.
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
        """Begin empty."""
        self._sessions = sessions
        self._pinning = pinning
        self._max_age = max_age
        self._clock = clock
        self._notice = notice
        self._known: BoundedMap[str, Known] = BoundedMap(PARTICIPANTS_KNOWN)
        self.changes = 0
        """How many notifications of changes arrived."""

    def name(self, participant_id: str) -> str:
        """Return the name of a participant's record; raise KeyUnavailable for an invalid id."""
        try:
            return record_name(self._sessions.keyring.participant_names, participant_id)
        except ParticipantError:
            raise KeyUnavailable("participant-id") from None

    async def find(self, name: str) -> Known:
        """Return the participant whose record has that name; an unknown one has no keys.

        Raises KeyUnavailable where the store does not answer.
        """
        known = self._known.get(name)
        now = self._clock()
        if known is not None and now < known.fresh_until:
            return known
        changes = self.changes
        try:
            participant = await self._found(name, known)
            participant = await self._without_ended(name, participant)
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
        found = Known(participant, trusted, fresh_until if changes == self.changes else 0.0)
        self._known.put(name, found)
        return found

    async def _found(self, name: str, known: Known | None) -> Participant:
        """Return the participant of the store, or the known one where that is a later one."""
        try:
            found = await self._registry().find_named(name)
        except StaleRecord:
            self._notice("record-stale")
            least = self._sessions.keyring.not_before(name)
            if known is None or known.participant.epoch < least:
                raise
            return known.participant
        if known is not None and found.epoch < known.participant.epoch:
            self._notice("record-stale")
            return known.participant
        return found

    def changed(self, name: str | None) -> bool:
        """Look up the participant of that name again, or all; return whether one is known."""
        self.changes += 1
        known = self._known.entries() if name is None else (self._known.get(name),)
        for one in known:
            if one is not None:
                one.fresh_until = 0.0
        return any(known)

    async def _without_ended(self, name: str, participant: Participant) -> Participant:
        """Delete prekeys whose grace has ended: the first process whose clock is right does so."""
        now = self._clock()
        ended = len(participant.keys) - len(participant.without_ended(now).keys)
        if not ended or self._sessions.clock.wrong:  # what is deleted is lost for all
            return participant
        event = "participants.prekeys_deleted"
        await self._sessions.write_down(event, participant=name, keys=ended)
        return await self._registry().drop_ended(name, participant, now)

    def _registry(self) -> Participants:
        return Participants(self._sessions.store, self._sessions.keyring)
