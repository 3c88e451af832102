"""Bodies that flow: sealed or opened while they pass, whole or visibly cut, never unsealed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.limits import TrafficLimits
from proxy.config.settings import UnixAddress
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from proxy.core.errors import OpenFailed
from proxy.core.transform import Forwardable
from proxy.demo.screen import search
from proxy.traffic.bodies.transformed import FlowingBody, Pieces, refuse_beside
from proxy.traffic.byte_budget import ByteBudget, Hold
from proxy.traffic.http1.framing import CHUNKED
from tests.traffic.frame_world import (
    CANARY,
    FRAME,
    PNG,
    SEALED_CHUNK,
    a_frame_world,
    a_request,
    a_text,
    an_answer,
    chunked,
    damages,
    opened,
    sealed,
    settled,
)

from ..wire import PATIENCE, Origin, Peer, Response, connected, get

LONG = 5 * CHUNK_BYTES
OTHERS = (
    Context(Scope("t", "other"), field="body", kind="stream"),
    Context(Scope("t", "c"), field="other", kind="stream"),
    Context(Scope("t", "c"), field="body", kind="body"),
    Context(Scope("t", "c"), field="body"),
)


def no_leak(*places: bytes) -> bool:
    return not search(CANARY.decode(), {str(at): place for at, place in enumerate(places)})


def body_of(response: Response) -> bytes:
    """Return the body of a whole response; an AssertionError tells that it was cut."""
    if lengths := response.values(b"content-length"):
        assert len(response.body) == int(lengths[0])
        return response.body
    assert response.values(b"transfer-encoding") == [b"chunked"]
    rest, body = response.body, b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            assert rest == b"\r\n"
            return body
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


@pytest.mark.parametrize("size", [65537, LONG, LONG + 1, 300_000])
async def test_a_long_body_is_sealed_as_a_frame_of_a_told_length(size: int) -> None:
    text = a_text(size)
    async with a_frame_world() as world:
        response = await world.talk(a_request(b"/store", text, PNG, b'ETag: "x"'))
        assert (response.status, response.body) == (200, b"ok")
        (seen,) = world.backend.seen
        assert seen.values(b"content-type") == [b"application/vnd.sealyard.stream"]
        assert seen.values(b"content-length") == [b"%d" % len(seen.body)]
        assert seen.values(b"transfer-encoding") == []
        assert seen.values(b"cache-control") == [b"no-transform"]
        assert await opened(world.world, seen.body) == (text, "image/png")
        assert no_leak(world.backend.got)
        told = world.ours.ear.last
        assert (told["sealed"], told["request_bytes"]) == (1, len(text))


@pytest.mark.parametrize("size", [1, 100, CHUNK_BYTES, LONG])
async def test_a_body_of_unknown_length_is_sealed_as_a_frame(size: int) -> None:
    text = a_text(size)
    async with a_frame_world() as world:
        response = await world.talk(a_request(b"/store", text, in_chunks=True))
        assert response.status == 200
        (seen,) = world.backend.seen
        assert seen.values(b"transfer-encoding") == [b"chunked"]
        assert await opened(world.world, seen.body) == (text, "")
        assert no_leak(world.backend.got)


async def test_what_has_no_byte_is_a_missing_body_however_it_is_framed() -> None:
    async with a_frame_world() as world:
        for data in (a_request(b"/store", b"", in_chunks=True), a_request(b"/store", b"")):
            response = await world.talk(data)
            assert response.values(b"sealyard-error") == [b"missing-value"]
        assert not world.backend.parts


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("size", [0, 10, CHUNK_BYTES, LONG, 300_000])
async def test_a_frame_is_opened_and_its_type_restored(size: int, *, in_chunks: bool) -> None:
    text = a_text(size)
    async with a_frame_world() as world:
        data = await sealed(world.world, text)
        response = await world.talk(a_request(b"/receive", data, FRAME, in_chunks=in_chunks))
        assert response.status == 200
        (seen,) = world.backend.seen
        assert (seen.body, seen.values(b"content-type")) == (text, [b"image/png"])
        lengths = [] if in_chunks else [b"%d" % len(text)]
        assert seen.values(b"content-length") == lengths
        assert world.ours.ear.last["opened"] == 1


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("size", [10, LONG, 300_000])
async def test_a_response_is_opened_and_its_type_restored(size: int, *, in_chunks: bool) -> None:
    text = a_text(size)
    async with a_frame_world() as world:
        data = await sealed(world.world, text)
        world.backend.reply = an_answer(data, FRAME, b'ETag: "x"', in_chunks=in_chunks)
        response = await world.talk(get(b"/store"))
        assert response.status == 200
        assert body_of(response) == text
        assert response.values(b"content-type") == [b"image/png"]
        assert response.values(b"etag") == [b'W/"x"']
        assert response.values(b"cache-control") == [b"private, no-store"]
        if not in_chunks:
            assert response.values(b"content-length") == [b"%d" % len(text)]


@pytest.mark.parametrize("size", [10, 100_000])
async def test_what_was_sealed_without_a_type_is_opened_without_one(size: int) -> None:
    async with a_frame_world() as world:
        await world.talk(a_request(b"/store", a_text(size)))
        (seen,) = world.backend.seen
        (kind,) = seen.values(b"content-type")
        response = await world.talk(a_request(b"/receive", seen.body, b"Content-Type: " + kind))
        assert response.status == 200
        assert world.backend.seen[1].body == a_text(size)
        assert world.backend.seen[1].values(b"content-type") == []


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_a_response_is_sealed_as_a_frame(*, in_chunks: bool) -> None:
    text = a_text(300_000)
    async with a_frame_world() as world:
        world.backend.reply = an_answer(text, PNG, in_chunks=in_chunks)
        response = await world.talk(get(b"/receive"))
        assert response.status == 200
        assert await opened(world.world, body_of(response)) == (text, "image/png")
        assert response.values(b"content-type") == [b"application/vnd.sealyard.stream"]
        assert response.values(b"x-content-type-options") == [b"nosniff"]
        assert no_leak(response.raw)
        assert bool(response.values(b"content-length")) is not in_chunks


async def test_a_head_of_the_same_response_tells_nothing_of_its_length() -> None:
    async with a_frame_world() as world:
        world.backend.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n" + PNG + b"\r\n\r\n"
        response = await world.talk(get(b"/receive", method=b"HEAD"))
        assert (response.status, response.values(b"content-length")) == (200, [])


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_a_damaged_frame_never_ends_at_the_backend(*, in_chunks: bool) -> None:
    text = a_text(LONG + 100)
    async with a_frame_world() as world:
        data, other = await sealed(world.world, text), await sealed(world.world, text[::-1])
        for name, damaged in damages(data, other):
            world.backend.parts.clear()
            request = a_request(b"/receive", damaged, FRAME, in_chunks=in_chunks)
            response = await world.talk(request)
            await settled(world)
            assert (name, response.status) == (name, 400)
            assert response.values(b"sealyard-error") == [b"open-failed"]
            assert not world.backend.seen, name
            assert text.startswith(world.backend.got), name
            assert no_leak(response.raw)
            told = world.ours.ear.last
            assert told["error"] == "open-failed"
        # The connections that were cut carry nothing else.
        assert (await world.talk(a_request(b"/receive", data, FRAME))).status == 200


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_a_damaged_frame_never_ends_at_the_client(*, in_chunks: bool) -> None:
    text = a_text(LONG + 100)
    async with a_frame_world() as world:
        data, other = await sealed(world.world, text), await sealed(world.world, text[::-1])
        for name, damaged in damages(data, other):
            world.backend.reply = an_answer(damaged, FRAME, in_chunks=in_chunks)
            response = await world.talk(get(b"/store"))
            if response.status == 502:
                assert response.values(b"sealyard-error") == [b"open-failed"]
                assert no_leak(response.raw)
                continue
            assert response.status == 200
            with pytest.raises((AssertionError, ValueError)):
                body_of(response)
            if not in_chunks:
                assert text.startswith(response.body), name
            assert world.ours.ear.last["error"] == "open-failed"


@pytest.mark.parametrize("context", OTHERS)
async def test_a_frame_of_another_context_opens_nowhere(context: Context) -> None:
    async with a_frame_world() as world:
        data = await sealed(world.world, a_text(LONG), context=context)
        response = await world.talk(a_request(b"/receive", data, FRAME))
        assert response.status == 400
        assert not world.backend.parts
        world.backend.reply = an_answer(data, FRAME)
        assert (await world.talk(get(b"/store"))).status == 502


async def test_a_frame_that_breaks_off_with_its_connection_never_ends() -> None:
    text = a_text(LONG + 100)
    async with a_frame_world() as world:
        data = await sealed(world.world, text)
        request = a_request(b"/receive", data, FRAME)
        for left_out in (1, 20, SEALED_CHUNK, 3 * SEALED_CHUNK, LONG):
            async with connected(world.ours.port) as client:
                client.send(request[:-left_out])
                await client.writer.drain()
            await settled(world)
            assert not world.backend.seen
            assert text.startswith(world.backend.parts.pop() if world.backend.parts else b"")
        plain = a_request(b"/store", text, PNG)
        for left_out in (1, 20, SEALED_CHUNK, LONG):
            async with connected(world.ours.port) as client:
                client.send(plain[:-left_out])
                await client.writer.drain()
            await settled(world)
            assert not world.backend.seen
            assert no_leak(world.backend.got)


async def test_a_response_that_breaks_off_is_not_sealed_as_a_whole_one() -> None:
    text = a_text(300_000)
    async with a_frame_world() as world:
        whole = an_answer(text, PNG)

        async def breaking(peer: Peer, _: Origin) -> None:
            await peer.head()
            peer.send(whole[:-1])

        world.backend.script = breaking
        async with connected(world.ours.port) as client:
            client.send(get(b"/receive"))
            assert await client.was_cut()


async def test_a_title_in_the_head_is_sealed_before_the_body_flows() -> None:
    text = a_text(LONG)
    async with a_frame_world() as world:
        title = b"X-Title: " + CANARY
        response = await world.talk(a_request(b"/titled", text, PNG, title))
        assert response.status == 200
        (seen,) = world.backend.seen
        assert seen.values(b"x-title")[0].startswith(b"eyJ0eXAiOiJzeTEi")
        assert (await opened(world.world, seen.body))[0] == text
        assert no_leak(seen.head, seen.body)
        world.backend.seen.clear()
        response = await world.talk(a_request(b"/titled", text, PNG))
        assert response.values(b"sealyard-error") == [b"missing-value"]
        assert not world.backend.seen


async def test_what_does_not_open_is_kept_where_the_rule_says_so() -> None:
    async with a_frame_world() as world:
        other = await sealed(world.world, a_text(300_000), context=OTHERS[0])
        world.backend.reply = an_answer(other, FRAME, in_chunks=True)
        response = await world.talk(get(b"/kept"))
        assert body_of(response) == other
        assert response.values(b"content-type") == [FRAME.partition(b": ")[2]]
        assert response.values(b"sealyard-kept") == [b"1"]


async def test_what_is_sealed_already_is_refused_where_the_rule_says_so() -> None:
    async with a_frame_world() as world:
        data = await sealed(world.world, a_text(LONG))
        response = await world.talk(a_request(b"/strict", data, FRAME))
        assert response.values(b"sealyard-error") == [b"forbidden-value"]
        assert not world.backend.parts


@pytest.mark.parametrize("right", [True, False])
async def test_a_digest_is_checked_before_the_body_ends(*, right: bool) -> None:
    text = a_text(300_000)
    digest = b64encode(hashlib.sha256(text if right else b"another").digest())
    async with a_frame_world() as world:
        line = b"Content-Digest: sha-256=:%b:" % digest
        response = await world.talk(a_request(b"/store", text, PNG, line))
        await settled(world)
        assert response.status == (200 if right else 400)
        assert len(world.backend.seen) == right
        if right:
            assert world.backend.seen[0].values(b"content-digest") == []
        else:
            assert response.values(b"sealyard-error") == [b"digest-mismatch"]


async def test_a_body_above_the_limit_of_frames_is_refused() -> None:
    async with a_frame_world(limits=TrafficLimits(stream=100_000)) as world:
        text = a_text(100_001)
        response = await world.talk(a_request(b"/store", text, PNG))
        assert (response.status, world.backend.parts) == (413, [])
        response = await world.talk(a_request(b"/store", text, PNG, in_chunks=True))
        await settled(world)
        assert (response.status, world.backend.seen) == (413, [])
        assert (await world.talk(a_request(b"/store", a_text(100_000), PNG))).status == 200


async def test_a_client_that_waits_for_a_100_gets_it_once_rule_and_length_are_checked() -> None:
    text = a_text(LONG)
    async with a_frame_world(limits=TrafficLimits(stream=100_000)) as world:
        for size, status in ((LONG, 100), (100_001, 413)):
            async with connected(world.ours.port) as client:
                head = b"POST /store HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                client.send(head + b"Content-Length: %d\r\n\r\n" % size)
                answer = await client.until(b"\r\n\r\n")
                assert int(answer.split()[1]) == status
                if status == 100:
                    client.send(text)
                    assert (await client.response()).status == 200


async def test_an_old_client_sees_a_reset_where_its_answer_is_cut() -> None:
    text = a_text(LONG + 100)
    async with a_frame_world() as world:
        data = await sealed(world.world, text)
        world.backend.reply = an_answer(data[:-1], FRAME, in_chunks=True)
        async with connected(world.ours.port) as client:
            client.send(b"GET /store HTTP/1.0\r\nHost: h\r\n\r\n")
            assert await client.was_cut()
        world.backend.reply = an_answer(data, FRAME, in_chunks=True)
        async with connected(world.ours.port) as client:
            client.send(b"GET /store HTTP/1.0\r\nHost: h\r\n\r\n")
            assert Response(await client.rest()).body == text


@given(
    size=st.integers(65_537, 200_000),
    cuts=st.lists(st.integers(1, 200_000), max_size=8),
)
@settings(max_examples=20, deadline=None)
def test_a_body_comes_through_whole_however_it_is_cut_on_the_wire(
    size: int, cuts: list[int]
) -> None:
    async def both_ways() -> None:
        text = a_text(size)
        async with a_frame_world() as world:
            head = a_request(b"/store", b"", in_chunks=True).removesuffix(b"0\r\n\r\n")
            assert (await world.talk(head + chunked(text, cuts))).status == 200
            (seen,) = world.backend.seen
            assert (await opened(world.world, seen.body))[0] == text
            world.backend.reply = an_answer(b"", FRAME, in_chunks=True).removesuffix(
                b"0\r\n\r\n"
            ) + chunked(seen.body, cuts)
            assert body_of(await world.talk(get(b"/store"))) == text

    asyncio.run(both_ways())


async def test_a_reader_that_rests_holds_up_the_backend() -> None:
    text = a_text(65_536)
    sent = 0

    async def endless(peer: Peer, _: Origin) -> None:
        nonlocal sent
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n" + PNG + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"%x\r\n%b\r\n" % (len(text), text))
            await peer.writer.drain()
            sent += len(text)

    async with a_frame_world() as world:
        world.backend.script = endless
        async with connected(world.ours.port) as client:
            client.send(get(b"/receive"))
            await client.until(b"\r\n\r\n")
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            # What the sockets of either side hold, and no more: nothing gathers between them.
            assert before < 32 * 2**20


async def test_a_backend_that_rests_holds_up_its_client() -> None:
    text = a_text(65_536)

    async def resting(peer: Peer, _: Origin) -> None:
        await peer.head()
        await asyncio.sleep(1.5)

    async with a_frame_world() as world:
        world.backend.script = resting
        async with connected(world.ours.port) as client:
            client.send(a_request(b"/store", b"", PNG, in_chunks=True).removesuffix(b"0\r\n\r\n"))
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 * 2**20:
                    client.send(b"%x\r\n%b\r\n" % (len(text), text))
                    async with asyncio.timeout(0.3):
                        await client.writer.drain()
                    sent += len(text)
            assert sent < 32 * 2**20


async def test_a_client_that_leaves_ends_the_download() -> None:
    text = a_text(65_536)
    left = asyncio.Event()

    async def endless(peer: Peer, _: Origin) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n" + PNG + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                peer.send(b"%x\r\n%b\r\n" % (len(text), text))
                await peer.writer.drain()
        finally:
            left.set()

    async with a_frame_world() as world:
        world.backend.script = endless
        async with connected(world.ours.port) as client:
            client.send(get(b"/receive"))
            await client.until(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await left.wait()
        await settled(world)


async def test_a_client_on_a_unix_socket_is_never_shown_a_cut_body_as_a_whole_one(
    tmp_path: Path,
) -> None:
    text, path = a_text(LONG), tmp_path / "s"
    async with a_frame_world(listen=UnixAddress(path)) as world:
        data = await sealed(world.world, text)
        world.backend.reply = an_answer(data, FRAME, in_chunks=True)
        async with connected(path=str(path)) as client:
            client.send(b"GET /store HTTP/1.0\r\nHost: h\r\n\r\n")
            assert Response(await client.rest()).status == 502
        async with connected(path=str(path)) as client:
            client.send(get(b"/store"))
            assert body_of(Response(await client.rest())) == text


class Torn:
    """A flow that fails at its second piece."""

    holds_head = False

    def __init__(self) -> None:
        self.fed = 0

    def length(self, length: int | None) -> int | None:
        return length

    def feed(self, data: bytes) -> bytes:
        self.fed += 1
        if self.fed > 1:
            raise OpenFailed("bad-frame")
        return data

    def end(self) -> bytes:
        raise AssertionError


class Given:
    """A body of two pieces."""

    arrived = 0

    def take(self) -> None:
        return None

    async def read(self, limit: int, hold: Hold) -> bytes:
        raise AssertionError

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"


async def test_after_an_error_a_body_never_seems_to_end() -> None:
    body = FlowingBody(Pieces(Given(), CHUNKED, None), Torn(), CHUNKED)
    with pytest.raises(OpenFailed):
        [piece async for piece in body.chunks()]
    with pytest.raises(ConnectionError):
        [piece async for piece in body.chunks()]
    assert body.take() is None  # type: ignore[func-returns-value] # so the protocol has it
    with pytest.raises(TypeError):
        await body.read(10, Hold(ByteBudget(), ""))


async def test_pieces_that_were_looked_at_come_again() -> None:
    pieces = Pieces(Given(), CHUNKED, None)
    assert await pieces.beginning(lambda seen: len(seen) > 2) == b"one"
    assert await pieces.beginning(lambda seen: len(seen) > 100) == b"onetwo"
    assert [piece async for piece in pieces.all()] == [b"onetwo"]


@pytest.mark.parametrize("looked_at", [0, 3])
async def test_before_each_piece_and_the_end_it_is_confirmed_that_more_may_be_sealed(
    looked_at: int,
) -> None:
    confirmed: list[None] = []

    async def confirm() -> None:
        confirmed.append(None)

    pieces = Pieces(Given(), CHUNKED, None, confirm)
    await pieces.beginning(lambda seen: len(seen) >= looked_at)
    assert not confirmed
    came = [(piece, len(confirmed)) async for piece in pieces.all()]
    assert came == [(b"one", 1), (b"two", 2)]
    assert len(confirmed) == 3


async def test_nothing_is_sent_beside_its_flow() -> None:
    text = a_text(LONG)
    async with a_frame_world() as world:
        steps = world.ours.listener.answerer.steps  # type: ignore[attr-defined] # the handler's
        told: list[Forwardable] = []
        carry_out = steps.carry_out

        async def watched(*given: Any, **named: Any) -> Forwardable:  # noqa: ANN401 - as the steps has them
            told.append(await carry_out(*given, **named))
            return told[-1]

        steps.carry_out = watched
        assert (await world.talk(a_request(b"/store", text, PNG, in_chunks=True))).status == 200
        (message,) = told
        assert message.flow is not None
        for body in (Given(), FlowingBody(Pieces(Given(), CHUNKED, None), Torn(), CHUNKED)):
            with pytest.raises(TypeError, match="flow"):
                refuse_beside(message, body)
