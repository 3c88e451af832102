"""Whom this process believes to have which keys: what the store says, held against the pins.

What the configuration pins is believed and nothing else, whoever writes to the store. Other keys
are pinned there when they are first used, so that all processes go by the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...config.settings import PinSettings
from ...telemetry.reporter import Reporter
from ..bounded import BoundedMap
from ..guarded import Notice
from ..participants.participant import Participant, ParticipantKey
from ..participants.pins import PinBook, Pins
from ..sessions import Sessions

_KNOWN: Final = 10_000


class Pinning:
    """Takes from participants the keys that nobody accepted, or tells of them.

    `clock` returns seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what the facade hands in, each by name
        self,
        sessions: Sessions,
        settings: PinSettings,
        *,
        clock: Callable[[], float],
        notice: Notice,
        reporter: Reporter,
        changed: Callable[[str], None],
    ) -> None:
        """Know no pins yet; `changed` is told where in the store some of them were changed here."""
        self._sessions = sessions
        self._clock = clock
        self._notice = notice
        self._reporter = reporter
        self._changed = changed
        self._seen: BoundedMap[str, Pins] = BoundedMap(_KNOWN)
        self._whose: BoundedMap[str, str] = BoundedMap(_KNOWN)
        self._told: BoundedMap[tuple[str, str], bool] = BoundedMap(_KNOWN)
        self.replace(settings)

    def replace(self, settings: PinSettings) -> None:
        """Go by other settings; what is not accepted is told of again, as it is treated now."""
        self._told.clear()
        self._mode = settings.mode
        store, keyring = self._sessions.store, self._sessions.keyring
        self._book = PinBook(store, keyring, settings.listed, changed=self._changed)

    @property
    def book(self) -> PinBook:
        """The pins, for those who show and accept them."""
        return self._book

    def whose(self, name: str) -> str:
        """Return the record of the participant whose pins stand under a name; or the name."""
        return self._whose.get(name) or name

    async def trusted(self, name: str, participant: Participant) -> Participant:
        """Return the participant with the keys that are to be believed theirs.

        `name` is that of their record. Raises ParticipantError where the store cannot tell, and
        KeyUnavailable where it must be written down that a key is not accepted, and cannot.
        """
        pins = self._book.listed(name)
        enforced = pins is not None or self._mode == "enforce"
        if pins is None:
            if self._mode == "off":
                return participant
            pins = await self._pinned(name, participant)
        for key in pins.unknown(participant, self._clock()):
            await self._tell(name, key, refused=enforced)
        return pins.trusted(participant) if enforced else participant

    async def _pinned(self, name: str, participant: Participant) -> Pins:
        """Return the pins in the store; what was never seen is pinned now."""
        place = self._book.place(name)
        self._whose.put(place, name)
        found, seen = await self._book.find(name), self._seen.get(place) or Pins()
        if found.epoch < seen.epoch:
            # What stands there now is older, or was taken away: nobody is pinned anew by that.
            self._notice("record-stale")
            return seen
        now = self._clock()
        if found.at_first_use(participant, now) != found:
            new = [one for one in participant.keys if found.status(one) is None]
            found = await self._book.pin_first(name, found, participant, now)
            self._report_first(name, filter(found.status, new))
        self._seen.put(place, found)
        return found

    def _report_first(self, name: str, keys: Iterable[ParticipantKey]) -> None:
        for one in keys:
            self._reporter.report(
                "participant.pinned", participant=name, kid=one.public.kid, use=one.public.use
            )

    async def _tell(self, name: str, key: ParticipantKey, *, refused: bool) -> None:
        """Raise the alarm about a key that nobody accepted, once in this process."""
        kid, use = key.public.kid, key.public.use
        if self._told.get((name, kid)) is not None:
            return
        event = "participants.unaccepted"
        await self._sessions.write_down(event, participant=name, kid=kid, refused=int(refused))
        self._told.put((name, kid), entry=True)
        self._reporter.report(
            "participant.unaccepted", participant=name, kid=kid, use=use, refused=refused
        )
