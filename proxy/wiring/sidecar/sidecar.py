"""A sidecar made from one configuration: keys, sessions, and the lanes of its listeners."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from ... import __version__
from ...config.settings import Loaded, Settings
from ...core.crypto.context import Scope
from ...keys.end_to_end.key_source import EndToEnd
from ...keys.fleet.lineage import Accepted
from ...keys.fleet.watch import KeyringWatch
from ...keys.keyring.keyring import Keyring, shown
from ...keys.operations.session_operations import SessionCall, SessionResult
from ...keys.operations.values import ValueCall, ValueOperations, ValueResult
from ...keys.participants.key_generation import KeyMaker
from ...keys.participants.operations import ParticipantCall, ParticipantResult
from ...keys.sessions.housekeeping import Upkeep
from ...keys.sessions.key_events import KeyEvents
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import Store, erased, open_store
from ...process import memory
from ...process import memory as usage
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Facts, Samples
from ...telemetry.reporter import CountingReporter, MessageReporter, Reporter
from ...telemetry.tap import Tap
from ...traffic.downstream import sockets
from ...traffic.downstream.listener import TrafficServer
from ...traffic.downstream.sockets import Sockets
from ...traffic.timers import Ticker
from .. import auditing, operator_calls, telemetry_setup
from ..reload.config_files import Source
from ..reload.material import Material, gather
from ..reload.reload import require_none
from . import session_facts
from . import session_facts as store_check
from .lane import LaneChange, WiredLane


class Sidecar:
    """Carries traffic by one configuration, which may be exchanged while it does."""

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
    ) -> None:
        """Wire everything; nothing is opened before `start`. Needs a running event loop.

        `given` are sockets that listen already, by the name of the listener. `check_store` says
        whether to refuse a store that cannot work; who takes the place of a dead one does not.
        `accepted` is an older keyring that is taken, whatever later one is known.
        """
        settings = material.settings
        self._reporter = reporter
        self._environ = environ
        self._clock = clock
        self._check_store = check_store
        self._material = material
        self._given = dict(given) if given is not None else None
        self._opened: dict[str, Sockets] = {}
        self._accepting = False
        self._draining = False
        self._maker = KeyMaker()
        self.store: Store = open_store(
            settings.keys.store, time.monotonic, redis=settings.keys.redis, environ=environ
        )
        self.trail = auditing.open_trail(settings, material.keyring.record_key, reporter, clock)
        self._key_events = KeyEvents(
            reporter, self.trail, material.keyring.record_key, clock=time.monotonic
        )
        self.sessions = Sessions(
            material.keyring,
            self.store,
            SessionSettings.of(settings.keys),
            clock=clock,
            random=os.urandom,
            notice=self._store_notice,
            mode=settings.keys.mode,
            key_events=self._key_events,
        )
        self.sessions.joins = _joins(material)
        self.watch = KeyringWatch(
            material.keyring,
            self.sessions.store,
            reporter,
            go_over=self._go_over,
            clock=clock,
            random=os.urandom,
            accepted=accepted,
        )
        if self.trail is not None:
            self.trail.changed = self.sessions.block
        self.end_to_end = EndToEnd(
            self.sessions,
            SessionSettings.of(settings.keys),
            settings.keys.identities,
            environ,
            pins=settings.keys.pins,
            clock=clock,
            random=os.urandom,
            notice=self._store_notice,
            reporter=reporter,
        )
        self._values = ValueOperations(self.sessions)
        self._upkeep = Upkeep(
            self.sessions,
            clock=clock,
            notice=self._store_notice,
            drop_ended=self.end_to_end.drop_ended,
        )
        self._memory = memory.Memory()
        self._giving_back = Ticker(
            lambda _: self._memory.give_back(), interval=memory.INTERVAL_SECONDS
        )
        self._tap = reporter.tap if isinstance(reporter, CountingReporter) else Tap(clock)
        self._traces = telemetry_setup.begin(environ, reporter)
        self.lanes = {
            name: WiredLane(
                one, self.end_to_end, reporter, clock, tap=self._tap, traces=self._traces
            )
            for name, one in material.listeners.items()
        }
        self._server = TrafficServer(())
        telemetry_setup.follow(reporter, settings)

    @property
    def holds_keys(self) -> bool:
        """Say that they are here."""
        return True

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._material.settings

    def port(self, listener: str) -> int:
        """Return the TCP port of a listener once it was started."""
        return self.lanes[listener].port

    async def open(self) -> None:
        """Take all places to listen, and answer nobody yet.

        Raises UnfitEnvironment, naming the place, where one cannot be had; then none is kept.
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
        """Begin to answer at all listeners, which are opened unless they are."""
        if self._check_store:
            await store_check.require(
                self.settings.keys, self._reporter, self._environ, clock=self._clock
            )
        if self.trail is not None:
            # Before anything is opened: where nothing can be written down, nothing begins.
            await self.trail.write("process.started", version=__version__)
        if not self._opened:
            await self.open()
        for name, lane in self.lanes.items():
            lane.open(self._opened[name])
        self._server.replace([lane.lane for lane in self.lanes.values()])
        try:
            await self.sessions.open(self.end_to_end.changed)
            await self._tell_accepted()
            await self.watch.start()
            await self._server.start()
        except BaseException:
            self._close_sockets()
            raise
        self._memory.keep()
        self._giving_back.start()
        self._upkeep.start()
        self._accepting = True
        for name in self.lanes:
            self._report_started(name)

    def announce_drain(self) -> None:
        """Say no to probes; connections are still accepted."""
        self._draining = True

    async def drain(self, grace: float) -> bool:
        """Stop in good order within `grace` seconds; return whether nothing had to be cut."""
        self._draining = True
        try:
            # Closed first: a socket that nobody accepts from must not collect connections.
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
        """Return the change to another configuration, everything made and nothing touched.

        Raises RestartNeeded, KeyringError or UnfitEnvironment where it cannot be taken.
        """
        require_none(self.settings, source.loaded.settings, str(source.loaded.file))
        material = await asyncio.to_thread(
            gather, source.loaded.settings, self._environ, self._material
        )
        if material.keyring_ms:
            report_keyring(self._reporter, material)
        changes = {
            name: self.lanes[name].change(self._material.listeners[name], one)
            for name, one in material.listeners.items()
        }
        return ConfigChange(self, material, changes)

    async def take(self, material: Material, changes: Mapping[str, LaneChange]) -> None:
        """Go over to another configuration: requests that begin from now on are served by it."""
        before, self._material = self._material, material
        telemetry_setup.follow(self._reporter, material.settings)
        accepted = self.watch.lineage.accepted
        self.watch.take(material.keyring)
        self.sessions.joins = _joins(material)
        if before.settings.keys.identities != material.settings.keys.identities:
            self.end_to_end.replace_identities(material.settings.keys.identities)
        if before.settings.keys.pins != material.settings.keys.pins:
            self.end_to_end.replace_pins(material.settings.keys.pins)
        self.sessions.shut.clear()  # whoever reloads has seen the alarm
        for name, change in changes.items():
            self.lanes[name].take(change)
        # Up to here nothing has waited. What follows concerns new connections only.
        self._server.replace([lane.lane for lane in self.lanes.values()])
        for name, change in changes.items():
            await self.lanes[name].take_tls(change)
        if not accepted:
            await self._tell_accepted()

    def _go_over(self, keyring: Keyring) -> None:
        """Go on with another keyring, and look anew at what hangs on it."""
        self.sessions.replace_keyring(keyring)
        self.end_to_end.replace_identities(self.settings.keys.identities)
        self.end_to_end.replace_pins(self.settings.keys.pins)

    async def _tell_accepted(self) -> None:
        """Write down that an operator accepts a keyring of the past."""
        if not self.watch.lineage.accepted:
            return
        held = self.watch.lineage.held
        await self.sessions.write_down(
            "keyring.older_accepted", keyring=held.id, generation=held.generation
        )
        self._reporter.report(
            "keyring.older_accepted", keyring=shown(held.id), generation=held.generation
        )

    async def operate(self, call: SessionCall) -> SessionResult:
        """Do what an operator asks of the sessions of a scope."""
        desk = operator_calls.session_operations(
            self.sessions, self.settings, self._environ, self._reporter, clock=self._clock
        )
        answer = await desk.answer(call)
        if call.action == "erase":
            self.end_to_end.changed(erased(answer.scope))
        return answer

    async def look(self) -> dict[str, Any]:
        """Return the shapes of the messages since the last look, and go on making them."""
        return self._tap.look()

    async def participants(self, call: ParticipantCall) -> ParticipantResult:
        """Do what an operator asks of a participant."""
        desk = operator_calls.participant_operations(
            self.end_to_end.participants(),
            self.end_to_end.pins(),
            self.sessions.keyring,
            self.settings,
            maker=self._maker,
            reporter=self._reporter,
            clock=self._clock,
        )
        return await desk.answer(call)

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        """Return the key packages of a conversation that are for a participant, newest first."""
        return [one.facts() for one in await self.end_to_end.packages(scope, recipient)]

    async def values(self, call: ValueCall) -> list[ValueResult]:
        """Seal values, or open tokens."""
        return await self._values.answer(call)

    async def facts(self) -> Facts:
        """Return how the sidecar stands."""
        return Facts(self._checks(), self._samples(), self._status())

    def _checks(self) -> tuple[Check, ...]:
        return (
            Check("started", self._accepting),
            Check("accepting", not self._draining, "draining" if self._draining else ""),
            session_facts.keyring_check(self.watch),
            *session_facts.checks(self.sessions, self.settings.keys),
            *auditing.checks(self.trail),
        )

    def _samples(self) -> Samples:
        counted = (
            self._reporter.samples() if isinstance(self._reporter, CountingReporter) else Samples()
        )
        for name, lane in self.lanes.items():
            lane.count(counted, name)
            for rule in self._material.listeners[name].rule_table.rules:
                labels = (name, rule.rule.name, "forwarded")
                counted.add(table.MESSAGES, 0, labels=labels)
                counted.add(table.RULE_MATCHED, 0, labels=labels[:2])
                # A counter that begins with 1 has not increased, and raises no alarm.
                counted.add(table.POISON, 0, labels=labels[:2])
        for use, refused in itertools.product(("enc", "sig"), ("yes", "no")):
            counted.add(table.UNACCEPTED, 0, labels=(use, refused))
        session_facts.count(self.sessions, self.settings.keys, counted)
        session_facts.count_keyring(self.watch, counted)
        auditing.count(self.trail, counted)
        counted.add(table.MEMORY, usage.resident_bytes())
        counted.add(table.CPU, usage.cpu_seconds())
        return counted

    def _status(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "draining": self._draining,
            "connections": {name: lane.connections for name, lane in self.lanes.items()},
            "shut": sorted(map(list, self.sessions.shut)),
            **session_facts.status(self.sessions),
        }

    def _report_started(self, name: str) -> None:
        settings = self._material.listeners[name].settings
        place = str(settings.listen)
        self._reporter.report(
            "listener.started",
            listener=name,
            address=f"{place[:-1]}{self.port(name)}" if place.endswith(":0") else place,
            upstream=str(settings.upstream.address),
        )

    def _close_sockets(self) -> None:
        for one in self.settings.listeners:
            # What was given is also somebody else's, who removes the path.
            place = one.listen if self._given is None else None
            if one.name in self._opened:
                sockets.close(self._opened.pop(one.name), place)

    async def _close_rest(self) -> None:
        for lane in self.lanes.values():
            await lane.close()
        await self.watch.close()
        await self._upkeep.close()
        self._giving_back.stop()
        self._values.tell()
        await self.store.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        if self.trail is not None:
            self._key_events.close()
            self.trail.note("process.stopped")
            await self.trail.close()

    def _store_notice(self, reason: str) -> None:
        store = session_facts.kind_of(self.settings.keys)
        self._reporter.report("store.failed", store=store, reason=reason)


