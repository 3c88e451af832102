"""End to end in one process: what it consists of is imported for a rule or an operator that asks.

It takes a MiB, which most sidecars have no use for. For rules it is imported where files are read
(`gather` in `reload/material`), for operators in a thread: no message waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ...config.settings import Settings
from ...core.compiled.rule_table import RuleTable
from ...keys.participants.calls import ParticipantCall
from ...keys.sessions.sessions import Sessions
from ...keys.sessions.settings import SessionSettings
from ...keys.stores.guarded import Notice
from ...telemetry.reporter import Reporter
from ...traffic.exchange.prepared_steps import KeySource

if TYPE_CHECKING:
    from ...keys.end_to_end.key_source import EndToEnd
    from ...keys.participants.operations import ParticipantResult
    from .participant_calls import ParticipantCalls


class LateEndToEnd:
    """The key source of rules end to end, and participants: nothing until one of them asks.

    `settings` returns those in force, `clock` seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what SidecarKeys hands in, once
        self,
        sessions: Sessions,
        settings: Callable[[], Settings],
        reporter: Reporter,
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float],
        notice: Notice,
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._session_settings = SessionSettings.of(settings().keys)
        self._reporter = reporter
        self._environ = environ
        self._clock = clock
        self._notice = notice
        self._made: EndToEnd | None = None
        self._calls: ParticipantCalls | None = None

    def keys_for(self, rule_table: RuleTable) -> KeySource:
        """Return the key source of a rule table: the sessions alone if no rule is end to end."""
        return self._now() if rule_table.end_to_end else self._sessions

    async def asked(self) -> EndToEnd:
        """Return what answers an operator."""
        await asyncio.to_thread(_load)
        return self._now()

    async def operate(self, call: ParticipantCall) -> ParticipantResult:
        """Do what an operator asks of a participant."""
        end_to_end = await self.asked()
        if self._calls is None:
            from .participant_calls import ParticipantCalls  # noqa: PLC0415 - see _load

            self._calls = ParticipantCalls(self._settings, self._reporter, self._clock)
        return await self._calls.run(call, end_to_end, self._sessions.keyring)

    def changed(self, name: str | None) -> None:
        """Do as `EndToEnd.changed` says, where anything is known yet."""
        if self._made is not None:
            self._made.changed(name)

    def replace_identities(self) -> None:
        """Use the identities of the settings in force."""
        if self._made is not None:
            self._made.replace_identities(self._settings().keys.identities)

    def replace_pins(self) -> None:
        """Use the pins of the settings in force."""
        if self._made is not None:
            self._made.replace_pins(self._settings().keys.pins)

    def drop_ended(self) -> Iterator[None]:
        """Drop sessions that have ended, a few at each step."""
        if self._made is not None:
            yield from self._made.drop_ended()

    def _now(self) -> EndToEnd:
        """Return what has been made, or make it; whoever calls has it imported."""
        if self._made is None:
            from ...keys.end_to_end.key_source import EndToEnd  # noqa: PLC0415 - as it says

            keys = self._settings().keys
            self._made = EndToEnd(
                self._sessions,
                self._session_settings,
                keys.identities,
                self._environ,
                pins=keys.pins,
                clock=self._sessions.now,
                random=os.urandom,
                notice=self._notice,
                reporter=self._reporter,
            )
        return self._made


def _load() -> None:
    """Import what operators ask for; it belongs into a thread."""
    from . import participant_calls  # noqa: F401, PLC0415 - as it says
