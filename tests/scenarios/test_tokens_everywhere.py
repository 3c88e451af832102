"""The selector `tokens` in every kind of body: embedded, nested, cut, in both forms."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from .pool import shared
from .rig import Served, backend

RULES = """\
      - name: seal
        match: POST /seal
        bind: [tenant]
        request:
          encrypt:
            - {select: $.jwe, form: jwe}
            - {select: $.short, form: short}
      - name: text
        match: GET /text
        bind: [tenant]
        response: {format: text, decrypt: tokens}
      - name: packets
        match: GET /packets
        bind: [tenant]
        response: {format: socketio, decrypt: tokens}
      - name: socket of packets
        match: WS /packets
        bind: [tenant]
        response: {format: socketio, decrypt: tokens}
      - name: socket
        match: WS /socket
        bind: [tenant]
        response: {decrypt: tokens}
      - name: up
        match: POST /up
        bind: [tenant]
        request: {decrypt: tokens}
      - name: all
        match: GET /**
        bind: [tenant]
        response: {decrypt: tokens}
"""
BOUNDARY = "between-parts"
dumps = partial(json.dumps, ensure_ascii=False)  # as what is opened is spelled


@dataclass(frozen=True)
class Texts:
    """What stands in bodies: a text with tokens inside it, and a JSON text that is a string."""

    plain: str
    nested: str

    @property
    def document(self) -> str:
        return dumps({"a": self.plain, "b": [{"c": self.nested}], "n": 1.10})


def texts(jwe: str, short: str, cut_jwe: str, cut_short: str) -> Texts:
    return Texts(
        plain=f"Re: {jwe} / {short} / {cut_jwe}... / {cut_short}... é",
        nested=dumps({"in": [f"so {jwe} {short}", dumps([jwe, cut_short, f"x{jwe}"])]}),
    )


def a_part(name: str, content: str, *lines: str) -> str:
    head = [f'Content-Disposition: form-data; name="{name}"', *lines, "", content]
    return f"--{BOUNDARY}\r\n" + "\r\n".join(head) + "\r\n"


def as_parts(one: Texts) -> str:
    json_part = a_part("b", one.document, "Content-Type: application/json")
    return a_part("a", one.plain) + json_part + a_part("c", one.nested) + f"--{BOUNDARY}--\r\n"


KINDS: dict[str, tuple[str, Callable[[Texts], str]]] = {
    "json": ("application/json", lambda one: one.document),
    "form": (
        "application/x-www-form-urlencoded",
        lambda one: urlencode({"a": one.plain, "b": one.nested, "c": one.document}),
    ),
    "parts": (f"multipart/form-data; boundary={BOUNDARY}", as_parts),
    "ndjson": ("application/x-ndjson", lambda one: f"{one.document}\n{one.document}\n"),
    "json-seq": ("application/json-seq", lambda one: f"\x1e{one.document}\n" * 2),
    "sse": (
        "text/event-stream",
        lambda one: (
            f"id: 1\ndata: {one.document}\n\n: c\ndata: {one.plain}\ndata: {one.plain}\n\n"
            f"event: e\ndata: {one.nested}\n\n"
        ),
    ),
    "text": ("text/plain; charset=utf-8", lambda one: f"{one.plain}\n"),
    "packets": (
        "text/plain; charset=utf-8",
        lambda one: f'42["e",{one.document}]\x1e42/n,7[{one.document}]\x1e43[{one.document}]',
    ),
}
MESSAGES: dict[str, Callable[[Texts], list[str]]] = {
    "socket": lambda one: [one.document, one.plain, one.nested],
    "packets": lambda one: ["2", f'42["e",{one.document}]', f"43/n,1[{one.document}]"],
}


@dataclass
class Rig:
    """A sidecar before a backend that answers with what was put there."""

    ours: Served
    bodies: dict[str, tuple[str, bytes]]
    got: list[bytes]
    sealed: Texts
    opened: Texts
    session: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ours.port}/{path}"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    bodies: dict[str, tuple[str, bytes]] = {}
    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response()

    async def give(request: web.Request) -> web.StreamResponse:
        if "upgrade" in request.headers:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            for one in MESSAGES[request.path[1:]](made.sealed):
                await socket.send_str(one)
            await socket.close()
            return socket
        media, body = bodies[request.path[1:]]
        return web.Response(body=body, headers={"Content-Type": media})

    canary = secrets.token_hex(8)
    routes = (web.post("/{path}", take), web.get("/{path}", give))
    async with (
        backend(*routes) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        made = Rig(ours, bodies, got, Texts("", ""), Texts("", ""), session)
        plain = {"jwe": f'{canary} "1"', "short": f"{canary} é2"}
        async with session.post(made.url("seal"), json=plain) as answer:
            assert answer.status == 200
        jwe, short = json.loads(got.pop()).values()
        assert short.startswith("sy1.")
        made.sealed = texts(jwe, short, jwe[:90], short[:31])
        made.opened = texts(plain["jwe"], plain["short"], "[sealed]", "[sealed]")
        for kind, (media, body) in KINDS.items():
            bodies[kind] = (media, body(made.sealed).encode())
        made.bodies = bodies
        yield made
        log = ours.log.read_text()
    assert canary not in log


@pytest.mark.parametrize("kind", KINDS)
async def test_tokens_open_in_every_kind_of_response(rig: Rig, kind: str) -> None:
    async with rig.session.get(rig.url(kind)) as answer:
        came = await answer.read()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == KINDS[kind][0]

    assert came.decode() == KINDS[kind][1](rig.opened)


# A request is an event stream only where its block says so, and no block says so of all kinds.
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"text", "packets", "sse"}))
async def test_tokens_open_in_every_kind_of_request(rig: Rig, kind: str) -> None:
    media, body = rig.bodies[kind]
    async with rig.session.post(rig.url("up"), data=body, headers={"Content-Type": media}) as one:
        assert one.status == 200

    assert rig.got[-1].decode() == KINDS[kind][1](rig.opened)


@pytest.mark.parametrize("path", MESSAGES)
async def test_tokens_open_in_messages_of_websockets(rig: Rig, path: str) -> None:
    async with rig.session.ws_connect(rig.url(path)) as socket:
        came = [(await socket.receive()).data for _ in MESSAGES[path](rig.opened)]

    assert came == MESSAGES[path](rig.opened)
