"""`--log-processor`: code of the operator's in the log of a real process, and of its workers."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.rig import ROOT, Served, backend, served

OWN = '''
def shorten(_logger, _level, entry):
    """Keep a part of the id, and try to write what may not be written."""
    if "request_id" in entry:
        entry = {**entry, "request_id": "r" + entry["request_id"][:4]}
    return {**entry, "body": "CANARY-own", "rule": "password=CANARY-own"}

def fail(_logger, _level, entry):
    if entry["event"] == "message.handled":
        raise ValueError("CANARY-own")
    return entry
'''
CONTENT = "CANARY-content"


async def send(ours: Served, *, times: int = 1) -> None:
    body = {"conversationId": "c1", "content": CONTENT, "note": "n"}
    async with aiohttp.ClientSession() as client:
        for _ in range(times):
            url = f"http://127.0.0.1:{ours.port}/api/messages"
            async with client.post(url, json=body) as answer:
                assert (answer.status, await answer.json()) == (200, body)


def environment(folder: Path) -> dict[str, str]:
    (folder / "own_log.py").write_text(OWN)
    return {"PYTHONPATH": f"{ROOT}:{folder}"}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_processor_changes_lines_and_writes_nothing_else(
    tmp_path: Path, workers: str
) -> None:
    options = ("--log-processor", "own_log:shorten", "--workers", workers)
    async with backend() as behind:
        with served(tmp_path, behind.port, *options, variables=environment(tmp_path)) as ours:
            await ours.event("server.ready")
            await send(ours)
            line = await ours.event("message.handled")
            text = ours.log.read_text()

    assert (len(line["request_id"]), line["rule"]) == (5, "password=<hidden>")
    assert "CANARY" not in text


async def test_a_processor_that_fails_costs_lines_and_no_message(tmp_path: Path) -> None:
    options = ("--log-processor", "own_log:fail")
    async with backend() as behind:
        with served(tmp_path, behind.port, *options, variables=environment(tmp_path)) as ours:
            await ours.event("server.ready")
            await send(ours, times=3)
            failed = await ours.event("log.processor_failed")
            metrics = await ours.metrics()
            text = ours.log.read_text()

    assert (failed["processor"], failed["exception.type"]) == ("own_log:fail", "ValueError")
    assert "\nsealyard_log_lines_lost_total 3" in metrics
    assert "message.handled" not in text
    assert "CANARY" not in text
