"""Calls to workers of which one has ended, or comes while the call is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import (
    KeysFull,
    KeyUnavailable,
    OperatorError,
    SealyardError,
    WorkerGone,
)
from proxy.keys.operations.verb import Call, Done
from proxy.wiring.ipc.channel import error_from_json, error_to_json
from proxy.wiring.workers.worker_calls import WorkerOperations, WorkersChange
from tests.keys.desk import a_place
from tests.scenarios.rig import a_configuration
from tests.wiring.sources import given

SCOPE = Scope("clinic", "c1")
REVOKE = Call("sessions.revoke", {"scope": SCOPE})
PACKAGE = Call("sessions.package", {"scope": SCOPE, "recipient": "bob"})
SHARED = a_place().keys


class Worker:
    """A worker as its supervisor asks it; `answers` gives or raises what it says to a question."""

    def __init__(
        self, answers: Callable[[str], object] | None = None, *, gone: bool = False
    ) -> None:
        self._answers = answers or (lambda _: None)
        self.gone = gone
        self.asked: list[str] = []
        self.killed = False

    async def ask(self, what: str, _seconds: float, **_arguments: object) -> object:
        self.asked.append(what)
        if self.gone:
            raise WorkerGone("worker-gone")
        await asyncio.sleep(0)
        return self._answers(what)

    def kill(self) -> None:
        self.killed = True


def raising(error: SealyardError) -> Callable[[str], object]:
    def answers(_: str) -> object:
        raise error

    return answers


def calls(workers: Sequence[Worker]) -> WorkerOperations:
    return WorkerOperations(cast("Any", lambda: list(workers)), cast("Any", lambda: SHARED))


def a_result(_: str) -> object:
    return Done({"scope": "name", "not_before": 0, "sessions": []}).to_json()


UNFIT = [
    pytest.param(lambda: Worker(gone=True), id="ended"),
    pytest.param(lambda: Worker(raising(WorkerGone("not-started"))), id="did not start"),
]


@pytest.mark.parametrize("unfit", UNFIT)
async def test_what_may_be_asked_twice_is_asked_of_the_next(unfit: Callable[[], Worker]) -> None:
    fit = Worker(a_result)
    workers = [unfit(), fit]

    for call in (PACKAGE, Call("values.seal", {"values": []})):
        assert (await calls(workers).run(call)).answer["scope"] == "name"
    assert fit.asked == ["run", "run"]
    with pytest.raises(WorkerGone, match="no-worker"):
        await calls([unfit(), unfit()]).run(PACKAGE)


async def test_what_a_worker_that_runs_does_not_answer_is_asked_of_no_other() -> None:
    other = Worker()
    with pytest.raises(WorkerGone, match="worker-gone"):
        await calls([Worker(raising(WorkerGone("worker-gone"))), other]).run(PACKAGE)
    assert other.asked == []


@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("first", [True, False])
async def test_an_operation_passes_over_who_can_do_nothing(
    unfit: Callable[[], Worker],
    first: bool,  # noqa: FBT001 - where it stands
) -> None:
    workers = [unfit(), Worker(a_result)] if first else [Worker(a_result), unfit()]
    assert (await calls(workers).run(REVOKE)).answer["scope"] == "name"


async def test_a_change_of_participants_is_told_to_the_others_and_not_done_twice() -> None:
    change = Call("participants.revoke", {"participant": "alice", "kid": "k", "reason": "lost"})
    done, other = Worker(a_result), Worker()
    await calls([done, other]).run(change)
    assert (done.asked, other.asked) == (["run"], ["hear"])

    class Dying(Worker):
        async def ask(self, what: str, _seconds: float, **_arguments: object) -> object:
            self.gone = True
            raise WorkerGone("worker-gone")

    with pytest.raises(WorkerGone, match="worker-gone"):
        await calls([Dying(), other]).run(change)
    assert other.asked == ["hear"]


async def test_a_worker_that_began_meanwhile_is_told_of_a_revocation_as_well() -> None:
    late = Worker(a_result)
    workers: list[Worker] = []

    def revoked(_: str) -> object:
        workers.append(late)
        return a_result("run")

    workers.append(Worker(revoked))
    await calls(workers).run(REVOKE)
    assert late.asked == ["run"]


@pytest.mark.parametrize(
    "error",
    [KeysFull("memory"), KeyUnavailable("too-many-values"), WorkerGone("not-started")],
)
def test_an_error_is_the_same_behind_the_channel(error: SealyardError) -> None:
    found = error_from_json(error_to_json(error))
    assert (type(found), found.reason) == (type(error), error.reason)


def a_change(*workers: Worker, waiting: bool = False) -> WorkersChange:
    source = given(a_configuration(1))
    return WorkersChange(cast("Any", workers), source, lambda _: None, waiting=waiting)


async def test_a_change_needs_no_worker_where_all_wait_for_a_root() -> None:
    await a_change(waiting=True).prepare()


async def test_a_change_is_prepared_though_a_worker_has_ended() -> None:
    fit = Worker()
    await a_change(Worker(gone=True), fit).prepare()
    assert fit.asked == ["prepare"]


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        ([], WorkerGone),
        ([Worker(gone=True)], WorkerGone),
        ([Worker(), Worker(raising(WorkerGone("worker-gone")))], WorkerGone),
        ([Worker(), Worker(raising(OperatorError("refused")))], OperatorError),
    ],
    ids=["none runs", "none left", "one does not answer", "one refuses"],
)
async def test_a_change_that_not_all_have_prepared_is_none(
    workers: list[Worker], error: type[SealyardError]
) -> None:
    with pytest.raises(error):
        await a_change(*workers).prepare()
