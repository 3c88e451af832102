"""Operators' calls about participants, in the process that has the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ...config.settings import Settings
from ...core.crypto.derivation import audit_key
from ...keys.end_to_end.key_source import EndToEnd
from ...keys.keyring.keyring import Keyring
from ...keys.participants.calls import ParticipantCall
from ...keys.participants.key_generation import KeyMaker
from ...keys.participants.operations import ParticipantOperations, ParticipantResult
from ...telemetry.reporter import Reporter
from ..auditing import log_of


class ParticipantCalls:
    """Runs the calls by the settings in force; it belongs to one event loop."""

    def __init__(
        self, settings: Callable[[], Settings], reporter: Reporter, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._clock = clock
        self._maker = KeyMaker()

    async def run(
        self, call: ParticipantCall, end_to_end: EndToEnd, keyring: Keyring
    ) -> ParticipantResult:
        """Run a call; it raises what `ParticipantOperations.run` does."""
        settings = self._settings()
        path, log = settings.keys.keyring.file, log_of(settings, self._reporter, self._clock)
        key = audit_key(keyring.record_key)

        async def write(event: str, values: Mapping[str, str]) -> None:
            await asyncio.to_thread(log.write, key, event, keyring=str(path), **values)

        participants, pins = end_to_end.participants(), end_to_end.pins()
        operations = ParticipantOperations(
            participants, pins, self._maker, write, clock=self._clock
        )
        return await operations.run(call)
