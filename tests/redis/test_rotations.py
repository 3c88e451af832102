"""Rotations while two sidecars work: nobody notices, and everybody seals under the newest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .pods import Pod
from .server import Server, needs_redis
from .test_operator import a_fleet, a_scene, session_of, url

pytestmark = needs_redis

SCOPE = {"tenant": "clinic", "conversation": "c1"}


@dataclass
class Work:
    """Two pods that seal and read each other's messages until told to stop."""

    pods: list[Pod]
    texts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def write_and_read(self, writer: Pod, reader: Pod) -> None:
        while not self.stop.is_set():
            try:
                text = await writer.sealed()
                self.texts.append(text)
                if not await reader.opens(text):
                    self.errors.append(f"{text} did not open")
            except AssertionError as error:
                self.errors.append(str(error))


async def rotations(server: Server, folder: Path, mode: str, count: int, clients: int) -> float:
    """Rotate so often under the load of so many clients; return the messages a second."""
    async with (
        a_scene(folder, url(server), mode=mode) as (_, places, session),
        a_fleet(places, session=session) as pods,
    ):
        work = Work(pods)
        rotated = []
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for writer, reader in ((pods[0], pods[1]), (pods[1], pods[0])) * (clients // 2):
                group.create_task(work.write_and_read(writer, reader))
            for number in range(count):
                status, answer = await pods[number % 2].admin(
                    "POST", "/v1/sessions/rotate", **SCOPE
                )
                rotated.append((status, answer["sessions"][0]["sid"]))
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            work.stop.set()
        took = time.monotonic() - began
        sids = [session_of(text) for text in work.texts]
        async with asyncio.timeout(3):  # both hear of the last rotation
            while len({session_of(await pod.sealed()) for pod in pods}) > 1:  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.05)
        oldest = [await pod.opens(work.texts[0]) for pod in pods]
    assert work.errors == []
    assert {status for status, _ in rotated} == {200}
    assert len({sid for _, sid in rotated}) == count
    assert len(set(sids)) > count / 2
    assert oldest == [True, True]
    return 2 * len(work.texts) / took  # each is written and read


@pytest.mark.timing
@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize(
    ("count", "clients"),
    [(100, 4), pytest.param(2_000, 16, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
async def test_rotations_are_not_noticed(
    server: Server,
    tmp_path: Path,
    mode: str,
    count: int,
    clients: int,
    *,
    record_property: Callable[[str, object], None],
) -> None:
    rate = await rotations(server, tmp_path, mode, count, clients)
    record_property(f"rate of {mode} messages", f"{rate:.0f} a second, {count} rotations")
