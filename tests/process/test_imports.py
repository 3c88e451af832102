"""Nothing is imported once `serve` is ready: no message waits for it, and no file is read late."""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

import proxy
from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.wiring.reload import needed
from tests.keys.participants.builders import a_public_jwk
from tests.scenarios.end_to_end import a_jwt
from tests.servers import free_port, serving

from .loaded import Asked, asked, initialised

PRODUCT: Final = Path(proxy.__file__).parent
CONFIGURATIONS: Final = Path(__file__).parents[1] / "archive" / "configuration"
LARGER: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: sqlite:sealyard.db
  sessions: {{mode: ephemeral, ttl: 1h, grace: 1h}}
admin:
  listen: "127.0.0.1:{admin}"
  tokens:
    - name: all
      token: {{file: admin.token}}
      scopes: [read, keys, accept, reload, seal, open]
  tap: true
  status_page: true
health: {{listen: "127.0.0.1:{health}"}}
audit: {{file: audit.log, on_failure: block}}
listeners:
  - name: api
    listen: "127.0.0.1:{port}"
    upstream: "http://127.0.0.1:{upstream}"
    unmatched: pass
    trusted_names: true
    find_sensitive: true
    defaults: {{others: pass, tenant: const:t, bind: [tenant, field]}}
    rules:
      - name: json
        match: POST /json
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: forms
        match: POST /form
        request: {{encrypt: "form:content"}}
        response: {{decrypt: "form:content"}}
      - name: parts
        match: POST /parts
        request: {{encrypt: ["part:note", "part:file"]}}
        response: {{decrypt: ["part:note", "part:file"]}}
      - name: bodies
        match: POST /body
        request: {{encrypt: body as body}}
        response: {{decrypt: body as body}}
      - name: lines
        match: POST /lines
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: events
        match: GET /events
        response:
          - {{type: text/event-stream, encrypt: $.content, batch: {{for: 100ms}}}}
      - name: queries
        match: POST /graphql
        request: {{format: graphql, encrypt: optional $.send.content, nothing: pass}}
      - name: packets
        match: ["WS /socket.io/", "POST /socket.io/"]
        request: {{format: socketio, encrypt: "optional $[1].content", nothing: pass}}
        response: {{format: socketio, decrypt: "optional $[1].content", on_error: keep}}
      - name: chat
        match: WS /chat
        request: {{encrypt: $.content}}
        response: {{decrypt: $.content}}
      - name: observed
        mode: observe
        match: ["POST /observed", "WS /observed"]
        request: {{encrypt: $.content}}
      - name: end to end
        match: POST /send/{{id}}
        bind: [tenant, conversation]
        conversation: path:id
        sender: jwt-unverified:sub
        recipients: $.to.*
        request: {{encrypt: $.content}}
      - name: rejected
        match: PUT /json
        request: reject
"""
PARTS: Final = (
    b'--the-boundary\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--the-boundary\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n%b\r\n--the-boundary--\r\n"
)
WRONG: Final = b'{"content": '
EQUAL: Final = "sy1.CAAB46hgDoVW0URC7_WvgMB8kXvQ4-UR"
"""A token in the equal form, which clients and backends may send, whoever made it."""
EVENTS: Final = b'data: {"content": "a"}\n\ndata: {"content": "b"}\n\n'


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with what came, of the same type; a WebSocket as well."""
    if request.headers.get("upgrade", "").lower() == "websocket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket
    if request.path == "/events":
        return web.Response(body=EVENTS, content_type="text/event-stream")
    if "equal" in request.headers:
        return web.json_response({"content": EQUAL, "messages": [{"content": EQUAL}]})
    body = await request.read()
    kind = request.headers.get("content-type", "text/plain")
    return web.Response(body=body, headers={"content-type": kind})


