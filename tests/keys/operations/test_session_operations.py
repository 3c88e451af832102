"""What operators ask of the sessions of a scope, in one process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyringError, KeyUnavailable, OperatorError
from proxy.core.values.key_needs import Needs
from proxy.keys.operations.session_operations import SessionResult
from proxy.keys.operations.session_verbs import ROTATE
from proxy.keys.operations.verb import Call, Done
from tests.keys.desk import Desk

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


def a_desk(world: World | None = None, *, fails: bool = False) -> tuple[World, Desk, Keeping]:
    time = Time()
    world = world or a_world(time=time, store=SharedStore(time))
    keeping = Keeping(fails=fails)
    return world, Desk(world.sessions, keeping), keeping


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


async def test_what_was_never_used_shows_no_session_and_showing_makes_none() -> None:
    _, desk, _ = a_desk()
    for _ in range(2):
        answer = await desk.run("show", SCOPE)
        assert (answer.sessions, answer.not_before, len(answer.scope)) == ((), 0, 22)


async def test_a_created_session_is_the_one_that_messages_get() -> None:
    world, desk, _ = a_desk()
    made = await desk.run("create", SCOPE)
    await world.sessions.resolve(seal_need(values=3))
    (shown,) = (await desk.run("show", SCOPE)).sessions
    (first,) = made.sessions
    assert (shown["sid"], shown["sealed"], first["sealed"]) == (first["sid"], 3, 0)
    assert (shown["kek"], shown["began"], shown["soft_end"]) == ("k1", NOW, NOW + 3600)


async def test_a_rotation_says_whether_others_take_it() -> None:
    time = Time()
    _, shared, _ = a_desk()
    _, alone, _ = a_desk(a_world(time=time))
    _, down, _ = a_desk(a_world(time=time, store=BrokenStore(shared=True)))
    answers = [await desk.run("rotate", SCOPE) for desk in (shared, alone, down)]
    assert [answer.agreed for answer in answers] == [True, None, False]


async def test_an_ephemeral_session_without_a_store_is_not_to_be_had() -> None:
    _, desk, _ = a_desk(a_world(store=BrokenStore(shared=True), mode="ephemeral"))
    for action in ("create", "rotate"):
        with pytest.raises(KeyUnavailable):
            await desk.run(action, SCOPE)


async def test_a_revocation_is_refused_here_told_to_others_and_kept() -> None:
    world, desk, keeping = a_desk()
    text = (await world.sessions.resolve(seal_need())).sealing[SCOPE].seal(b"hello", CONTEXT)
    answer = await desk.run("revoke", SCOPE, int(world.time()) + 1)
    assert (answer.store, answer.durable) == (True, True)
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
        answer = await desk.run("revoke", SCOPE, NOW)
        assert (answer.store, answer.durable) == (store, False)
        assert answer.problem == "keyring.jwe: not written: Read-only file system"
        assert desk.failed == ("" if store else "revocation-not-kept")


async def test_what_is_kept_is_the_latest_revocation_there_was() -> None:
    _, desk, keeping = a_desk()
    await desk.run("revoke", SCOPE, NOW)
    answer = await desk.run("revoke", SCOPE, NOW - 50)
    assert (answer.not_before, keeping.kept[-1][1]) == (NOW, NOW)


async def test_one_of_several_workers_keeps_and_the_others_only_refuse() -> None:
    world, desk, keeping = a_desk()
    text = (await world.sessions.resolve(seal_need())).sealing[SCOPE].seal(b"hello", CONTEXT)
    answer = await desk.run("revoke", SCOPE, after=NOW + 1)
    assert (keeping.kept, answer.durable, answer.store) == ([], None, None)
    assert not await opens(world, text)
    assert await world.store.dump() == {  # a session, and no revocation
        place: record for place, record in (await world.store.dump()).items() if "cur" in place
    }


async def test_a_time_to_come_is_refused_and_nothing_is_kept() -> None:
    _, desk, keeping = a_desk()
    with pytest.raises(OperatorError, match="future"):
        await desk.run("revoke", SCOPE, NOW + 2)
    assert keeping.kept == []


async def test_a_worker_that_hears_asks_anew() -> None:
    world, desk, _ = a_desk()
    await world.sessions.resolve(seal_need())
    assert world.sessions.resolve_warm(seal_need()) is not None
    await desk.run("rotate", SCOPE, after=0)
    assert world.sessions.resolve_warm(seal_need()) is None


@pytest.mark.parametrize(
    "call",
    [
        Call("sessions.show", {"scope": Scope("t")}),
        Call("sessions.revoke", {"scope": Scope(None, "c"), "not_before": 5}, {"not_before": 5}),
        Call("sessions.show", {"scope": Scope(LIST, Joined("members", (LIST, "c")))}),
        Call("participants.add", {"participant": "alice", "jwk": {"kty": "OKP"}, "expires": 9}),
        Call("values.open", {"tokens": [{"token": "x", "tenant": None}]}, request_id="r1"),
    ],
)
def test_a_call_crosses_to_another_process(call: Call) -> None:
    assert Call.from_json(json.loads(json.dumps(call.to_json()))) == call


def test_a_call_does_not_show_what_it_is_given() -> None:
    assert "hunter2" not in repr(Call("participants.add", {"passphrase": "hunter2"}))


@pytest.mark.parametrize(
    "done",
    [
        Done({"scope": "n", "sessions": [{"sid": "s", "kek": None}]}, {"scope": "n", "kept": None}),
        Done({"keys": []}, fresh_for=300),
        Done({"detail": "no"}, failed="unknown-participant-key"),
    ],
)
def test_what_was_done_crosses_to_another_process(done: Done) -> None:
    assert Done(**json.loads(json.dumps(done.to_json()))) == done


def test_what_workers_have_done_is_one() -> None:
    def session(sid: str, sealed: int) -> dict[str, Any]:
        return {"sid": sid, "kek": "k1", "began": 1, "soft_end": 2, "sealed": sealed}

    ours = SessionResult("n", 0, (session("a", 3),), unknown=True).done("unknown")
    theirs = SessionResult("n", 5, (session("a", 4), session("b", 1)))
    joined = ROTATE.join(ours, theirs.done()) if ROTATE.join else ours
    sealed = [one["sealed"] for one in joined.answer["sessions"]]
    assert (joined.answer["not_before"], sealed) == (5, [7, 1])
    assert (joined.told, "unknown" in joined.answer) == ({"unknown": None}, False)
    both = ROTATE.join(ours, replace(theirs, unknown=True).done()) if ROTATE.join else ours
    assert (both.told, both.answer["unknown"]) == ({"unknown": True}, True)


async def test_a_rotation_is_written_down_by_the_worker_that_begins_it() -> None:
    _, desk, _ = a_desk()
    written: list[str] = []

    async def write_down(event: str, **_: object) -> None:
        written.append(event)

    desk.place = replace(desk.place, write_down=write_down)
    await desk.run("rotate", SCOPE)
    await desk.run("rotate", SCOPE, after=0)
    assert written == ["sessions.rotate"]
