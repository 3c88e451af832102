from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.keys import policy
from proxy.keys.audit import Value
from proxy.keys.audit.trail import LineLimit
from tests.keys.builders import Time

from .test_trail import a_trail


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()][1:]


async def test_what_comes_too_often_is_counted_by_kind(tmp_path: Path) -> None:
    trail, _, _ = a_trail(tmp_path)
    clock = Time()
    bound = LineLimit(trail, (2, 5), clock=clock)
    for number in range(100):
        kind: dict[str, Value] = {"reason": "bad-tag" if number % 2 else "revoked-session"}
        bound.note("open.refused", kind, request_id=str(number))
    clock.advance(4)
    bound.flush()
    await trail.close()
    found = lines(tmp_path)
    assert [line["event"] for line in found] == ["open.refused"] * 5 + ["open.refused_more"] * 2
    assert sum(line["number"] for line in found[5:]) == 95
    assert {line["seconds"] for line in found[5:]} == {4}
    clock.advance(0.5)
    assert bound.admits()


async def test_the_rate_at_an_attack_fills_no_disk(tmp_path: Path) -> None:
    trail, _, _ = a_trail(tmp_path)
    clock = Time()
    bound = LineLimit(trail, (2, 50), clock=clock)
    for _ in range(600):  # a minute of 1,000 a second
        clock.advance(0.1)
        for _ in range(100):
            bound.note("open.refused", {"reason": "bad-tag"}, request_id="x" * 20)
    bound.flush()
    await trail.close()
    assert len(lines(tmp_path)) <= 50 + 2 * 60 + 2
    assert sum(line.get("number", 1) for line in lines(tmp_path)) == 60_000


async def test_no_more_than_a_few_kinds_are_told_apart(tmp_path: Path) -> None:
    trail, _, _ = a_trail(tmp_path)
    bound = LineLimit(trail, (0, 0), clock=Time())
    for number in range(1000):
        bound.note("open.refused", {"rule": f"rule {number}"})
    bound.flush()
    await trail.close()
    assert len(lines(tmp_path)) == policy.MOST_KINDS + 1
    assert sum(line["number"] for line in lines(tmp_path)) == 1000


async def test_what_is_counted_is_told_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "FLUSH_SECONDS", 0.05)
    trail, _, _ = a_trail(tmp_path)
    bound = LineLimit(trail, (0, 0), clock=Time())
    bound.note("open.refused", {})
    await asyncio.sleep(0.6)
    assert [line["event"] for line in lines(tmp_path)] == ["open.refused_more"]
    await trail.close()
