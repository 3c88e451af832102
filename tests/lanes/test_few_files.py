"""How many files of the product one warm message enters: each is a place to look at for a reader.

Counted on a whole way, from the bytes of the client to the log line behind its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType
from typing import Final

import pytest

import proxy
from proxy.core.compiled.rule_table import RuleTable
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.reporter import CountingReporter
from proxy.traffic.downstream.listener import HttpListener
from proxy.traffic.exchange.handler import Handler
from proxy.traffic.upstream.client import HttpUpstream
from tests.keys.builders import a_world
from tests.traffic.ours import ANY_PORT, PASSING, local, serving
from tests.traffic.wire import PATIENCE, Origin, Peer, connected, running

from .test_same_bytes import a_rulebook

_PRODUCT: Final = Path(proxy.__file__).parent
_MOST: Final = 25
"""Of a message that is sealed and opened; it was 60."""
_MOST_PASSING: Final = 17
_MOST_OF_TRAFFIC: Final = 13
_COLD: Final = 3
"""So many messages find nothing at hand, or not all of it."""
_MESSAGES: Final = 15
_LINE: Final = b"message.handled"
_LEAVES: Final = "core/leaves/"
"""The Python form of the leaves; the native one has no files here."""
_CANARY: Final = b"canary-4711"
_BODY: Final = b'{"content": "%b"}' % _CANARY
_JSON: Final = b"Content-Type: application/json\r\n"


async def _echo(peer: Peer, origin: Origin) -> None:
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        length = b"Content-Length: %d\r\n\r\n" % len(seen.body)
        peer.send(b"HTTP/1.1 200 OK\r\n" + _JSON + length + seen.body)


async def _written(log: list[bytes], number: int) -> None:
    """Wait for so many lines, which are written behind their answers."""
    async with asyncio.timeout(PATIENCE):
        while b"".join(log).count(_LINE) < number:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def _entered(rules: RuleTable, log: list[bytes]) -> tuple[set[str], set[bytes], Origin]:
    """Return the files that each warm message enters, the answers, and the origin.

    A timer enters others beside some of them.
    """
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(_PRODUCT):
            entered.add(path.relative_to(_PRODUCT).as_posix())

    message = b"POST /c/1 HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n%b"
    each: list[set[str]] = []
    answers: set[bytes] = set()
    async with (
        running(Origin(_echo)) as origin,
        _serving(rules, origin.port, log) as port,
        connected(port) as client,
    ):
        for number in range(_MESSAGES):
            entered = set()
            sys.setprofile(note if number >= _COLD else None)
            try:
                client.send(message % (_JSON, len(_BODY), _BODY))
                answers.add((await client.response()).body)
                await _written(log, number + 1)
            finally:
                sys.setprofile(None)
            each.append(entered)
    files = set.intersection(*each[_COLD:])
    return {one for one in files if not one.startswith(_LEAVES)}, answers, origin


@contextlib.asynccontextmanager
async def _serving(rules: RuleTable, port: int, log: list[bytes]) -> AsyncIterator[int]:
    upstream = HttpUpstream(local(port))
    reporter, sessions = CountingReporter(Logs(log.append)), a_world().sessions
    handler = Handler(rules, sessions, upstream, reporter, clock=time.time, name="in")
    listener = HttpListener(ANY_PORT, handler)
    async with serving(listener, upstream):
        yield listener.port


@pytest.mark.parametrize(("rules", "most"), [(a_rulebook(), _MOST), (PASSING, _MOST_PASSING)])
async def test_a_warm_message_enters_few_files(rules: RuleTable, most: int) -> None:
    log: list[bytes] = []
    files, answers, origin = await _entered(rules, log)

    assert len(files) <= most, sorted(files)
    assert sum(one.startswith("traffic/") for one in files) <= _MOST_OF_TRAFFIC, sorted(files)
    assert "traffic/exchange/fast_exchange.py" in files
    assert "traffic/exchange/handler.py" not in files
    assert answers == {_BODY}
    assert len(origin.seen) == _MESSAGES
    assert all((_CANARY in seen.body) == (rules is PASSING) for seen in origin.seen)
    assert _CANARY not in b"".join(log)
    assert b"".join(log).count(_LINE) == _MESSAGES
