"""A backend's answer to a handshake, in raw bytes: what is not the one agreed on never begins."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.keys.builders import a_world
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, Peer, Response, connected, eventually, running

from ..exchange.test_websocket_relay import BOOK, CANARY

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324 - RFC 6455
)
RIGHT = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT)
CASES = {
    "another key": (*RIGHT[:2], b"Sec-WebSocket-Accept: AAAA"),
    "no key": RIGHT[:2],
    "two keys": (*RIGHT, RIGHT[2]),
    "another subprotocol": (*RIGHT, b"Sec-WebSocket-Protocol: evil"),
    "two subprotocols": (*RIGHT, b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"),
    "an extension that was not offered": (*RIGHT, b"Sec-WebSocket-Extensions: x-mux"),
    "parameters that were not offered": (
        *RIGHT,
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    ),
    "another protocol": (b"Upgrade: h2c", *RIGHT[1:]),
    "two protocols": (b"Upgrade: websocket", b"Upgrade: h2c", *RIGHT[1:]),
    "no protocol": RIGHT[1:],
}


def a_frame(text: bytes) -> bytes:
    """Return a masked text frame of a client."""
    mask = b"mask"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    return b"\x81" + bytes([0x80 | len(text)]) + mask + masked


def a_handshake(path: bytes) -> bytes:
    """Return the handshake of a client that offers one subprotocol and compression."""
    lines = (
        b"GET %b HTTP/1.1" % path,
        b"Host: h",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Protocol: a",
        b"Sec-WebSocket-Extensions: permessage-deflate",
    )
    return b"\r\n".join([*lines, b"", b""])


async def answered(path: bytes, lines: tuple[bytes, ...]) -> tuple[Response, bytes]:
    """Return what a client gets that sends a message behind its handshake, and the backend."""
    got = bytearray()

    async def switching(peer: Peer, _: Origin) -> None:
        await peer.head()
        peer.send(b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *lines, b"", b""]))
        while data := await peer.reader.read(65536):
            got.extend(data)

    async with (
        running(Origin(switching)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(a_handshake(path) + a_frame(b'{"cid": "c", "content": "%b"}' % CANARY.encode()))
        head = Response(await client.until(b"\r\n\r\n"))
        if head.status == 101:
            await eventually(lambda: got)
    return head, bytes(got)


@pytest.mark.parametrize("name", CASES)
async def test_b14_what_was_not_agreed_on_never_begins(name: str) -> None:
    head, got = await answered(b"/chat", CASES[name])

    assert head.status == 502
    assert head.values(b"sealyard-error") == [b"upstream-failed"]
    assert got == b""


@pytest.mark.parametrize("name", [name for name in CASES if "protocol" in name.split()])
async def test_b14_without_rules_another_protocol_never_begins(name: str) -> None:
    head, got = await answered(b"/elsewhere", CASES[name])

    assert head.status == 502
    assert got == b""


async def test_b14_what_was_agreed_on_begins() -> None:
    head, got = await answered(b"/chat", RIGHT)

    assert head.status == 101
    assert got
    assert CANARY.encode() not in got
