"""What was copied is looked at however a message ends, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from proxy.traffic.exchange.conclusions import Conclusions
from proxy.traffic.exchange.copies import Copies
from proxy.traffic.message_record import MessageRecord
from proxy.traffic.policy import MOST_CUT


class Held:
    """Copies whose look ends when it may."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.error = error
        self.done: list[str] = []

    async def conclude(self, *, cut: bool) -> None:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.done.append("cut" if cut else "whole")

    def give_up(self) -> None:
        self.done.append("given up")

    @property
    def copied(self) -> list[Copies]:
        return [cast("Copies", self)]


class Reports:
    """Counts what is reported."""

    def __init__(self) -> None:
        self.records: list[MessageRecord] = []

    def __call__(self, records: Sequence[MessageRecord]) -> None:
        self.records.extend(records)


def record() -> MessageRecord:
    return MessageRecord("r", "api")


async def test_no_more_is_held_for_clients_that_have_gone_than_for_a_few() -> None:
    reports, held, late = Reports(), Held(), Held()
    conclusions = Conclusions(reports)
    async with asyncio.TaskGroup() as group:
        for _ in range(MOST_CUT):
            group.create_task(conclusions.conclude(held.copied, record(), cut=True))
        await asyncio.sleep(0)
        await conclusions.conclude(late.copied, record(), cut=True)
        assert (late.done, len(reports.records)) == (["given up"], 1)
        held.go.set()

    assert held.done == ["cut"] * MOST_CUT
    assert len(reports.records) == MOST_CUT + 1


async def test_a_task_that_is_cancelled_once_still_looks_and_then_ends() -> None:
    reports, held = Reports(), Held()
    async with asyncio.TaskGroup() as group:
        way = Conclusions(reports).conclude(held.copied, record(), cut=False)
        task = group.create_task(way)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not reports.records
        held.go.set()

    assert task.cancelled()
    assert (held.done, len(reports.records)) == (["whole"], 1)


async def test_a_task_that_is_cancelled_twice_ends_at_once() -> None:
    reports, held = Reports(), Held()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Conclusions(reports).conclude(held.copied, record(), cut=False))
        for _ in range(2):
            await asyncio.sleep(0.01)
            task.cancel()

    assert task.cancelled()
    assert (held.done, len(reports.records)) == (["given up"], 1)


async def test_what_fails_was_not_looked_at() -> None:
    reports, held = Reports(), Held(ValueError())
    held.go.set()
    conclusions = Conclusions(reports)
    await conclusions.conclude(held.copied, record(), cut=True)
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        await conclusions.conclude(held.copied, record(), cut=False)

    assert (held.done, len(reports.records)) == (["given up"] * 2, 2)
