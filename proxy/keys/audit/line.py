"""One line of the audit log: its members, its number, and the MAC that chains it to others.

Form: a JSON object in ASCII, `seq` first, `prev` and `mac` last. `mac` is HMAC-SHA-256 over all
bytes of the line before `,"mac"`; `prev` is the `mac` of the line before, empty in the first line
of all. So each line is authentic by itself, and says where it belongs.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ...core.crypto import base64url
from ...core.crypto.secret import AuditKey
from ..keyring.jwk_set import parse_object
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
_SEALED: Final = re.compile(rb'(.*),"mac":"([A-Za-z0-9_-]{43})"\}', re.DOTALL)


class AuditLine(NamedTuple):
    """An authentic line: its number and MAC, the MAC it follows, and all its members."""

    seq: int
    mac: str
    prev: str
    members: Mapping[str, Any]


def spelled(members: Values) -> bytes:
    """Return members as a line has them: without braces, with a comma before each."""
    shown = {name: _bounded(value) for name, value in members.items()}
    return b",%b" % _JSON(shown)[1:-1].encode("ascii") if shown else b""


def encode(seq: int, prev: str, members: bytes, key: AuditKey) -> tuple[bytes, str]:
    """Return the line of `spelled` members with its line feed, and its MAC."""
    body = b'{"seq":%d%b,"prev":"%b"' % (seq, members, prev.encode("ascii"))
    mac = _mac(body, key)
    return b'%b,"mac":"%b"}\n' % (body, mac.encode("ascii")), mac


def decode(text: bytes, key: AuditKey) -> AuditLine | None:
    """Return the line whose bytes these are, without a line feed; None unless it is authentic."""
    match = _SEALED.fullmatch(text)
    if match is None or len(text) > LINE_BYTES:
        return None
    mac = match[2].decode("ascii")
    # As text, so that no second spelling of the same bytes passes.
    if not any(hmac.compare_digest(_mac(match[1], one), mac) for one in key.all):
        return None
    members = parse_object(text)
    if members is None:
        return None
    seq, prev = members.pop("seq"), members.pop("prev")
    del members["mac"]
    return AuditLine(seq, mac, prev, members)


@lru_cache(maxsize=8)
def stamp(at: float) -> str:
    """Return a time (seconds since 1970) as lines write it: UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _bounded(value: Value | tuple[str, ...]) -> Value | tuple[str, ...]:
    if isinstance(value, str) and len(value) > TEXT_CHARS:
        return value[: TEXT_CHARS - 1] + "…"
    return value


def _mac(body: bytes, key: AuditKey) -> str:
    return base64url.encode(hmac.digest(key.reveal(), _LABEL + body, "sha256")).decode()
