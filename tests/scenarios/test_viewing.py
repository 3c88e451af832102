"""The tap and the status of a real process: what passes is seen by shape, and never by value."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.admin.routes.page import FILES
from tests.scenarios.pool import shared
from tests.scenarios.rig import TOKEN, Served, backend, served

BOTH = "status_page: true, tap: true"

FOLLOW = "/v1/status/follow"


@asynccontextmanager
async def admin_client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session


class Watched:
    """Everything that one call of the tap has sent so far."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.text = ""

    def __call__(self, what: str) -> list[Any]:
        events = [json.loads(line) for line in self.text.splitlines() if line]
        return [event[what] for event in events if what in event]

    async def until(self, messages: int) -> list[dict[str, Any]]:
        """Read until so many messages were seen."""
        return await self._read(lambda seen: len(seen) >= messages)

    async def over(self) -> list[dict[str, Any]]:
        """Read until a message that is seen part by part is over; return the parts and its end."""
        return await self._read(lambda seen: any(one.get("part") is None for one in seen))

    async def _read(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        async with asyncio.timeout(20):
            while True:
                seen = [one for some in self("messages") for one in some]
                if enough(seen):
                    return seen
                await self.more()

    async def more(self) -> None:
        """Read another line."""
        line = await self.answer.content.readline()
        assert line, "the tap has ended"
        self.text += line.decode()


@asynccontextmanager
async def watching(ours: Served, query: str = "") -> AsyncIterator[Watched]:
    async with (
        admin_client() as session,
        session.get(f"http://127.0.0.1:{ours.admin}{FOLLOW}{query}") as answer,
    ):
        assert answer.status == 200
        watched = Watched(answer)
        while not watched("messages"):  # the first look, from which on all is seen
            await watched.more()
        yield watched


async def send(ours: Served, canary: str, count: int) -> None:
    """Send messages, each on a connection of its own, so that all workers get some."""
    for number in range(count):
        body = {"conversationId": f"c{number}", "content": canary, "note": "n", canary: canary}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{ours.port}/api/messages", json=body) as answer,
        ):
            assert answer.status == 200


@pytest.mark.parametrize("workers", [1, 2])
async def test_messages_of_all_workers_are_seen_by_shape_and_never_by_value(
    tmp_path: Path, workers: int
) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", str(workers), admin_more=BOTH) as ours:
            await ours.event("server.ready")
            async with watching(ours, "?status") as watched:
                await send(ours, canary, 12)
                seen = await watched.until(12)
                async with asyncio.timeout(20):
                    while watched("status")[-1]["rules"][0]["counts"].get("sealed") != 24:
                        await watched.more()
            status = watched("status")[-1]

    for one in seen:
        assert one["rule"] == "alpha"
        shown = [["content", "text", 32], ["note", "text", 1]]
        assert [row[1:] for row in one["client"][1:3]] == shown
        assert [row[2] for row in one["backend"]] == ["text", "sealed", "sealed", "text"]
        assert [row[1] for row in one["reader"]] == ["conversationId", "content", "note", "·"]
        assert one["outcomes"] == {"sealed": 2, "opened": 2}
    assert canary not in watched.text
    assert "values" not in status
    assert len(status.get("workers", [status])) == workers
    rule, unmatched = status["rules"]
    assert rule["does"] == ["seals content, note of requests", "opens content, note of responses"]
    assert rule["counts"] == {"forwarded": 12, "sealed": 24, "opened": 24}
    assert time.time() - 60 < rule["last_matched"] <= time.time() + 1
    assert (unmatched["rule"], unmatched["does"]) == (None, ["passes"])
    assert status["keys"]["keks"][0]["state"] == "primary"
    assert 0 < len(status["keys"]["sessions"]) <= 8
    assert all(one["soft_end"] > one["created"] for one in status["keys"]["sessions"])


async def test_the_page_is_open_and_all_that_it_shows_is_guarded(tmp_path: Path) -> None:
    async with (
        backend() as behind,
        shared(tmp_path, behind.port, admin_more=BOTH) as ours,
    ):
        address = f"http://127.0.0.1:{ours.admin}"
        async with aiohttp.ClientSession() as session:
            size = 0
            for path in FILES:
                async with session.get(address + path) as answer:
                    assert answer.status == 200
                    policy = answer.headers["Content-Security-Policy"]
                    assert policy.startswith("default-src 'none'; script-src 'self'")
                    assert "unsafe" not in policy
                    assert answer.headers["Cache-Control"] == "no-store"
                    size += len(await answer.read())
            for path in (FOLLOW, f"{FOLLOW}?status", "/v1/status", "/readyz", "/metrics"):
                async with session.get(address + path) as answer:
                    assert answer.status == 401, path
        assert size < 60 * 1024


async def test_neither_is_there_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with (
        backend() as behind,
        shared(tmp_path, behind.port) as ours,
        admin_client() as session,
    ):
        for path in (*FILES, FOLLOW):
            async with session.get(f"http://127.0.0.1:{ours.admin}{path}") as answer:
                assert answer.status == 404, path


async def test_a_call_is_in_the_log_before_the_first_line_of_its_answer(tmp_path: Path) -> None:
    async with (
        backend() as behind,
        shared(tmp_path, behind.port, admin_more=BOTH) as ours,
        watching(ours),
    ):
        called = [one for one in ours.events if one["event"] == "admin.called"]

    told = [(one["http.route"], one["http.response.status_code"]) for one in called]
    assert told == [("/-/reload", 200), (FOLLOW, 200)]  # the first by which the test got it


async def test_those_who_look_on_keep_nobody_from_ending(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, admin_more=BOTH) as ours:
            await ours.event("server.ready")
            async with watching(ours):
                began = time.monotonic()
                ours.process.terminate()
                assert await ours.ended() == 0
                took = time.monotonic() - began

    assert took < 5


async def test_more_than_a_few_who_look_on_are_turned_away(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, admin_more="tap: true") as ours:
            await ours.event("server.ready")
            async with admin_client() as session:
                address = f"http://127.0.0.1:{ours.admin}{FOLLOW}"
                answers = [await session.get(address) for _ in range(8)]
                for one in answers:
                    await one.content.readline()
                async with session.get(address) as ninth:
                    assert ninth.status == 429
                answers[0].close()
                async with asyncio.timeout(20):
                    while True:
                        async with session.get(address) as again:
                            if again.status == 200:
                                break
                        await asyncio.sleep(0.2)
                for one in answers:
                    one.close()


async def test_a_rule_says_how_many_of_its_lines_are_written_and_a_reload_changes_it(
    tmp_path: Path,
) -> None:
    rules = """\
      - name: send
        match: POST /api/messages
        conversation: const:c
        log: {sample: 0.25}
        request: {encrypt: $.content}
"""
    async with (
        backend() as behind,
        shared(tmp_path, behind.port, rules=rules) as ours,
    ):
        await send(ours, "x", 8)
        file = ours.folder / "sealyard.yaml"
        file.write_text(file.read_text().replace("sample: 0.25", "level: warning"))
        await ours.reload()
        await send(ours, "x", 3)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{ours.port}/api/messages", json={}) as answer,
        ):
            assert answer.status == 400
        await ours.event("message.refused")
        lines = [one for one in ours.events if one["event"].startswith("message.")]

    assert [one["event"] for one in lines] == ["message.handled"] * 2 + ["message.refused"]
    assert [one.get("sample") for one in lines] == [0.25, 0.25, None]
