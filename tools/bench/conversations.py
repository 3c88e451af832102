"""What the key of a message costs where there are up to a million conversations, in this process.

A million conversations through the proxy would take minutes; its other costs do not depend on them.
The limits are those of `sealyard serve`: so many keys at hand, so many records in the store
`memory`. Above them each message is as one of a new conversation.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

from proxy.core.crypto.context import Scope
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.keyring import create
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores.memory import MemoryStore

from .results import Curve, Point

COUNTS: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
_PARTS: Final = 5


def measure(counts: tuple[int, ...] = COUNTS) -> tuple[Curve, Curve]:
    """Return the cost of a first and of a next message, as conversations become more.

    For the first it is that of the last conversations before each count; for the next, that of one
    more message in each of those.
    """
    return asyncio.run(_measure(counts))


async def _measure(counts: tuple[int, ...]) -> tuple[Curve, Curve]:
    sessions = Sessions(
        create("k1", now=int(time.time()), random=os.urandom),
        MemoryStore(time.monotonic),
        SessionSettings(),
        clock=time.time,
        random=os.urandom,
    )
    await sessions.open()
    await _cost(sessions, [_needs(-1)])
    first, following, known = [], [], 0
    for count in counts:
        part = min(1_000, (count - known) // _PARTS)
        for number in range(known, count - _PARTS * part):
            await sessions.resolve(_needs(number))
        parts = [
            [_needs(number) for number in range(end - part, end)]
            for end in range(count - (_PARTS - 1) * part, count + 1, part)
        ]
        first.append(Point(count, [await _cost(sessions, needs) for needs in parts]))
        following.append(Point(count, [await _cost(sessions, needs) for needs in parts]))
        known = count
    meaning = "conversations so far; within the process"
    return (
        Curve("first", "Key of a conversation's first message", meaning, first),
        Curve("next", "Key of its next message", meaning, following),
    )


def _needs(number: int) -> Needs:
    return Needs({Scope("clinic", f"c-{number}"): 1})


async def _cost(sessions: Sessions, needs: list[Needs]) -> float:
    """Return the CPU time of resolving each once, in µs."""
    began = time.process_time_ns()
    for need in needs:
        await sessions.resolve(need)
    return (time.process_time_ns() - began) / len(needs) / 1000
