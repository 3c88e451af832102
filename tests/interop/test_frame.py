"""A reader of frames in JavaScript, with WebCrypto alone, opens what Sealyard seals."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from proxy.core.crypto import derivation, sealed_stream
from proxy.core.crypto.context import Context
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from tests.factories import KEK, SCOPE, a_session, a_sid

from .conftest import needs_node, node

CONTEXT = Context(SCOPE, message="m1", kind="stream")
BODIES = (
    b"",
    b"x",
    bytes(CHUNK_BYTES - 1),
    bytes(range(256)) * 64,
    "Grüße 🌍".encode() * 20_000,
    bytes(257 * CHUNK_BYTES + 1),  # the chunks' number takes more than one byte
)

pytestmark = [pytest.mark.interop, needs_node]


def seal(plaintext: bytes) -> bytes:
    head, sealer = sealed_stream.begin(a_session(), CONTEXT, "image/png")
    return head + sealer.update(plaintext) + sealer.finish()


def in_node(frames: list[bytes], context: Context = CONTEXT) -> list[dict[str, Any]]:
    sk = derivation.session_key(KEK, a_sid(), SCOPE).reveal().hex()
    asked = [
        {"sk": sk, "context": context.encode().hex(), "frame": base64.b64encode(one).decode()}
        for one in frames
    ]
    return node("frame_opener.mjs", asked=asked)


def test_webcrypto_opens_every_frame() -> None:
    answers = in_node([seal(body) for body in BODIES])
    assert [body.hex() for body in BODIES] == [one.get("plaintext") for one in answers]
    assert {"image/png"} == {one["mediaType"] for one in answers}


def test_webcrypto_refuses_what_was_changed() -> None:
    good = seal(bytes(2 * CHUNK_BYTES))
    last = len(good) - 16
    sealed_chunk = CHUNK_BYTES + 16
    first, second = last - 2 * sealed_chunk, last - sealed_chunk
    swapped = good[:first] + good[second:last] + good[first:second] + good[last:]
    changed = [good[:-1], good[:last], good + b"\0", swapped, good[:200] + good[201:]]
    assert all("error" in one for one in in_node(changed))


def test_webcrypto_refuses_another_context() -> None:
    answers = in_node([seal(b"x")], CONTEXT._replace(message="m2"))
    assert answers == [{"error": "Error"}]
