"""Sealyard before an unchanged GraphQL Yoga: HTTP, batches, graphql-ws and event streams."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.screen import search
from tests.servers import free_port

from .conftest import Process, running, sidecar
from .llm_scene import metrics_of

HERE = Path(__file__).parent / "graphql_node"
EXAMPLE = "graphql-operations.yaml"
JWE = b"eyJ0eXAiOiJzeTEi"
SECONDS = 60
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        NODE is None or not (HERE / "node_modules").exists(),
        reason="there is no GraphQL Yoga here: `./dev test tests/acceptance` installs it",
    ),
]


@dataclass
class Scene:
    """The server with what it keeps, and the sidecar in front of it."""

    server: Process
    sidecar: Process
    kept: Path

    def written(self) -> dict[str, bytes]:
        """Return what the server and the sidecar have written."""
        files = (self.kept, self.server.log, self.sidecar.log)
        return {one.name: one.read_bytes() for one in files}


@contextmanager
def server(folder: Path) -> Iterator[Process]:
    port = free_port()
    command = [NODE or "", str(HERE / "server.mjs"), str(port), str(folder / "kept")]
    (folder / "kept").write_bytes(b"")
    with running(command, port, folder / "server.log") as process:
        yield process


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("graphql")
    with server(folder) as backend, sidecar(folder, EXAMPLE, backend.port) as front:
        yield Scene(backend, front, folder / "kept")


def told(port: int, canary: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a client is told by the server at a port."""
    done = subprocess.run(
        [NODE or "", str(HERE / "client.mjs"), str(port), canary],
        capture_output=True,
        check=False,
        timeout=SECONDS,
        cwd=HERE,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def without_numbers(found: object, canary: str) -> object:
    """Return what was told with the canary and the ids of messages the same in every run."""
    if isinstance(found, dict):
        return {
            name: "id" if name == "id" else without_numbers(one, canary)
            for name, one in found.items()
        }
    if isinstance(found, list):
        return [without_numbers(one, canary) for one in found]
    return found.replace(canary, "canary") if isinstance(found, str) else found


async def test_clients_are_told_the_same_and_the_server_keeps_no_text(scene: Scene) -> None:
    canary, open_canary = (f"canary-{secrets.token_hex(8)}" for _ in range(2))

    through = told(scene.sidecar.port, canary)

    kept = scene.kept.read_bytes()
    assert kept.count(JWE) >= 8
    assert not search(canary, scene.written())
    assert not search(canary, {"metrics": await metrics_of(scene.kept.parent)})
    assert through["errors"] == []
    assert len(through["heard"]["socket"]) == len(through["heard"]["stream"]) == 7
    direct = told(scene.server.port, open_canary)
    assert without_numbers(through, canary) == without_numbers(direct, open_canary)
    assert search(open_canary, scene.written())


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

    assert answer.status in {400, 415}, refused
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
