"""The keys of one process: keyring, sessions, store and audit log, and the calls about them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...config.settings import AuditSettings, Settings
from ...core.crypto.derivation import audit_key
from ...core.errors import KeyringError
from ...keys.audit import Trail, Value
from ...keys.fleet.lineage import Accepted
from ...keys.fleet.watch import KeyringWatch
from ...keys.keyring.keyring import Keyring, shown
from ...keys.operations.verb import At, Call, Done
from ...keys.operations.verbs import VERBS
from ...keys.sessions import session_control
from ...keys.sessions.housekeeping import Upkeep
from ...keys.sessions.key_events import KeyEvents
from ...keys.sessions.sessions import Sessions, SessionSettings
from ...keys.stores import Store, Told, erased, open_store
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ...telemetry.reporter import Reporter
from .. import auditing, operator_calls
from ..reload.material import Material, RootAnswer
from . import session_facts
from .end_to_end import LateEndToEnd
from .root_lease import RootLease

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ...keys.fleet.fence_log import FenceEvent
    from ...keys.fleet.lease import Lease
    from ...keys.operations.values import ValueAccess, ValueOperations
    from ...keys.participants.key_generation import KeyMaker
    from ...keys.participants.pins import PinBook
    from ...keys.participants.private_key import Opener
    from ...keys.participants.public_key import Kind, PublicKey
    from ...keys.participants.registry import Participants
    from ...keys.sessions.ledger import What
    from ...keys.sessions.open_lines import OpenLines
    from .verify_reports import VerifyReports


class SidecarKeys:
    """Owns all that holds keys in one process, and does verbs (`KeyOperations`)."""

    def __init__(
        self,
        material: Material,
        reporter: Reporter,
        clock: Callable[[], float],
        *,
        environ: Mapping[str, str],
        accepted: Accepted | None = None,
    ) -> None:
        """Wire everything; nothing is opened before `open`. Needs a running event loop.

        `accepted` is an older keyring to accept although a later one is known.
        """
        settings = material.settings
        self._settings = settings
        self._reporter = reporter
        self._environ = environ
        self._clock = clock
        store = settings.keys.store
        self.store: Store = open_store(store.address, options=store.options, environ=environ)
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
            notice=self._report_store_failure,
            mode=settings.keys.sessions.mode,
            key_events=self._key_events,
        )
        self.watch = KeyringWatch(
            material.keyring,
            self.sessions.store,
            reporter,
            go_over=self._use_keyring,
            clock=self.sessions.now,
            accepted=accepted,
        )
        self.lease = _lease(self) if self.store.shared else None
        """Under which the process seals; None where no other process has the store."""
        if self.trail is not None:
            self.trail.changed = self.sessions.block
        self.end_to_end = LateEndToEnd(
            self.sessions,
            lambda: self._settings,
            reporter,
            environ,
            clock=clock,
            notice=self._report_store_failure,
        )
        self.root = RootLease(
            material,
            reporter,
            environ,
            give_up=self._give_up,
            restore=self._restore,
            opened=self._write_down_root,
        )
        """What opened the keyring, and whether it still would."""
        self.opens = _opens(self.trail, self.sessions, settings.audit)
        """Where it is written down what messages open; None where that is not wanted."""
        self._verify_reports = _verify_reports(settings, None)
        self.value_access: Callable[[], ValueAccess] | None = None
        """Returns who may open and seal values by the admin API; None: whoever may call."""
        self._values: ValueOperations | None = None
        self._maker: KeyMaker | None = None
        self._upkeep = Upkeep(
            self.sessions,
            clock=self.sessions.now,
            notice=self._report_store_failure,
            drop_ended=self.end_to_end.drop_ended,
            asked=self._report_clock,
        )
        self._clock_off = False
        self.pending = operator_calls.pending_revocations(
            self.sessions, settings, environ, reporter, clock=clock
        )
        """The revocations that the store has not taken yet; None where no other process has it."""
        self._ledger = operator_calls.ledger_of(self.sessions, settings, reporter, clock=clock)

    async def check_store(self) -> None:
        """Report what is risky about the store; raise UnfitEnvironment if it can never work."""
        await session_facts.require(
            self._settings.keys, self._reporter, self._environ, clock=self._clock
        )

    async def record_start(self) -> None:
        """Write the start of the process to the audit log; raise UnfitEnvironment if required."""
        if self.trail is not None:
            await self.trail.write("process.started", version=__version__)

    async def open(self) -> None:
        """Open the sessions and compare the keyring with that of the fleet."""
        self.root.start()
        await self.sessions.open(self._changed)
        await self.record_accepted()
        if self.pending is not None:
            await self.pending.start()
        await self.watch.start()
        if self.lease is not None:
            await self.lease.renew()
            self.lease.start()
        if self._ledger is not None:
            self._ledger.start()
        self._report_clock()

    def start_upkeep(self) -> None:
        """Start the periodic work: expiry and deletion of what is no longer needed."""
        self._upkeep.start()

    async def close(self) -> None:
        """Stop all work and close the store; the audit log is closed last."""
        await self.root.close()
        if self.pending is not None:
            await self.pending.close()
        if self._ledger is not None:
            await self._ledger.close()
        if self.lease is not None:
            await self.lease.close()
        await self.watch.close()
        await self._upkeep.close()
        if self._values is not None:
            self._values.report()
        await self.store.close()
        if self.trail is not None:
            if self.opens is not None:
                self.opens.flush()
            self._key_events.close()
            self.trail.note("process.stopped")
            await self.trail.close()

    def take(self, material: Material) -> bool:
        """Switch to another configuration without waiting.

        Return whether it makes the process accept an older keyring, which `record_accepted` then
        writes down.
        """
        before, self._settings = self._settings.keys, material.settings
        self._verify_reports = _verify_reports(material.settings, self._verify_reports)
        already_accepted = self.watch.lineage.accepted
        self.root.take(material)
        # Where no root answered, it has what was held when it began: a lease may have ended it.
        self.watch.take(self.watch.lineage.held if material.root.away else material.keyring)
        if before.identities != material.settings.keys.identities:
            self.end_to_end.replace_identities()
        if before.pins != material.settings.keys.pins:
            self.end_to_end.replace_pins()
        self.sessions.shut.clear()  # whoever reloads has seen the alarm
        return not already_accepted

    def shut(self, rules: Iterable[tuple[str, str]]) -> None:
        """Refuse all messages under these rules (listener, rule), as another worker does."""
        self.sessions.shut.update(rules)

    async def record_accepted(self) -> None:
        """Write down and report that an operator accepts an older keyring, if one does."""
        if not self.watch.lineage.accepted:
            return
        held = self.watch.lineage.held
        await self.sessions.write_down(
            "keyring.older_accepted", keyring=held.id, generation=held.generation
        )
        self._reporter.report(
            "keyring.older_accepted", keyring=shown(held.id), generation=held.generation
        )

    async def run(self, call: Call) -> Done:
        """Do what an operator asks; raise OperatorError for what a store in memory is no place for.

        Participants are kept there only while a rule seals for them.
        """
        verb = VERBS[call.verb]
        if "participants" in verb.touches and not self.end_to_end.in_use:
            verb.require_store(self._settings.keys)
        return await verb.does(self._here().of(call), **call.given)

    def _here(self) -> At:
        """Return where verbs act, by the settings in force."""
        keyring = operator_calls.keyring_revocations(
            self.sessions, self._settings, self._environ, self._reporter, self._clock
        )
        return At(
            self.sessions,
            self._settings.keys,
            write_down=self._write_down,
            keep=keyring.revoke,
            pending=self.pending,
            participants=self._participants,
            packages=self.end_to_end.packages(),
            make=self._make,
            values=self._value_operations,
            clock=self._clock,
            ledger=self._ledger,
        )

    async def _write_down(self, event: str, **values: Value) -> None:
        if not event.startswith("participants."):
            await self.sessions.write_down(event, **values)
            return
        # The log itself: who trusts a key may not depend on what no audit log holds.
        path = self._settings.keys.keyring
        log = auditing.log_of(self._settings, self._reporter, self._clock)
        key = audit_key(self.sessions.keyring.record_key)
        await asyncio.to_thread(log.write, key, event, keyring=str(path), **values)

    async def _participants(self) -> tuple[Participants, PinBook]:
        return self.end_to_end.participants()

    async def _make(self, kind: Kind, opener: Opener) -> tuple[PublicKey, str]:
        """Make a key pair beside the traffic."""
        if self._maker is None:
            from ...keys.participants.key_generation import KeyMaker  # noqa: PLC0415 - loaded with the admin API

            self._maker = KeyMaker()
        return await self._maker.make(kind, opener)

    def _value_operations(self) -> ValueOperations:
        if self._values is None:
            from ...keys.operations.values import ValueOperations  # noqa: PLC0415 - loaded with its scopes

            self._values = ValueOperations(self.sessions, self.opens)
            if self.value_access is not None:
                self._values.access = self.value_access()
        return self._values

    def checks(self) -> tuple[Check, ...]:
        """Return the readiness checks of root, keyring, store and audit log."""
        return (
            self.root.check(),
            session_facts.keyring_check(self.watch),
            *session_facts.checks(self.sessions, self._settings.keys),
            *session_facts.lease_check(self.lease, without_store=self.without_store),
            *session_facts.pending_check(self._waiting),
            *auditing.checks(self.trail),
        )

    def count(self, samples: Samples) -> None:
        """Add the samples of sessions, keyring, store, audit log and reports."""
        session_facts.count(self.sessions, self._settings.keys, samples)
        session_facts.count_keyring(self.watch, samples)
        self.root.count(samples)
        samples.add(table.PENDING_REVOCATIONS, self._waiting)
        auditing.count(self.trail, samples)
        if self._verify_reports is not None:
            reports = self._settings.keys.verify_reports
            self._verify_reports.count(reports, self.sessions.keyring.record_key, samples)

    def status(self) -> dict[str, Any]:
        """Return names and numbers for an operator; `shut` lists the rules that are shut."""
        shut = sorted(map(list, self.sessions.shut))
        return {"shut": shut, **session_facts.status(self.sessions)}

    @property
    def without_store(self) -> bool:
        """Whether to seal on while the store is away."""
        return self._settings.keys.sessions.without_store == "seal"

    @property
    def _waiting(self) -> int:
        return 0 if self.pending is None else len(self.pending)

    async def learn(self, events: Sequence[FenceEvent | None]) -> None:
        """Take what was fenced by any process; None is anything.

        Raises StoreFailed where that must be read and is not: then it is not learned yet.
        """
        for one in events:
            if one is None:
                self.sessions.announce(None)
            elif one.kind == "keyring":
                await self.watch.read()
            elif one.kind == "fenced":
                self.sessions.fences.know(one.name, one.value)
                self._hold("erased", one)
            elif one.kind == "revoked":
                session_control.know(self.sessions, one.name, one.value)
                self._hold("revoked", one)
            else:
                self.sessions.announce(erased(one.name))

    def _hold(self, what: What, one: FenceEvent) -> None:
        if self._ledger is not None:
            self._ledger.learn(what, one.name, one.value)

    def extend(self, until: float) -> None:
        """Seal until then, in seconds since boot."""
        self.sessions.sealing_until = until

    def _changed(self, name: str | None) -> None:
        self.end_to_end.changed(name)
        if self.lease is not None:
            self.lease.ask()

    def _use_keyring(self, keyring: Keyring) -> None:
        """Use another keyring, and read again what depends on it."""
        if self.lease is not None and keyring.id != self.sessions.keyring.id:
            self.lease.give_up()  # among those who use that one, nobody knows of this process yet
        self.sessions.replace_keyring(keyring)
        self.end_to_end.replace_identities()
        self.end_to_end.replace_pins()

    def _give_up(self) -> None:
        """Drop all keys that seal and open, and overwrite the KEKs: the root's lease has ended.

        Name key and record key stay, for the audit log and to be known to the fleet.
        """
        self.sessions.withdraw(withdrawn=True)
        self.end_to_end.replace_identities()
        self.sessions.keyring.give_up()
        self.watch.lineage.give_up()  # of a later reload, if that changed no KEK

    def _restore(self, keyring: Keyring) -> None:
        """Use the keyring that the root opened after the end of its lease.

        Raises KeyringError for an older one than was in use: it cannot bring back all KEKs.
        """
        self.watch.take(keyring)
        if self.watch.lineage.older is not None:
            keyring.give_up()
            raise KeyringError("the keyring's file is older than the keyring in use before")
        if self.watch.lineage.unsigned:
            keyring.give_up()
            raise KeyringError("the keyring's file is not signed, or does not follow")
        self.sessions.withdraw(withdrawn=False)

    def _write_down_root(self, answer: RootAnswer) -> None:
        if self.trail is not None:
            self.trail.note("root.opened", kind=answer.by.kind, name=answer.by.key)

    def _report_clock(self) -> None:
        """Report a clock that differs from the store's, each time it begins to."""
        clock, before = self.sessions.clock, self._clock_off
        self._clock_off = clock.off
        if clock.off and not before:
            store, ahead = session_facts.kind_of(self._settings.keys), round(clock.ahead or 0.0, 1)
            self._reporter.report(
                "store.clock_skew", store=store, ahead_s=ahead, refused=clock.wrong
            )

    def _report_store_failure(self, reason: str) -> None:
        keys = self._settings.keys
        self._reporter.report(
            "store.failed",
            store=session_facts.kind_of(keys),
            address=session_facts.address_of(keys),
            reason=reason,
            errno=(reason.errno or None) if isinstance(reason, Told) else None,
        )


