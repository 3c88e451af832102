"""A small backend over HTTP: elements in a list, by cursor, page or link, each at an address.

It holds bytes of JSON as they were sent, checks `If-Match`, and can be told to behave badly.
"""

from __future__ import annotations

import json
import socketserver
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

PAGE: Final = 3
MOST: Final = 50_000


@dataclass
class Store:
    """What the backend holds, in the order of its ids, and how it behaves.

    `before` is called with the method and the path of each request, and may change `elements`; what
    it returns, if not None, is the status and the headers of the answer. `checks` says whether
    preconditions are checked, `heads` whether HEAD is answered, `etag` how the tag of a version is
    written, `untagged` which elements have a time instead, `spell` how the id is that leads to the
    next page, if there is one.
    """

    elements: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    before: Callable[[str, str], tuple[int, dict[str, str]] | None] = lambda *_: None
    checks: bool = True
    etag: str = '"{}"'
    untagged: frozenset[str] = frozenset()
    heads: bool = True
    spell: Callable[[str | None], object] = lambda name: name
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)
    port: int = 0

    def put(self, name: str, element: object) -> None:
        """Write an element as another client does."""
        text = element if isinstance(element, bytes) else json.dumps(element).encode()
        self.elements[name] = text
        self.versions[name] = self.versions.get(name, 0) + 1

    def writes(self) -> list[tuple[str, str, dict[str, str]]]:
        """Return the requests that were no reads."""
        return [one for one in self.requests if one[0] not in {"GET", "HEAD"}]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def _treat(self) -> None:
        store, parts = self.store, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with store.lock:
            if body:
                store.bodies.append(body)
            store.requests.append((self.command, self.path, dict(self.headers)))
            told = store.before(self.command, self.path)
            if told is not None:
                self._answer(told[0], b"{}", told[1])
                return
            if self.command == "HEAD" and not store.heads:
                self._answer(405, b"", {})
                return
            if parts.path == "/items":
                self._list(parse_qs(parts.query))
                return
            name = unquote(parts.path.removeprefix("/items/"))
            if name not in store.elements:
                self._answer(404, b"{}", {})
            elif self.command == "GET":
                self._answer(200, store.elements[name], self._validators(name))
            else:
                self._write(name, body)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_POST = _treat  # noqa: N815 - the names that the library calls

    def _write(self, name: str, body: bytes) -> None:
        store = self.store
        wanted = self.headers.get("If-Match")
        if store.checks and wanted not in {None, f'"{store.versions[name]}"'}:
            self._answer(412, b"{}", {})
            return
        if len(body) > MOST:
            self._answer(413, b"{}", {})
            return
        if self.command == "PATCH":
            body = json.dumps(json.loads(store.elements[name]) | json.loads(body)).encode()
        store.put(name, body)
        self._answer(200, store.elements[name], self._validators(name))

    def _validators(self, name: str) -> dict[str, str]:
        version = self.store.versions[name]
        if self.store.etag and name not in self.store.untagged:
            return {"ETag": self.store.etag.format(version)}
        return {"Last-Modified": formatdate(version, usegmt=True)}

    def _list(self, query: dict[str, list[str]]) -> None:
        store = self.store
        names = sorted(store.elements)
        after = query.get("after", [""])[0]
        number = int(query.get("page", ["1"])[0])
        names = [one for one in names if one > after][(number - 1) * PAGE :]
        page, rest = names[:PAGE], names[PAGE:]
        following = page[-1] if rest else None
        body = b'{"room": "r1", "total": %d, "items": [%b], "next": %b}' % (
            len(store.elements),
            b", ".join(store.elements[one] for one in page),
            json.dumps(store.spell(following)).encode(),
        )
        link = f'</items?org=clinic&after={following}>; rel="next", </items>; rel="first"'
        link = link if rest else '</items>; rel="first"'
        ranged = f"items 0-{len(page)}/{len(store.elements)}"
        total = {"X-Total": str(len(store.elements)), "Content-Range": ranged}
        self._answer(200, body, {"Link": link, **total})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the library
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave."""


class _AtSocket(_Server):
    address_family = socketserver.UnixStreamServer.address_family
    server_bind = socketserver.UnixStreamServer.server_bind

    def __init__(self, path: Path, handler: type[_Handler]) -> None:
        super().__init__(str(path), handler)  # type: ignore[arg-type]  # the address of such a one


@contextmanager
def backend(tls: ssl.SSLContext | None = None, socket: Path | None = None) -> Iterator[Store]:
    """Run a backend of its own, at a port with or without TLS, or at a Unix socket."""
    store = Store()
    handler = type("Handler", (_Handler,), {"store": store})
    made = _Server(("127.0.0.1", 0), handler) if socket is None else _AtSocket(socket, handler)
    with made as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        store.port = 0 if socket else server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()


CONFIG: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: memory
  sessions: {{mode: durable, ttl: 1h, grace: 1h}}
listeners:
  - name: clinic
    listen: 127.0.0.1:{listen}
    upstream: http://127.0.0.1:{port}
    unmatched: pass
    trusted_names: true
    rules:
      - name: write
        match: PUT,PATCH,POST /items/{{id}}
        tenant: header:X-Org
        conversation: $.room
        request:
          encrypt:
            - $.content
            - {{select: $.title, optional: true, form: short, max_chars: 300}}
            - optional $.edits[*].text as content
          plain: [$.id, $.room, $.size, '$.edits.*.{{at,by}}', $.version]
        response:
          decrypt: [$.content, optional $.title, "optional $.edits[*].text as content"]
          on_error: keep
      - name: list
        match: GET /items
        tenant: header:X-Org
        response:
          conversation: $.items[*].room
          decrypt:
            - optional $.items[*].content
            - optional $.items[*].title
            - optional $.items[*].edits[*].text as content
          on_error: keep
      - name: read
        match: GET /items/{{id}}
        tenant: header:X-Org
        response:
          conversation: $.room
          decrypt: [$.content, optional $.title, "optional $.edits[*].text as content"]
          on_error: keep
"""
JOB: Final = """\
version: 1
source:
  http:
    config: sealyard.yaml
    headers:
      X-Org: clinic
      Authorization: {env: CLINIC_AUTHORIZATION}
collections:
  - collection: items
    list: /items
    items: $.items[*]
    next: {cursor: after, from: $.next}
    write: PUT /items/{id}
    guard: {etag: '/items/{id}'}
"""
