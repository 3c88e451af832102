"""`sealyard status` before a real process."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from proxy import __version__
from proxy.cli import main
from proxy.cli.support import admin_client
from tests.cli.conftest import invoke
from tests.scenarios.rig import ROOT, Served, backend, environment, served


async def tapped(folder: Path, ours: Served, canary: str, *options: str) -> str:
    """Return what the command writes while messages pass."""
    command = (sys.executable, "-P", "-m", "proxy", "status", "--follow", "--count", "2")
    process = await asyncio.create_subprocess_exec(
        *(*command, "--config", str(folder / "sealyard.yaml"), *options),
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


async def test_figures_are_those_of_the_running_process(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, "--workers", "2") as ours:
            await ours.event("server.ready")
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{ours.port}/api/messages"
                body = {"conversationId": "c1", "content": "x", "note": "n"}
                for _ in range(3):
                    async with session.post(url, json=body) as answer:
                        assert answer.status == 200
            await ours.event("message.handled", 3)
            status, text, _ = await run(tmp_path)
            document = json.loads((await run(tmp_path, "--json"))[1])

    assert status == 0
    assert f"Sealyard {__version__}: ready, up " in text
    assert f"  sha256 {document['configuration']['sha256']}, " in text
    assert f"127.0.0.1:{ours.port} -> 127.0.0.1:{behind.port}" in text
    head, alpha = (
        line.split() for line in text.splitlines() if line.startswith(("rule ", "api / alpha"))
    )
    assert head[:4] == ["rule", "messages", "sealed", "opened"]
    assert alpha[:6] == ["api", "/", "alpha", "3", "6", "6"]
    assert [one["counts"]["sealed"] for one in document["rules"] if one["rule"] == "alpha"] == [6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--follow", "--steps"), "--follow and --steps exclude each other: give one"),
        (("--leaks", "--steps"), "--steps and --leaks exclude each other: give one"),
        (
            ("--leaks", "--follow", "--steps"),
            "--follow and --steps and --leaks exclude each other: give one",
        ),
        (("--count", "3"), "--count is for --follow"),
        (("--days", "3", "--leaks"), "--days is for --steps"),
    ],
)
def test_a_second_mode_and_an_option_of_another_are_refused(
    options: tuple[str, ...], message: str
) -> None:
    assert message in invoke("status", *options, status=2).stderr


async def test_it_says_why_there_is_nothing_to_see(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            result = await run(tmp_path, "--follow")
            assert "set `admin.tap: true`" in result[2]
            assert result[0] == 1
            other = tmp_path / "other.token"
            other.write_text("another-token-of-the-tests\n")
            other.chmod(0o600)
            assert "not valid there" in (await run(tmp_path, "--token-file", str(other)))[2]

    assert "no response" in (await run(tmp_path))[2]


async def run(folder: Path, *options: str) -> tuple[int, str, str]:
    arguments = ["status", "--config", str(folder / "sealyard.yaml"), *options]
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_a_process_that_is_stuck_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_client, "ANSWER_SECONDS", 0.2)
    file, token = tmp_path / "sealyard.yaml", tmp_path / "token"
    token.write_text("a-token-of-the-tests-123456\n")
    token.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as stuck:  # nobody accepts, the kernel does
        file.write_text(
            "version: 1\nkeys: {keyring: {file: k, key: {file: r}}}\n"
            f"admin: {{listen: '127.0.0.1:{stuck.getsockname()[1]}', token: {{file: token}}}}\n"
            "listeners: [{name: a, listen: 127.0.0.1:0, upstream: http://127.0.0.1:1,"
            " unmatched: pass, rules: []}]\n"
        )
        result = invoke("status", "--config", str(file), status=3)

    assert "no response within 0.2 s" in result.stderr


def test_a_configuration_without_an_admin_listener_has_no_status(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(
        "version: 1\nkeys: {keyring: {file: k, key: {file: r}}}\n"
        "listeners: [{name: a, listen: 127.0.0.1:0, upstream: http://127.0.0.1:1,"
        " unmatched: pass, rules: []}]\n"
    )
    result = invoke("status", "--config", str(file), status=3)

    assert "no `admin` listener" in result.stderr
