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
from .llm_backends import ARGUMENTS, CHUNKINGS, REFUSAL, Cut, by_bytes
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
UNLISTED = {
    "audio": "it asks for an answer whose text the examples do not seal",
    "modalities": "so does it",
    "function_call": "so does it; the API deprecates it",
    "functions": "so do they; the API deprecates them",
    "moderation": "a gateway that reads nothing moderates nothing",
    "prompt_cache_options": "for the cache of one provider",
    "prompt_cache_retention": "for the cache of one provider",
    "web_search_options": "for the search of one provider",
}
"""Members of a request of the API that the examples refuse, each with the reason."""

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


async def asked_by_hand(
    one: Scene, port: int | None = None, /, **more: object
) -> tuple[int, str, bool]:
    """Return status and body of an answer, and whether it is whole."""
    asked = {"model": "odd", "user": "room-1", "messages": [{"role": "user", "content": "hi"}]}
    url, body = f"http://127.0.0.1:{port or one.through}/v1/chat/completions", b""
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


def everything(canary: str) -> dict[str, Any]:
    """Return a request with all members that the examples take, the canary wherever words are."""
    schema = {"type": "object", "properties": {canary: {"type": "string", "enum": [canary]}}}
    function = {"name": canary, "description": canary, "parameters": schema, "strict": True}
    call = {"name": "give", "arguments": json.dumps({"to": canary})}
    parts = [{"type": "text", "text": canary}, {"type": "image_url", "image_url": {"url": canary}}]
    return {
        "model": "odd",
        "user": "room-1",
        "messages": [
            {"role": "developer", "content": canary},
            {"role": "user", "name": "ada", "content": parts},
            {
                "role": "assistant",
                "content": canary,
                "reasoning_content": canary,
                "reasoning": canary,
                "refusal": canary,
                "tool_calls": [{"id": "call-0", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "call-0", "content": ""},
        ],
        "tools": [
            {"type": "function", "function": function},
            {"type": "function", "function": {"name": canary}},
        ],
        "tool_choice": {"type": "function", "function": {"name": canary}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": canary, "schema": schema},
        },
        "prediction": {"type": "content", "content": canary},
        "stop": [canary, "."],
        "logit_bias": {"50256": -100},
        "metadata": {"ward": canary},
        "stream": False,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "store": False,
        "n": 1,
        "seed": 7,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_logprobs": 2,
        "logprobs": True,
        "max_tokens": 100,
        "max_completion_tokens": 100,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "verbosity": "low",
        "service_tier": "auto",
        "prompt_cache_key": "key",
        "safety_identifier": "one",
    }


async def test_the_model_gets_every_member_of_the_api_and_the_gateway_reads_no_words(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    asked = everything(canary)
    async with scene(tmp_path) as one:
        status, _, _ = await asked_by_hand(one, **asked)
        kept = await one.kept()

    assert status == 200
    assert one.server.got == [asked]
    assert not search(canary, kept)
    assert b"logit_bias" in kept["gateway"]
    assert b"50256" not in kept["gateway"]


def test_the_examples_take_or_refuse_each_member_that_the_client_of_the_api_knows() -> None:
    known = set(
        printed(
            [str(PYTHON), "-c"],
            "import json, typing\n"
            "from openai.types.chat.completion_create_params import *\n"
            "kinds = CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming\n"
            "print(json.dumps([name for one in kinds for name in typing.get_type_hints(one)]))",
        )
    )

    assert known == set(everything("")) & known | set(UNLISTED)


async def test_what_the_examples_do_not_name_is_refused_before_the_gateway_sees_it(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    async with scene(tmp_path) as one:
        for name in ("thought", *UNLISTED):
            status, body, _ = await asked_by_hand(one, **{name: canary})
            assert (status, f"$.{name}" in body) == (400, True)
        message = {"role": "user", "content": "hi", "txt": canary}
        status, body, _ = await asked_by_hand(one, messages=[message])
        assert (status, "$.messages[0].txt" in body) == (400, True)
        assert one.gateway.seen == []
        kept = await one.kept()

    assert not search(canary, kept)


async def test_a_gateway_cannot_ask_for_what_the_server_would_answer_unsealed(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as one:
        for name in ("return_token_ids", *UNLISTED):
            status, body, _ = await asked_by_hand(one, one.ingress.port, **{name: True})
            assert (status, f"$.{name}" in body) == (400, True)
        assert one.server.got == []


async def test_an_error_of_the_gateway_itself_passes(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        one.gateway.refuses = True
        status, body, whole = await asked_by_hand(one)

    assert (status, whole) == (429, True)
    assert json.loads(body) == REFUSAL


async def test_a_new_member_of_answers_is_no_outage_and_leaves_the_others_sealed(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    async with scene(tmp_path) as one:
        one.server.answer, one.server.more = canary, {"thought": "new"}
        answers = [await asked_by_hand(one, stream=stream) for stream in (False, True)]
        kept = await one.kept()

    for status, body, whole in answers:
        assert (status, whole) == (200, True)
        assert '"thought": "new"' in body
        assert canary in body
    assert not search(canary, kept)


async def test_the_gateway_reads_neither_what_a_model_thinks_nor_what_stops_it(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    async with scene(tmp_path) as one:
        one.server.answer, one.server.more = "answer", {"reasoning": canary}
        answers = [
            await asked_by_hand(one, stream=stream, stop=[canary, "."]) for stream in (False, True)
        ]
        kept = await one.kept()

    for status, body, whole in answers:
        assert (status, whole) == (200, True)
        assert f'"reasoning": "{canary}' in body
        assert f'"stop_reason": "{canary}"' in body
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