def _lease(keys: SidecarKeys) -> Lease:
    from ...keys.fleet.lease import Lease  # noqa: PLC0415 - only for a store that processes share

    made = Lease(
        keys.sessions.store.beside(),
        keyring=lambda: keys.watch.lineage.keyring,
        may_seal=lambda: not keys.watch.lineage.barred,
        learn=keys.learn,
        extend=keys.extend,
        clock=keys.sessions.now,
        random=os.urandom,
        without_store=keys.without_store,
    )
    keys.sessions.lease, keys.sessions.sealing_until = made, 0.0
    return made


def _opens(
    trail: Trail | None, sessions: Sessions, settings: AuditSettings | None
) -> OpenLines | None:
    if trail is None or settings is None or settings.opens == "none":
        return None
    from ...keys.sessions.open_lines import OpenLines  # noqa: PLC0415 - only where it is wanted

    return OpenLines(
        trail,
        sessions.name,
        lambda: sessions.keyring.record_key,
        withheld=settings.opens == "all",
        clear=settings.clear_subjects,
    )


def _verify_reports(settings: Settings, known: VerifyReports | None) -> VerifyReports | None:
    """Return what reads the reports of a configuration, None where it has none."""
    if not settings.keys.verify_reports:
        return None
    from .verify_reports import VerifyReports  # noqa: PLC0415 - only where there are reports

    return known or VerifyReports()