class Caller:
    """Sends messages, and says what came."""

    def __init__(self, client: aiohttp.ClientSession, port: int, admin: int, token: str) -> None:
        self._client = client
        self._port = port
        self._admin = admin
        self._token = token

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str = "application/json",
        **headers: str,
    ) -> tuple[int, bytes]:
        """Send a message through the listener."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        told = {**({"Content-Type": kind} if data is not None else {}), **headers}
        url = f"http://127.0.0.1:{self._port}{path}"
        stream = None if data is None else io.BytesIO(data)
        async with self._client.request(method, url, data=stream, headers=told) as answer:
            return answer.status, await answer.read()

    async def open_equal(self, method: str, path: str, body: object = None) -> None:
        """Get an answer with a token in the equal form, which does not open."""
        status, told = await self.send(method, path, body, equal="yes")
        assert status == 502 or EQUAL.encode() in told, (status, told)

    async def talk(self, path: str, text: str) -> str:
        """Send one message of a WebSocket and return the answer."""
        url = f"http://127.0.0.1:{self._port}{path}"
        async with self._client.ws_connect(url, compress=15) as socket:
            await socket.send_str(text)
            return str((await socket.receive(10)).data)

    async def operate(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Call the admin API."""
        headers.setdefault("Authorization", f"Bearer {self._token}")
        url = f"http://127.0.0.1:{self._admin}{path}"
        async with self._client.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def add(self, who: str, key: object) -> None:
        """Add a key of a participant; a store that had no time is asked again."""
        for _ in range(20):
            status, told = await self.operate("POST", f"/v1/participants/{who}/keys", key)
            if status != 503:
                break
        assert status == 201, told

    async def follow(self) -> None:
        """Look at messages as they pass, until there is one."""
        url = f"http://127.0.0.1:{self._admin}/v1/status/follow"
        login = {"Authorization": f"Bearer {self._token}"}
        async with self._client.get(url, headers=login) as stream:
            assert stream.status == 200
            while b"forms" not in await asyncio.wait_for(stream.content.readany(), 10):
                await self.send("POST", "/form", b"content=x", "application/x-www-form-urlencoded")

    async def operate_all(self, scope: Mapping[str, str]) -> None:
        """Call everything of the admin API that every configuration has, well and wrongly."""
        for path in ("/livez", "/readyz?verbose", "/metrics", "/v1/status", "/v1/status/steps"):
            assert (await self.operate("GET", path))[0] == 200, path
        accept = "application/openmetrics-text"
        assert (await self.operate("GET", "/metrics", Accept=accept))[0] == 200
        for path in ("/v1/status/leaks", "/v1/config", "/openapi.json"):
            assert (await self.operate("GET", path))[0] == 200, path
        assert (await self.operate("GET", "/v1/config", Authorization="Bearer x"))[0] == 401
        assert (await self.operate("GET", "/nowhere"))[0] == 404
        assert (await self.operate("POST", "/v1/sessions", {"x": 1}))[0] == 400
        query = "&".join(f"{name}={value}" for name, value in scope.items())
        for method, path, body in (
            ("POST", "/v1/sessions", scope),
            ("GET", f"/v1/sessions?{query}", None),
            ("POST", "/v1/sessions/rotate", scope),
            ("POST", "/v1/sessions/revoke", scope),
        ):
            assert (await self.operate(method, path, body))[0] == 200, path
        values = [{**scope, "field": "content", "value": "hello"}]
        status, sealed = await self.operate("POST", "/v1/seal", {"values": values})
        if status != 403:  # the token that init writes may not
            assert status == 200, sealed
            tokens = [{**scope, "field": "content", "token": sealed["tokens"][0]}]
            assert (await self.operate("POST", "/v1/open", {"tokens": tokens}))[0] == 200
        assert (await self.operate("POST", "/-/reload"))[0] == 200

    async def operate_on_participants(self) -> None:
        """Call everything about participants, who may be there before a rule names one."""
        path = "/v1/participants/carol"
        await self.add("carol", {"under": "keyring", "use": "sig"})
        await self.add("carol", {"under": "keyring", "use": "enc"})
        await self.add("dave", {"jwk": a_public_jwk("bob-enc")})
        status, told = await self.operate("GET", path)
        assert (status, len(told["keys"])) == (200, 2)
        kid = told["keys"][1]["kid"]
        for verb, body, expected in (
            ("rotate", {"under": "keyring", "use": "sig"}, 201),
            ("accept", {"kid": kid}, 200),
            ("expire", {"kid": kid}, 200),
            ("revoke", {"kid": kid, "reason": "lost"}, 200),
        ):
            status, said = await self.operate("POST", f"{path}/{verb}", body)
            # 403: the token that init writes may not accept.
            assert status == expected or (verb, status) == ("accept", 403), (verb, said)
        for query in ("keys", f"private?kid={kid}", "has-valid-keys"):
            assert (await self.operate("GET", f"{path}/{query}"))[0] == 200, query
        query = "tenant=t&conversation=c&recipient=carol"
        assert (await self.operate("GET", f"/v1/sessions/package?{query}"))[0] == 404


def late(process: Asked, ready: Mapping[str, object]) -> list[str]:
    """Return what has been imported since the process was ready."""
    assert process.process.poll() is None, process.log
    assert "exception.unhandled" not in process.log
    return sorted(process.modules().keys() - ready.keys())


