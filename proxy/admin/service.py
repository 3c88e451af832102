"""What the admin API speaks for: one process, or a supervisor with its workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..config.settings import Settings
from ..core.crypto.context import Scope
from ..keys.operations.session_operations import SessionCall, SessionResult
from ..keys.operations.values import ValueCall, ValueResult
from ..keys.participants.operations import ParticipantCall, ParticipantResult
from ..telemetry.metrics.samples import Check, Samples


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload ended; `code` and `problems` are those of a refusal."""

    accepted: bool
    sha256: str
    code: str = ""
    problems: tuple[str, ...] = ()
    swap_ms: float = 0.0


class Viewer(Protocol):
    """Somebody who looks on while messages pass."""

    async def more(self) -> Mapping[str, Any]:
        """Return the messages since the last time, and how many more are not shown."""


class AdminService(Protocol):
    """Answers for the whole of Sealyard that runs here."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    async def checks(self) -> tuple[Check, ...]:
        """Return the conditions of readiness."""

    async def samples(self) -> Samples:
        """Return what all metrics stand at."""

    async def status(self) -> Mapping[str, Any]:
        """Return names and numbers for an operator."""

    def viewer(self) -> Viewer:
        """Return somebody who looks on from now on."""

    async def operate(self, call: SessionCall) -> SessionResult:
        """Do what is asked of the sessions of a scope.

        Raises KeyUnavailable where an ephemeral session cannot be had, OperatorError for a
        revocation of a time to come.
        """

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Do what is asked of a participant.

        Raises ParticipantError for what cannot be, UnknownParticipantKey, ParticipantsUnavailable
        and KeyMakerBusy; OperatorError where workers have no store in common, UnfitEnvironment
        where it cannot be written down.
        """

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Return the key packages of a conversation that are for a participant, the newest first.

        Raises KeyUnavailable where the store does not answer, ParticipantError for an id that is
        none, OperatorError where workers have no store in common.
        """

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Return the tokens of values, or the values of tokens: all of them, or none.

        Raises OpenFailed whatever the cause, KeyUnavailable where a session is not to be had,
        OperatorError where workers with ephemeral sessions have no store in common.
        """

    async def reload(self) -> Reloaded:
        """Take what the configuration file says now, or tell why not."""
