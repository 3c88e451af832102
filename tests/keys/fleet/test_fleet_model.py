"""A model of a fleet: hypothesis draws messages, verbs and faults, and looks at what must hold.

Processes seal under leases over one store; operators revoke and erase while messages are on their
way; processes stand still, lose the store, are killed, and somebody tampers with rows and log, or
puts back all that the store held before. What begins reads the keyring's file.
Times are scaled down. `SEALYARD_MODEL_SECONDS` lets it run for so long; else it takes seconds.
`-s` shows what was drawn.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from proxy.core.crypto.context import Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs, Standing
from proxy.keys import policy
from proxy.keys.fleet import fence_log, keyring_marker, lease
from proxy.keys.operations.session_operations import SessionResult
from proxy.keys.sessions import session_control
from proxy.keys.sessions.settings import SessionMode
from tests.keys.builders import CONTEXT, SharedStore, seal_need
from tests.keys.desk import Desk
from tests.keys.members import KEYRING, Line, Member
from tests.suite import say

SECONDS: Final = float(os.environ.get("SEALYARD_MODEL_SECONDS", "0"))
SCALED: Final = {
    "LEASE_SECONDS": 0.3,
    "RENEW_SECONDS": 0.05,
    "RENEW_PAUSE_SECONDS": 0.002,
    "BURY_SECONDS": 0.5,
    "LEASE_MARGIN_SECONDS": 0.05,
    "LEASE_POLL_SECONDS": 0.01,
    "LEASE_WAIT_SECONDS": 0.6,
}
ASKED_AGAIN: Final = 40
MEMBERS: Final = 3
SCOPES: Final = (Scope("clinic", "c1"), Scope("clinic", "c2"))
WHO: Final = st.integers(0, MEMBERS - 1)
WHAT: Final = st.sampled_from(SCOPES)
FAULTS: Final = (
    "stands_still",
    "hangs",
    "is_killed",
    "loses_the_store",
    "loses_its_row",
    "keeps_the_log",
    "puts_the_log_back",
)
OF_THE_PROCESS: Final = {"_clock", "listeners", "shared", "subscribed"}
NAME: Final = keyring_marker.name_of(KEYRING)
DRAWN: Final = Counter[str]()
"""How often each message, answer, verb, receipt and fault was drawn."""


@dataclass
class Sent:
    """A message that a process has sealed and forwarded, and that is not answered yet."""

    scope: Scope
    text: bytes
    session: Session
    standing: Standing
    member: Member


@dataclass
class Verb:
    """A revocation or an erasure under way, and what had been sealed before it began."""

    scope: Scope
    erases: bool
    task: asyncio.Task[SessionResult]
    before: list[Sent] = field(default_factory=list)


class Fleet(RuleBasedStateMachine):
    """Three processes, one store, two conversations."""

    mode: SessionMode = "durable"
    faults: tuple[str, ...] = (*FAULTS, "store_is_copied", "store_is_put_back")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = SharedStore(time.time)
        self.members: list[Member] = []
        self.sent: list[Sent] = []
        self.sealed: list[Sent] = []
        self.verbs: list[Verb] = []
        self.gone: list[Sent] = []
        self.file = KEYRING
        self.lock = threading.Lock()
        self.old_store: dict[str, Any] = {}
        self.old_log: bytes | None = None
        for _ in range(MEMBERS):
            self.members.append(self.run(self.a_member()))

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what it returns
        return self.loop.run_until_complete(what)

    async def a_member(self) -> Member:
        member = self.reader(without_store=False)
        member.lease._name = f"host:{len(self.sealed)}-{id(member)}"
        await member.lease.renew()
        member.lease.start()
        return member

    def reader(self, *, without_store: bool = True) -> Member:
        """Return a process that begins with the keyring's file as it is now."""
        return Member(Line(self.store), without_store, self.mode, keyring=self.file)

    def keep(self, name: str, least: int, *, of_record: bool = False) -> None:
        """Write into the keyring's file, which all processes take from there."""
        with self.lock:
            self.file = self.file.revoke(name, least, of_record=of_record)
        self.loop.call_soon_threadsafe(self.take, name, least)

    def take(self, name: str, least: int) -> None:
        """Let the processes that run have the file: one of a verb that reached none may be late."""
        for member in self.members:
            session_control.know(member.sessions, name, least)

    async def why_shut(self, text: bytes, scope: Scope, at: Member | None = None) -> str | None:
        """Return why a text does not open, None if it does; "503" where that is not known now.

        That is at a process that has just begun unless one is named.
        """
        reader, need = at or self.reader(), (scope, decode(text).key_id)
        try:
            keys = await reader.sessions.resolve(Needs({}, frozenset({need})))
        except KeyUnavailable:
            return "503"
        return keys.refusals[need]

    async def lost(self, one: Sent) -> str | None:
        """Return why a message opens nowhere, None if it opens.

        On a machine that stands still for longer than a scaled lease, a process that has just begun
        may have none: it asks again.
        """
        for _ in range(ASKED_AGAIN):
            why = await self.why_shut(one.text, one.scope)
            if why != "503":
                return why
            await asyncio.sleep(SCALED["RENEW_SECONDS"])
        return "503"

    # --- messages ---------------------------------------------------------------------------------

    @rule(who=WHO, scope=WHAT)
    def seal(self, who: int, scope: Scope) -> None:
        member = self.members[who]

        async def sealing() -> None:
            try:
                keys = await member.sessions.resolve(seal_need(scope))
            except KeyUnavailable:
                DRAWN["not sealed"] += 1
                return
            DRAWN["sealed"] += 1
            session = keys.sealing[scope]
            text = session.seal(b"hello", CONTEXT._replace(scope=scope))
            one = Sent(scope, text, session, keys.standing, member)
            self.sent.append(one)
            self.sealed.append(one)

        self.run(sealing())

    @rule(which=st.integers(0, 1 << 16))
    def answer(self, which: int) -> None:
        """The backend has answered: the message is acknowledged, or refused with 503."""
        if not self.sent:  # no precondition: time decides, and hypothesis draws the same again
            return
        one = self.sent.pop(which % len(self.sent))

        async def answering() -> None:
            if not one.standing.stands(one.session):
                try:
                    await one.standing.confirm(one.session)
                except KeyUnavailable:
                    DRAWN["not acknowledged"] += 1
                    return
            DRAWN["acknowledged"] += 1
            meets = any(verb.scope == one.scope for verb in self.verbs)
            why = None if meets else await self.lost(one)
            assert why is None, f"acknowledged and lost: {why}"

        self.run(answering())

    # --- operators --------------------------------------------------------------------------------

    @rule(who=WHO, scope=WHAT, erases=st.booleans())
    def take_away(self, who: int, scope: Scope, erases: bool) -> None:  # noqa: FBT001 - drawn
        desk = Desk(self.members[who].sessions, self.keep)
        erases = erases and self.mode == "ephemeral"
        before = [one for one in self.sealed if one.scope == scope]
        name = "erase" if erases else "revoke"
        DRAWN[name] += 1
        verb = desk.run(name, scope)
        self.verbs.append(Verb(scope, erases, self.loop.create_task(verb), before))

    @precondition(lambda self: self.verbs)
    @rule()
    def receipt(self) -> None:
        verb = self.verbs.pop(0)

        async def told() -> None:
            try:
                answer = await verb.task
            except KeyUnavailable:
                return
            if not answer.complete:
                DRAWN["incomplete"] += 1
                return
            DRAWN["complete"] += 1
            self.gone += verb.before
            for one in verb.before:
                assert not one.standing.stands(one.session), "a false receipt"

        self.run(told())
        self.nothing_gone_opens()

    def nothing_gone_opens(self) -> None:
        async def looking() -> None:
            for one in self.gone[-8:]:
                # Leases are for sealing: who has none opens what is in its memory for as long as
                # `revocation_max_age`, since it has not heard of the erasure.
                for at in (None, *(who for who in self.members if who.lease.held)):
                    assert await self.why_shut(one.text, one.scope, at), "opened after a receipt"

        self.run(looking())

    # --- faults -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.1, 0.4)))
    def passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(who=WHO, which=st.integers(0, 1 << 16))
    def fault(self, who: int, which: int) -> None:
        """One of what can go wrong: messages and verbs are drawn more often than each of them."""
        name = self.faults[which % len(self.faults)]
        DRAWN[name] += 1
        getattr(self, name)(who)

    def stands_still(self, _: int) -> None:
        """No loop runs for longer than a lease, as after SIGSTOP or a sleep of the machine."""
        time.sleep(SCALED["LEASE_SECONDS"] + 0.1)

    def hangs(self, who: int) -> None:
        """One process alone renews no more; its other work goes on."""

        async def ending() -> None:
            task, self.members[who].lease._task = self.members[who].lease._task, None
            if task is not None:
                task.cancel()

        self.run(ending())

    def is_killed(self, who: int) -> None:
        gone = self.members[who]
        self.sent = [one for one in self.sent if one.member is not gone]

        async def replacing() -> None:
            if gone.lease._task is not None:
                gone.lease._task.cancel()
            self.members[who] = await self.a_member()

        self.run(replacing())

    def loses_the_store(self, who: int) -> None:
        self.members[who].store.cut = not self.members[who].store.cut

    def loses_its_row(self, who: int) -> None:
        self.plant(self.members[who].place, None)

    def keeps_the_log(self, _: int) -> None:
        self.old_log = self.found(fence_log.PLACE)

    def puts_the_log_back(self, _: int) -> None:
        self.plant(fence_log.PLACE, self.old_log)

    def store_is_copied(self, _: int) -> None:
        held = {one: value for one, value in vars(self.store).items() if one not in OF_THE_PROCESS}
        self.old_store = copy.deepcopy(held)

    def store_is_put_back(self, _: int) -> None:
        """As by a restored backup, or whoever writes to it; nothing but the store goes back."""
        vars(self.store).update(copy.deepcopy(self.old_store))
        self.nothing_gone_opens()

    def found(self, place: str) -> bytes | None:
        held = self.run(self.store.find(NAME, (place,))).keys[0]
        return None if held is None else held.record

    def plant(self, place: str, record: bytes | None) -> None:
        seen = self.found(place)
        new, ms = (b"", 1) if record is None else (record, 3_600_000)
        if seen is not None:
            self.run(self.store.keep(NAME, place, new, ms, seen=seen))

    def teardown(self) -> None:
        async def ending() -> None:
            for member in self.members:
                member.store.cut = False
                await member.lease.close()
            for verb in self.verbs:
                verb.task.cancel()
            await asyncio.gather(*(one.task for one in self.verbs), return_exceptions=True)

        self.run(ending())
        self.loop.close()


class Forgetting(Fleet):
    """The same with ephemeral sessions, which can be erased.

    Their keys are in the store alone: what was sealed since a copy was made is lost with it.
    """

    mode = "ephemeral"
    faults = FAULTS


@pytest.mark.parametrize("machine", [Fleet, Forgetting])
def test_nothing_is_lost_reopened_or_falsely_confirmed(
    machine: type[Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SCALED.items():
        monkeypatch.setattr(policy, name, value)
        if hasattr(lease, name):
            monkeypatch.setattr(lease, name, value)
    wanted = settings(
        max_examples=6 if not SECONDS else 100,
        stateful_step_count=40 if not SECONDS else 60,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        derandomize=False,
        database=None,
    )
    until = time.monotonic() + SECONDS / 2
    while True:
        run_state_machine_as_test(machine, settings=wanted)
        if time.monotonic() >= until:
            break
    say(f"{machine.__name__}: {dict(DRAWN)}")
    DRAWN.clear()