async def _until_imported(
    folder: Path, port: int, admin: int, calls: Callable[[Caller], Any]
) -> list[str]:
    """Run `serve`, make all calls, and return what was imported meanwhile."""
    token = (folder / "admin.token").read_text().strip()
    with asked(folder) as process:
        ready = await asyncio.to_thread(process.modules)
        async with aiohttp.ClientSession() as client:
            await calls(Caller(client, port, admin, token))
        return await asyncio.to_thread(late, process, ready)


async def test_nothing_is_imported_for_the_messages_of_the_file_of_init(tmp_path: Path) -> None:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", echo)

    async def calls(caller: Caller) -> None:
        message = {"conversationId": "c1", "content": "hello"}
        status, opened = await caller.send("POST", "/api/messages", message)
        assert (status, json.loads(opened)) == (200, message)
        path = "/api/conversations/c1/messages"
        await caller.open_equal("POST", "/api/messages", message)
        await caller.open_equal("GET", path)
        for kind in ("application/json", "text/html", "application/x-ndjson", "text/event-stream"):
            assert (await caller.send("GET", path))[0] == 200
            # What no rule reads is refused, in whatever type.
            assert (await caller.send("POST", "/other", opened, kind))[0] == 403
        assert (await caller.send("POST", "/api/messages", {**message, "other": 1}))[0] == 400
        assert (await caller.send("GET", f"{path}?other=1"))[0] == 400
        assert (await caller.send("POST", "/api/messages", PARTS % b"", "text/plain"))[0] == 415
        assert (await caller.send("POST", "/api/messages", WRONG))[0] == 400
        assert (await caller.send("PUT", "/api/messages/5", message))[0] == 403
        await caller.operate_all({"tenant": "example", "conversation": "c1"})
        status, told = await caller.operate("DELETE", "/v1/sessions?tenant=t&conversation=c")
        assert status == 409, told
        key = {"jwk": a_public_jwk("bob-enc")}
        for method, path, body in (
            ("POST", "/v1/participants/carol/keys", key),
            ("GET", "/v1/participants/carol", None),
        ):
            status, told = await caller.operate(method, path, body)
            assert (status, told["type"].rpartition(":")[2]) == (409, "store-not-shared"), told

    async with serving(app) as upstream:
        port, admin = await asyncio.to_thread(initialised, tmp_path, upstream)
        assert await _until_imported(tmp_path, port, admin, calls) == []


async def test_nothing_is_imported_for_the_messages_of_a_larger_file(tmp_path: Path) -> None:
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{rest:.*}", echo)
    health = free_port()

    async def calls(caller: Caller) -> None:
        message = {"content": "hello"}
        assert await caller.send("POST", "/json", message) == (200, b'{"content": "hello"}')
        await caller.open_equal("POST", "/json", message)
        assert (await caller.send("POST", "/json", WRONG))[0] == 400
        assert (await caller.send("PUT", "/json", message))[0] == 403
        form = "application/x-www-form-urlencoded"
        assert (await caller.send("POST", "/form", b"content=hello", form))[0] == 200
        for size in (10, 4 << 20):
            kind = "multipart/form-data; boundary=the-boundary"
            assert (await caller.send("POST", "/parts", PARTS % bytes(size), kind))[0] == 200
        for size in (10, 4 << 20):
            kind = "application/octet-stream"
            assert await caller.send("POST", "/body", bytes(size), kind) == (200, bytes(size))
        lines = b'{"content": "a"}\n{"content": "b"}\n'
        assert await caller.send("POST", "/lines", lines, "application/x-ndjson") == (200, lines)
        status, events = await caller.send("GET", "/events")
        assert (status, b'"a"' in events) == (200, False)
        query = {
            "query": "mutation Send($text: String!) { send(content: $text) }",
            "operationName": "Send",
            "variables": {"text": "hello"},
        }
        assert (await caller.send("POST", "/graphql", query))[0] == 200
        packet = '42["send",{"content":"hello"}]'
        assert (await caller.send("POST", "/socket.io/?sid=s", packet.encode(), "text/plain"))[
            0
        ] == 200
        assert await caller.talk("/socket.io/", packet) == packet
        assert await caller.talk("/chat", '{"content": "hello"}') == '{"content": "hello"}'
        assert (await caller.send("POST", "/observed", message))[0] == 200
        assert (await caller.send("POST", "/uncovered", {"password": "hello"}))[0] == 200
        assert await caller.talk("/observed", '{"content": "hello"}') == '{"content": "hello"}'
        assert await caller.talk("/uncovered", "hello") == "hello"
        for who, use in (("alice", "sig"), ("alice", "enc"), ("bob", "enc")):
            key = {"under": "keyring", "use": use}
            await caller.add(who, key)
        own = {"jwk": a_public_jwk("bob-enc")}
        await caller.add("eve", own)
        sent = {"to": ["bob"], "content": "hello"}
        login = {"Authorization": f"Bearer {a_jwt('alice')}"}
        assert (await caller.send("POST", "/send/c1", sent, **login))[0] == 200
        await caller.operate_on_participants()
        await caller.operate_all({"tenant": "t", "conversation": "c1"})
        status, _ = await caller.operate("DELETE", "/v1/sessions?tenant=t&conversation=c1")
        assert status == 200
        for path in ("/", "/page.js"):
            assert (await caller.operate("GET", path))[0] == 200, path
        await caller.follow()
        for path in ("/livez", "/readyz", "/metrics"):
            async with caller._client.get(f"http://127.0.0.1:{health}{path}") as answer:
                assert answer.status == 200, path

    async with serving(app) as upstream:
        port, admin = await asyncio.to_thread(initialised, tmp_path, upstream)
        # No rule of the file needs it.
        run = (sys.executable, "-P", "-m", "proxy", "keys", "rotate-index")
        await asyncio.to_thread(subprocess.run, run, cwd=tmp_path, check=True, timeout=60)
        (tmp_path / "sealyard.yaml").write_text(
            LARGER.format(port=port, admin=admin, health=health, upstream=upstream)
        )
        assert await _until_imported(tmp_path, port, admin, calls) == []


