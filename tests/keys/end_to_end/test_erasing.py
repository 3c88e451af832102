"""Erasing the packages of a conversation while messages go on."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import OpenFailed
from proxy.keys.operations.session_calls import SessionCall
from proxy.keys.operations.session_operations import SessionOperations
from tests.keys.builders import SharedStore, Time
from tests.keys.end_to_end.builders import a_fleet

SCOPE = Scope("clinic", "c1")


async def test_what_is_sealed_while_an_erasure_is_written_down_opens_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = await a_fleet(store=SharedStore(Time(), shared=False))
    before = await one.seal(b"before", "alice", ["bob"])
    meanwhile: list[bytes] = []

    async def write_down(event: str, **_: Any) -> None:  # noqa: ANN401 - values of any field
        if event == "sessions.erased":
            meanwhile.append(await one.seal(b"meanwhile", "alice", ["bob"]))

    monkeypatch.setattr(one.sessions, "write_down", write_down)
    await SessionOperations(one.sessions, lambda *_: None).run(SessionCall("erase", SCOPE, 0))

    assert [await one.open_for("bob", sealed) for sealed in meanwhile] == [b"meanwhile"]
    with pytest.raises(OpenFailed, match="no-package"):
        await one.open_for("bob", before)


async def test_a_worker_that_is_told_of_an_erasure_begins_another_key() -> None:
    (one,) = await a_fleet(store=SharedStore(Time(), shared=False))
    before = await one.session("alice", ["bob"])
    call = SessionCall("erase", SCOPE, 0, keep=False)
    await SessionOperations(one.sessions, lambda *_: None).run(call)
    assert (await one.session("alice", ["bob"])).sid != before.sid
