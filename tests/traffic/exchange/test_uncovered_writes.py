"""What the backend got and no rule matched is counted, however the message ended."""

from __future__ import annotations

import asyncio

import pytest

from proxy.telemetry.metrics import table
from proxy.telemetry.reporter import CountingReporter
from tests.factories import Ear
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import Origin, Peer, connected, eventually, post, running

from .test_tunnel import SHAKE, SWITCH

HELLO = b"\x81\x85\x00\x00\x00\x00hello"
BYE = b"\x88\x80\x00\x00\x00\x00"
POST = post(b'{"note": "x"}', b"Content-Type: application/json")


def writes(ours: Ours) -> float:
    counted = CountingReporter(Ear())
    counted.messages(ours.ear.lines)
    return counted.samples().value(table.UNCOVERED_WRITES, "")


@pytest.mark.parametrize("last", [b"", BYE])
async def test_a_websocket_counts_once_also_without_a_close_frame(last: bytes) -> None:
    got = bytearray()

    async def talk(peer: Peer, _: Origin) -> None:
        await peer.head()
        peer.send(SWITCH)
        while data := await peer.reader.read(100):
            got.extend(data)

    async with running(Origin(talk)) as origin, proxied(local(origin.port), timeouts=HASTY) as ours:
        async with connected(ours.port) as client:
            client.send(SHAKE)
            await client.until(b"\r\n\r\n")
            client.send(HELLO + last)
            await eventually(lambda: got.startswith(HELLO))
        await eventually(lambda: len(ours.ear.lines) == 1)

        assert writes(ours) == 1


@pytest.mark.parametrize("cuts", [True, False])
async def test_a_request_counts_that_its_backend_took_and_did_not_answer(*, cuts: bool) -> None:
    async def take(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        if not cuts:
            await asyncio.sleep(2 * HASTY.response)
        peer.cut()

    async with running(Origin(take)) as origin, proxied(local(origin.port), timeouts=HASTY) as ours:
        async with connected(ours.port) as client:
            client.send(POST)
            status = (await client.response()).status
        await eventually(lambda: len(ours.ear.lines) == 1)

        assert (status, len(origin.seen)) == (502 if cuts else 504, 1)
        assert writes(ours) == 1


async def test_a_request_does_not_count_whose_backend_was_not_there() -> None:
    async with running(Origin()) as origin:
        away = origin.port
    async with proxied(local(away), timeouts=HASTY) as ours:
        async with connected(ours.port) as client:
            client.send(POST)
            assert (await client.response()).status == 502
        await eventually(lambda: len(ours.ear.lines) == 1)

        assert writes(ours) == 0
