"""Clients of OpenAI stream through two Sealyards; the gateway between them reads nothing.

client -> Sealyard (egress) -> gateway, which keeps all it sees -> Sealyard (ingress) -> chat server
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.screen import search

from .conftest import ROOT
from .llm_backends import ARGUMENTS, CHUNKINGS, Cut, by_bytes
from .llm_backends import whole as at_once
from .llm_scene import JWE, Scene, scene

HERE = Path(__file__).parent
PYTHON = ROOT / ".venv-openai" / "bin" / "python"
NODE_CLIENT = HERE / "openai_node"
CLIENTS = {
    "openai-python": [str(PYTHON), "-P", str(HERE / "openai_client.py")],
    "openai-node": [shutil.which("node") or "node", str(NODE_CLIENT / "client.mjs")],
}
INSTALLED = {
    "openai-python": PYTHON.exists(),
    "openai-node": shutil.which("node") is not None and (NODE_CLIENT / "node_modules").exists(),
}
SHORT = ("odd", "crlf-cut")
SECONDS = 120.0

pytestmark = pytest.mark.acceptance


async def told(client: str, port: int, canary: str, models: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    """Return what a client is told by the server at a port."""
    if not INSTALLED[client]:
        pytest.skip(f"{client} is not installed: `./dev test tests/acceptance` does it")
    process = await asyncio.create_subprocess_exec(
        *CLIENTS[client],
        f"http://127.0.0.1:{port}/v1",
        canary,
        *models,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=NODE_CLIENT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


def without_counts(found: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a client was told, in how many deltas aside."""
    if isinstance(found, dict):
        return {name: without_counts(one) for name, one in found.items() if name != "deltas"}
    return found


async def compared(one: Scene, client: str, models: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    """Hold a client's answers through Sealyard against those without it; return the first."""
    canary = f"canary-{secrets.token_hex(8)}"
    one.server.answer = f'{canary} "ümlaut" \u2028 \U0001f600 {canary}'
    through = await told(client, one.through, canary, models)
    sealed, one.server.got = one.server.got, []
    direct = await told(client, one.direct, canary, models)

    assert without_counts(through) == without_counts(direct)
    assert sealed == one.server.got  # the model gets the very same requests
    for model in models:
        assert through[model]["text"]["texts"] == {"0": one.server.answer}
        assert through[model]["text"]["usage"] == 3
        assert through[model]["two"]["texts"] == {"0": one.server.answer, "1": one.server.answer}
        assert through[model]["tools"]["arguments"] == ARGUMENTS % one.server.answer
    kept = await one.kept()
    assert kept["gateway"].count(JWE) > len(models)
    assert any(name.endswith("/store.db") for name in kept)
    assert not search(canary, kept)
    assert not search(canary[-12:], kept)
    return through


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_is_told_the_same_and_the_gateway_reads_nothing(
    tmp_path: Path, client: str
) -> None:
    async with scene(tmp_path) as one:
        await compared(one, client, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["off", "20ms", "end"])
@pytest.mark.parametrize("cut", [at_once, by_bytes])
@pytest.mark.parametrize("client", CLIENTS)
async def test_however_streams_are_cut_and_joined_a_client_is_told_the_same(
    tmp_path: Path,
    client: str,
    cut: Cut,
    batch: str,
) -> None:
    async with scene(tmp_path, batch=batch) as one:
        one.gateway.cut = cut
        through = await compared(one, client, tuple(CHUNKINGS))

    deltas = [through[model]["text"]["deltas"] for model in CHUNKINGS]
    words = len(one.server.answer) // 5
    assert all(count >= words for count in deltas) if batch == "off" else max(deltas) < words
    if batch == "end":
        assert set(deltas) == {1}


async def asked_by_hand(one: Scene, **more: object) -> tuple[int, str, bool]:
    """Return status and body of an answer, and whether it is whole."""
    asked = {"model": "odd", "user": "room-1", "messages": [{"role": "user", "content": "hi"}]}
    url, body = f"http://127.0.0.1:{one.through}/v1/chat/completions", b""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={**asked, **more}) as answer,
    ):
        try:
            async for data in answer.content.iter_any():
                body += data
        except aiohttp.ClientPayloadError:
            return answer.status, body.decode(), False
        return answer.status, body.decode(), True


async def test_what_the_examples_do_not_name_is_refused_before_the_gateway_sees_it(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    async with scene(tmp_path) as one:
        for more in ({"prediction": canary}, {"messages": [{"role": "user", "txt": canary}]}):
            status, _, _ = await asked_by_hand(one, **more)
            assert status == 400
        assert one.server.got == []
        one.server.more = {"thought": canary}
        assert (await asked_by_hand(one))[0] == 502
        status, body, whole = await asked_by_hand(one, stream=True)
        kept = await one.kept()

    assert (status, whole) == (200, False)
    assert canary not in body
    assert not search(canary, kept)


async def test_a_stream_may_name_no_coding_in_any_spelling(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        one.server.answer = "answer"
        for coding in (None, "Identity", '"none"', "identity;q=1"):
            one.server.coding = coding
            status, body, whole = await asked_by_hand(one, stream=True)

            assert (status, whole) == (200, True)
            assert '"content": "answer"' in body
            assert body.endswith("data: [DONE]\n\n")
