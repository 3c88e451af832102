"""Seals and opens messages as an addon of mitmproxy; mitmproxy itself runs this file.

A sealed value is the base64 of nonce, ciphertext and tag.
"""

from __future__ import annotations

import base64
import json
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mitmproxy.http import HTTPFlow

KEY = AESGCM(bytes.fromhex(os.environ["BENCH_KEY"]))


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
    message = json.loads(body)
    message["content"] = seal(message["content"].encode())
    return json.dumps(message).encode()


def open_field(body: bytes) -> bytes:
    """Return the message with its content opened."""
    message = json.loads(body)
    message["content"] = unseal(message["content"]).decode()
    return json.dumps(message).encode()


class Events:
    """Opens the message in each line of data of an event stream as it comes."""

    def __init__(self) -> None:
        """Begin with nothing held back."""
        self.held = b""

    def __call__(self, data: bytes) -> bytes:
        """Return the lines that are complete, opened."""
        *lines, self.held = (self.held + data).split(b"\n")
        return b"".join(
            b"data: " + open_field(line[5:]) + b"\n" if line.startswith(b"data:") else line + b"\n"
            for line in lines
        )


def request(flow: HTTPFlow) -> None:
    """Seal what is posted."""
    if flow.request.path == "/api/messages":
        flow.request.content = seal_field(flow.request.content)
    elif flow.request.path == "/api/documents":
        flow.request.content = seal(flow.request.content).encode()


def responseheaders(flow: HTTPFlow) -> None:
    """Let event streams pass as they come."""
    if flow.request.path.endswith("/events"):
        flow.response.stream = Events()


def response(flow: HTTPFlow) -> None:
    """Open what is answered."""
    path = flow.request.path
    if path == "/api/messages":
        flow.response.content = open_field(flow.response.content)
    elif path == "/api/documents":
        flow.response.content = unseal(flow.response.content)
    elif path.startswith("/api/conversations/") and path.endswith("/messages"):
        answer = json.loads(flow.response.content)
        for message in answer["data"]:
            message["content"] = unseal(message["content"]).decode()
        flow.response.content = json.dumps(answer).encode()


def websocket_message(flow: HTTPFlow) -> None:
    """Seal what the client of a WebSocket says, and open what it gets."""
    message = flow.websocket.messages[-1]
    message.content = (seal_field if message.from_client else open_field)(message.content)
