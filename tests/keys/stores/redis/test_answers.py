"""An answer of a Redis is read the same wherever its bytes are cut, and what is none ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.keys.policy import LEVELS_MAX, LINE_MAX
from proxy.keys.stores import StoreFailed
from proxy.keys.stores.redis.connection import Connection

SHORT = 0.01
ANSWERS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=20),
    lambda one: st.lists(one, max_size=4),
    max_leaves=12,
)


def spelled(answer: Any) -> bytes:  # noqa: ANN401 - as an answer is
    """Return an answer as a Redis sends it."""
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, bytes):
        return b"$%d\r\n%b\r\n" % (len(answer), answer)
    return b"*%d\r\n%b" % (len(answer), b"".join(map(spelled, answer)))


async def as_it_comes(pieces: Sequence[bytes]) -> Any:  # noqa: ANN401 - as an answer is
    """Return the answer whose bytes come in these pieces, each once the one before was read."""
    line = Connection()
    reading = asyncio.get_running_loop().create_task(line.read())
    for piece in pieces:
        await asyncio.sleep(0)
        assert not line.quiet or piece is pieces[0]
        line.data_received(piece)
    answer = await reading
    assert line.quiet
    return answer


@given(ANSWERS, st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_is_the_same_wherever_it_is_cut(answer: Any, cuts: list[int]) -> None:  # noqa: ANN401 - as it is
    raw = spelled(answer)
    at = sorted({0, *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[one:end] for one, end in zip(at, [*at[1:], len(raw)], strict=True)]

    assert asyncio.run(as_it_comes(pieces)) == answer


async def test_what_comes_behind_an_answer_is_the_next_one() -> None:
    line = Connection()
    line.data_received(b":1\r\n*1\r\n$2\r\na")

    assert await line.read() == 1
    assert not line.quiet
    with pytest.raises(TimeoutError):
        await line.read(SHORT)
    line.data_received(b"b\r\n")

    assert await line.read() == [b"ab"]
    assert line.quiet


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"$\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b":-\r\n",
        b"$1\r\nabc",
        b"$1\r\nab\r\n",
        b"$99999999\r\n",
        b"*99999999\r\n",
        b"%1\r\n",
        b"*1\r\n" * (LEVELS_MAX + 1),
        b"+" + b"a" * (LINE_MAX + 1),
    ],
)
async def test_what_is_no_answer_ends_the_connection(raw: bytes) -> None:
    line = Connection()
    line.data_received(raw)

    with pytest.raises(StoreFailed, match="store-misshapen"):
        await line.read(SHORT)

    assert not line.quiet


async def test_lists_may_be_as_deep_as_that() -> None:
    line = Connection()
    line.data_received(b"*1\r\n" * LEVELS_MAX + b":7\r\n")

    answer = await line.read()
    for _ in range(LEVELS_MAX):
        (answer,) = answer
    assert answer == 7
