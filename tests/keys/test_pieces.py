"""Many things are done in pieces, and a few at once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from proxy.keys.pieces import all_done, pieces
from proxy.keys.policy import PIECE

from .turns import turns


@pytest.mark.parametrize("number", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_every_item_comes_once_and_in_order(number: int) -> None:
    found = [piece async for piece in pieces(range(number))]
    assert [one for piece in found for one in piece] == list(range(number))
    assert max(map(len, found)) <= PIECE


async def test_others_run_between_two_pieces_and_not_before_a_few_are_done() -> None:
    async with turns() as counted:
        began = counted.number
        async for _ in pieces(range(PIECE)):
            pass
        assert counted.number == began
        async for _ in pieces(range(10 * PIECE)):
            pass
        assert counted.number >= began + 9


@pytest.mark.parametrize("number", [0, 1, 2, 2 * PIECE + 1])
async def test_so_many_calls_run_at_a_time(number: int) -> None:
    done: list[int] = []
    running = most = 0

    async def call(one: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(one)

    await all_done([partial(call, one) for one in range(number)])
    assert sorted(done) == list(range(number))
    assert most == min(number, PIECE)
