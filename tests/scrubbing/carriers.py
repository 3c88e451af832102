"""The ways on which a secret can reach Sealyard over a wire: each makes bytes to send."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

Carrier = Callable[[bytes], bytes]

_JSON: Final = b"Content-Type: application/json\r\n"


def request(
    target: bytes,
    *,
    method: bytes = b"GET",
    lines: bytes = b"",
    body: bytes | None = None,
    host: bytes = b"localhost",
) -> bytes:
    """Return a request whose connection ends with it."""
    sized = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    head = b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n" % (method, target, host)
    return head + lines + sized + b"\r\n" + (body or b"")


def _message(target: bytes, content: bytes, conversation: str = "c1") -> bytes:
    value = {"conversationId": conversation, "content": content.decode("latin-1"), "n": 1}
    return request(target, method=b"POST", lines=_JSON, body=json.dumps(value).encode())


def _lines(lines: bytes) -> Carrier:
    return lambda secret: request(b"/plain", lines=lines.replace(b"@", secret) + b"\r\n")


def _target(target: bytes) -> Carrier:
    return lambda secret: request(target.replace(b"@", quote(secret, safe="").encode()))


def _post(body: bytes, lines: bytes = _JSON) -> Carrier:
    return lambda secret: request(
        b"/api/messages",
        method=b"POST",
        lines=lines.replace(b"@", secret.replace(b"\n", b"")),
        body=body.replace(b"@", secret),
    )


TRAFFIC: Final[dict[str, Carrier]] = {
    "selected field": lambda secret: _message(b"/api/messages", secret),
    "token that does not open": lambda secret: _message(b"/api/open", secret),
    "conversation": lambda secret: _message(b"/api/messages", b"a", secret.decode("latin-1")),
    "body that is no JSON": _post(b'{"conversationId": "c1", "content": "@'),
    "member": _post(b'{"conversationId": "c1", "@": 1}'),
    "body of another type": _post(b"@", b"Content-Type: text/plain; x=@\r\n"),
    "coding": _post(b"@", _JSON + b"Content-Encoding: @\r\n"),
    "broken gzip": lambda secret: request(
        b"/api/messages",
        method=b"POST",
        lines=_JSON + b"Content-Encoding: gzip\r\n",
        body=gzip.compress(secret)[:-6],
    ),
    "path": _target(b"/plain/@"),
    "query": _target(b"/plain?q=@"),
    "path not decoded": lambda secret: request(b"/plain/" + secret),
    "bad escape": _target(b"/plain/%zz@"),
    "absolute target": _target(b"http://@/plain"),
    "cookie": _lines(b"Cookie: a=@"),
    "bearer": _lines(b"Authorization: Bearer @"),
    "basic": _lines(b"Authorization: Basic @"),
    "line without colon": _lines(b"@"),
    "header with NUL": _lines(b"X-A: @\0"),
    "header's name": _lines(b"X @: 1"),
    "length": _lines(b"Content-Length: @"),
    "transfer coding": _lines(b"Transfer-Encoding: @"),
    "expectation": _lines(b"Expect: @"),
    "upgrade": _lines(b"Connection: upgrade\r\nUpgrade: @"),
    "forwarded": _lines(b"X-Forwarded-For: @\r\nForwarded: for=@\r\nVia: 1.1 @"),
    "chunk": lambda secret: (
        request(b"/api/messages", method=b"POST", lines=_JSON + b"Transfer-Encoding: chunked\r\n")
        + secret
        + b"\r\n"
    ),
    "host": lambda secret: request(b"/plain", host=secret),
    "method": lambda secret: request(b"/plain", method=secret),
    "upper-case method": lambda secret: request(b"/plain", method=secret.upper()),
    "version": lambda secret: b"GET /plain HTTP/" + secret + b"\r\n\r\n",
    "no HTTP": lambda secret: secret + b"\r\n\r\n",
    "status of the backend": _target(b"/odd/status?q=@"),
    "header of the backend": _target(b"/odd/header?q=@"),
    "length of the backend": _target(b"/odd/length?q=@"),
    "cut by the backend": _target(b"/odd/cut?q=@"),
    "JSON of the backend": _target(b"/odd/json?q=@"),
    "place of the backend": _target(b"/odd/location?q=@"),
    "token of the backend": _target(b"/odd/token?q=@"),
}

ADMIN: Final[dict[str, Carrier]] = {
    "path": _target(b"/v1/@"),
    "query": _target(b"/v1/sessions?tenant=alpha&conversation=@"),
    "token": lambda secret: request(
        b"/v1/status", lines=b"Authorization: Bearer " + secret + b"\r\n"
    ),
    "host": lambda secret: request(b"/v1/status", host=secret),
    "method": lambda secret: request(b"/v1/status", method=b"POST", body=secret),
    "malformed": lambda secret: request(b"/v1/status", lines=secret + b"\r\n"),
    "line": lambda secret: b"GET /" + secret + b" HTTP/1.1\r\n\r\n",
}


def authorized(token: str, secret: bytes) -> tuple[bytes, ...]:
    """Return calls of the admin listener that its own token lets in."""
    lines = f"Authorization: Bearer {token}\r\n".encode() + _JSON
    text = secret.decode("latin-1")
    bodies = (
        json.dumps({"tenant": "alpha", "conversation": text}).encode(),
        json.dumps({text: text, "not_before": text}).encode(),
        secret,
    )
    calls = [
        request(b"/v1/sessions" + way, method=b"POST", lines=lines, body=body)
        for way in (b"", b"/rotate", b"/revoke")
        for body in bodies
    ]
    asked = b"/v1/sessions?conversation=" + quote(secret, safe="").encode()
    return (*calls, request(asked, lines=lines), request(b"/v1/config", lines=lines))
