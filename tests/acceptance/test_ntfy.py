"""Sealyard before an unchanged ntfy: published through it, read in its streams, sealed within."""

from __future__ import annotations

import asyncio
import email.charset
import email.header
import http.client
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from proxy.demo.screen import search
from tests.servers import PATIENCE_SECONDS, free_port

from .compared import files_of, held, keep
from .conftest import Client, Process, running, sidecar

NTFY = shutil.which("ntfy")
JWE = "eyJ0eXAiOiJzeTEi"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        NTFY is None,
        reason="there is no ntfy here: install the package ntfy (.ci/run does as root)",
    ),
]


@dataclass
class Scene:
    """ntfy, the sidecar in front of it, and what they keep."""

    ntfy: Process
    sidecar: Process
    folder: Path

    @property
    def through(self) -> Client:
        return Client(self.sidecar.port)

    @property
    def direct(self) -> Client:
        return Client(self.ntfy.port)

    def kept(self) -> dict[str, bytes]:
        """Return what ntfy and the sidecar have written."""
        return files_of(self.folder)


@contextmanager
def ntfy(folder: Path) -> Iterator[Process]:
    """Run an ntfy of its own, which keeps its messages in a file and calls nobody."""
    port = free_port()
    (folder / "server.yml").write_text("")
    command = [str(NTFY), "serve", "--config", str(folder / "server.yml"), "--trace"]
    command += ["--listen-http", f"127.0.0.1:{port}", "--cache-file", str(folder / "cache.db")]
    command += ["--visitor-request-limit-exempt-hosts", "127.0.0.1"]  # all tests are one visitor
    with running(command, port, folder / "ntfy.log", HOME=str(folder)) as process:
        yield process


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("ntfy")
    with ntfy(folder) as backend, sidecar(folder, "ntfy.yaml", backend.port) as front:
        yield Scene(backend, front, folder)


@pytest.fixture
def canary() -> str:
    return secrets.token_hex(8) + " \u00e9"


def polled(client: Client, topic: str) -> list[dict[str, str]]:
    answer = client.ask("GET", f"/{topic}/json?poll=1")
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def test_a_text_is_sealed_in_ntfy_and_opened_for_who_reads_it(scene: Scene, canary: str) -> None:
    topic = "t" + secrets.token_hex(4)
    title = f"title {secrets.token_hex(8)}"

    published = scene.through.ask(
        "POST",
        f"/{topic}",
        body=canary.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Title": title},
    )

    assert published.status == 200
    assert (published.json["message"], published.json["title"]) == (canary, title)
    (opened,), (sealed,) = polled(scene.through, topic), polled(scene.direct, topic)
    assert (opened["message"], opened["title"]) == (canary, title)
    assert sealed["message"].startswith(JWE)
    assert sealed["title"].startswith("sy1.")
    assert not search(canary, scene.kept())
    assert not search(title, scene.kept())


@pytest.mark.parametrize("name", ["Title", "X-Title", "t"])
def test_a_title_is_sealed_by_each_of_its_names(scene: Scene, name: str) -> None:
    topic, text = "t" + secrets.token_hex(4), secrets.token_hex(8)

    published = scene.through.ask("POST", f"/{topic}", body=b"x", headers={name: text})

    assert (published.status, published.json["title"]) == (200, text)
    (sealed,) = polled(scene.direct, topic)
    assert sealed["title"].startswith("sy1.")
    assert not search(text, scene.kept())


