"""What leases cost a warm message: bytecodes with and without the two looks at them.

Bytecodes of the product on the whole way through a sidecar, the same on an idle machine and on a
busy one. Work in C counts as one of them, so the share of its time is smaller still.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import proxy
from proxy.keys.sessions.sessions import Sessions
from proxy.traffic.message_record import MessageRecord
from tests.suite import say
from tests.traffic.wire import connected
from tools.bench.cases import CASES
from tools.bench.check import prepared
from tools.bench.peers import sealyard
from tools.bench.peers.base import Place
from tools.bench.running import Running

from .test_few_files import _answered, _backend, _peer, _sidecar, place_of

__all__ = ["place_of"]

PRODUCT: Final = str(Path(proxy.__file__).parent)
MESSAGES: Final = 12
MOST_PERCENT: Final = 2.0


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the bytecodes of the product that are run meanwhile, but for those of timers."""
    found, by_timer = [0], False

    def one(_: FrameType, event: str, __: object) -> Any:  # noqa: ANN401 - it traces itself on
        found[0] += event == "opcode" and not by_timer
        return one

    def entered(frame: FrameType, _: str, __: object) -> Any:  # noqa: ANN401 - what traces on
        nonlocal by_timer
        if frame.f_code is asyncio.Handle._run.__code__:
            by_timer = isinstance(frame.f_locals["self"], asyncio.TimerHandle)
        if not frame.f_code.co_filename.startswith(PRODUCT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return one

    sys.settrace(entered)
    try:
        yield found
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("name", ["chat", "path"])
async def test_two_looks_at_a_lease_cost_a_warm_message_next_to_nothing(
    name: str, place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(one for one in CASES if one.name == name)
    place, log = place_of(case.variant(sealyard.NAME)), list[bytes]()
    with _peer(sealyard.NAME).beside(place):
        async with _backend(place.backend), _sidecar(place, log):
            running = Running(_peer(sealyard.NAME), place.port, 0, place.folder / "log", 0.0)
            wanted = asyncio.to_thread(prepared, running, place.backend, "c-1", {case.work})
            work = (await wanted)[case.work]
            async with connected(running.port) as client:

                async def least() -> int:
                    each: list[int] = []
                    for number in range(MESSAGES):
                        with counted() as found:
                            await _answered(work.at(number), client, log)
                        each.append(found[0])
                    return min(each)

                await least()  # from then on each conversation is warm
                with_looks = await least()
                monkeypatch.setattr(Sessions, "leased", True)
                monkeypatch.setattr(MessageRecord, "stands", lambda _: True)
                without = await least()
    share = 100 * (with_looks - without) / without
    say(f"{name}: {with_looks} bytecodes, {without} without leases: {share:.2f} % more")
    assert with_looks - without > 0
    assert share <= MOST_PERCENT
