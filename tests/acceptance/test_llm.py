"""Clients of OpenAI stream through two Sealyards; the gateway between them reads nothing.

client -> Sealyard (egress) -> gateway, which keeps all it sees -> Sealyard (ingress) -> chat server
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.screen import search

from .compared import NODE, held, keep, package_version, printed, python_version
from .conftest import ROOT
from .llm_backends import ARGUMENTS, CHUNKINGS, Cut, by_bytes
from .llm_backends import whole as at_once
from .llm_scene import JWE, Scene, scene
from .records import Record

PYTHON = ROOT / ".venv-openai" / "bin" / "python"
NODE_CLIENT = Path(__file__).parent / "openai_node"
CLIENTS = {
    "openai-python": [str(PYTHON), "-P", str(Path(__file__).parent / "openai_client.py")],
    "openai-node": [NODE, str(NODE_CLIENT / "client.mjs")],
}
SHORT = ("odd", "crlf-cut")

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        not PYTHON.exists() or not (NODE_CLIENT / "node_modules").exists(),
        reason="the clients of OpenAI are not installed: `./dev test tests/acceptance` does it",
    ),
]


async def told(client: str, port: int, canary: str, models: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    """Return what a client is told by the server at a port."""
    url = f"http://127.0.0.1:{port}/v1"
    return await asyncio.to_thread(printed, CLIENTS[client], url, canary, *models)


def without_counts(found: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a client was told, in how many deltas aside."""
    if isinstance(found, dict):
        return {name: without_counts(one) for name, one in found.items() if name != "deltas"}
    return found


async def compared(
    one: Scene, clients: Iterable[str], models: tuple[str, ...]
) -> tuple[Record, dict[str, Any]]:
    """Hold what clients are told through Sealyard against what they are told without it.

    Return the record of it, and what the last client was told through Sealyard.
    """
    canaries = {way: f"canary-{secrets.token_hex(8)}" for way in ("through", "direct")}
    ports = {"through": one.through, "direct": one.direct}
    checks: dict[str, dict[str, Any]] = {way: {} for way in ports}
    got: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    for way, canary in canaries.items():
        one.server.answer = f'{canary} "ümlaut" \u2028 \U0001f600 {canary}'
        for client in clients:
            found[way] = await told(client, ports[way], canary, models)
            check(found[way], one.server.answer, models)
            checks[way] |= checks_of(client, found[way], models)
        got[way], one.server.got = json.dumps(one.server.got), []
        if way == "through":
            kept = await one.kept()
            assert kept["gateway"].count(JWE) > len(models)
            assert any(name.endswith("/store.db") for name in kept)
            assert not search(canary, kept)
            assert not search(canary[-12:], kept)
    # The model gets the very same requests.
    assert got["through"] == got["direct"].replace(canaries["direct"], canaries["through"])
    node = package_version(NODE_CLIENT, "openai")
    python = python_version(".venv-openai", "openai")
    names = "openai", f"openai-python {python} and openai-node {node}, before a gateway"
    record = held(names, checks["through"], checks["direct"], canaries, await one.kept())
    return record, found["through"]


def check(found: dict[str, Any], answer: str, models: Iterable[str]) -> None:
    """Hold what a client was told against what the server said."""
    for model in models:
        assert found[model]["text"]["texts"] == {"0": answer}
        assert found[model]["text"]["usage"] == 3
        assert found[model]["two"]["texts"] == {"0": answer, "1": answer}
        assert found[model]["tools"]["arguments"] == ARGUMENTS % answer


def checks_of(client: str, found: dict[str, Any], models: Iterable[str]) -> dict[str, Any]:
    """Return what a client was told, by name: streams of each model, and all the rest."""
    named = {f"{model}, {kind}": one for model in models for kind, one in found[model].items()}
    rest = {name: one for name, one in found.items() if name not in models}
    return {
        f"{client}: {name}": {"told": without_counts(one)} for name, one in (named | rest).items()
    }


async def test_clients_are_told_the_same_and_the_gateway_reads_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        record, _ = await compared(one, CLIENTS, SHORT)

    keep(record)


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
        _, through = await compared(one, [client], tuple(CHUNKINGS))

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