def checks_of(port: int, canary: str, home: Path) -> dict[str, Any]:
    """Return what the client of ntfy's makers is told by the server at a port."""
    topic = f"http://127.0.0.1:{port}/clinic{canary[-8:]}"
    environment = {"PATH": "/usr/bin", "HOME": str(home)}
    found: dict[str, Any] = {}

    def ran(*arguments: str) -> list[dict[str, Any]]:
        ended = subprocess.run(
            [str(NTFY), *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return [shown(json.loads(line)) for line in ended.stdout.splitlines()]

    def shown(message: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in message.items() if k not in {"id", "time", "expires", "topic"}}

    # Since then: it may not listen yet when the first message comes.
    subscribe = [str(NTFY), "subscribe", "--since", "10m", topic]
    with subprocess.Popen(
        subscribe, env=environment, stdout=subprocess.PIPE, text=True
    ) as listening:
        title = f"{canary} title"
        found["publish"] = ran("publish", topic, f"{canary} ü \U0001f600")
        found["with a title"] = ran("publish", "--title", title, "--markdown", topic, canary)
        more = ("--priority", "high", "--tags", "warning,skull", "--click", "http://example.org/")
        found["with priority, tags and a link"] = ran("publish", *more, topic, f"{canary} high")
        found["later"] = ran("publish", "--delay", "1h", topic, f"{canary} later")
        found["poll"] = ran("subscribe", "--poll", topic)
        found["poll what waits"] = ran("subscribe", "--poll", "--scheduled", topic)
        found["poll since"] = ran("subscribe", "--poll", "--since", "10m", topic)
        assert listening.stdout is not None
        heard: dict[str, dict[str, Any]] = {}  # one that comes meanwhile may be told twice
        while len(heard) < 3:
            message = json.loads(listening.stdout.readline())
            heard[message["id"]] = shown(message)
        found["subscribe"] = sorted(heard.values(), key=lambda one: str(one["message"]))
        listening.kill()
    return {name: {"told": one} for name, one in found.items()}


def test_the_client_of_its_makers_is_told_the_same(scene: Scene, tmp_path: Path) -> None:
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}

    through = checks_of(scene.sidecar.port, canaries["through"], tmp_path)
    direct = checks_of(scene.ntfy.port, canaries["direct"], tmp_path)

    assert [len(through[name]["told"]) for name in ("poll", "poll what waits")] == [3, 4]
    help_text = subprocess.run([str(NTFY), "--help"], capture_output=True, text=True, check=True)
    (version,) = re.findall(r"^ntfy (\d+\.\d+\.\d+)", help_text.stdout, re.MULTILINE)
    names = "ntfy", f"ntfy {version}, its command line"
    keep(held(names, through, direct, canaries, scene.kept()))


@pytest.mark.parametrize("encoding", ["q", "b"])
def test_an_encoded_title_comes_back_as_its_text(scene: Scene, encoding: str) -> None:
    topic, text = "t" + secrets.token_hex(4), f"{secrets.token_hex(8)} \u00e9\u4f60"
    words = email.charset.Charset("utf-8")
    words.header_encoding = email.charset.QP if encoding == "q" else email.charset.BASE64
    title = email.header.Header(text, words, maxlinelen=200).encode()
    assert title.startswith(f"=?utf-8?{encoding}?")

    published = scene.through.ask("POST", f"/{topic}", body=b"x", headers={"Title": title})

    assert (published.status, published.json["title"]) == (200, text)
    (opened,), (sealed,) = polled(scene.through, topic), polled(scene.direct, topic)
    assert opened["title"] == text
    assert sealed["title"].startswith("sy1.")
    assert not search(text[:16], scene.kept())
    assert not search(title, scene.kept())
    twice = {"Title": "=?koi8-r?q?" + text[:16] + "?="}
    assert scene.through.ask("POST", f"/{topic}", body=b"x", headers=twice).status == 400


def test_json_is_sealed_whatever_type_it_names(scene: Scene, canary: str) -> None:
    topic = "t" + secrets.token_hex(4)
    body = json.dumps({"topic": topic, "message": canary, "title": canary, "priority": 4})

    published = scene.through.ask(
        "POST",
        "/",
        body=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (published.status, published.json["message"]) == (200, canary)
    (sealed,) = polled(scene.direct, topic)
    assert sealed["message"].startswith(JWE)
    assert not search(canary, scene.kept())


@contextmanager
def reading(client: Client, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        yield connection.getresponse()
    finally:
        connection.close()


@pytest.mark.parametrize(("kind", "field"), [("json", b""), ("sse", b"data: ")])
def test_who_reads_a_stream_sees_each_message_as_it_is_published(
    scene: Scene, canary: str, kind: str, field: bytes
) -> None:
    topic = "t" + secrets.token_hex(4)

    def messages(response: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
        while line := response.readline():
            if line.startswith(field + b"{"):
                yield json.loads(line.removeprefix(field))

    with (
        reading(scene.through, f"/{topic}/{kind}") as through,
        reading(scene.direct, f"/{topic}/{kind}") as direct,
    ):
        opened, sealed = messages(through), messages(direct)
        assert next(opened)["event"] == next(sealed)["event"] == "open"
        for number in range(3):
            text = f"{canary} {number}"
            assert scene.through.ask("PUT", f"/{topic}", body=text.encode()).status == 200

            seen, held = next(opened), next(sealed)
            assert seen["message"] == text
            assert held["message"].startswith(JWE)
            assert seen == held | {"message": text}
        # What nobody sealed passes as it is: old messages stay readable.
        assert scene.direct.ask("PUT", f"/{topic}", body=b"old").status == 200
        assert next(opened)["message"] == "old"
    assert not search(canary, scene.kept())


async def test_who_listens_by_websocket_sees_each_message_as_it_is_published(
    scene: Scene, canary: str
) -> None:
    topic = "t" + secrets.token_hex(4)
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_SECONDS):
        through = await session.ws_connect(f"http://127.0.0.1:{scene.sidecar.port}/{topic}/ws")
        direct = await session.ws_connect(f"http://127.0.0.1:{scene.ntfy.port}/{topic}/ws")
        for socket in (through, direct):
            assert (await socket.receive_json())["event"] == "open"
        publish = scene.through.ask
        assert (
            await asyncio.to_thread(publish, "PUT", f"/{topic}", body=canary.encode())
        ).status == 200

        opened, sealed = await through.receive_json(), await direct.receive_json()

        assert opened == sealed | {"message": canary}
        assert sealed["message"].startswith(JWE)
        for socket in (through, direct):
            await socket.close()
    assert not search(canary, scene.kept())


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/{topic}/publish?message={text}", {}),
        ("GET", "/{topic}/send?message={text}", {}),
        ("GET", "/{topic}/trigger?m={text}", {}),
        ("POST", "/{topic}?message={text}", {}),
        ("POST", "/{topic}?title={text}", {}),
        ("POST", "/{topic}?x-title={text}", {}),
        ("POST", "/{topic}?x-message={text}", {}),
        ("POST", "/{topic}?x-filename={text}", {}),
        ("POST", "/{topic}", {"m": "{text}"}),
        ("POST", "/{topic}", {"X-Filename": "{text}"}),
    ],
)
def test_other_ways_to_publish_are_refused(
    scene: Scene, method: str, path: str, headers: dict[str, str]
) -> None:
    topic, text = "t" + secrets.token_hex(4), secrets.token_hex(8)

    answer = scene.through.ask(
        method,
        path.format(topic=topic, text=quote(text)),
        body=b"x" if method == "POST" else None,
        headers={name: value.format(text=text) for name, value in headers.items()},
    )

    assert answer.status in {400, 403}
    assert not search(text, scene.kept())
    assert polled(scene.direct, topic) == []


@pytest.mark.parametrize(
    ("query", "headers", "members"),
    [
        ("?title={text}", {}, {}),
        ("?t={text}", {}, {}),
        ("?m={text}", {}, {}),
        ("?f={text}", {}, {}),
        ("", {"Title": "{text}"}, {}),
        ("", {"X-Title": "{text}"}, {}),
        ("", {"X-Filename": "{text}"}, {}),
        ("", {}, {"Title": "{text}"}),
        ("", {}, {"filename": "{text}", "attach": "http://127.0.0.1/scan"}),
    ],
)
def test_json_has_no_text_beside_what_is_sealed(
    scene: Scene, query: str, headers: dict[str, str], members: dict[str, str]
) -> None:
    topic, text = "t" + secrets.token_hex(4), secrets.token_hex(8)
    given = {name: value.format(text=text) for name, value in members.items()}

    answer = scene.through.ask(
        "POST",
        "/" + query.format(text=text),
        {"topic": topic, "message": "x", **given},
        headers={name: value.format(text=text) for name, value in headers.items()},
    )

    assert answer.status in {400, 403}
    assert not search(text, scene.kept())
    assert polled(scene.direct, topic) == []


def test_a_message_that_ntfy_would_make_an_attachment_of_is_refused(scene: Scene) -> None:
    answer = scene.through.ask("PUT", "/long", body=b"x" * 4000)

    assert answer.status == 422
    assert answer.header("Sealyard-Error") is not None


def test_messages_do_not_open_under_another_topic(scene: Scene, canary: str) -> None:
    one, other = "t" + secrets.token_hex(4), "t" + secrets.token_hex(4)
    assert scene.through.ask("PUT", f"/{one}", body=canary.encode()).status == 200
    (sealed,) = polled(scene.direct, one)

    assert scene.direct.ask("PUT", f"/{other}", body=sealed["message"].encode()).status == 200

    (moved,) = polled(scene.through, other)
    assert moved["message"] == sealed["message"]
