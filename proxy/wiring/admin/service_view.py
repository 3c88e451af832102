"""The service as the admin API sees it, whatever number of processes carries the traffic."""

from __future__ import annotations

import asyncio
import platform
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from ... import __version__
from ...admin.service import KeyOperations, Reloaded
from ...config.settings import STALLED_SECONDS, Settings
from ...core import leaves
from ...keys.audit import Trail
from ...keys.operations.verb import Call, Done
from ...keys.operations.verbs import VERBS
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import Reporter
from .. import auditing
from ..policy import FACTS_SECONDS, FRESH_SECONDS, VIEWED_MESSAGES
from ..reload.config_files import Source
from ..reload.reload import Prepared, Reloader
from .ladder import LadderKeeper
from .overview import leaks, overview

Look = Callable[[], Awaitable[dict[str, Any]]]


class TapViewers:
    """Reads the tap while there are viewers, and gives each message to every one of them."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._looked_at = -FRESH_SECONDS
        self._looking = asyncio.Lock()
        self._messages: deque[tuple[int, dict[str, Any]]] = deque(maxlen=VIEWED_MESSAGES)
        self.seen = 0
        self.missed = 0
        self.values = False

    def viewer(self, *, from_start: bool = False) -> TapViewer:
        """Return a viewer of the messages from now on, or of all that are kept."""
        return TapViewer(self, from_start=from_start)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the kept messages after message `number`."""
        return [message for at, message in self._messages if at > number]

    async def refresh(self) -> None:
        """Read the tap, unless it was read within FRESH_SECONDS."""
        async with self._looking:
            if time.monotonic() - self._looked_at < FRESH_SECONDS:
                return
            seen = await self._look()
            self._looked_at = time.monotonic()
            self.missed += seen["missed"]
            self.values = seen["values"]
            for message in seen["messages"]:
                self.seen += 1
                self._messages.append((self.seen, message))


class TapViewer:
    """One caller of the tap, and how far it has read."""

    def __init__(self, viewers: TapViewers, *, from_start: bool = False) -> None:
        self._viewers = viewers
        self._seen = 0 if from_start else viewers.seen
        self._missed = viewers.missed

    async def more(self) -> dict[str, Any]:
        """Return the messages since the last call, and how many more were dropped (`missed`).

        `values` is true where they hold values, as those of the demonstration do.
        """
        viewers = self._viewers
        await viewers.refresh()
        messages = viewers.since(self._seen)
        dropped = viewers.seen - self._seen - len(messages)
        missed = viewers.missed - self._missed + dropped
        self._seen, self._missed = viewers.seen, viewers.missed
        return {"messages": messages, "missed": missed, "values": viewers.values}


class Carrier(Protocol):
    """What carries the traffic: a sidecar in this process, or a supervisor with its workers."""

    @property
    def holds_keys(self) -> bool:
        """Whether the keys are in this process, and so its audit log."""

    @property
    def trail(self) -> Trail | None:
        """The audit log of a carrier that holds keys; None where it has none."""

    @property
    def operations(self) -> KeyOperations:
        """Where operators' calls are done."""

    async def open(self) -> None:
        """Bind all addresses."""

    async def start(self) -> None:
        """Serve."""

    def announce_drain(self) -> None:
        """Fail readiness from now on; connections are still accepted."""

    async def drain(self, grace: float) -> bool:
        """Shut down gracefully within `grace` seconds; return whether nothing was cut off."""

    async def close(self) -> None:
        """Drop everything at once."""

    async def prepare(self, source: Source) -> Prepared:
        """Return the change to another configuration."""

    async def lessen(self) -> None:
        """Take what the keyring's file takes away, where a reload is refused."""

    async def facts(self, seconds: float) -> Facts:
        """Return checks, samples and status.

        Of a worker that does not give its own within `seconds`, the last that it gave.
        """

    def alive_at(self) -> float:
        """Return when every event loop that carries traffic has last shown a sign of life.

        In monotonic seconds.
        """

    async def look(self) -> dict[str, Any]:
        """Return the shapes of the messages since the last look."""


