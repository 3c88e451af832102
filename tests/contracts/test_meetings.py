"""An erasure that meets the reissue of a key package: what was erased opens for nobody again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random  # noqa: TID251 - when something happens in a test
from typing import Final

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.keys.stores import Store
from tests.keys.builders import Time
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import Process, a_held_key

from .conftest import Subject

MEETINGS: Final = int(os.environ.get("SEALYARD_MEETINGS", "30"))
"""Meetings on each kind of store; 3,000 take some minutes."""
DRAW = Random(35)  # noqa: S311 - when what happens


class Wall(Time):
    """The time of day."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, _: float) -> None: ...


async def a_process(store: Store) -> Process:
    process = Process(store, Wall())
    await process.sessions.open(process.keys.changed)
    return process


async def late(seconds: float, what: Callable[[], Awaitable[object]]) -> object:
    """Return what came of it, None where the store did not answer and it was refused."""
    await asyncio.sleep(seconds)
    with suppress(KeyUnavailable):
        return await what()
    return None


async def opened(reader: Process, name: str, text: bytes, conversation: str) -> bool:
    try:
        return await reader.open_for(name, text, conversation) == b"before"
    except OpenFailed:
        return False


async def test_what_is_erased_while_its_package_is_issued_again_never_opens(
    subject: Subject,
) -> None:
    if not subject.store.shared:
        pytest.skip("two processes meet in a store that they share")
    writer, eraser = await a_process(subject.another()), await a_process(subject.another())
    await writer.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await writer.add("bob", a_held_key("bob-enc"))
    await writer.add("eve", a_held_key("outsider-enc"), a_held_key("outsider-sig"))
    came_back, issued, refused = [], 0, 0
    for number in range(MEETINGS):
        conversation = f"c{number}"
        before = await writer.seal(b"before", "alice", ["bob"], conversation)
        reports = len(writer.reports.causes())

        async def join(conversation: str = conversation) -> None:
            await writer.seal(b"after", "alice", ["bob", "eve"], conversation)

        async def erase(conversation: str = conversation) -> object:
            return await Desk(eraser.sessions).run("erase", Scope("clinic", conversation))

        _, erased = await asyncio.gather(
            late(DRAW.uniform(0, 0.02), join), late(DRAW.uniform(0, 0.02), erase)
        )
        if erased is None:
            refused += 1  # nobody was told that it is erased
            continue
        issued += "recipient-added" in writer.reports.causes()[reports:]
        late_comer = Process(subject.store, Wall())
        readers = [(who, name) for who in (writer, late_comer) for name in ("bob", "eve")]
        came_back += [
            (number, erased, *one) for one in readers if await opened(*one, before, conversation)
        ]
    assert came_back == []
    assert refused < MEETINGS / 10
    assert issued < MEETINGS  # the erasure was first in some of them
