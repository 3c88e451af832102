"""Messages are explained in threads that nothing else waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from proxy.config.settings import ListenerSettings, TcpAddress, UpstreamSettings
from proxy.core.explain.explanation import Explained, Explanation, Wanted
from proxy.wiring.admin.explainer import MOST_AT_ONCE, Explainer
from tests.traffic.wire import eventually

EXPLAINED = Explained(Explanation((), None))
WANTED = Wanted("GET", "/")
LISTENER = ListenerSettings(
    "",
    TcpAddress("127.0.0.1", 0),
    UpstreamSettings(TcpAddress("127.0.0.1", 1)),
    pass_unmatched=True,
)


class Held:
    """Explains once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[str] = []

    def __call__(self, _: ListenerSettings, __: Wanted) -> Explained:
        self.begun.append(threading.current_thread().name)
        assert self.go.wait(10)
        return EXPLAINED


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


async def test_a_third_message_is_not_explained_while_two_are(held: Held) -> None:
    explainer = Explainer(held)
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(explainer.explain(LISTENER, WANTED)) for _ in range(MOST_AT_ONCE)
        ]
        await eventually(lambda: len(held.begun) == MOST_AT_ONCE)
        assert await explainer.explain(LISTENER, WANTED) is None
        held.go.set()

    assert [one.result() for one in calls] == [EXPLAINED] * MOST_AT_ONCE
    assert await explainer.explain(LISTENER, WANTED) == EXPLAINED
    assert all(name.startswith("explain") for name in held.begun)  # none of asyncio's own
    explainer.close()


async def test_a_caller_that_leaves_does_not_make_room(held: Held) -> None:
    explainer = Explainer(held)
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(explainer.explain(LISTENER, WANTED)) for _ in range(MOST_AT_ONCE)
        ]
        await eventually(lambda: len(held.begun) == MOST_AT_ONCE)
        for one in calls:
            one.cancel()

    assert all(one.cancelled() for one in calls)
    assert await explainer.explain(LISTENER, WANTED) is None
    explainer.close()


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("explain")]


async def test_no_thread_is_there_before_a_message_is_and_after_the_end() -> None:
    await eventually(lambda: not _threads())  # those of other tests
    explainer = Explainer()
    assert not _threads()

    explained = await explainer.explain(LISTENER, WANTED)

    assert explained is not None
    assert explained.request.rule is None
    assert _threads()
    explainer.close()
    await eventually(lambda: not _threads())
