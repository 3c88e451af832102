"""A sidecar made from one configuration: its keys, and the lanes of its listeners."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...config.checks import memory_fit
from ...config.settings import Loaded, Settings
from ...core.crypto.derivation import place_key
from ...core.errors import OpenFailed, SealyardError
from ...core.http.message import DIRECTIONS
from ...core.rules.model import Rule
from ...keys.audit import Trail
from ...keys.fleet.lineage import Accepted
from ...keys.keyring.index_secrets import absent
from ...keys.keyring.keyring import shown
from ...process import cgroup, descriptors, memory
from ...process.policy import TRIM_SECONDS
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import CountingReporter, MessageReporter, Reporter
from ...traffic.byte_budget import ENDLESS, ByteBudget
from ...traffic.downstream import sockets
from ...traffic.downstream.listener import ClientRoom, TrafficServer
from ...traffic.downstream.sockets import Sockets
from ...traffic.slices import Slices
from ...traffic.timers import RepeatingTimer
from ...traffic.turns import LoopLag
from .. import telemetry_setup
from ..policy import CLIENT_BYTES, SESSION_BYTES
from ..reload.config_files import Source
from ..reload.material import Material, gather, keyring_of
from ..reload.reload import require_none
from .keys import SidecarKeys
from .lane import LaneChange, WiredLane

if TYPE_CHECKING:  # loaded with the scopes that need it
    from .value_access import RuledValues


class Sidecar:
    """Carries traffic by one configuration, which can be replaced at runtime."""

    def __init__(  # noqa: PLR0913 - what `build` hands in, each by name
        self,
        material: Material,
        reporter: MessageReporter,
        clock: Callable[[], float],
        *,
        environ: Mapping[str, str],
        given: Mapping[str, Sockets] | None = None,
        check_store: bool = True,
        accepted: Accepted | None = None,
        processes: int = 1,
    ) -> None:
        """Wire everything; nothing is opened before `start`. Needs a running event loop.

        `given` are sockets that listen already, by the name of the listener. `check_store` says
        whether to refuse a store that can never work; the replacement of a dead worker does not.
        `accepted` is an older keyring to accept although a later one is known. `processes` share
        the memory.
        """
        self._reporter = reporter
        self._environ = environ
        self._check_store = check_store
        self._material = material
        self._given = dict(given) if given is not None else None
        self._opened: dict[str, Sockets] = {}
        self._room = ClientRoom()
        self._started = asyncio.Event()
        self._draining = False
        self.keys = SidecarKeys(material, reporter, clock, environ=environ, accepted=accepted)
        self._memory = memory.Memory()
        self._memory_timer = RepeatingTimer(
            lambda _: self._memory.give_back(), interval=TRIM_SECONDS
        )
        self._tap = reporter.tap if isinstance(reporter, CountingReporter) else None
        self._traces = telemetry_setup.begin(environ, reporter)
        self._lag = LoopLag()
        self._processes = processes
        self._budget = budget = ByteBudget()
        budget.beside = self._beside
        slices = Slices(memory.Garbage(lambda: budget.used / budget.total))
        self.lanes = {
            name: WiredLane(
                one,
                self.keys.end_to_end,
                reporter,
                clock,
                tap=self._tap,
                traces=self._traces,
                lag=self._lag,
                slices=slices,
                opens=self.keys.opens,
                place_key=place_key(material.keyring.record_key),
                budget=self._budget,
            )
            for name, one in material.listeners.items()
        }
        self._server = TrafficServer(())
        self.keys.value_access = self._value_access
        telemetry_setup.follow(reporter, material.settings)

    def _value_access(self) -> RuledValues:
        from .value_access import RuledValues  # noqa: PLC0415 - as above

        return RuledValues(self.lanes)

    @property
    def operations(self) -> SidecarKeys:
        """Where operators' calls are done."""
        return self.keys

    @property
    def holds_keys(self) -> bool:
        """True: the keys are in this process."""
        return True

    @property
    def trail(self) -> Trail | None:
        """The audit log of this process."""
        return self.keys.trail

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._material.settings

    def port(self, listener: str) -> int:
        """Return the TCP port of a listener once it was started."""
        return self.lanes[listener].port

    async def open(self) -> None:
        """Bind all addresses without accepting connections yet.

        Raises UnfitEnvironment, naming the address that cannot be bound; then none stays bound.
        """
        if self._given is not None:
            self._opened = self._given
            return
        try:
            for one in self.settings.listeners:
                opening = asyncio.to_thread(sockets.open_sockets, one.listen)
                self._opened[one.name] = await opening
        except BaseException:
            self._close_sockets()
            raise

    async def start(self) -> None:
        """Serve all listeners, which are opened unless they are."""
        if self._check_store:
            await self.keys.check_store()
        # Before anything is opened: where nothing can be written down, nothing begins.
        await self.keys.record_start()
        if not self._opened:
            await self.open()
        self._room.most = self._clients(self.settings)
        for name, lane in self.lanes.items():
            lane.open(self._opened[name], self._room)
        self._server.replace([lane.lane for lane in self.lanes.values()])
        try:
            await self.keys.open()
            await self._server.start()
        except BaseException:
            self._close_sockets()
            raise
        self._memory.keep()
        self._own = memory.resident_bytes()  # later, messages are in it
        self._divide(self.settings)
        self._memory_timer.start()
        self.keys.start_upkeep()
        self._started.set()
        for name in self.lanes:
            self._report_started(name)

    def announce_drain(self) -> None:
        """Fail readiness from now on; connections are still accepted."""
        self._draining = True

    async def drain(self, grace: float) -> bool:
        """Shut down gracefully within `grace` seconds; return whether nothing was cut off."""
        self._draining = True
        try:
            # Closed first: a socket that nothing accepts from must not collect connections.
            self._close_sockets()
            return await self._server.drain(grace)
        finally:
            await self._close_rest()

    async def close(self) -> None:
        """Drop everything at once."""
        self._draining = True
        self._close_sockets()
        await self._server.close()
        await self._close_rest()

    async def prepare(self, source: Source) -> ConfigChange:
        """Return the change to another configuration, fully prepared, with nothing changed yet.

        While this starts, it waits: what is not open cannot be changed. Raises RestartNeeded,
        KeyringError or UnfitEnvironment where it cannot be taken.
        """
        await self._started.wait()
        require_none(self.settings, source.loaded.settings, str(source.loaded.file))
        material = await asyncio.to_thread(
            _gathered, source.loaded.settings, self._environ, self._held(self._material)
        )
        if material.keyring_ms:
            report_keyring(self._reporter, material)
        clients = self._clients(material.settings)
        changes = {
            name: self.lanes[name].change(self._material.listeners[name], one)
            for name, one in material.listeners.items()
        }
        return ConfigChange(self, material, changes, clients)

    async def take(
        self, material: Material, changes: Mapping[str, LaneChange], clients: int | None
    ) -> None:
        """Switch to another configuration: it serves the requests that begin from now on."""
        telemetry_setup.follow(self._reporter, material.settings)
        newly_accepting = self.keys.take(material)
        self._material = self._held(material)
        self._room.most = clients
        self._divide(material.settings)
        for name, change in changes.items():
            self.lanes[name].take(change)
        self._server.replace([lane.lane for lane in self.lanes.values()])
        # Up to here nothing has waited.
        if newly_accepting:
            await self.keys.record_accepted()

    async def lessen(self) -> None:
        """Take revocations and disabled KEKs from the keyring's file, and nothing else."""
        held = self._held(self._material)
        with suppress(SealyardError):  # the refusal of the reload says why it cannot be read
            keyring, *_ = await asyncio.to_thread(keyring_of, self.settings, self._environ, held)
            self.keys.watch.lessen(keyring)

    async def look(self) -> dict[str, Any]:
        """Return the shapes of the messages since the last look, and keep recording them.

        Raises TypeError where the configuration has no tap.
        """
        if self._tap is None:
            raise TypeError("there is no tap")
        return self._tap.look()

    def alive_at(self) -> float:
        """Return the present, in monotonic seconds: who asks runs on the same event loop."""
        return time.monotonic()

    async def facts(self, _: float = 0.0) -> Facts:
        """Return checks, samples and status of this process."""
        checks = (
            Check("started", self._started.is_set()),
            Check("accepting", not self._draining, "draining" if self._draining else ""),
            *self.keys.checks(),
        )
        unlisted = (row for name, lane in self.lanes.items() for row in lane.unlisted(name))
        process = {"process": os.getpid()}
        told = tuple({**process, **row} for row in unlisted)
        return Facts(checks, self._samples(), self._status(), told)

    def _held(self, material: Material) -> Material:
        """Return it with the keyring that is in use in place of the one that its file had.

        That may be older, or may have lost its KEKs at the end of the root's lease.
        """
        return replace(material, keyring=self.keys.watch.lineage.held)

    def _clients(self, settings: Settings) -> int | None:
        """Return how many clients all may have together where they are fewer, and report it.

        Raises UnfitEnvironment where hardly any may be open at once.
        """
        places = [
            descriptors.Places(one.limits.clients, one.limits.upstream_connections)
            for one in settings.listeners
        ]
        wanted = descriptors.wanted(places)
        limit = descriptors.provide(wanted)
        found = descriptors.fitting(places, limit)
        if found is not None:
            self._reporter.report("descriptors.short", limit=limit, wanted=wanted, clients=found)
        return found

    def _beside(self) -> int:
        """Return about how many bytes connected clients and sessions take."""
        sessions = sum(self.keys.sessions.cached)
        return self._room.connections() * CLIENT_BYTES + sessions * SESSION_BYTES

    def _divide(self, settings: Settings) -> None:
        """Divide the memory that this process may take, and report where the limits exceed it."""
        limit = settings.memory or cgroup.memory_limit()
        if limit is None:
            self._budget.resize(ENDLESS)
            return
        limits = [one.limits for one in settings.listeners]
        parts = memory_fit.divide(limit, limits, processes=self._processes, own=self._own)
        if parts.missing:
            self._reporter.report("memory.short", limit=parts.limit, missing=parts.missing)
        self._budget.resize(parts.divided)

    def _samples(self) -> Samples:
        reporter = self._reporter
        samples = reporter.samples() if isinstance(reporter, CountingReporter) else Samples()
        for name, lane in self.lanes.items():
            lane.count(samples, name)
            if self._material.listeners[name].settings.pass_unmatched:
                samples.add(table.UNCOVERED_WRITES, 0, labels=(name,))
            for rule in self._material.listeners[name].rule_table.rules:
                labels = (name, rule.rule.name, "forwarded")
                samples.add(table.MESSAGES, 0, labels=labels)
                samples.add(table.RULE_MATCHED, 0, labels=labels[:2])
                # A counter that begins with 1 has not increased, and raises no alarm.
                samples.add(table.POISON, 0, labels=labels[:2])
                for direction in DIRECTIONS:
                    samples.add(table.REFUSALS, 0, labels=(*labels[:2], direction, OpenFailed.code))
                _count_permissive(samples, name, rule.rule)
        for use, refused in itertools.product(("enc", "sig"), ("yes", "no")):
            samples.add(table.UNACCEPTED, 0, labels=(use, refused))
        self.keys.count(samples)
        samples.add(table.LOOP_LAG, self._lag.longest())
        samples.add(table.MEMORY, memory.resident_bytes())
        samples.add(table.BODIES, self._budget.used)
        samples.add(table.BODIES_WAITING, self._budget.waiting)
        samples.add(table.CPU, memory.cpu_seconds())
        return samples

    def _status(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "draining": self._draining,
            "connections": {name: lane.connections for name, lane in self.lanes.items()},
            **self.keys.status(),
        }

    def _report_started(self, name: str) -> None:
        settings = self._material.listeners[name].settings
        address = str(settings.listen)
        self._reporter.report(
            "listener.started",
            listener=name,
            address=f"{address[:-1]}{self.port(name)}" if address.endswith(":0") else address,
            upstream=str(settings.upstream.address),
        )

    def _close_sockets(self) -> None:
        for one in self.settings.listeners:
            # Given sockets belong to the supervisor too, which removes the path of a Unix socket.
            address = one.listen if self._given is None else None
            if one.name in self._opened:
                sockets.close(self._opened.pop(one.name), address)

    async def _close_rest(self) -> None:
        for lane in self.lanes.values():
            await lane.close()
        self._memory_timer.stop()
        try:
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close)
        finally:
            await self.keys.close()