class ConfigChange:
    """Another configuration for a running sidecar: taken or let go, once."""

    __slots__ = ("_changes", "_material", "_sidecar")

    def __init__(
        self, sidecar: Sidecar, material: Material, changes: Mapping[str, LaneChange]
    ) -> None:
        self._sidecar = sidecar
        self._material = material
        self._changes = changes

    async def apply(self) -> None:
        """Put it in force."""
        await self._sidecar.take(self._material, self._changes)

    async def discard(self) -> None:
        """Let go of what was made for it."""
        for change in self._changes.values():
            await change.discard()


async def build(  # noqa: PLR0913 - what the command hands in, each by name
    loaded: Loaded,
    reporter: MessageReporter,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.time,
    given: Mapping[str, Sockets] | None = None,
    check_store: bool = True,
    accepted: Accepted | None = None,
) -> Sidecar:
    """Return a sidecar that is ready to start, its keyring opened off the event loop.

    Raises KeyringError where the keyring does not open, UnfitEnvironment for unusable TLS files.
    """
    material = await asyncio.to_thread(gather, loaded.settings, environ)
    report_keyring(reporter, material)
    return Sidecar(
        material,
        reporter,
        clock,
        environ=environ,
        given=given,
        check_store=check_store,
        accepted=accepted,
    )


def counting(settings: Settings, reporter: MessageReporter) -> MessageReporter:
    """Return the reporter for traffic: one that counts, where somebody can ask for the counts."""
    wanted = settings.admin is not None or settings.health is not None
    return CountingReporter(reporter) if wanted else reporter


def report_keyring(reporter: Reporter, material: Material) -> None:
    """Tell that a keyring was opened."""
    reporter.report(
        "keyring.opened",
        file=str(material.settings.keys.keyring),
        root=material.settings.keys.root.kind,
        keyring=shown(material.keyring.id),
        generation=material.keyring.generation,
        primary=material.keyring.primary.id,
        keks=len(material.keyring.keks),
        duration_ms=material.keyring_ms,
    )


def _joins(material: Material) -> bool:
    """Tell whether some rule binds values to joined names."""
    return any(one.rule_table.joins for one in material.listeners.values())
