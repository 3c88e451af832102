from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import KeyUnavailable, UnfitEnvironment
from proxy.keys import policy
from proxy.keys.audit import AuditLog, Trail, head_record
from proxy.keys.audit.head_record import Head

from .builders import KEY, NOW, checked


class Ear:
    """Hears what a trail tells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.heads: list[Head] = []
        self.gone: list[str] = []
        self.blocked: list[bool] = []


def a_trail(folder: Path, *, block: bool = True) -> tuple[Trail, AuditLog, Ear]:
    """Return a trail to a log in a folder that need not be there, and who hears of it."""
    ear, log = Ear(), AuditLog(folder / "audit.log", lambda: NOW)
    trail = Trail(log, KEY, block=block, failed=ear.reasons.append, anchored=ear.heads.append)
    trail.changed, trail.gone = ear.blocked.append, ear.gone.append
    return trail, log, ear


def told(log: AuditLog) -> list[str]:
    return [json.loads(line)["event"] for line in log.path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let notes and new tries come soon."""
    monkeypatch.setattr(policy, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(policy, "RETRY_SECONDS", 0.02)


async def test_what_is_written_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    trail, log, ear = a_trail(tmp_path)
    await trail.write("keys.revoke", scope="x")
    assert told(log) == ["audit.began", "keys.revoke"]
    assert [head.seq for head in ear.heads] == [2]
    await trail.close()


async def test_a_clock_that_is_set_back_keeps_no_anchor_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "ANCHOR_SECONDS", 0)
    trail, log, ear = a_trail(tmp_path)
    await trail.write("keys.revoke", scope="x")
    log.clock = lambda: NOW - 36_000
    await trail.write("keys.revoke", scope="x")
    assert [head.seq for head in ear.heads] == [2, 3]
    await trail.close()


async def test_many_at_a_time_share_a_write_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, log, _ = a_trail(tmp_path)
    appends: list[int] = []
    append = AuditLog.append

    def counted(self: AuditLog, key: object, entries: list[object]) -> tuple[str, Head]:
        appends.append(len(entries))
        return append(self, key, entries)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(AuditLog, "append", counted)
    await asyncio.gather(*(trail.write(f"keys.{number}") for number in range(100)))
    assert told(log)[1:] == [f"keys.{number}" for number in range(100)]
    assert len(appends) < 10
    assert trail.written == 100
    await trail.close()


async def test_what_is_noted_is_on_the_disk_soon_and_at_the_end(tmp_path: Path) -> None:
    trail, log, ear = a_trail(tmp_path)
    trail.note("open.refused", reason="bad-tag")
    await asyncio.sleep(0.2)
    assert told(log) == ["audit.began", "open.refused"]
    trail.note("open.refused", reason="bad-tag")
    await trail.close()
    assert told(log)[-1] == "open.refused"
    assert ear.heads[-1].seq == 3
    assert not checked(log).broken


async def test_a_log_that_blocks_refuses_until_it_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    trail, log, ear = a_trail(folder)
    with pytest.raises(UnfitEnvironment):
        await trail.write("keys.revoke")
    trail.note("open.refused")
    assert (trail.blocked, ear.blocked) == (True, [True])
    assert trail.failures > 0
    assert ear.reasons
    folder.mkdir()
    await asyncio.sleep(0.3)
    assert (trail.blocked, ear.blocked) == (False, [True, False])
    # What was refused did not happen; what was noted did.
    assert "keys.revoke" not in told(log)
    assert "open.refused" in told(log)
    await trail.write("keys.revoke")
    await trail.close()


async def test_a_log_that_warns_lets_pass_and_makes_up_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    trail, log, ear = a_trail(folder, block=False)
    await trail.write("keys.revoke")
    assert (trail.blocked, trail.failing, ear.blocked) == (False, True, [])
    folder.mkdir()
    await asyncio.sleep(0.3)
    assert told(log) == ["audit.began", "keys.revoke"]
    await trail.close()


async def test_what_is_too_much_to_keep_is_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_KEPT", 3)
    folder = tmp_path / "gone"
    trail, log, _ = a_trail(folder)
    for _ in range(10):
        trail.note("open.refused")
    folder.mkdir()
    await asyncio.sleep(0.3)
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "audit.began", *["open.refused"] * 3, "audit.lost"
    ]  # fmt: skip
    assert lines[-1]["number"] == 7
    await trail.close()


