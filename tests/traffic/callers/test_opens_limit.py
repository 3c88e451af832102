"""How many values each subject may open in a minute, over messages, streams and reloads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.callers import VerifiedCaller
from proxy.core.errors import CallerOpensLimited
from proxy.core.values.key_needs import Opening
from proxy.core.values.outcomes import Outcome
from proxy.traffic.callers.opens_limit import OpensLimit, subjects
from tests.keys.builders import Time

GRACE = VerifiedCaller("doctor", "https://id", "grace")
ADA = replace(GRACE, subject="ada")


def an_opening(
    caller: VerifiedCaller | None = GRACE,
    values: int = 1,
    how: Outcome = "opened",
    *,
    piece: bool = False,
) -> Opening:
    counts: dict[tuple[str, Outcome], int] = {("content", how): values}
    return Opening("api", "list", "response", "r-1", caller, "", (), counts, piece)


class Log:
    """Where opens are written down."""

    def __init__(self) -> None:
        self.attempts: list[Opening] = []
        self.overs: list[tuple[str, bool]] = []

    def admit(self, caller: VerifiedCaller | None) -> None:
        raise AssertionError(caller)

    async def attempt(self, one: Opening) -> None:
        self.attempts.append(one)

    def over(self, request_id: str, *, delivered: bool) -> None:
        self.overs.append((request_id, delivered))


class Scene:
    def __init__(self, most: int = 10) -> None:
        self.time, self.log, self.counts = Time(), Log(), dict[tuple[str, str], int]()
        self.begun = subjects()
        self.limit = self.wired(most)

    def wired(self, most: int) -> OpensLimit:
        return OpensLimit(
            {"doctor": most}, self.log, begun=self.begun, counts=self.counts, clock=self.time
        )


async def test_an_answer_goes_out_whole_and_the_next_request_waits_for_what_was_too_much() -> None:
    scene = Scene()
    scene.limit.admit(GRACE)
    await scene.limit.attempt(an_opening(values=25))
    with pytest.raises(CallerOpensLimited):
        scene.limit.admit(GRACE)
    scene.time.advance(95)
    with pytest.raises(CallerOpensLimited):
        scene.limit.admit(GRACE)
    scene.time.advance(10)
    scene.limit.admit(GRACE)
    assert scene.counts == {("doctor", "opened"): 25, ("doctor", "limited"): 2}
    assert len(scene.log.attempts) == 1


async def test_messages_of_a_socket_are_refused_one_by_one_and_not_written_down() -> None:
    scene = Scene(2)
    for _ in range(2):
        await scene.limit.attempt(an_opening(piece=True))
    with pytest.raises(CallerOpensLimited):
        await scene.limit.attempt(an_opening(piece=True))
    assert len(scene.log.attempts) == 2


async def test_each_subject_has_a_limit_of_its_own_and_others_have_none() -> None:
    scene = Scene(1)
    await scene.limit.attempt(an_opening())
    scene.limit.admit(ADA)
    for other in (None, replace(GRACE, name="clerk")):
        await scene.limit.attempt(an_opening(other, values=100, piece=True))
        scene.limit.admit(other)


async def test_masks_count_and_what_tells_nothing_does_not() -> None:
    scene = Scene(1)
    for how in ("token", "absent"):
        await scene.limit.attempt(an_opening(values=5, how=how))
    await scene.limit.attempt(an_opening()._replace(direction="request"))
    scene.limit.admit(GRACE)
    await scene.limit.attempt(an_opening(how="masked"))
    with pytest.raises(CallerOpensLimited):
        scene.limit.admit(GRACE)


async def test_a_reload_gives_nobody_a_new_minute() -> None:
    scene = Scene(1)
    await scene.limit.attempt(an_opening())
    with pytest.raises(CallerOpensLimited):
        scene.wired(1).admit(GRACE)
    scene.limit.over("r-1", delivered=True)
    assert scene.log.overs == [("r-1", True)]
