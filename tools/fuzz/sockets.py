"""Targets that read WebSockets, and the packets of Socket.IO that they carry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from proxy.core.errors import BodyTooLarge, InvalidBody
from proxy.core.formats import json as json_format
from proxy.core.formats.records import socketio
from proxy.traffic.websocket.closing import Breach
from proxy.traffic.websocket.deflate import compress
from proxy.traffic.websocket.frames import BINARY, CLOSE, PING, TEXT, frame
from proxy.traffic.websocket.reader import Arrived, MessageReader

_CUT_BYTES: Final = 4
_LIMIT: Final = 65536


def messages(data: bytes) -> None:
    """What a peer sends means the same however its bytes are cut; no message is above its limit."""
    if len(data) < _CUT_BYTES:
        return
    flags, cut, sent = data[0], int.from_bytes(data[1:_CUT_BYTES]), data[_CUT_BYTES:]
    cut %= len(sent) + 1
    whole = _read([sent], flags)
    pieces = _read([sent[:cut], sent[cut:]], flags)
    if whole != pieces:
        raise AssertionError("messages differ when their bytes come in two pieces")
    for one in whole[0]:
        if len(one.payload) > _LIMIT:
            raise AssertionError("a message is longer than it may be")
        if one.opcode == TEXT:
            one.payload.decode()


def _read(pieces: list[bytes], flags: int) -> tuple[list[Arrived], int]:
    reader = MessageReader(masked=bool(flags & 1), limit=_LIMIT, deflate=bool(flags & 2))
    found: list[Arrived] = []
    try:
        for piece in pieces:
            reader.put(piece)
            while (arrived := reader.next()) is not None:
                found.append(arrived)
    except Breach as breach:
        return found, breach.code
    return found, 0


def frames() -> list[bytes]:
    """Return beginnings: whole messages of each kind, with flags that read them."""
    return [bytes((flags, 0, 0, 3)) + _conversation(flags) for flags in range(4)]


def _conversation(flags: int) -> bytes:
    masked, packed = bool(flags & 1), bool(flags & 2)
    payload = compress(b"hello", 15) if packed else b"hello"
    return (
        frame(TEXT, payload, masked=masked, compressed=packed)
        + frame(PING, b"p", masked=masked)
        + frame(BINARY, bytes(200), masked=masked)
        + frame(CLOSE, b"\x03\xe8bye", masked=masked)
    )


def packets(data: bytes) -> None:
    """A lax reader finds no event in a body that was taken, but those that were found.

    A body is taken when its packets are, and when every array in them is strict JSON, as the
    selectors that read them demand.
    """
    try:
        found = {data[one.start : one.end] for one in socketio.find(data)}
        for array in found:
            json_format.validate(array)
    except (InvalidBody, BodyTooLarge):
        return
    found = {array.strip() for array in found}
    for array in _lax_events(data):
        if array not in found:
            raise AssertionError("an event was not found")


def packet_seeds() -> list[bytes]:
    """Return bodies of packets."""
    return [
        b'42["m",{"content":"x"}]',
        b'40\x1e42/chat,13["m",{"content":"x"}]\x1e2',
        b'451-["m",{"_placeholder":true,"num":0}]\x1ebAQ==',
        b'430["ok"]\x1e0{"sid":"a"}\x1e41/a,\x1e44"no"',
        b'27:42["m",{"content":"x"}]',
        # The array of an event is no JSON, and a reader of version 3 finds another in it.
        b'4331[XXX"ok:43["ok"]',
        # A namespace that holds a colon; no reader takes what is before it for a length.
        b'40/44"no&0[":43["ok"]',
    ]


_LENGTH: Final = re.compile(rb"\A[ \t0-9A-Za-z.+-]*:")
"""What Engine.IO 3 writes before a packet, with all that JavaScript takes for a number."""


def _lax_events(body: bytes) -> Iterator[bytes]:
    """Yield the arrays that something laxer than socket.io-parser reads: any bracket will do."""
    for piece in body.split(b"\x1e"):
        packet = piece.strip()
        for read_from in (packet, _LENGTH.sub(b"", packet, count=1)):
            kind, rest = read_from[:2], read_from[2:]
            at = rest.find(b"[")
            if kind in {b"42", b"43", b"45", b"46"} and at >= 0:
                try:
                    read = json.loads(rest[at:])
                except (ValueError, RecursionError):
                    continue
                if isinstance(read, list):
                    yield rest[at:]
