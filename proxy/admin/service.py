"""The service behind the admin API: what the routes call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..config.settings import Settings
from ..keys.operations.verb import Call, Done
from ..telemetry.metrics.samples import Check, Samples


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
    """Where verbs are done: what operators and services ask of keys."""

    async def run(self, call: Call) -> Done:
        """Do what a call asks.

        Raises what its verb declares; KeyUnavailable where the store does not answer or the audit
        log blocks, OperatorError where workers have no store in common, UnfitEnvironment where the
        audit log of participants cannot be written, WorkerGone.
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
