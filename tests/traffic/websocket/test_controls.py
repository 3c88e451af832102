"""What control frames carry past a rule that seals."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.message import Direction
from proxy.traffic.websocket.closing import REMEMBERED, Controls
from proxy.traffic.websocket.frames import CLOSE, PING, PONG
from tests.traffic.exchange.test_websocket_relay import CANARY, scene

UP: Direction = "request"
DOWN: Direction = "response"
STORAGE = frozenset({UP})
BOTH = frozenset({UP, DOWN})


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8" + CANARY.encode()])
def test_a_close_frame_keeps_its_code_alone(payload: bytes) -> None:
    assert Controls(STORAGE).carried(CLOSE, payload, UP) == payload[:2]
    assert Controls(STORAGE).carried(CLOSE, payload, DOWN) == payload
    assert Controls(frozenset()).carried(CLOSE, payload, UP) == payload


def test_a_ping_carries_a_number_and_its_answer_what_was_asked() -> None:
    one = Controls(STORAGE)
    sent = one.carried(PING, CANARY.encode(), UP)
    assert (len(sent), sent == CANARY.encode()[:8]) == (8, False)
    assert one.carried(PONG, sent, DOWN) == CANARY.encode()
    assert one.carried(PONG, sent, DOWN) == sent  # answered once
    assert one.carried(PING, b"", UP) == b""


def test_a_pong_carries_nothing_but_what_the_other_side_asked() -> None:
    one = Controls(STORAGE)
    assert one.carried(PONG, CANARY.encode(), UP) == b""
    assert one.carried(PING, b"and you", DOWN) == b"and you"
    assert one.carried(PONG, b"and you", UP) == b"and you"
    assert one.carried(PONG, b"by itself", DOWN) == b"by itself"


def test_few_pings_are_remembered() -> None:
    one = Controls(BOTH)
    sent = [one.carried(PING, b"%d" % number, UP) for number in range(REMEMBERED + 1)]
    assert one.carried(PONG, sent[0], DOWN) == b""
    assert one.carried(PONG, sent[1], DOWN) == b"1"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([CLOSE, PING, PONG]),
            st.sampled_from([UP, DOWN]),
            st.sampled_from([b"", b"\x03\xe8canary", b"canary", b"x"]),
        )
    )
)
def test_in_a_sealed_direction_nothing_passes_but_what_came_from_there(
    frames: list[tuple[int, Direction, bytes]],
) -> None:
    one, asked = Controls(STORAGE), set[bytes]()
    for opcode, direction, payload in frames:
        carried = one.carried(opcode, payload, direction)
        if direction == DOWN and opcode == PING:
            asked.add(carried)
        elif direction == UP and b"canary" in carried:
            assert carried in asked


async def test_no_control_frame_of_a_client_tells_the_backend_what_it_wrote() -> None:
    heard: list[object] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, autoclose=False)
        await socket.prepare(request)
        while not socket.closed:
            told = await socket.receive()
            heard.append((told.type, told.data, told.extra))
            if told.type is aiohttp.WSMsgType.PING:
                await socket.pong(told.data)
            if told.type is aiohttp.WSMsgType.CLOSE:
                await socket.close(code=told.data)
        return socket

    async with scene(answer=answer) as at, at.connect("/chat", autoping=False) as socket:
        await socket.ping(CANARY.encode())
        told = await asyncio.wait_for(socket.receive(), 20)
        assert (told.type, bytes(told.data)) == (aiohttp.WSMsgType.PONG, CANARY.encode())
        await socket.pong(CANARY.encode())
        await socket.close(code=4000, message=CANARY.encode())
    assert (aiohttp.WSMsgType.CLOSE, 4000, "") in heard
    assert CANARY not in repr(heard) + at.lines
