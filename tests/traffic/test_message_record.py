from __future__ import annotations

import gc
import json
import types
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.core.errors import InvalidBody
from proxy.traffic.message_record import MessageRecord
from tests.factories import Ear
from tests.faults.rig import WaitingKeys, a_rulebook
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, get, post, running, talk

JSON = b"Content-Type: application/json"
SECRET = "a plaintext that nobody shall keep"


@contextmanager
def only_cycles_left() -> Iterator[list[object]]:
    """Collect into the list what nothing but a cycle keeps alive after the block."""
    left: list[object] = []
    gc.freeze()  # what other tests left
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_record_tells_of_an_error_and_does_not_keep_it() -> None:
    record, ear = MessageRecord("id-1", "api"), Ear()
    error = InvalidBody("not-json")
    seen = weakref.ref(error)
    record.refused(error, 400)
    del error
    record.over(0.0)
    ear.messages([record])

    assert seen() is None
    assert ear.heard[0][0] == "message.refused"
    assert (ear.last["error"], ear.last["reason"]) == ("invalid-body", "not-json")


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (json.dumps({"content": SECRET})[:-1].encode(), ()),
        (json.dumps({"other": SECRET}).encode(), ()),
        (zlib.compress(SECRET.encode())[:-4], (b"Content-Encoding: deflate",)),
        (SECRET.encode(), (b"Content-Encoding: x-unknown",)),
    ],
)
async def test_the_body_of_a_refused_request_is_gone_with_its_answer(
    body: bytes, lines: tuple[bytes, ...]
) -> None:
    origin = Origin()
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=WaitingKeys()) as ours,
    ):
        await talk(ours.port, post(b'{"content":"warm"}', JSON, target=b"/seal"))
        with only_cycles_left() as left:
            answer = await talk(ours.port, post(body, JSON, *lines, target=b"/seal"))

    assert answer.status >= 400
    assert [one for one in left if isinstance(one, types.FrameType | BaseException)] == []


async def test_the_body_of_a_refused_response_is_gone_with_the_answer() -> None:
    body = json.dumps({"content": 17})[:-1].encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    origin = Origin(reply=reply % len(body) + body)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=WaitingKeys()) as ours,
    ):
        await talk(ours.port, get(b"/open"))
        with only_cycles_left() as left:
            answer = await talk(ours.port, get(b"/open"))

    assert answer.status == 502
    assert [one for one in left if isinstance(one, types.FrameType | BaseException)] == []
