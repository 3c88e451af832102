"""End to end in one process: what it consists of is imported for a configuration that has it.

It takes a MiB, which most sidecars have no use for. It is imported where files are read
(`reload/needed`): neither a message nor an operator waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ...config.settings import Settings
from ...core.compiled.rule_table import RuleTable
from ...keys.sessions.sessions import Sessions
from ...keys.sessions.settings import SessionSettings
from ...keys.stores.guarded import Notice
from ...telemetry.reporter import Reporter
from ...traffic.exchange.prepared_steps import KeySource

if TYPE_CHECKING:
    from ...keys.end_to_end.key_source import EndToEnd
    from ...keys.end_to_end.package_store import PackageStore
    from ...keys.participants.pins import PinBook
    from ...keys.participants.registry import Participants


class LateEndToEnd:
    """The key source of rules end to end, which is made for the first of them, and participants.

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

    @property
    def in_use(self) -> bool:
        """Whether there has been a rule end to end since the start."""
        return self._made is not None

    def keys_for(self, rule_table: RuleTable) -> KeySource:
        """Return the key source of a rule table: the sessions alone if no rule is end to end."""
        return self._now() if rule_table.end_to_end else self._sessions

    def participants(self) -> tuple[Participants, PinBook]:
        """Return the participants in the store, and which of their keys are accepted.

        There may be some before the first rule names one.
        """
        if self._made is not None:
            return self._made.participants(), self._made.pins()
        from ...keys.participants.pins import PinBook  # noqa: PLC0415 - loaded with the admin API
        from ...keys.participants.registry import Participants  # noqa: PLC0415 - as above

        store, keyring = self._sessions.store, self._sessions.keyring
        listed = self._settings().keys.pins.listed
        return Participants(store, keyring), PinBook(store, keyring, listed)

    def packages(self) -> PackageStore | None:
        """Return the key packages in the store; None where nobody can have put one there."""
        if self._made is not None:
            return self._made.package_store
        if not self._sessions.store.shared:
            return None
        from ...keys.end_to_end.package_store import PackageStore  # noqa: PLC0415 - as above

        return PackageStore(self._sessions, clock=self._sessions.now, notice=self._notice)

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