async def test_what_is_lost_during_a_write_is_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_KEPT", 3)
    trail, log, _ = a_trail(tmp_path)
    begun, released, append = threading.Event(), threading.Event(), AuditLog.append

    def slow(self: AuditLog, *entries: Any) -> tuple[str, Head]:  # noqa: ANN401 - handed on as it came
        begun.set()
        assert released.wait(5)
        return append(self, *entries)

    monkeypatch.setattr(AuditLog, "append", slow)
    trail.note("open.refused")
    assert await asyncio.to_thread(begun.wait, 5)
    for _ in range(10):
        trail.note("open.refused")
    released.set()
    await trail.close()
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["number"] for line in lines if line["event"] == "audit.lost"] == [7]
    assert [line["event"] for line in lines].count("open.refused") == 4


@pytest.mark.parametrize("block", [True, False])
async def test_whatever_fails_is_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, block: bool
) -> None:
    """At the limit of processes no thread begins: nobody may wait for ever."""
    trail, log, ear = a_trail(tmp_path, block=block)
    left, to_thread = [RuntimeError("can't start new thread")], asyncio.to_thread

    async def out_of_threads(*call: Any) -> Any:  # noqa: ANN401 - handed on as it came
        if left:
            raise left.pop()
        return await to_thread(*call)

    monkeypatch.setattr(asyncio, "to_thread", out_of_threads)
    trail.note("open.refused")
    async with asyncio.timeout(20):
        if block:
            with pytest.raises(UnfitEnvironment, match="RuntimeError"):
                await trail.write("keys.revoke")
        else:
            await trail.write("keys.revoke")
        await trail.close()
    assert ear.reasons == ["the audit log cannot be written: RuntimeError"]
    assert told(log) == ["audit.began", "open.refused", *["keys.revoke"][block:]]


async def test_an_end_with_a_log_that_cannot_be_written_comes_to_an_end(tmp_path: Path) -> None:
    trail, _, _ = a_trail(tmp_path / "gone")
    trail.note("open.refused")
    await asyncio.wait_for(trail.close(), 20)
    with pytest.raises(UnfitEnvironment):
        await asyncio.wait_for(trail.write("late"), 20)


async def test_who_does_not_wait_any_more_does_no_harm(tmp_path: Path) -> None:
    for block in (True, False):
        for folder in (tmp_path, tmp_path / "gone"):
            trail, _, _ = a_trail(folder, block=block)
            waiting = asyncio.get_running_loop().create_task(trail.write("keys.revoke"))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0.1)
            await trail.close()


async def test_a_log_that_is_deleted_or_cut_is_missed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LOG_WATCH_SECONDS", 0.02)
    trail, log, ear = a_trail(tmp_path)
    harms: dict[str, Callable[[], None]] = {
        "deleted": log.path.unlink,
        "cut": lambda: os.truncate(log.path, 10),
        "head-deleted": head_record.beside(log.path).unlink,
    }
    for reason, harm in harms.items():
        await trail.write("keys.revoke", scope="x")
        harm()
        await asyncio.sleep(0.5)
        assert ear.gone.pop() == reason
        assert ear.gone == []
        assert "audit.gone" in log.path.read_text()
    assert trail.losses == 3
    assert trail.failures == 0
    await trail.close()


async def test_a_log_that_is_gone_is_missed_by_the_next_line_as_well(tmp_path: Path) -> None:
    trail, log, ear = a_trail(tmp_path)
    await trail.write("keys.revoke", scope="x")
    log.path.unlink()
    await trail.write("keys.revoke", scope="y")
    assert ear.gone == ["deleted"]
    await trail.close()


async def test_a_log_that_is_rotated_or_that_others_go_on_with_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LOG_WATCH_SECONDS", 0.02)
    trail, log, ear = a_trail(tmp_path)
    await trail.write("keys.revoke", scope="x")
    log.path.rename(tmp_path / "audit.log.1")
    await asyncio.sleep(0.1)
    AuditLog(log.path, lambda: NOW).write(KEY, "keys.revoke", scope="another process")
    (tmp_path / "audit.log.1").unlink()  # that one is old
    await asyncio.sleep(0.1)
    await trail.write("keys.revoke", scope="y")
    assert ear.gone == []
    assert "audit.gone" not in log.path.read_text()
    await trail.close()


@pytest.mark.parametrize(
    "error", [KeyUnavailable("root-lease-ended"), UnfitEnvironment("it is no regular file")]
)
async def test_the_watch_outlives_what_keeps_it_from_looking(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LOG_WATCH_SECONDS", 0.02)
    trail, log, ear = a_trail(tmp_path)
    await trail.write("keys.revoke", scope="x")
    gone = AuditLog.gone

    def fails(*_: object) -> str:
        raise error

    monkeypatch.setattr(AuditLog, "gone", fails)
    await asyncio.sleep(0.1)
    monkeypatch.setattr(AuditLog, "gone", gone)
    log.path.unlink()
    await asyncio.sleep(0.5)
    assert ear.gone == ["deleted"]
    await trail.close()
