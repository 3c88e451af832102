"""Sealyard before an unchanged GraphQL Yoga: HTTP, batches, graphql-ws and event streams."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.screen import search

from .compared import held, keep, printed
from .llm_scene import metrics_of
from .node_chat import Chat, Scene

CHAT = Chat(Path(__file__).parent / "graphql_node", "graphql-operations.yaml")
JWE = b"eyJ0eXAiOiJzeTEi"
pytestmark = [pytest.mark.acceptance, CHAT.needed]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with CHAT.scene(tmp_path_factory.mktemp("graphql")) as made:
        yield made


def without_ids(found: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what was told with the ids of messages the same in every run."""
    if isinstance(found, dict):
        return {name: "id" if name == "id" else without_ids(one) for name, one in found.items()}
    return [without_ids(one) for one in found] if isinstance(found, list) else found


def checks_of(port: int, canary: str) -> dict[str, Any]:
    """Return what a client is told by the server at a port."""
    found = without_ids(printed(CHAT.client, str(port), canary))
    assert found["errors"] == []
    heard = {f"subscription by {way}": one for way, one in found["heard"].items()}
    assert [len(one) for one in heard.values()] == [7, 7]
    return {name: {"told": one} for name, one in (found["answers"] | heard).items()}


async def test_clients_are_told_the_same_and_the_server_keeps_no_text(scene: Scene) -> None:
    canaries = {way: f"canary-{secrets.token_hex(8)}" for way in ("through", "direct")}

    through = checks_of(scene.sidecar.port, canaries["through"])

    assert scene.kept.count(JWE) >= 8
    assert not search(canaries["through"], {"metrics": await metrics_of(scene.folder)})
    assert not search(canaries["through"], scene.written())
    direct = checks_of(scene.server.port, canaries["direct"])
    packages = ("graphql-yoga", "graphql-ws", "graphql-sse")
    software = "GraphQL Yoga {}, graphql-ws {} and graphql-sse {}"
    names = "graphql", software.format(*map(CHAT.version, packages))
    keep(held(names, through, direct, canaries, scene.written()))


TEXTS: dict[str, dict[str, Any]] = {
    "a mutation that no block takes": {"query": "mutation ($t: String!) {note(text: $t) {id}}"},
    "a field beside": {
        "query": "mutation ($t: String!) {sendMessage(conversationId: 1, text: $t) {id}"
        " note(text: $t) {id}}"
    },
    "two operations": {
        "query": "query A {messages(conversationId: 1) {id}}"
        " mutation B($t: String!) {note(text: $t) {id}}",
        "operationName": "A",
    },
    "a hash without its document": {
        "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00" * 32}}
    },
    "a query with what it does not take": {"query": "{messages(conversationId: 1) {id}}"},
    "an unknown member": {"query": "{messages(conversationId: 1) {id}}", "text": "%s"},
}


@pytest.mark.parametrize("name", TEXTS)
async def test_what_the_rule_does_not_know_is_refused(scene: Scene, name: str) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    body = json.dumps({"variables": {"t": canary}, **TEXTS[name]}).replace("%s", canary)
    url = f"http://127.0.0.1:{scene.sidecar.port}/graphql"
    headers = {"Content-Type": "application/json"}

    async with aiohttp.ClientSession() as session:
        async with session.post(url, data=body, headers=headers) as answer:
            refused = await answer.text()
        async with session.get(url, params={"query": f"{{messages(text: {canary})}}"}) as get:
            assert get.status == 403

    (error,) = json.loads(refused)["errors"]
    assert (answer.status, answer.content_type) == (200, "application/json"), refused
    assert error["extensions"]["code"] == answer.headers["Sealyard-Error"]
    assert error["extensions"]["status"] in {400, 415}
    assert canary not in refused
    assert not search(canary, scene.written())


async def test_a_message_of_a_websocket_that_no_block_takes_ends_it(scene: Scene) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    payload = {"query": "mutation ($t: String!) {note(text: $t) {id}}", "variables": {"t": canary}}
    url = f"http://127.0.0.1:{scene.sidecar.port}/graphql"

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("graphql-transport-ws",)) as socket,
    ):
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE

    assert not search(canary, scene.written())
