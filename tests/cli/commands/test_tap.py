"""`sealyard tap` before a real process."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path

import aiohttp
from click.testing import CliRunner

from proxy.cli import main
from tests.cli.conftest import invoke
from tests.scenarios.rig import ROOT, Served, backend, environment, served


async def tapped(folder: Path, ours: Served, canary: str, *options: str) -> str:
    """Return what the command writes while messages pass."""
    config = str(folder / "sealyard.yaml")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "proxy", "tap", "--config", config, "--count", "2", *options),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    ended = asyncio.get_running_loop().create_task(process.communicate())
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while not ended.done():
            body = {"conversationId": "c1", "content": canary, "note": "n"}
            url = f"http://127.0.0.1:{ours.port}/api/messages"
            async with session.post(url, json=body) as answer:
                assert answer.status == 200
            await asyncio.sleep(0.2)
    out, _ = await ended
    assert process.returncode == 0
    return out.decode()


async def test_it_shows_what_each_side_got_and_no_value(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind:
        with served(tmp_path, behind.port, admin_more="tap: true") as ours:
            await ours.event("server.ready")
            text = await tapped(tmp_path, ours, canary)
            lines = (await tapped(tmp_path, ours, canary, "--json")).splitlines()

    assert "POST alpha 200" in text
    assert "2 sealed, 2 opened" in text
    assert "client sent  conversationId: text 2, content: text 32, note: text 1" in text
    assert "backend got  conversationId: text 2, content: sealed " in text
    assert "reader got   conversationId: text 2, content: text 32" in text
    assert canary not in text + "".join(lines)
    assert [json.loads(line)["rule"] for line in lines] == ["alpha", "alpha"]


async def test_it_says_why_there_is_nothing_to_see(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            result = await run(tmp_path)
            assert "set `admin.tap: true`" in result[1]
            assert result[0] == 1
            other = tmp_path / "other.token"
            other.write_text("another-token-of-the-tests\n")
            other.chmod(0o600)
            assert "not valid there" in (await run(tmp_path, "--token-file", str(other)))[1]

    assert "no response" in (await run(tmp_path))[1]


async def run(folder: Path, *options: str) -> tuple[int, str]:
    arguments = ["tap", "--config", str(folder / "sealyard.yaml"), *options]
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    return result.exit_code, result.stderr


def test_a_configuration_without_an_admin_listener_has_no_tap(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(
        "version: 1\nkeys: {keyring: {file: k, key: {file: r}}}\n"
        "listeners: [{name: a, listen: 127.0.0.1:0, upstream: http://127.0.0.1:1,"
        " unmatched: pass, rules: []}]\n"
    )
    result = invoke("tap", "--config", str(file), status=3)

    assert "no `admin` listener" in result.stderr
