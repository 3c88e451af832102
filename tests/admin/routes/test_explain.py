"""`POST /v1/explain` by the rules of the commented configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ..conftest import Everything, Listening

CANARY = "canary of the explain call"
Explained = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
MESSAGE = json.dumps({"conversationId": "c1", "content": CANARY})


@pytest.fixture
async def explained(listening: Listening) -> Explained:
    ours = await listening()

    async def explain(**said: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - JSON
        status, _, text = await ours.call("POST", "/v1/explain", body=json.dumps(said).encode())
        assert CANARY not in json.dumps(ours.heard)
        return status, json.loads(text)

    return explain


async def test_it_tells_the_rule_the_values_and_what_goes_out_masked(explained: Explained) -> None:
    status, told = await explained(method="POST", path="/api/messages", body=MESSAGE)

    assert (status, told["listener"], told["request"]["rule"]) == (200, "api", "send")
    (value,) = told["request"]["values"]
    assert (value["action"], value["field"]) == ("sealed", "content")
    assert value["bound_to"]["conversation"] == "c1"
    assert "<content sealed" in told["request"]["outgoing"]
    assert CANARY not in json.dumps(told)


async def test_it_explains_answers(explained: Explained) -> None:
    path = "/api/conversations/c1/messages?page=2"
    status, told = await explained(method="GET", path=path, response='{"messages": []}', status=200)

    assert (status, told["request"]["rule"], told["response"]["rule"]) == (200, "list", "list")
    assert told["request"]["considered"][0]["because"] is not None


CHUNKED = ["Transfer-Encoding", "chunked"]


@pytest.mark.parametrize(
    "said",
    [
        {"method": "POST", "body": "{}", "headers": [["Content-Length", "5000"]]},
        {"method": "POST", "body": "2\r\n{}\r\n", "headers": [CHUNKED]},
        {"method": "GET", "response": "{}", "response_headers": [["Content-Length", "7"]]},
        {"method": "WS", "headers": [["Content-Length", "5"]]},
    ],
)
async def test_a_message_that_never_ends_is_told_as_such_at_once(
    explained: Explained, said: dict[str, Any]
) -> None:
    async with asyncio.timeout(5):
        status, told = await explained(path="/api/messages", **said)

    assert (status, told["type"]) == (400, "urn:sealyard:error:malformed-call")
    assert told["detail"].startswith("The message never ends: ")


async def test_a_message_that_takes_too_long_is_no_fault_of_the_api(listening: Listening) -> None:
    ours = await listening(subject=Everything(raises=TimeoutError()))
    status, _, text = await ours.call("POST", "/v1/explain", body=b'{"method":"GET","path":"/"}')

    assert status == 400
    assert "does not end" in json.loads(text)["detail"]


async def test_callers_wait_their_turn(listening: Listening) -> None:
    ours = await listening(subject=Everything(explaining=True))
    status, headers, text = await ours.call(
        "POST", "/v1/explain", body=b'{"method":"GET","path":"/"}'
    )

    assert (status, headers["Retry-After"]) == (429, "5")
    assert json.loads(text)["type"] == "urn:sealyard:error:too-many-requests"


async def test_what_would_be_refused_is_told_with_its_code(explained: Explained) -> None:
    _, told = await explained(method="GET", path="/api/messages/search")
    assert told["request"]["refusal"]["code"] == "rejected-by-rule"
    _, told = await explained(method="GET", path="/a/%zz")
    assert told["request"]["refusal"]["code"] == "malformed-request"
    headers = [["Content-Type", "text/plain"]]
    _, told = await explained(method="POST", path="/api/messages", body="hello", headers=headers)
    assert told["request"]["refusal"]["code"] == "unsupported-body"


@pytest.mark.parametrize(
    "said",
    [
        {"path": "/"},
        {"method": "GET"},
        {"method": "GET", "path": "/", "listener": "other"},
        {"method": "GET", "path": "/", "headers": "x"},
        {"method": "GET", "path": "/", "headers": [["a"]]},
        {"method": "GET", "path": "/", "headers": [["a", 1]]},
        {"method": "GET", "path": "/", "headers": [["a", "\u20ac"]]},
        {"method": "GET", "path": "/", "status": 1000},
        {"method": "GET", "path": "/", "more": 1},
        {"method": "GET", "path": "/", "body": "\ud800"},
        {"method": "WS", "path": "/", "messages": [{"direction": "request", "text": "\ud800"}]},
        {"method": "WS", "path": "/", "messages": [{"direction": "request", "text": 1}]},
        {"method": "WS", "path": "/", "messages": [{"direction": ["request"], "text": "a"}]},
    ],
)
async def test_what_it_does_not_understand_is_refused(
    explained: Explained, said: dict[str, Any]
) -> None:
    status, told = await explained(**said)

    assert (status, told["type"]) == (400, "urn:sealyard:error:malformed-call")
