"""Opening packages beside the messages: in threads, each of them once."""

from __future__ import annotations

import asyncio
import time

from proxy.core.crypto.context import Context
from proxy.core.crypto.token import decode
from proxy.core.edits.key_needs import Needs
from tests.keys.end_to_end.builders import TTL, a_fleet, context, needs_of, reading, sealing

SESSIONS = 60
TRIES = 3


async def test_a_long_history_is_opened_without_holding_the_event_loop() -> None:
    """60 private operations of RSA take 100 ms and more; the loop goes on meanwhile."""
    (one,) = await a_fleet()
    tokens = []
    for _ in range(SESSIONS):
        tokens.append(decode(await one.seal(b"hello", "alice", ["bob"])))
        one.keys._sealing.clear()  # so that the next message begins another session
    needs = needs_of(reading("bob"), *tokens)
    ratios = []
    for _ in range(TRIES):
        one.keys._opening.clear()
        done = asyncio.Event()
        gaps = asyncio.get_running_loop().create_task(_longest_gap(done))
        began = time.perf_counter()
        keys = await one.keys.resolve(needs)
        took = time.perf_counter() - began
        done.set()
        ratios.append(await gaps / took)
        assert len(keys.opening) == SESSIONS
    assert min(ratios) < 0.5


async def _longest_gap(done: asyncio.Event) -> float:
    longest, last = 0.0, time.perf_counter()
    while not done.is_set():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def test_tokens_of_many_sessions_are_opened_in_one_plan() -> None:
    (one,) = await a_fleet()
    first = decode(await one.seal(b"first", "alice", ["bob"]))
    one.time.advance(TTL)
    second = decode(await one.seal(b"second", "alice", ["bob"]))
    scope = reading("bob")
    both = Needs({sealing("alice", ["bob"]): 1}, needs_of(scope, first, second).opens)
    keys = await one.keys.resolve(both)
    opened = [
        keys.opening[scope, token.key_id].open(token, _context(), one.time.now)
        for token in (first, second)
    ]
    assert opened == [b"first", b"second"]


def _context() -> Context:
    return context(reading("bob"))
