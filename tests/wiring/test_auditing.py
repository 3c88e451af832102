from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto.derivation import audit_key
from proxy.core.crypto.secret import RecordKey
from proxy.core.errors import UnfitEnvironment
from proxy.keys.audit import Trail
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Samples
from proxy.wiring import auditing
from proxy.wiring.auditing import AuditedCalls
from tests.config.builders import changed, loaded
from tests.factories import Ear
from tests.keys.audit.test_trail import a_trail
from tests.keys.builders import Time

KEY = RecordKey(b"r" * 32)


def opened(folder: Path, section: str = "") -> tuple[Trail | None, Ear]:
    text = changed("keyring: {file: keyring.jwe", f"keyring: {{file: {folder}/keyring.jwe")
    settings = loaded(text.replace("listeners:\n", f"{section}listeners:\n", 1)).settings
    ear = Ear()
    return auditing.open_trail(settings, KEY, ear, Time()), ear


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()][1:]


async def test_unless_said_the_log_stands_beside_the_keyring_and_keeps_nobody(
    tmp_path: Path,
) -> None:
    trail, ear = opened(tmp_path)
    assert trail is not None
    assert not trail.blocks
    await trail.write("process.started")
    await trail.close()
    assert (tmp_path / "keyring.jwe.audit").exists()
    assert [(event, fields["sequence"]) for event, fields in ear.heard] == [
        ("audit.anchored", 2), ("audit.anchored", 2)
    ]  # fmt: skip


async def test_where_nothing_is_said_and_nothing_can_be_written_there_is_none(
    tmp_path: Path,
) -> None:
    trail, ear = opened(tmp_path / "gone")
    assert trail is None
    assert [event for event, _ in ear.heard] == ["audit.off"]
    assert auditing.checks(None) == ()


@pytest.mark.parametrize("block", [True, False])
async def test_a_failure_is_told_counted_and_shown(tmp_path: Path, *, block: bool) -> None:
    file, mode = tmp_path / "gone" / "log", "block" if block else "warn"
    trail, ear = opened(tmp_path, f"audit: {{file: {file}, on_failure: {mode}}}\n")
    assert trail is not None
    if block:
        with pytest.raises(UnfitEnvironment):
            await trail.write("process.started")
    else:
        await trail.write("process.started")
    samples = Samples()
    auditing.count(trail, samples)
    assert samples.value(table.AUDIT_FAILURES) == 1
    assert samples.value(table.AUDIT_BLOCKED) == int(block)
    assert ear.heard[0] == (
        "audit.failed",
        {"file": str(file), "reason": "No such file or directory", "blocks": block},
    )
    (check,) = auditing.checks(trail)
    assert (check.ok, check.degraded) == (not block, True)
    await trail.close()


async def test_the_log_for_changes_of_the_keyring_is_the_same(tmp_path: Path) -> None:
    section = f"audit: {{file: {tmp_path}/gone/log, on_failure: warn}}\n"
    settings = loaded(changed("listeners:\n", f"{section}listeners:\n")).settings
    ear = Ear()
    log = auditing.log_of(settings, ear, Time())
    log.write(audit_key(KEY), "keys.revoke")
    assert [fields["blocks"] for _, fields in ear.heard] == [False]


def told(**more: str | int) -> dict[str, str | int]:
    return {"method": "GET", "status": 200, "caller": "ops", "route": "/v1/status", **more}


async def test_what_changes_is_written_down_one_by_one(tmp_path: Path) -> None:
    trail, log, _ = a_trail(tmp_path)
    calls = AuditedCalls(trail, Time())
    for _ in range(200):
        await calls.record(told(method="POST", route="/-/reload"))
    assert len(lines(log.path)) == 200
    await trail.close()


async def test_what_only_looks_is_counted_beyond_a_rate(tmp_path: Path) -> None:
    trail, log, _ = a_trail(tmp_path)
    calls = AuditedCalls(trail, Time())
    for _ in range(200):
        await calls.record(told())
        await calls.record(told(route="/metrics"))
    await calls.record(told(route="/metrics", status=500))
    calls.close()
    await trail.close()
    found = lines(log.path)
    assert [line["event"] for line in found] == ["admin.called"] * 100 + ["admin.called_more"] * 2
    assert found[-2]["number"] == 100


async def test_who_is_refused_fills_no_disk(tmp_path: Path) -> None:
    trail, log, _ = a_trail(tmp_path)
    calls = AuditedCalls(trail, Time())
    for _ in range(200):
        refused = told(status=401, error="unauthorized", peer="192.0.2.1")
        del refused["caller"]
        await calls.record(refused)
    page = told()
    del page["caller"]
    await calls.record(page)  # open to all, as the files of a page are
    calls.close()
    await trail.close()
    found = lines(log.path)
    assert [line["event"] for line in found] == ["admin.refused"] * 50 + ["admin.refused_more"]
    assert (found[0]["error"], found[0]["peer"], found[-1]["number"]) == (
        "unauthorized", "192.0.2.1", 150
    )  # fmt: skip


async def test_a_log_that_blocks_keeps_everybody_from_an_answer(tmp_path: Path) -> None:
    trail, _, _ = a_trail(tmp_path / "gone")
    calls = AuditedCalls(trail, Time())
    for _ in range(102):
        with pytest.raises(UnfitEnvironment):
            await calls.record(told())
    await trail.close()
