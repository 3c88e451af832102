"""B2, B16: clients leave a real `sealyard serve`, which frees what they held and loses nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.rig import Served, served
from tests.traffic.leaving import GONE, SOON, Case, Client, Hanging, Way, request
from tests.traffic.wire import Origin, eventually, running

CANARY = "canary-0f41 the patient who leaves"
MESSAGE = json.dumps({"conversationId": "c1", "content": CANARY, "note": CANARY}).encode()
JSON = b"Content-Type: application/json"
NUMBER = 300


def _message(case: Case) -> bytes:
    return request(case, b"POST /api/messages", MESSAGE, JSON, chunked=case.number % 2 == 0)


async def _abandon(ours: Served, hang: Hanging, way: Way) -> Case:
    """Send a message, and leave while the upstream has it.

    On a busy machine the event loop has no time for all at once: who is refused asks again.
    """
    while True:
        case = hang.case()
        async with Client.connected(ours.port) as client:
            await client.send(_message(case))
            if await _taken(client, case):
                client.leave(way)
                return case
        await asyncio.sleep(0.05)


async def _taken(client: Client, case: Case) -> bool:
    """Return whether the upstream got a message, which is refused otherwise."""
    taken = client.loop.create_task(case.whole.wait())
    refused = client.loop.create_task(client.loop.sock_recv(client.sock, 65536))
    done, _ = await asyncio.wait({taken, refused}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    for one in (taken, refused):
        one.cancel()
    await asyncio.gather(taken, refused, return_exceptions=True)
    assert done
    assert taken in done or b" 503 " in refused.result()
    return taken in done


def _sockets(ours: Served) -> int:
    folder = Path(f"/proc/{ours.process.pid}/fd")
    found = 0
    for one in folder.iterdir():
        with suppress(FileNotFoundError):  # closed since the folder was listed
            found += "socket" in str(one.readlink())
    return found


def _handled(ours: Served) -> list[dict[str, Any]]:
    return [event for event in ours.events if event["event"] == "message.handled"]


@pytest.mark.timing
@pytest.mark.parametrize("way", GONE)
async def test_b2_b16_messages_that_are_abandoned_leave_no_trace_and_hold_up_no_end(
    tmp_path: Path, way: Way
) -> None:
    hang = Hanging()
    async with running(Origin(hang.serve)) as origin:
        with served(tmp_path, origin.port) as ours:
            await ours.event("server.ready")
            await ours.metrics()
            files = _sockets(ours)
            async with asyncio.TaskGroup() as group:
                left = [group.create_task(_abandon(ours, hang, way)) for _ in range(NUMBER)]
            cases = [one.result() for one in left]
            async with asyncio.timeout(3 * SOON):
                for case in cases:
                    await case.over.wait()
            await ours.event("message.handled", NUMBER)
            metrics = await ours.metrics()
            await eventually(lambda: _sockets(ours) <= files)
            assert {event["http.response.status_code"] for event in _handled(ours)} == {499}
            assert {case.arrivals for case in cases} == {1}
            assert 'sealyard_upstream_connections{listener="api",state="busy"} 0' in metrics
            assert 'outcome="aborted"' in metrics

            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(_abandon(ours, hang, way))
            ours.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert await ours.ended() == 0
            assert time.monotonic() - began < 3

            log = ours.log.read_text()
        seen = b"".join(bytes(case.bytes) for case in hang.cases.values())
        assert len(_handled(ours)) == NUMBER + 20
        for where in (log, metrics, seen.decode("latin-1")):
            assert CANARY not in where
