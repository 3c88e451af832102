"""`python -m tools.bench.peers.obvious PORT BACKEND [--uvloop] [--tls CHAIN KEY]`.

The obvious proxy on aiohttp. A sealed value is the base64 of nonce, ciphertext and tag.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = AESGCM(bytes.fromhex(os.environ["BENCH_KEY"]))
CLIENT = web.AppKey("client", aiohttp.ClientSession)
BACKEND = web.AppKey("backend", str)
Change = Callable[[bytes], bytes]
_NOT_COPIED = frozenset({"content-length", "transfer-encoding", "connection", "host"})


def seal(plaintext: bytes) -> str:
    """Return the sealed value."""
    nonce = os.urandom(12)
    return base64.b64encode(nonce + KEY.encrypt(nonce, plaintext, None)).decode()


def unseal(sealed: str | bytes) -> bytes:
    """Return what was sealed."""
    data = base64.b64decode(sealed)
    return KEY.decrypt(data[:12], data[12:], None)


def seal_field(body: bytes) -> bytes:
    """Return the message with its content sealed."""
    message = orjson.loads(body)
    message["content"] = seal(message["content"].encode())
    return orjson.dumps(message)


def open_field(body: bytes) -> bytes:
    """Return the message with its content opened."""
    message = orjson.loads(body)
    message["content"] = unseal(message["content"]).decode()
    return orjson.dumps(message)


def seal_text(text: str) -> str:
    """Return a text sealed."""
    return seal(text.encode())


def open_text(text: str) -> str:
    """Return what was sealed as text."""
    return unseal(text).decode()


def chat(change: Callable[[str], str]) -> Change:
    """Return what changes the four texts of a chat message."""

    def changed(body: bytes) -> bytes:
        message = orjson.loads(body)
        message["text"] = change(message["text"])
        message["from"]["name"] = change(message["from"]["name"])
        message["replyTo"]["text"] = change(message["replyTo"]["text"])
        for attachment in message["attachments"]:
            attachment["name"] = change(attachment["name"])
        return orjson.dumps(message)

    return changed


def patient(change: Callable[[str], str]) -> Change:
    """Return what changes whatever tells who a FHIR patient is."""

    def changed(body: bytes) -> bytes:
        found = orjson.loads(body)
        found["birthDate"] = change(found["birthDate"])
        for name in found["name"]:
            name["family"] = change(name["family"])
            name["given"] = [change(one) for one in name["given"]]
        for telecom in found["telecom"]:
            telecom["value"] = change(telecom["value"])
        for address in found["address"]:
            address["text"] = change(address["text"])
            address["line"] = [change(one) for one in address["line"]]
        return orjson.dumps(found)

    return changed


def open_list(body: bytes) -> bytes:
    """Return the list with the content of each message opened."""
    answer: dict[str, Any] = orjson.loads(body)
    for message in answer["data"]:
        message["content"] = unseal(message["content"]).decode()
    return orjson.dumps(answer)


def same(body: bytes) -> bytes:
    """Return the body."""
    return body


async def events(request: web.Request) -> web.StreamResponse:
    """Open the message in each line of data of an event stream as it comes."""
    url = request.app[BACKEND] + request.path_qs
    async with request.app[CLIENT].get(url) as reply:
        answer = web.StreamResponse(headers={"Content-Type": reply.headers["Content-Type"]})
        await answer.prepare(request)
        async for line in reply.content:
            is_data = line.startswith(b"data:")
            await answer.write(b"data: " + open_field(line[5:]) + b"\n" if is_data else line)
        await answer.write_eof()
        return answer


async def room(request: web.Request) -> web.WebSocketResponse:
    """Seal what the client of a WebSocket says, and open what it gets."""
    client_side = web.WebSocketResponse()
    await client_side.prepare(request)
    url = request.app[BACKEND] + request.path_qs
    async with request.app[CLIENT].ws_connect(url) as server_side, asyncio.TaskGroup() as both:
        both.create_task(relay(client_side, server_side, seal_field))
        both.create_task(relay(server_side, client_side, open_field))
    return client_side


WebSocket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def relay(source: WebSocket, target: WebSocket, change: Change) -> None:
    """Pass messages on, each changed, until the source is closed."""
    async for message in source:
        await target.send_str(change(message.data.encode()).decode())
    await target.close()


def forwarding(on_request: Change, on_response: Change) -> Callable[[web.Request], Any]:
    """Return a handler that changes what goes out and what comes back."""

    async def handle(request: web.Request) -> web.Response:
        url = request.app[BACKEND] + request.path_qs
        body = on_request(await request.read())
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_COPIED}
        async with request.app[CLIENT].request(
            request.method, url, headers=headers, data=body or None
        ) as reply:
            answer = on_response(await reply.read())
            headers = {k: v for k, v in reply.headers.items() if k.lower() not in _NOT_COPIED}
            return web.Response(status=reply.status, headers=headers, body=answer)

    return handle


async def client(app: web.Application) -> AsyncIterator[None]:
    """Keep a client session as long as the application runs."""
    async with aiohttp.ClientSession() as app[CLIENT]:
        yield


def main(port: int, backend: int, loop: asyncio.AbstractEventLoop, files: list[str]) -> None:
    """Serve until told to stop, by TLS if there are files for it."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if files else None
    if tls is not None:
        tls.load_cert_chain(*files)
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app[BACKEND] = f"http://127.0.0.1:{backend}"
    app.cleanup_ctx.append(client)
    app.router.add_post("/api/messages", forwarding(seal_field, open_field))
    for path in ("/api/documents", "/api/json/documents"):
        app.router.add_post(path, forwarding(lambda body: seal(body).encode(), unseal))
    for path in ("/api/rooms/{id}/messages", "/api/chunked/rooms/{id}/messages"):
        app.router.add_post(path, forwarding(chat(seal_text), chat(open_text)))
    app.router.add_put("/fhir/Patient/{id}", forwarding(patient(seal_text), patient(open_text)))
    app.router.add_get("/api/conversations/{id}/messages", forwarding(same, open_list))
    app.router.add_get("/api/conversations/{id}/events", events)
    app.router.add_get("/api/rooms/{id}", room)
    app.router.add_route("*", "/{path:.*}", forwarding(same, same))
    where: dict[str, Any] = {"host": "127.0.0.1", "port": port, "ssl_context": tls}
    web.run_app(app, **where, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    new_loop = uvloop.new_event_loop if "--uvloop" in sys.argv else asyncio.new_event_loop
    files = sys.argv[sys.argv.index("--tls") + 1 :] if "--tls" in sys.argv else []
    main(int(sys.argv[1]), int(sys.argv[2]), new_loop(), files)
