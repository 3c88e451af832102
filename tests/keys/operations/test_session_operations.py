"""What operators ask of the sessions of a scope, in one process."""

from __future__ import annotations

import json

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyringError, KeyUnavailable, OperatorError
from proxy.core.values.key_needs import Needs
from proxy.keys.operations.session_calls import SessionCall, SessionFacts, SessionResult
from proxy.keys.operations.session_operations import SessionOperations

from ..builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    SharedStore,
    Time,
    World,
    a_world,
    seal_need,
)

LIST = Joined("list", ("alice", "bob"))


class Keeping:
    """Takes note of what is to be kept, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.kept: list[tuple[str, int]] = []
        self.fails = fails

    def __call__(self, name: str, not_before: int) -> None:
        if self.fails:
            raise KeyringError("keyring.jwe: not written: Read-only file system")
        self.kept.append((name, not_before))


def a_desk(
    world: World | None = None, *, fails: bool = False
) -> tuple[World, SessionOperations, Keeping]:
    time = Time()
    world = world or a_world(time=time, store=SharedStore(time))
    keeping = Keeping(fails=fails)
    return world, SessionOperations(world.sessions, keeping), keeping


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


async def test_what_was_never_used_shows_no_session_and_showing_makes_none() -> None:
    _, desk, _ = a_desk()
    for _ in range(2):
        answer = await desk.run(SessionCall("show", SCOPE))
        assert (answer.sessions, answer.not_before, len(answer.scope)) == ((), 0, 22)


async def test_a_created_session_is_the_one_that_messages_get() -> None:
    world, desk, _ = a_desk()
    made = await desk.run(SessionCall("create", SCOPE))
    await world.sessions.resolve(seal_need(values=3))
    (shown,) = (await desk.run(SessionCall("show", SCOPE))).sessions
    assert (shown.sid, shown.sealed, made.sessions[0].sealed) == (made.sessions[0].sid, 3, 0)
    assert (shown.kek, shown.began, shown.soft_end) == ("k1", NOW, NOW + 3600)


async def test_a_rotation_says_whether_others_take_it() -> None:
    time = Time()
    _, shared, _ = a_desk()
    _, alone, _ = a_desk(a_world(time=time))
    _, down, _ = a_desk(a_world(time=time, store=BrokenStore(shared=True)))
    answers = [await desk.run(SessionCall("rotate", SCOPE)) for desk in (shared, alone, down)]
    assert [answer.agreed for answer in answers] == [True, None, False]


async def test_an_ephemeral_session_without_a_store_is_not_to_be_had() -> None:
    _, desk, _ = a_desk(a_world(store=BrokenStore(shared=True), mode="ephemeral"))
    for action in ("create", "rotate"):
        with pytest.raises(KeyUnavailable):
            await desk.run(SessionCall(action, SCOPE))


async def test_a_revocation_is_refused_here_told_to_others_and_kept() -> None:
    world, desk, keeping = a_desk()
    text = (await world.sessions.resolve(seal_need())).sealing[SCOPE].seal(b"hello", CONTEXT)
    answer = await desk.run(SessionCall("revoke", SCOPE, int(world.time()) + 1))
    assert (answer.store, answer.durable, answer.reaches_others) == (True, True, True)
    assert keeping.kept == [(answer.scope, NOW + 1)]
    assert not await opens(world, text)
    assert not await opens(world.another_process(), text)


async def test_a_revocation_that_the_keyring_does_not_take_says_so() -> None:
    for world, store in (
        (None, True),
        (a_world(), None),
        (a_world(store=BrokenStore(shared=True)), False),
    ):
        _, desk, _ = a_desk(world, fails=True)
        answer = await desk.run(SessionCall("revoke", SCOPE, NOW))
        assert (answer.store, answer.durable) == (store, False)
        assert answer.problem == "keyring.jwe: not written: Read-only file system"
        assert answer.reaches_others == bool(store)


async def test_what_is_kept_is_the_latest_revocation_there_was() -> None:
    _, desk, keeping = a_desk()
    await desk.run(SessionCall("revoke", SCOPE, NOW))
    answer = await desk.run(SessionCall("revoke", SCOPE, NOW - 50))
    assert (answer.not_before, keeping.kept[-1][1]) == (NOW, NOW)


async def test_one_of_several_workers_keeps_and_the_others_only_refuse() -> None:
    world, desk, keeping = a_desk()
    text = (await world.sessions.resolve(seal_need())).sealing[SCOPE].seal(b"hello", CONTEXT)
    answer = await desk.run(SessionCall("revoke", SCOPE, NOW + 1, keep=False))
    assert (keeping.kept, answer.durable, answer.store) == ([], None, None)
    assert not await opens(world, text)
    assert await world.store.dump() == {  # a session, and no revocation
        place: record for place, record in (await world.store.dump()).items() if "cur" in place
    }


async def test_a_time_to_come_is_refused_and_nothing_is_kept() -> None:
    _, desk, keeping = a_desk()
    with pytest.raises(OperatorError, match="future"):
        await desk.run(SessionCall("revoke", SCOPE, NOW + 2))
    assert keeping.kept == []


async def test_a_worker_that_hears_asks_anew() -> None:
    world, desk, _ = a_desk()
    await world.sessions.resolve(seal_need())
    assert world.sessions.resolve_warm(seal_need()) is not None
    await desk.run(SessionCall("refresh", SCOPE))
    assert world.sessions.resolve_warm(seal_need()) is None


@pytest.mark.parametrize(
    "call",
    [
        SessionCall("show", Scope("t")),
        SessionCall("revoke", Scope(None, "c"), 5, keep=False),
        SessionCall("show", Scope(LIST, Joined("members", (LIST, "c")))),
    ],
)
def test_a_call_crosses_to_another_process(call: SessionCall) -> None:
    assert SessionCall.from_json(json.loads(json.dumps(call.to_json()))) == call


@pytest.mark.parametrize(
    "answer",
    [
        SessionResult("n", 0),
        SessionResult("n", 5, (SessionFacts("s", None, 1, 2, 3),), agreed=False),
        SessionResult("n", 5, store=False, durable=False, problem="no"),
    ],
)
def test_an_answer_crosses_to_another_process(answer: SessionResult) -> None:
    assert SessionResult.from_json(json.loads(json.dumps(answer.to_json()))) == answer


def test_the_answers_of_workers_are_one() -> None:
    ours = SessionResult("n", 0, (SessionFacts("a", "k1", 1, 2, 3),))
    theirs = SessionResult(
        "n", 5, (SessionFacts("a", "k1", 1, 2, 4), SessionFacts("b", "k1", 1, 2, 1))
    )
    joined = ours.joined(theirs)
    assert (joined.not_before, [one.sealed for one in joined.sessions]) == (5, [7, 1])