@dataclass(eq=False, slots=True)
class ConfigChange:
    """A prepared change of configuration for a running sidecar: applied or discarded, once."""

    _sidecar: Sidecar
    _material: Material
    _changes: Mapping[str, LaneChange]
    _clients: int | None

    async def apply(self) -> None:
        """Put it in force."""
        await self._sidecar.take(self._material, self._changes, self._clients)

    async def discard(self) -> None:
        """Close what was made for it."""
        for change in self._changes.values():
            await change.discard()


def _gathered(
    settings: Settings, environ: Mapping[str, str], old: Material | None = None
) -> Material:
    """Do as `gather`, and import what decides who may seal and open by hand, if anybody may."""
    if settings.admin is not None and settings.admin.by_hand:
        from . import value_access  # noqa: F401, PLC0415 - see above
    return gather(settings, environ, old)


async def build(  # noqa: PLR0913 - what the command hands in, each by name
    loaded: Loaded,
    reporter: MessageReporter,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.time,
    given: Mapping[str, Sockets] | None = None,
    check_store: bool = True,
    accepted: Accepted | None = None,
    processes: int = 1,
) -> Sidecar:
    """Return a sidecar that is ready to start, its keyring opened off the event loop.

    Raises KeyringError where the keyring does not open, UnfitEnvironment for unusable TLS files.
    """
    material = await asyncio.to_thread(_gathered, loaded.settings, environ)
    report_keyring(reporter, material)
    return Sidecar(
        material,
        reporter,
        clock,
        environ=environ,
        given=given,
        check_store=check_store,
        accepted=accepted,
        processes=processes,
    )


