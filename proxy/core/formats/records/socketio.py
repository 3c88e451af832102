"""Packets of Engine.IO 4 and, in them, of Socket.IO 5: where the JSON arrays of events lie.

https://github.com/socketio/engine.io-protocol and https://github.com/socketio/socket.io-protocol.
Engine.IO separates the packets of one HTTP body by U+001E; a WebSocket carries one packet a
message. A packet that is not spelled exactly so is refused: what a laxer parser, or one of an older
version, makes of it might be an event that no rule has seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody
from ...policy import ATTACHMENTS, RECORDS
from .. import json as json_format
from ..body_format import NOT_ANNOUNCED, RecordFormat, TextRecord

SEPARATOR: Final = b"\x1e"

# What Engine.IO says for itself: close, ping, pong, upgrade, noop; a probe before an upgrade.
_PLAIN: Final = re.compile(rb"[12356]|[23]probe")
_OPEN: Final = re.compile(rb"0(\{.*\})", re.DOTALL)
_BASE64: Final = re.compile(rb"b[A-Za-z0-9+/]*={0,2}")
_NAMESPACE: Final = rb"(?:/[^,\x00-\x20\x7f]*,)?"
# event, ack, binary event and binary ack, with their array
_EVENT: Final = re.compile(
    rb"4(?:[23]|[56](?P<count>0|[1-9][0-9]{0,4})-)" + _NAMESPACE + rb"(?:0|[1-9][0-9]{0,15})?(?=\[)"
)
# connect, disconnect and connect error, with an object or none
_SESSION: Final = re.compile(
    rb"4(?:[04]" + _NAMESPACE + rb"(?P<body>[{\"].*)?|1" + _NAMESPACE + rb")"
)
_ACKS: Final = frozenset({b"3", b"6"})
_PLACE: Final = re.compile(
    rb'\{[ \t\r\n]*"_placeholder"[ \t\r\n]*:[ \t\r\n]*true[ \t\r\n]*,'
    rb'[ \t\r\n]*"num"[ \t\r\n]*:[ \t\r\n]*(0|[1-9][0-9]{0,4})[ \t\r\n]*\}'
)
_BARE_NAMESPACE: Final = re.compile(rb"4[01]/[^,\x00-\x20\x7f]*")
_NAME: Final = re.compile(rb'\[[ \t\r\n]*"([A-Za-z][A-Za-z_:./-]{0,47})"')


class Packet(NamedTuple):
    """Where the array of an event or ack lies; `attachments` are how many binary parts it has."""

    start: int
    end: int
    attachments: int
    is_ack: bool


def find(body: bytes, awaited: int = 0) -> list[Packet]:
    """Return the arrays of all events and acks of a body, in order.

    `awaited` is how many attachments have been announced before. Raises InvalidBody for what is no
    packet, for an attachment that was not announced, and for a packet where one should have come;
    BodyTooLarge for more than thirty thousand packets.
    """
    if body.count(SEPARATOR) > RECORDS:
        raise BodyTooLarge("too-many-packets")
    found: list[Packet] = []
    at = 0
    for packet in body.split(SEPARATOR):
        end = at + len(packet)
        if packet.startswith(b"b"):
            awaited = _attached(packet, awaited)
        elif (event := _EVENT.match(packet)) is not None:
            count = _announced(event, awaited)
            awaited = count
            found.append(Packet(at + event.end(), end, count, packet[1:2] in _ACKS))
        else:
            _check_other(packet, awaited)
        at = end + 1
    return found


def other_packets(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what packets of a body say that are no events: `open`, `connect` or `error`, and JSON.

    The body is one that `find` has taken.
    """
    for packet in body.split(SEPARATOR):
        if (opening := _OPEN.fullmatch(packet)) is not None:
            yield "open", opening[1]
        elif packet[1:2] in {b"0", b"4"} and (session := _SESSION.fullmatch(packet)) is not None:
            yield "connect" if packet[1:2] == b"0" else "error", session["body"] or b""


