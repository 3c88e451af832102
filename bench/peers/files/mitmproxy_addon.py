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


def request(flow: HTTPFlow) -> None:
    """Seal what is posted."""
    if flow.request.path == "/api/messages":
        message = json.loads(flow.request.content)
        message["content"] = seal(message["content"].encode())
        flow.request.content = json.dumps(message).encode()
    elif flow.request.path == "/api/documents":
        flow.request.content = seal(flow.request.content).encode()


def response(flow: HTTPFlow) -> None:
    """Open what is answered."""
    path = flow.request.path
    if path == "/api/messages":
        message = json.loads(flow.response.content)
        message["content"] = unseal(message["content"]).decode()
        flow.response.content = json.dumps(message).encode()
    elif path == "/api/documents":
        flow.response.content = unseal(flow.response.content)
    elif path.startswith("/api/conversations/"):
        answer = json.loads(flow.response.content)
        for message in answer["data"]:
            message["content"] = unseal(message["content"]).decode()
        flow.response.content = json.dumps(answer).encode()