def counting(settings: Settings, reporter: MessageReporter) -> MessageReporter:
    """Return the reporter for traffic: one that counts where a listener can serve the counts."""
    if settings.admin is None and settings.health is None:
        return reporter
    if settings.admin is None or not settings.admin.tap:
        return CountingReporter(reporter)
    from ...telemetry.tap import Tap  # noqa: PLC0415 - only where it is wanted

    return CountingReporter(reporter, Tap(time.time))


def report_keyring(reporter: Reporter, material: Material) -> None:
    """Report that a keyring was opened."""
    reporter.report(
        "keyring.opened",
        file=str(material.settings.keys.keyring.file),
        root=material.root.by.kind,
        keyring=shown(material.keyring.id),
        generation=material.keyring.generation,
        primary=material.keyring.primary.id,
        keks=len(material.keyring.keks),
        duration_ms=material.keyring_ms,
    )
    rules = (rule for one in material.settings.listeners for rule in one.rules)
    if (told := absent(material.keyring.index, rules)) is not None:
        file = str(material.settings.keys.keyring.file)
        reporter.report("config.warning", file=file, line=None, path="fields", warning=told)


def _count_permissive(samples: Samples, listener: str, rule: Rule) -> None:
    """Add when a rule's mode ends, and a count of plain values that begins with 0."""
    for direction in DIRECTIONS:
        for block in rule.blocks_of(direction):
            if block.permissive_until is not None:
                labels = (listener, rule.name, direction, "plain")
                samples.add(table.PERMISSIVE_UNTIL, block.permissive_until, labels=labels[:2])
                samples.add(table.VALUES, 0, labels=labels)
