"""Values within others, before software that nobody here wrote: with Sealyard and without it.

Attachments of PouchDB, uploads of GraphQL, and messages of queues, each as its own client sends it.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.demo.screen import search
from tests.servers import free_port

from .compared import NODE, printed
from .conftest import ROOT, Answer, Client, Process, running, sidecar
from .llm_scene import metrics_of

HERE = Path(__file__).parent
NODE_FOLDER = HERE / "forms_node"
MOTO = ROOT / ".venv-moto" / "bin"

pytestmark = pytest.mark.acceptance
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists(),
    reason="the clients are not installed: `./dev test tests/acceptance` does it",
)
needs_moto = pytest.mark.skipif(
    not MOTO.exists(), reason=".venv-moto is missing: `./dev test tests/acceptance` installs it"
)

Start = Callable[[Path], AbstractContextManager[Process]]


@dataclass
class Scene:
    """A backend with a folder of its own, and Sealyard in front of it."""

    backend: Process
    sidecar: Process
    folder: Path
    canary: str

    def kept(self) -> dict[str, bytes]:
        """Return all that the backend and Sealyard have written, the store of keys included."""
        return {
            str(one.relative_to(self.folder)): one.read_bytes()
            for one in self.folder.rglob("*")
            if one.is_file()
        }

    async def search(self) -> None:
        """Look for the canary wherever it must not be, as it is and in base64."""
        places = {**self.kept(), "metrics": await metrics_of(self.folder / "sealyard")}
        places["memory of the backend"] = self.backend.memory()
        assert search(self.canary, places) == []

    def ask(self, method: str, path: str, body: bytes, kind: str) -> Answer:
        """Return the answer to a request that no client of this kind sends."""
        client = Client(self.sidecar.port)
        return client.ask(method, path, body=body, headers={"Content-Type": kind})


@contextmanager
def scene(folder: Path, start: Start, example: str) -> Iterator[Scene]:
    """Run a backend, and an example before it with a store that can be searched."""
    for name in ("backend", "sealyard"):
        (folder / name).mkdir()
    changes = {"store: memory": "store: sqlite:store.db"}
    with start(folder / "backend") as backend:
        port, place = backend.port, folder / "sealyard"
        with sidecar(place, example, port, changes=changes) as front:
            yield Scene(backend, front, folder, f"canary{secrets.token_hex(8)}")


@contextmanager
def couchdb(folder: Path) -> Iterator[Process]:
    port = free_port()
    command = [NODE, str(NODE_FOLDER / "couchdb_server.mjs"), str(port), str(folder)]
    with running(command, port, folder / "server.log") as process:
        yield process


def graphql(kind: str) -> Start:
    @contextmanager
    def start(folder: Path) -> Iterator[Process]:
        port, kept = free_port(), str(folder / "kept")
        command = [NODE, str(NODE_FOLDER / "graphql_server.mjs"), kind, str(port), kept]
        with running(command, port, folder / "server.log") as process:
            yield process

    return start


@contextmanager
def moto(folder: Path) -> Iterator[Process]:
    port = free_port()
    command = [str(MOTO / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder / "server.log") as process:
        yield process


def without(folder: Path, start: Start, command: Callable[[int], list[str]]) -> Any:  # noqa: ANN401 - JSON
    """Return what a client is told by a backend of its own without Sealyard."""
    (folder / "alone").mkdir()
    with start(folder / "alone") as backend:
        return printed(command(backend.port))


@needs_node
async def test_attachments_replicate_to_the_exact_bytes(tmp_path: Path) -> None:
    with scene(tmp_path, couchdb, "couchdb-attachments.yaml") as one:

        def client(port: int) -> list[str]:
            devices = tmp_path.parent / f"{tmp_path.name}-devices-{port}"
            devices.mkdir()
            script = str(NODE_FOLDER / "couchdb.mjs")
            return [NODE, script, f"http://127.0.0.1:{port}", one.canary, str(devices)]

        through = printed(client(one.sidecar.port))
        await one.search()
        anybody = {"Authorization": ""}
        stored = Client(one.backend.port).ask("GET", "/clinic/visit", headers=anybody).json
        direct = without(tmp_path, couchdb, client)

    assert through == direct
    assert through["sent"] == through["by_address"]
    assert stored["content"].startswith("eyJ0eXAi")
    scan = stored["_attachments"]["scan.png"]
    assert scan["content_type"] == "image/png"
    assert scan["length"] > 10 + 5000 * len(one.canary)
    assert search(one.canary, {"alone": read_all(tmp_path / "alone")})  # it can be found


def read_all(folder: Path) -> bytes:
    return b"\n".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


@needs_node
def test_no_attachment_gets_to_the_server_in_another_way(tmp_path: Path) -> None:
    with scene(tmp_path, couchdb, "couchdb-attachments.yaml") as one:
        plain = json.dumps({"a.txt": {"content_type": "text/plain", "data": one.canary}})
        document = json.dumps({"_attachments": {"a": {"data": "c2Nhbg==", one.canary: 1}}})
        related = "multipart/related; boundary=x"
        asked = [
            ("PUT", "/clinic/d/a.txt", one.canary, "text/plain", 403),
            ("PUT", "/clinic/d", f'{{"_attachments":{plain}}}', "application/json", 422),
            ("PUT", "/clinic/d", document, "application/json", 400),
            ("PUT", "/clinic/d", f"--x\r\n\r\n{one.canary}\r\n--x--", related, 415),
            ("POST", "/clinic", f'{{"_attachments":{plain}}}', "application/json", 403),
            ("POST", "/clinic/_find", f'{{"selector":"{one.canary}"}}', "application/json", 403),
            ("PUT", "/clinic/_local/x", f'{{"_attachments":{plain}}}', "application/json", 400),
            ("PUT", "/clinic/_design/x", f'{{"x":"{one.canary}"}}', "application/json", 403),
        ]
        got = [one.ask(*row[:2], row[2].encode(), row[3]).status for row in asked]
        kept = one.kept()

    assert got == [row[4] for row in asked]
    assert search(one.canary, kept) == []


@needs_node
@pytest.mark.parametrize("kind", ["yoga", "upload"])
async def test_uploads_are_sealed_with_the_text_of_their_operation(
    kind: str, tmp_path: Path
) -> None:
    with scene(tmp_path, graphql(kind), "graphql-uploads.yaml") as one:

        def client(port: int) -> list[str]:
            script = str(NODE_FOLDER / "graphql.mjs")
            return [NODE, script, f"http://127.0.0.1:{port}", one.canary]

        through = printed(client(one.sidecar.port))
        await one.search()
        direct = without(tmp_path, graphql(kind), client)

    # More than the example names.
    assert (through.pop("four"), direct.pop("four")) == ([["unlisted-name", 400]], 4)
    assert through == direct
    assert [one[2] for one in through["downloads"]] == through["files"]
    assert search(one.canary, {"alone": read_all(tmp_path / "alone")})


@needs_node
def test_no_other_part_or_literal_of_a_variable_gets_to_the_server(tmp_path: Path) -> None:
    query = '{"query":"mutation{x}","variables":{"roomId":"r1","text":"t"%s}}'
    with scene(tmp_path, graphql("yoga"), "graphql-uploads.yaml") as one:

        def asked(*parts: tuple[str, str]) -> int:
            body = "".join(
                f'--of-parts\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
                for name, text in parts
            )
            kind = "multipart/form-data; boundary=of-parts"
            return one.ask("POST", "/graphql", f"{body}--of-parts--\r\n".encode(), kind).status

        found = [
            asked(("operations", query % ""), ("other", one.canary)),
            asked(("operations", query % ""), ("map", '{"4":["variables.text"]}')),
            asked(("operations", query % ""), ("4", one.canary)),
            asked(("operations", query % f',"more":"{one.canary}"')),
            asked(("operations", query % f',"Text":"{one.canary}"')),
            asked(("operations", f"[{query % ''},{query % ''}]"), ("map", one.canary)),
            asked(("operations", f"{query % ''}// {one.canary}")),
            asked(("operations", query % ""), ("operations", query % f',"x":"{one.canary}"')),
        ]
        kept = one.kept()

    assert found == [400] * 8
    assert search(one.canary, kept) == []


@needs_moto
async def test_messages_of_a_queue_are_sealed_within_their_texts(tmp_path: Path) -> None:
    with scene(tmp_path, moto, "queue.yaml") as one:

        def client(port: int) -> list[str]:
            script = str(HERE / "sqs_client.py")
            return [str(MOTO / "python"), "-P", script, f"http://127.0.0.1:{port}", one.canary]

        through = printed(client(one.sidecar.port))
        await one.search()
        direct = without(tmp_path, moto, client)

    assert through == direct
    assert len(through["notes"]) == 4
    assert all(one.canary in note["note"] for note in through["notes"])


SECOND_READINGS = (
    '{"note":"CANARY"',
    '{"note":"a","more":"CANARY"}',
    '{"note":"a"} CANARY',
    '{"note":"a","note":"CANARY"}',
    '{"note":"a","n\\u006fte":"CANARY"}',
    '{"Note":"CANARY","note":"a"}',
    '{"note":NaN,"room":"CANARY"}',
    '/* CANARY */ {"note":"a"}',
    '\ufeff{"note":"CANARY"}',
    "{'note':'CANARY'}",
    "CANARY",
    '"CANARY"',
)


@needs_moto
def test_messages_with_a_second_reading_are_refused(tmp_path: Path) -> None:
    with scene(tmp_path, moto, "queue.yaml") as one:

        def asked(text: str) -> int:
            body = json.dumps({"QueueUrl": "q", "MessageBody": text.replace("CANARY", one.canary)})
            return one.ask("POST", "/", body.encode(), "application/x-amz-json-1.0").status

        found = [asked(text) for text in SECOND_READINGS]
        kept = {**one.kept(), "memory": one.backend.memory()}

    assert found == [400] * len(SECOND_READINGS)
    assert search(one.canary, kept) == []
