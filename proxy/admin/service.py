"""The service behind the admin API: what the routes call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..config.settings import Settings
from ..core.crypto.context import Scope
from ..keys.operations.session_calls import SessionCall, SessionResult
from ..keys.operations.values import ValueCall, ValueResult
from ..keys.participants.calls import ParticipantCall
from ..telemetry.metrics.samples import Check, Samples

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ..keys.participants.operations import ParticipantResult


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The result of a reload; `code`, `problems` and `closed` are those of a refusal.

    `closed` are the problems without what they quote of the file, for the log and the status.
    """

    accepted: bool
    sha256: str
    code: str = ""
    problems: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    swap_ms: float = 0.0


class Viewer(Protocol):
    """One caller that follows messages, and how far it has read."""

    async def more(self) -> Mapping[str, Any]:
        """Return the messages since the last call, and how many more were dropped."""


class KeyOperations(Protocol):
    """The calls about keys: what operators ask of sessions, participants, packages and values."""

    async def operate(self, call: SessionCall) -> SessionResult:
        """Do what a call asks of the sessions of a scope.

        Raises KeyUnavailable where the store of ephemeral sessions does not answer, OperatorError
        for a revocation with a time in the future.
        """

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Do what a call asks of a participant.

        Raises ParticipantError for an impossible change, UnknownParticipantKey,
        ParticipantsUnavailable and KeyMakerBusy; OperatorError where workers have no store in
        common, UnfitEnvironment where the audit log cannot be written.
        """

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Return the key packages of a conversation for a participant, newest first.

        Raises KeyUnavailable where the store does not answer, ParticipantError for an invalid id,
        OperatorError where workers have no store in common.
        """

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Return the tokens of values, or the values of tokens: all of them, or none.

        Raises OpenFailed whatever the cause, KeyUnavailable where the store does not answer,
        OperatorError where workers with ephemeral sessions have no store in common.
        """


class HealthService(Protocol):
    """The running service, as probes and scrapers see it."""

    def stalled(self) -> float:
        """Return for how many seconds the traffic has shown no sign of life, 0 while it does."""

    async def checks(self) -> tuple[Check, ...]:
        """Return the readiness checks."""

    async def samples(self) -> Samples:
        """Return the samples of all metrics."""


class AdminService(HealthService, KeyOperations, Protocol):
    """The running service: one process, or a supervisor with its workers."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    async def status(self) -> Mapping[str, Any]:
        """Return names and numbers for an operator."""

    def viewer(self) -> Viewer:
        """Return a viewer of the messages from now on."""

    async def steps(self) -> Mapping[str, Any]:
        """Return the modes of all rules, and what was counted in them."""

    async def leaks(self) -> Mapping[str, Any]:
        """Return what was counted that rules would do, do not cover or do not seal."""

    async def reload(self) -> Reloaded:
        """Load the configuration file again; the result says whether it was accepted."""