def attachments(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the Base64 of each attachment lies in a body that `find` has taken."""
    at = 0
    for packet in body.split(SEPARATOR):
        end = at + len(packet)
        if packet.startswith(b"b"):
            yield at + 1, end
        at = end + 1


def needs_session(packet: bytes) -> bool:
    """Return whether a packet is of Socket.IO, which the transport that is in use carries alone."""
    return packet.startswith(b"4")


def attachment_number(value: bytes) -> int | None:
    """Return the number in a value that is the place of an attachment, spelled as clients do."""
    place = _PLACE.fullmatch(value)
    return None if place is None else int(place[1])


def refuse_placeholders(value: bytes) -> None:
    """Refuse a value that holds, or is, the place of an attachment: that is sent beside it, open.

    Raises:
        ForbiddenValue: An object in the value has a member `_placeholder`.
    """
    if b"_placeholder" in value or b"\\u" in value:
        _PLACEHOLDERS.decode(value.decode())


def _refuse_placeholder(pairs: list[tuple[str, object]]) -> None:
    if any(name == "_placeholder" for name, _ in pairs):
        raise ForbiddenValue(
            "binary-placeholder",
            detail="A selected value has binary within it: select that by its own path.",
        )


_PLACEHOLDERS: Final = json.JSONDecoder(
    object_pairs_hook=_refuse_placeholder, parse_int=len, parse_float=len
)


def _attached(packet: bytes, awaited: int) -> int:
    if not awaited:
        raise InvalidBody("attachment-not-announced", detail=NOT_ANNOUNCED)
    if not _BASE64.fullmatch(packet):
        raise InvalidBody("not-a-packet")
    return awaited - 1


def _announced(event: re.Match[bytes], awaited: int) -> int:
    if awaited:
        raise InvalidBody("attachment-missing")
    count = int(event["count"] or 0)
    if count > ATTACHMENTS:
        raise BodyTooLarge("too-many-attachments")
    return count


def _check_other(packet: bytes, awaited: int) -> None:
    """Refuse what is no packet, or one of Socket.IO that comes between attachments."""
    if _PLAIN.fullmatch(packet):
        return
    if (opening := _OPEN.fullmatch(packet)) is not None:
        json_format.validate(opening[1])
        return
    session = _SESSION.fullmatch(packet)
    if session is None and not _BARE_NAMESPACE.fullmatch(packet):
        raise InvalidBody("not-a-packet")
    if awaited:
        raise InvalidBody("attachment-missing")
    if session is not None and session["body"]:
        json_format.validate(session["body"])


class EventRecord(TextRecord):
    """The array of an event or ack."""

    __slots__ = ("_is_ack",)

    def __init__(self, body: bytes, packet: Packet) -> None:
        """Read the array of a packet of a body."""
        super().__init__(body, packet.start, packet.end)
        self._is_ack = packet.is_ack

    @property
    def name(self) -> str:
        """Return `ack`, or the name of an event: `event message:send`.

        A name with digits, blanks or escapes, or a long one, may be a value: it is `*`.
        """
        if self._is_ack:
            return "ack"
        found = _NAME.match(self.text)
        return "event *" if found is None else f"event {found[1].decode()}"


class PacketRecord(EventRecord):
    """The array of an event or ack with attachments."""

    __slots__ = ("attachments",)

    def __init__(self, body: bytes, packet: Packet) -> None:
        """Read the array of a packet of a body."""
        super().__init__(body, packet)
        self.attachments = packet.attachments

    def attachment(self, start: int, end: int) -> int | None:
        """Return the number of the attachment that a value stands for, or None."""
        number = attachment_number(self.text[start:end])
        return number if number is not None and number < self.attachments else None

    def check_value(self, start: int, end: int) -> None:
        """Raise ForbiddenValue for a value that has binary within it."""
        refuse_placeholders(self.text[start:end])


class SocketioPackets:
    """What Engine.IO and Socket.IO send beside events."""

    receipts: ClassVar[frozenset[bytes]] = frozenset({b"ok", b"OK"})
    """What Engine.IO answers to a POST of packets, in JavaScript and in Python."""
    separator: ClassVar[bytes] = SEPARATOR
    attachments = staticmethod(attachments)
    needs_session = staticmethod(needs_session)
    others = staticmethod(other_packets)


class SocketioFormat(RecordFormat):
    """Packets of Engine.IO with those of Socket.IO in them."""

    kind = "socketio"
    example = b'2\x1e42["sent",{"note":"secret"}]\x1e431[{"note":"secret"}]'
    packets = SocketioPackets()
    has_names = True

    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterator[EventRecord]:
        """Yield the arrays of events and acks; raise as `find` does."""
        for packet in find(body, awaited):
            if packet.attachments:
                yield PacketRecord(body, packet)
            else:
                yield EventRecord(body, packet)


SOCKETIO: Final = SocketioFormat()
