"""The pages of frameworks: the rules as they stand there, before the real framework."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT, Client
from tests.bypass.backends import EXPRESS, SPRING, lacking, spring, tool
from tests.servers import await_port, child, free_port

pytestmark = pytest.mark.acceptance

HERE = Path(__file__).parent
PATIENCE = 120.0
CANARY = "canary of a framework"
TOKEN = "eyJ0eXAiOiJzeTEi"  # how a token begins
CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
listeners:
  - name: app
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    defaults: {{tenant: "const:clinic"}}
    rules:
{rules}
"""


LARAVEL = "/usr/share/php/Illuminate/Foundation"


def backend(name: str, folder: Path, port: int) -> list[str]:
    if name == "express":
        app = str(HERE / "frameworks_express.cjs")
        return [tool("node"), app, str(port), str(folder / "kept.json"), str(EXPRESS.parent)]
    if name == "laravel":
        return [tool("php"), "-S", f"127.0.0.1:{port}", str(HERE / "frameworks_laravel.php")]
    if name == "spring":
        run = spring(HERE / "FrameworksSpring.java", folder)
        return [*run, str(port), str(folder / "kept.json")]
    bind = f"tcp://127.0.0.1:{port}"
    return [tool("puma"), "-q", "-e", "production", "-b", bind, str(HERE / "frameworks_rails.ru")]


@contextmanager
def running(name: str, folder: Path) -> Iterator[Client]:
    """Run an application and the rules of its page before it."""
    page = (ROOT / "docs" / "how-to" / "backends" / f"{name}.md").read_text("utf-8")
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    behind, port = free_port(), free_port()
    rules = textwrap.indent(found[1], " " * 6)
    if name == "laravel":  # as its page says of this server
        rules = rules.replace("response: {", "response: {accept: undelimited, ")
    text = CONFIGURATION.format(port=port, upstream=behind, rules=rules)
    (folder / "sealyard.yaml").write_text(text, "utf-8")
    command = [sys.executable, "-P", "-m", "proxy"]
    known = {"PYTHONPATH": str(ROOT), "FOLDER": str(folder)}
    keys = [*command, "keys", "init", "--keyring", "keyring.jwe", "--root-file", "root.key"]
    subprocess.run(keys, check=True, capture_output=True, cwd=folder, env={**os.environ, **known})
    with (
        child(backend(name, folder, behind), folder / "app.log", known, cwd=folder) as app,
        child([*command, "serve"], folder / "sealyard.log", known, cwd=folder) as front,
    ):
        await_port(app, behind, folder / "app.log", PATIENCE)
        await_port(front, port, folder / "sealyard.log", PATIENCE)
        yield Client(port)


@pytest.mark.skipif(
    bool(lacking(("node", str(EXPRESS.parent / "multer")))),
    reason="Express is not installed: `./dev setup tests/bypass` does it",
)
def test_the_rules_of_the_page_of_express_hold(tmp_path: Path) -> None:
    with running("express", tmp_path) as client:
        body = {"roomId": "r1", "content": CANARY, "kind": "note"}
        made = client.ask("POST", "/api/messages", body)
        changed = client.ask("PATCH", "/api/messages/1", {"content": f"{CANARY}, new"})
        more = client.ask("POST", "/api/messages", {**body, "draft": CANARY})
        crlf, line = b"\r\n", b"--b\r\nContent-Disposition: form-data; name="
        form = line + b'"kind"\r\n\r\nscan' + crlf + line
        form += b'"file"; filename="a.txt"\r\n\r\n' + CANARY.encode() + b"\r\n--b--\r\n"
        sent = client.ask(
            "POST",
            "/api/rooms/r1/files",
            body=form,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        kept = (tmp_path / "kept.json").read_text("utf-8")

    assert (made.status, made.json) == (200, {**body, "id": 1})
    assert (changed.status, changed.json["content"]) == (200, f"{CANARY}, new")
    assert more.status == 400
    assert sent.status == 200
    message, upload = json.loads(kept)
    assert message["content"].startswith(TOKEN)
    assert upload["kind"] == "scan"
    assert CANARY not in kept


@pytest.mark.skipif(
    bool(lacking(("puma", "rails"))), reason="Rails is not installed: ./dev packages does it"
)
def test_the_rules_of_the_page_of_rails_hold(tmp_path: Path) -> None:
    with running("rails", tmp_path) as client:
        message = {"room_id": "r1", "content": CANARY, "kind": "note"}
        made = client.ask("POST", "/messages", {"message": message})
        changed = client.ask("PATCH", "/messages/1", {"message": {"content": f"{CANARY}, new"}})
        more = client.ask("POST", "/messages", {"message": {**message, "draft": CANARY}})
        form = f"note[room_id]=r1&note[content]={CANARY.replace(' ', '+')}&commit=Send"
        sent = client.ask(
            "POST",
            "/notes",
            body=form.encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        kept = (tmp_path / "kept.json").read_text("utf-8")

    assert (made.status, made.json["content"]) == (200, CANARY)
    assert (changed.status, changed.json["content"]) == (200, f"{CANARY}, new")
    assert more.status == 400
    assert sent.status == 200
    stored = json.loads(kept)
    assert stored["messages"]["1"]["content"].startswith(TOKEN)
    assert stored["notes"]["1"]["content"].startswith(TOKEN)
    assert CANARY not in kept


@pytest.mark.parametrize(
    ("name", "room_id", "rows"),
    [
        pytest.param(
            "laravel",
            "room_id",
            "data",
            marks=pytest.mark.skipif(
                bool(lacking(("php", LARAVEL))),
                reason="Laravel is not installed: ./dev packages does it",
            ),
        ),
        pytest.param(
            "spring",
            "roomId",
            "content",
            marks=pytest.mark.skipif(
                bool(lacking(("javac", *map(str, SPRING)))),
                reason="Spring is not installed: ./dev packages does it",
            ),
        ),
    ],
)
def test_the_rules_of_the_page_hold(tmp_path: Path, name: str, room_id: str, rows: str) -> None:
    with running(name, tmp_path) as client:

        def told(method: str, path: str, data: object) -> object:
            answer = client.ask(method, path, data)
            assert answer.status in {200, 201}, answer
            return answer.json["data"] if name == "laravel" else answer.json

        sent = {room_id: "r1", "content": CANARY, "kind": "note"}
        assert told("POST", "/api/messages", sent) == {**sent, "id": 1}
        changed = {**sent, "id": 1, "content": f"{CANARY}, new"}
        assert told("PATCH", "/api/messages/1", {"content": changed["content"]}) == changed
        listed = client.ask("GET", "/api/rooms/r1/messages?page=1")
        refused = [
            client.ask("POST", "/api/messages", {**sent, "draft": CANARY}),
            client.ask("POST", "/api/messages", {**sent, "Content": CANARY}),
            client.ask("PATCH", "/api/messages/1", {"content": "a", room_id: "r2"}),
            # Laravel's input() and Spring's @ModelAttribute take these before the path.
            client.ask("GET", "/api/rooms/r2/messages?room=r1"),
            client.ask("GET", "/api/rooms/r2/messages", {"room": "r1"}),
        ]
        kept = (tmp_path / "kept.json").read_text("utf-8")

    assert (listed.status, listed.json[rows]) == (200, [changed])
    assert [one.status for one in refused] == [400] * len(refused)
    assert json.loads(kept)[0]["content"].startswith(TOKEN)
    assert CANARY not in kept
