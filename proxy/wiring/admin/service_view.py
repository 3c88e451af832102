"""What the admin API is told: one answer for everything that runs here."""

from __future__ import annotations

import asyncio
import platform
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from ... import __version__
from ...admin.service import Reloaded
from ...config.settings import Settings
from ...core.crypto.context import Scope
from ...keys.audit import Trail
from ...keys.operations.session_operations import SessionCall, SessionResult
from ...keys.operations.values import ValueCall, ValueResult
from ...keys.participants.operations import ParticipantCall, ParticipantResult
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import Reporter
from .. import auditing, operator_calls
from ..reload.config_files import Source
from ..reload.reload import Prepared, Reloader, problems_told
from .overview import overview

MOST_KEPT: Final = 400
FRESH_SECONDS: Final = 0.4
"""So long one look is enough for all viewers."""

Look = Callable[[], Awaitable[dict[str, Any]]]


class Viewing:
    """Looks at the traffic while somebody views it, and hands each message to every viewer."""

    def __init__(self, look: Look, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._looked_at = -FRESH_SECONDS
        self._looking = asyncio.Lock()
        self._messages: deque[tuple[int, dict[str, Any]]] = deque(maxlen=MOST_KEPT)
        self.seen = 0
        self.missed = 0
        self.values = False

    def viewer(self) -> TapViewer:
        """Return a viewer of what comes from now on."""
        return TapViewer(self)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the messages after the first `number` of them, as far as they are kept."""
        return [message for at, message in self._messages if at > number]

    async def refresh(self) -> None:
        """Look, unless somebody just did."""
        async with self._looking:
            if self._clock() - self._looked_at < FRESH_SECONDS:
                return
            seen = await self._look()
            self._looked_at = self._clock()
            self.missed += seen["missed"]
            self.values = seen["values"]
            for message in seen["messages"]:
                self.seen += 1
                self._messages.append((self.seen, message))


class TapViewer:
    """One of those who view, and how far it has come."""

    def __init__(self, viewing: Viewing) -> None:
        self._viewing = viewing
        self._seen = viewing.seen
        self._missed = viewing.missed

    async def more(self) -> dict[str, Any]:
        """Return the messages since the last time, and how many more are not shown.

        `values` says that they hold values, as those of the demonstration do.
        """
        viewing = self._viewing
        await viewing.refresh()
        messages = viewing.since(self._seen)
        lost = viewing.seen - self._seen - len(messages)
        missed = viewing.missed - self._missed + lost
        self._seen, self._missed = viewing.seen, viewing.missed
        return {"messages": messages, "missed": missed, "values": viewing.values}


class Carrier(Protocol):
    """Who carries the traffic: a sidecar in this process, or a fleet of workers."""

    @property
    def holds_keys(self) -> bool:
        """Whether keys are held in this very process, which then has an audit log, if any has."""

    @property
    def trail(self) -> Trail | None:
        """The audit log of a carrier that holds keys."""

    async def open(self) -> None:
        """Take all places to listen."""

    async def start(self) -> None:
        """Begin to answer."""

    def announce_drain(self) -> None:
        """Say no to probes, and go on."""

    async def drain(self, grace: float) -> bool:
        """Stop in good order within `grace` seconds; return whether nothing had to be cut."""

    async def close(self) -> None:
        """Drop everything at once."""

    async def prepare(self, source: Source) -> Prepared:
        """Return the change to another configuration."""

    async def facts(self) -> Facts:
        """Return how it stands."""

    async def look(self) -> dict[str, Any]:
        """Return what was seen of messages since the last look."""

    async def operate(self, call: SessionCall) -> SessionResult:
        """Do what an operator asks of the sessions of a scope."""

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Do what an operator asks of a participant."""

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Return the key packages of a conversation that are for a participant."""

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Seal values, or open tokens."""


class ServiceView:
    """The subject of the admin API."""

    def __init__(
        self,
        carrier: Carrier,
        reloader: Reloader,
        reload: Callable[[], Awaitable[Reloaded]],
        reporter: Reporter,
        *,
        trail: Trail | None = None,
    ) -> None:
        """`trail` is an audit log of this process that is not the carrier's."""
        self._trail = trail
        self._carrier = carrier
        self._reloader = reloader
        self._reload = reload
        self._reporter = reporter
        self._began = time.monotonic()
        self._viewing = Viewing(carrier.look)
        self._revoked = dict.fromkeys(("keyring", "store", "process"), 0)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._reloader.source.loaded.settings

    async def checks(self) -> tuple[Check, ...]:
        """Return the conditions of readiness."""
        facts = await self._carrier.facts()
        return (*facts.checks, *self._reload_check())

    def _reload_check(self) -> tuple[Check, ...]:
        """Return a mark where the files on the disk are refused: a keyring that is gone, say."""
        last = self._reloader.last
        if last is None or last.accepted:
            return ()
        detail = f"what is on the disk is refused ({last.code}), the last good state stays"
        return (Check("configuration", ok=True, detail=detail, degraded=True),)

    async def samples(self) -> Samples:
        """Return what all metrics stand at."""
        facts = await self._carrier.facts()
        samples = Samples()
        samples.merge(facts.samples)
        self._reloader.count(samples)
        auditing.count(self._trail, samples)
        for kept, number in self._revoked.items():
            samples.add(table.REVOCATIONS, number, labels=(kept,))
        samples.add(table.BUILD, 1, labels=(__version__, platform.python_version()))
        samples.add(table.READY, int(facts.ready))
        return samples

    async def status(self) -> Mapping[str, Any]:
        """Return names and numbers for an operator."""
        facts = await self._carrier.facts()
        source, last = self._reloader.source, self._reloader.last
        return {
            "version": __version__,
            "ready": facts.ready,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "configuration": {
                "file": str(source.loaded.file),
                "sha256": source.sha256,
                "loaded_at": round(self._reloader.loaded_at, 3),
                "rules": source.rules,
                "warnings": len(source.loaded.warnings),
            },
            "last_reload": None
            if last is None
            else {
                "accepted": last.accepted,
                "code": last.code,
                "problems": list(problems_told(last)),
            },
            "listeners": [
                {
                    "name": one.name,
                    "listen": str(one.listen),
                    "upstream": str(one.upstream.address),
                    "rules": len(one.rules),
                }
                for one in source.loaded.settings.listeners
            ],
            **overview(source.loaded.settings, facts),
            **facts.status,
        }

    def viewer(self) -> TapViewer:
        """Return somebody who looks on from now on."""
        return self._viewing.viewer()

    async def operate(self, call: SessionCall) -> SessionResult:
        """Do what an operator asks of the sessions of a scope."""
        answer = await self._carrier.operate(call)
        if call.action == "revoke":
            kept = "keyring" if answer.durable else "store" if answer.store else "process"
            self._revoked[kept] += 1
        operator_calls.report_session_call(self._reporter, call, answer, self.settings.keys)
        return answer

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Do what an operator asks of a participant."""
        answer = await self._carrier.participants(call)
        operator_calls.report_participant_call(self._reporter, call, answer)
        return answer

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Return the key packages of a conversation that are for a participant, newest first."""
        return await self._carrier.packages(scope, recipient)

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Seal values, or open tokens."""
        return await self._carrier.values(call)

    async def reload(self) -> Reloaded:
        """Take what the configuration file says now, or tell why not."""
        return await self._reload()
