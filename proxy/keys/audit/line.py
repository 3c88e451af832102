"""One line of the audit log: its members, its number, and the MAC that chains it to others.

Form: a JSON object in ASCII, `seq` first, `prev` and `mac` last. `mac` is HMAC-SHA-256 over all
bytes of the line before `,"mac"`; `prev` is the `mac` of the line before, empty in the first line
of all. So each line is authentic by itself, and says where it belongs.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from ...core.crypto import base64url
from ...core.crypto.secret import AuditKey
from ..policy import LINE_BYTES, TEXT_CHARS

Value = str | int
"""What a line may hold: names, codes and numbers, never key material and never a value."""

Values = Mapping[str, Value | tuple[str, ...]]
"""All that a line holds by name; a tuple is as long as whoever writes it lets it be."""


ATTEMPTED: Final = "open.attempted"
"""The event of a message that is about to hand over what it opened."""

OVER: Final = "open.over"
"""The event that tells which of them were `delivered` whole and which were `cut`, by their ids."""

RESERVED: Final = frozenset({"seq", "at", "event", "uid", "pid", "prev", "mac"})

_LABEL: Final = b"sealyard/v1/audit/line\x00"
_JSON: Final = json.JSONEncoder(separators=(",", ":")).encode
_FIRST: Final = b'{"seq":'
_LAST: Final = b',"prev":"'
_OF_LOG: Final = b',"event":"audit.'
_TORN: Final = b',"torn_'
"""No text has these, since the quotation marks of texts are escaped."""
_BEFORE: Final = b',"mac":"'
_TAIL_BYTES: Final = len(_BEFORE) + 43 + len('"}')


class AuditLine(NamedTuple):
    """An authentic line: its number and MAC, the MAC it follows, and its text.

    `of_log` says that it may be about the log itself: that its event begins with `audit.`, or that
    it has fields of a torn line.
    """

    seq: int
    mac: str
    prev: str
    text: bytes

    @property
    def of_log(self) -> bool:
        """Whether the members say something of the log."""
        return _OF_LOG in self.text or _TORN in self.text

    @property
    def members(self) -> Mapping[str, Any]:
        """All members; it is authentic, so it is what `encode` wrote."""
        members: dict[str, Any] = json.loads(self.text)
        return members


def spelled(members: Values) -> bytes:
    """Return members as a line has them: without braces, with a comma before each."""
    shown = {name: _bounded(value) for name, value in members.items()}
    return b",%b" % _JSON(shown)[1:-1].encode("ascii") if shown else b""


class LineMac:
    """HMAC-SHA-256 of lines under a key, begun once for many of them."""

    __slots__ = ("_begun",)

    def __init__(self, key: AuditKey) -> None:
        self._begun = HMAC(key.reveal(), SHA256())
        self._begun.update(_LABEL)

    def of(self, body: bytes) -> bytes:
        """Return the MAC of all that stands before it in a line."""
        mac = self._begun.copy()
        mac.update(body)
        return base64url.encode(mac.finalize())


def encode(seq: int, prev: bytes, members: bytes, mac_of: LineMac) -> tuple[bytes, bytes]:
    """Return the line of `spelled` members with its line feed, and its MAC."""
    body = b'{"seq":%d%b,"prev":"%b"' % (seq, members, prev)
    mac = mac_of.of(body)
    return b'%b%b%b"}\n' % (body, _BEFORE, mac), mac


class LineReader:
    """Reads lines that are chained under a key, or under one that it replaced."""

    def __init__(self, key: AuditKey) -> None:
        """Begin the MAC of a line under each key, once for all lines."""
        self._macs = [LineMac(one) for one in key.all]

    def read(self, piece: bytes) -> AuditLine | None:
        """Return the line of a piece of the file; None for anything else, such as a torn one.

        Of the very last line, the line feed may be missing: it is whole all the same.
        """
        text = piece.removesuffix(b"\n")
        body, tail = text[:-_TAIL_BYTES], text[-_TAIL_BYTES:]
        if len(text) > LINE_BYTES or tail[: len(_BEFORE)] != _BEFORE or tail[-2:] != b'"}':
            return None
        mac = tail[len(_BEFORE) : -2]
        # As text, so that no second spelling of the same bytes passes.
        for one in self._macs:  # no generator: it would be made for each of a million lines
            if hmac.compare_digest(one.of(body), mac):
                break
        else:
            return None
        # By their places, since it is what `encode` wrote: JSON would take as long as all the rest.
        seq = int(body[len(_FIRST) : body.index(b",")])
        prev = body[body.rindex(_LAST) + len(_LAST) : -1]
        return AuditLine(seq, mac.decode("ascii"), prev.decode("ascii"), text)


def stamp(at: float) -> str:
    """Return a time (seconds since 1970) as lines write it: UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def begun(at: float, event: str) -> bytes:
    """Return the members that each line begins with, as `spelled` does."""
    milliseconds = int(at * 1000)
    return _begun(milliseconds // 1000, event) % (milliseconds % 1000)


@lru_cache(maxsize=64)
def _begun(second: int, event: str) -> bytes:
    """Return them once for the lines of a second, but for three digits of the time."""
    at, more = stamp(second), spelled({"event": event}).replace(b"%", b"%%")
    return b',"at":"%b"%b' % (at.replace(".000", ".%03d").encode("ascii"), more)


def _bounded(value: Value | tuple[str, ...]) -> Value | tuple[str, ...]:
    if isinstance(value, str) and len(value) > TEXT_CHARS:
        return value[: TEXT_CHARS - 1] + "…"
    return value
