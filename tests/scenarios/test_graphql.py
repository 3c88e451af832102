"""config/examples/graphql.yaml in front of a backend that echoes operations and subscriptions."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from tests.keys.builders import a_world
from tests.scenarios.rig import ROOT
from tests.servers import serving
from tests.traffic.ours import local, proxied

CANARY = "canary-90bd17"
EXAMPLE = ROOT / "config" / "examples" / "graphql.yaml"
CLAIMS = base64.urlsafe_b64encode(b'{"org":"acme"}').decode().rstrip("=")
RESPONSE = "application/graphql-response+json"
JWE = "eyJ0eXAiOiJzeTEi"
BEARER = {"Authorization": f"Bearer e30.{CLAIMS}.c2ln"}


@contextlib.asynccontextmanager
async def graphql(
    example: Path = EXAMPLE,
) -> AsyncIterator[tuple[list[str], aiohttp.ClientSession, str]]:
    got: list[str] = []

    async def operation(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse(protocols=("graphql-transport-ws",))
            await socket.prepare(request)
            async for message in socket:
                got.append(message.data)
                await socket.send_str(message.data)
            return socket
        got.append(await request.text())
        variables = (await request.json())["variables"]
        return web.json_response({"data": {"renamed": variables}})

    app = web.Application()
    app.router.add_route("*", "/graphql", operation)
    (listener,) = load(example, {}).settings.listeners
    book = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    async with (
        serving(app, shutdown=0.1) as port,
        proxied(local(port), rule_table=book, keys=a_world().sessions) as ours,
        aiohttp.ClientSession(headers=BEARER) as session,
    ):
        yield got, session, f"http://127.0.0.1:{ours.port}/graphql"
        assert CANARY not in repr(ours.ear.heard)
    assert CANARY not in repr(got)


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("SendMessage", {"conversationId": "c1", "content": CANARY}),
        ("Edit", {"conversationId": "c1", "input": {"content": CANARY}}),
    ],
)
async def test_variables_are_sealed_by_the_name_of_their_operation(
    name: str, variables: dict[str, object]
) -> None:
    body = {"operationName": name, "query": "mutation", "variables": variables}
    async with graphql() as (got, session, url), session.post(url, json=body) as answer:
        assert (await answer.json())["data"]["renamed"] == variables
    assert got[0].count(JWE) == 1


async def test_an_operation_that_must_have_a_value_is_refused_without() -> None:
    body = {"operationName": "SendMessage", "variables": {"conversationId": "c1"}}
    async with graphql() as (got, session, url), session.post(url, json=body) as answer:
        assert answer.status == 400
    assert got == []


async def test_an_operation_in_the_address_is_refused() -> None:
    async with graphql() as (got, session, url), session.get(url) as answer:
        assert answer.status == 403
    assert got == []


@pytest.mark.parametrize(
    ("accept", "form", "status"),
    [
        ("*/*", "application/json", 200),
        (f"application/json, {RESPONSE}", RESPONSE, 422),
    ],
)
async def test_a_refusal_reaches_a_client_of_graphql_as_errors(
    accept: str, form: str, status: int
) -> None:
    document = "mutation ($id: ID!) { sendMessage(conversationId: $id, text: 7) { id } }"
    body = {"query": document, "variables": {"id": "c1"}}
    async with (
        graphql(EXAMPLE.with_name("graphql-operations.yaml")) as (got, session, url),
        session.post(url, json=body, headers={"Accept": accept}) as answer,
        session.get(url) as refused,
    ):
        (error,) = (await answer.json(content_type=None))["errors"]
        assert answer.status == status
        assert answer.content_type == form
        assert answer.headers["Sealyard-Error"] == error["extensions"]["code"] == "unfit-value"
        assert error["message"] == "text: a string is needed."
        assert error["extensions"]["status"] == 422
        assert (refused.status, refused.content_type) == (403, "application/problem+json")
    assert got == []


async def test_subscriptions_are_sealed_and_opened_message_by_message() -> None:
    payload = {"variables": {"conversationId": "c1", "content": CANARY}}
    message = {"id": "1", "type": "subscribe", "payload": payload}
    async with (
        graphql() as (got, session, url),
        session.ws_connect(url, protocols=("graphql-transport-ws",)) as socket,
    ):
        assert socket.protocol == "graphql-transport-ws"
        await socket.send_json({"type": "connection_init"})
        assert await socket.receive_json() == {"type": "connection_init"}
        await socket.send_json(message)
        assert await socket.receive_json() == message
    assert got[1].count(JWE) == 1