class ServiceView:
    """The service that the admin API serves (`AdminService`)."""

    def __init__(  # noqa: PLR0913 - what the service hands in, once
        self,
        carrier: Carrier,
        reloader: Reloader,
        reload: Callable[[], Awaitable[Reloaded]],
        reporter: Reporter,
        *,
        trail: Trail | None = None,
        ladder: LadderKeeper | None = None,
    ) -> None:
        """`trail` is an audit log of this process, where the carrier has none here.

        Without a `ladder`, one is counted from now on.
        """
        self._trail = trail
        self._ladder = ladder or LadderKeeper(carrier.facts, lambda: self.settings, reporter)
        self._carrier = carrier
        self._reloader = reloader
        self._reload = reload
        self._reporter = reporter
        self._began = self._alive_at = time.monotonic()
        self._viewers = TapViewers(carrier.look)
        self._revoked = dict.fromkeys(("keyring", "store", "file", "process"), 0)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._reloader.source.loaded.settings

    def beat(self) -> None:
        """Note that the event loop runs; called once a second or more often."""
        self._alive_at = self._carrier.alive_at()

    def stalled(self) -> float:
        """Return for how many seconds the traffic has shown no sign of life, 0 while it does.

        It may be called in any thread.
        """
        health = self.settings.health
        limit = STALLED_SECONDS if health is None else health.stalled_after
        silent = self.silent()
        return silent if silent > limit else 0.0

    def silent(self) -> float:
        """Return how many seconds ago the last sign of life was; it may be called in any thread."""
        return time.monotonic() - self._alive_at

    async def checks(self, seconds: float = FACTS_SECONDS) -> tuple[Check, ...]:
        """Return the readiness checks; `seconds` as for `Carrier.facts`."""
        facts = await self._carrier.facts(seconds)
        return (*facts.checks, *self._reload_check())

    def _reload_check(self) -> tuple[Check, ...]:
        """Return a degraded check where the last reload was refused, say for a missing keyring."""
        last = self._reloader.last
        if last is None or last.accepted:
            return ()
        detail = f"the files on disk are refused ({last.code}); the last good configuration stays"
        return (Check("configuration", ok=True, detail=detail, degraded=True),)

    async def samples(self, seconds: float = FACTS_SECONDS) -> Samples:
        """Return the samples of all metrics; `seconds` as for `Carrier.facts`."""
        facts = await self._carrier.facts(seconds)
        samples = Samples()
        samples.merge(facts.samples)
        self._reloader.count(samples)
        auditing.count(self._trail, samples)
        for kept, number in self._revoked.items():
            samples.add(table.REVOCATIONS, number, labels=(kept,))
        samples.add(table.BUILD, 1, labels=(__version__, platform.python_version(), leaves.NATIVE))
        samples.add(table.READY, int(facts.ready))
        return samples

    async def status(self) -> Mapping[str, Any]:
        """Return names and numbers for an operator."""
        facts = await self._carrier.facts(FACTS_SECONDS)
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
                "problems": list(last.closed),
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
        """Return a viewer of the messages from now on."""
        return self._viewers.viewer()

    async def run(self, call: Call) -> Done:
        """Do what an operator asks, and report what the log has an event for."""
        done, event = await self._carrier.operations.run(call), VERBS[call.verb].logged
        if event == "key.revoked":
            places = {"keyring": "durable", "store": "store", "file": "kept"}
            holds = (place for place, said in places.items() if done.told[said])
            self._revoked[next(holds, "process")] += 1
        if event:
            self._reporter.report(event, **done.told)
        return done

    async def steps(self) -> Mapping[str, Any]:
        """Return the modes of all rules, and what was counted in them."""
        return await self._ladder.counted()

    async def leaks(self) -> Mapping[str, Any]:
        """Return what was counted that rules would do, do not cover or do not seal."""
        facts = await self._carrier.facts(FACTS_SECONDS)
        return leaks(self.settings, facts.samples)

    async def reload(self) -> Reloaded:
        """Load the configuration file again; the result says whether it was accepted."""
        return await self._reload()
