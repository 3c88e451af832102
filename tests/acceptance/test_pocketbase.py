"""Sealyard in front of an unchanged PocketBase, and its own SDK as the client."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.servers import PATIENCE_SECONDS, free_port

from .compared import Backend, compared, files_of, keep, needs_node, version
from .conftest import ROOT, Client, Process, running, sidecar

PROGRAM = ROOT / ".venv-pocketbase" / "bin" / "pocketbase"
OPERATOR = {"identity": "operator@example.com", "password": "password-of-the-operator"}
RECORDS = "/api/collections/messages/records"
FIELDS: list[dict[str, object]] = [
    {"name": "room", "type": "text", "max": 100},
    {"name": "body", "type": "text", "max": 5000},
    {"name": "note", "type": "editor"},
    {"name": "meta", "type": "json"},
    {"name": "scan", "type": "file", "maxSelect": 1, "maxSize": 10_000_000},
    {"name": "created", "type": "autodate", "onCreate": True},
]
ANYONE = dict.fromkeys(("viewRule", "createRule", "updateRule", "deleteRule"), "")
# Who lists names a room in the query, and needs no filter.
MESSAGES = ANYONE | {
    "name": "messages",
    "type": "base",
    "listRule": "@request.query.room = '' || room = @request.query.room",
    "fields": FIELDS,
}

pytestmark = [
    pytest.mark.acceptance,
    needs_node,
    pytest.mark.skipif(not PROGRAM.exists(), reason="no PocketBase: `./dev test` installs it"),
]


def asked(port: int, path: str, data: object, token: str = "", method: str = "POST") -> Any:  # noqa: ANN401 - JSON
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(data).encode(),
        {"Content-Type": "application/json", "Authorization": token},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - as above
        return json.load(answer)


def _version() -> str:
    done = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]


@contextmanager
def pocketbase(
    folder: Path, collection: Mapping[str, object] = MappingProxyType(MESSAGES)
) -> Iterator[Process]:
    """Run a PocketBase with a collection, `messages`, which logs every request."""
    data, port = folder / "pb_data", free_port()
    operator = [OPERATOR["identity"], OPERATOR["password"], "--dir", str(data)]
    subprocess.run([PROGRAM, "superuser", "upsert", *operator], check=True, capture_output=True)
    command = [str(PROGRAM), "serve", f"--http=127.0.0.1:{port}", "--dir", str(data), "--dev"]
    with running(command, port, folder / "pocketbase.log") as process:
        sign_in = "/api/collections/_superusers/auth-with-password"
        token = asked(port, sign_in, OPERATOR)["token"]
        asked(port, "/api/collections", dict(collection), token)
        asked(port, "/api/settings", {"batch": {"enabled": True}}, token, "PATCH")
        yield process


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    software = f"PocketBase {_version()}, its SDK {version('pocketbase')}"
    folder = tmp_path_factory.mktemp("pocketbase")
    with (
        pocketbase(folder) as process,
        sidecar(folder, "pocketbase.yaml", process.port) as front,
    ):
        yield Backend("pocketbase", software, process.port, front.port, lambda: files_of(folder))


def test_its_sdk_is_told_the_same_and_its_storage_has_no_text(backend: Backend) -> None:
    keep(compared(backend, "pocketbase.mjs"))


def multipart(**parts: str) -> tuple[bytes, str]:
    lines = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in parts.items()
    ]
    return ("".join(lines) + "--limit--\r\n").encode(), "multipart/form-data; boundary=limit"


@pytest.mark.parametrize("name", ["@jsonPayload", "body+", "+body", "scan+", "+scan"])
def test_other_names_of_its_fields_are_refused(backend: Backend, name: str) -> None:
    body, kind = multipart(**{"room": "one", name: "{}"})

    answer = Client(backend.through).ask("POST", RECORDS, body=body, headers={"Content-Type": kind})

    assert answer.status == 400, answer.body


PAYLOAD = json.dumps({"requests": [{"method": "POST", "url": RECORDS, "body": {"room": "one"}}]})


@pytest.mark.parametrize(
    "name",
    [
        *("requests[0].scan", "requests.0.scan+", "requests.0.+scan", "requests.0.SCAN"),
        *("requests.10.scan", "requests.0.body", "Requests.0.scan", "@JSONPAYLOAD", "requests"),
    ],
)
def test_other_names_of_files_in_a_batch_are_refused(backend: Backend, name: str) -> None:
    body, kind = multipart(**{"@jsonPayload": PAYLOAD, name: "{}"})

    answer = Client(backend.through).ask(
        "POST", "/api/batch", body=body, headers={"Content-Type": kind}
    )

    assert answer.status == 400, answer.body


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("POST", "/api/batch", {"requests": [{"Body": {"body": "x"}}]}),
        ("POST", "/api/batch", {"requests": [], "Requests": [{"body": {"body": "x"}}]}),
        ("POST", "/api/batch", {"Requests": [{"body": {"body": "x"}}]}),
        ("POST", "/api/batch", {"requests": [{"body": {"body+": "x"}}]}),
        ("POST", "/api/batch", {"requests": [{"body": {"Body": "x"}}]}),
        ("POST", "/api/batch", {"requests": [{"body": {"email": "x"}}]}),
        ("POST", "/api/collections/pbc_1/records", {"body": "x"}),
        ("POST", "/api/collections/Messages/records", {"body": "x"}),
        ("PUT", f"{RECORDS}/0123456789abcde", {"body": "x"}),
        ("POST", RECORDS, {"body": "x", "body+": "x"}),
        ("GET", f"{RECORDS}?filter=body~%22x%22", None),
        ("GET", "/_/", None),
    ],
)
def test_nothing_passes_by_accident(backend: Backend, method: str, path: str, data: object) -> None:
    answer = Client(backend.through).ask(method, path, data)

    assert answer.header("Sealyard-Error") is not None, answer
