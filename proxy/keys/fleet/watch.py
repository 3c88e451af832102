"""Whether the keyring of this process is that of the fleet: checked in the store periodically.

No finding takes a running process out of service: otherwise writing to the store could stop the
fleet. Findings are reported by an event, a metric and the status page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...telemetry.reporter import Reporter
from ..keyring.keyring import Keyring, shown
from ..policy import WATCH_SECONDS
from ..stores import StoreFailed
from ..stores.guarded import GuardedStore
from ..stores.store import end
from .lineage import Accepted, Lineage

if TYPE_CHECKING:  # imported for a store that processes share
    from .keyring_marker import Marker


STATES: Final[Mapping[str, str]] = {
    "older": "keyring.older",
    "behind": "keyring.behind",
    "forked": "keyring.forked",
    "mismatch": "keyring.mismatch",
    "unverified": "keyring.unverified",
    "unsigned": "keyring.unsigned",
}
"""Possible findings, and their events: a file of an older generation was refused; the fleet is
ahead; two keyrings were changed apart; another keyring is used in the same place of the
store; the fleet's marker is forged; a file
was refused that is not signed as configured."""


class KeyringWatch:
    """Owns the task that looks. `clock` returns seconds since 1970.

    `go_over` is called with the keyring to use from now on, whenever that changes.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        keyring: Keyring,
        store: GuardedStore,
        reporter: Reporter,
        *,
        go_over: Callable[[Keyring], None],
        clock: Callable[[], float],
        accepted: Accepted | None = None,
        interval: float = WATCH_SECONDS,
    ) -> None:
        """Know nothing of the fleet yet."""
        self.lineage = Lineage(keyring, accepted, clock=clock)
        self.others: tuple[str, ...] = ()
        """The ids of other keyrings that are used in the same place of the store."""
        self.lacking = False
        """Whether this process began without the KEK that the fleet seals under."""
        self._store = store
        self._reporter = reporter
        self._go_over = go_over
        self._clock = clock
        self._interval = interval
        self._unverified = False
        self._reported: dict[str, bool] = dict.fromkeys(STATES, False)
        self._in_use = keyring
        self._task: asyncio.Task[None] | None = None

    @property
    def states(self) -> Mapping[str, bool]:
        """The findings, and whether each applies."""
        return {
            **self.lineage.states,
            "mismatch": bool(self.others),
            "unverified": self._unverified,
        }

    async def start(self) -> None:
        """Look once, so that no process starts with an outdated keyring, and then periodically.

        With a store that does not answer, or that is not shared, the file decides.
        """
        if not self._store.shared:
            return
        await self.look()
        self.lacking = self.lineage.lacks
        self._task = asyncio.get_running_loop().create_task(self._run())

    def take(self, file: Keyring) -> None:
        """Take the keyring of a file that was read, as far as it is not older."""
        self.lineage.take(file)
        self._went_on()

    def lessen(self, file: Keyring) -> None:
        """Take what the keyring of a file takes away, where it cannot be taken as a whole."""
        self.lineage.lessen(file)
        self._went_on()

    async def look(self) -> None:
        """Do as `read`, as far as the store answers."""
        with suppress(StoreFailed):  # GuardedStore has reported it
            await self.read()

    async def read(self) -> None:
        """Read the fleet's state from the store, and write ours.

        Raises StoreFailed where the store does not answer: then nothing was learned.
        """
        if not self._store.shared:
            return
        held, now = self.lineage.held, self._clock()
        marker = await self._marker(held)
        others = await self._others(held, now)
        if held.id == self.lineage.held.id:  # another keyring may have come meanwhile
            self.others = others
            self.lineage.learn(marker)
            self._went_on()

    async def close(self) -> None:
        """Stop looking."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.look()

    def _went_on(self) -> None:
        self.lacking = self.lacking and self.lineage.lacks
        keyring = self.lineage.keyring
        if keyring != self._in_use:
            self._in_use = keyring
            self._go_over(keyring)
        for state, holds in self.states.items():
            if holds and not self._reported[state]:
                self._report(state)
            self._reported[state] = holds

    async def _marker(self, held: Keyring) -> Marker | None:
        """Return the fleet's marker, with ours in its place where we are ahead."""
        from . import keyring_marker  # noqa: PLC0415 - only for a store that processes share

        known = None if held.id != self.lineage.held.id else self.lineage.marker
        found, self._unverified = await keyring_marker.put(self._store, held, known)
        return found

    async def _others(self, held: Keyring, now: float) -> tuple[str, ...]:
        from . import presence  # noqa: PLC0415 - as above

        seen = await self._store.note(presence.NAME)
        found = presence.decode_roster(seen)
        if found.due(held.id, now):
            ours = presence.encode_roster(found.with_seen(held.id, now))
            await self._store.note(presence.NAME, ours, seen=seen)
        return found.others(held.id, now)

    def _report(self, state: str) -> None:
        lineage = self.lineage
        fields: dict[str, object] = {"keyring": shown(lineage.held.id)}
        if state == "mismatch":
            fields["others"] = ",".join(map(shown, self.others))
        else:
            fields["generation"] = lineage.held.generation
        if state == "forked":
            fields["missing"] = ",".join(lineage.missing)
        if state == "older":
            fields["file_generation"] = lineage.older
        if state == "behind":
            fields |= {"fleet_generation": lineage.behind, "lacks_sealing_kek": lineage.lacks}
        self._reporter.report(STATES[state], **fields)