MORE: Final = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    proxy_protocol: true
    trusted_proxies: [10.0.0.0/8]
    find_sensitive: true
    defaults: {others: pass, tenant: const:t, conversation: const:c, bind: [tenant, field]}
    rules:
      - {name: parts, match: POST /parts, request: {encrypt: "part:note"}}
      - {name: query, match: POST /graphql, request: {format: graphql, encrypt: $.send.content}}
      - {name: chat, match: WS /chat, request: {encrypt: $.content}}
      - name: model
        match: POST /model
        response: {type: text/event-stream, encrypt: $.content, batch: {for: 100ms}}
"""
IMPORTED_WITH_A_TAP: Final = {"proxy.telemetry.tap"}
"""By the sidecar that has one."""
OWN_PACKAGES: Final = ("core", "traffic", "keys/sessions")
AS_LISTENERS_BEGIN: Final = {"__init__", "load"}
"""Functions that run while rules are compiled or a listener is made."""


def imports_of_messages() -> Iterator[str]:
    """Yield each module that a function of the packages imports where a message needs it."""
    files = (one for name in OWN_PACKAGES for one in sorted((PRODUCT / name).rglob("*.py")))
    for file in files:
        package = ".".join(("proxy", *file.relative_to(PRODUCT).parent.parts))
        for function in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                if function.name in AS_LISTENERS_BEGIN:
                    continue
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and node.level:
                        yield from imported(package, node.module or "", node.names, node.level)


def imported(
    package: str, name: str, names: Iterable[ast.alias | str], level: int
) -> Iterator[str]:
    """Yield the modules that `from ... import` names."""
    module = importlib.util.resolve_name("." * level + name, package)
    for one in names:
        inner = f"{module}.{one if isinstance(one, str) else one.name}"
        file = PRODUCT.parent / Path(*inner.split("."))
        yield inner if file.with_suffix(".py").exists() or file.is_dir() else module


def test_what_messages_import_is_imported_with_the_rules_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list in `needed` lacks nothing: whatever a function imports is found in the sources."""
    (tmp_path / "sealyard.yaml").write_text(MORE)
    files = tmp_path / "sealyard.yaml", CONFIGURATIONS / "every-key.yaml"
    listeners = [one for file in files for one in load(file, {}).settings.listeners]
    met: set[str] = set()
    real = builtins.__import__

    def noting(
        name: str,
        module: Mapping[str, Any] | None = None,
        own: Mapping[str, Any] | None = None,
        names: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        if level and module is not None:
            met.update(imported(module["__package__"], name, names or (), level))
        return real(name, module, own, names or (), level)

    monkeypatch.setattr(builtins, "__import__", noting)
    for one in listeners:
        needed.load_for_listener(one, RuleTable(one.rules, pass_unmatched=one.pass_unmatched))
    monkeypatch.undo()

    assert set(imports_of_messages()) - met == IMPORTED_WITH_A_TAP
