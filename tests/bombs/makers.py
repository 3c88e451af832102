"""Small messages that cost a careless reader much: coded, nested, crowded, or in crumbs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import brotli  # type: ignore[import-untyped] # it has no types
import zstandard

MEBIBYTE: Final = 1024 * 1024
MILLION: Final = 1_000_000
LIMIT: Final = 16 * MEBIBYTE
"""What a ruled body may have by default, coded and decoded."""

MESSAGE: Final = b'{"conversationId":"c","content":"secret"}'
_OPEN: Final = MESSAGE[:-1]
_ROOM: Final = LIMIT - 4096


@dataclass(frozen=True, slots=True)
class Bomb:
    """A body with its coding, and the status that it must get in a request."""

    make: Callable[[], bytes]
    status: int = 413
    coding: str = ""


def _deflated(wbits: int) -> bytes:
    """Return nearly 16 MiB that inflate to more than 15 GiB, in the frame that `wbits` stands for.

    After a full flush nothing refers back, so that one part may stand there often.
    """
    stream = zlib.compressobj(9, wbits=wbits)
    head = stream.compress(MESSAGE) + stream.flush(zlib.Z_FULL_FLUSH)
    part = stream.compress(b" " * 4 * MEBIBYTE) + stream.flush(zlib.Z_FULL_FLUSH)
    return head + part * (_ROOM // len(part))


def _members(number: int) -> bytes:
    """Return a message behind so many empty members of gzip."""
    return gzip.compress(b"", mtime=0) * number + gzip.compress(MESSAGE)


def _runs(window: int) -> bytes:
    """Return nearly 16 MiB of zstd that unfold into half a terabyte, in blocks that say "repeat".

    `window` is the descriptor of RFC 8878 section 3.1.1.1.2: 0x68 is 8 MiB, 0xA8 is 2 GiB.
    """
    run = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b" "
    return b"\x28\xb5\x2f\xfd" + bytes((0, window)) + run * (_ROOM // len(run))


def _spaces() -> bytes:
    return MESSAGE + b" " * (64 * MEBIBYTE)


def _full_of(piece: bytes) -> bytes:
    """Return a message that goes on with one thing until no more fits, and then does not end."""
    return _OPEN + b',"list":[' + piece * ((_ROOM - 64) // len(piece))


def _named() -> bytes:
    return _OPEN + b"".join(b',"k%d":0' % number for number in range(MILLION)) + b"}"


def listed(number: int) -> bytes:
    """Return a message with a list of so many elements."""
    return _OPEN + b',"list":[' + b'{"text":"x"},' * (number - 1) + b'{"text":"x"}]}'


CODED: Final = {
    "gzip": Bomb(lambda: _deflated(31), coding="gzip"),
    "deflate": Bomb(lambda: _deflated(15), coding="deflate"),
    "deflate without a frame": Bomb(lambda: _deflated(-15), coding="deflate"),
    "br": Bomb(lambda: brotli.compress(_spaces(), quality=2), coding="br"),
    "br of a large window": Bomb(lambda: b"\x11\x1e" + b"\xff" * MEBIBYTE, 400, "br"),
    "zstd": Bomb(lambda: zstandard.compress(_spaces()), coding="zstd"),
    "zstd of runs": Bomb(lambda: _runs(0x68), coding="zstd"),
    "zstd with a window of 2 GiB": Bomb(lambda: _runs(0xA8), 400, "zstd"),
    "gzip in gzip": Bomb(lambda: gzip.compress(_deflated(31)), 415, "gzip, gzip"),
    "gzip inside of gzip": Bomb(lambda: gzip.compress(_deflated(31)[:MEBIBYTE]), 400, "gzip"),
    "empty members": Bomb(lambda: _members(800_000), 400, "gzip"),
    "a million empty members": Bomb(lambda: _members(MILLION), coding="gzip"),
    "garbage behind gzip": Bomb(lambda: gzip.compress(MESSAGE) + b"\0" * MEBIBYTE, 400, "gzip"),
    "garbage behind deflate": Bomb(lambda: zlib.compress(MESSAGE) + b"\0", 400, "deflate"),
    "garbage behind br": Bomb(lambda: brotli.compress(MESSAGE) + b"\0" * 9, 400, "br"),
    "garbage behind zstd": Bomb(lambda: zstandard.compress(MESSAGE) + b"\0" * 9, 400, "zstd"),
    "empty frames": Bomb(lambda: zstandard.compress(b"") * MILLION, 400, "zstd"),
    "skippable frames": Bomb(lambda: b"\x50\x2a\x4d\x18\0\0\0\0" * MILLION, 400, "zstd"),
}
"""What unfolds, or seems to."""

PLAIN: Final = {
    "arrays in arrays": Bomb(lambda: b"[" * _ROOM, 400),
    "closed arrays in arrays": Bomb(lambda: b"[" * MILLION + b"]" * MILLION, 400),
    "arrays in a selected value": Bomb(lambda: b'{"content":' + b"[" * _ROOM, 400),
    "objects in objects": Bomb(lambda: b'{"content":' * MILLION, 400),
    "a million names": Bomb(_named),
    "one name a million times": Bomb(lambda: _OPEN + b',"a":0' * MILLION + b"}"),
    "a million elements": Bomb(lambda: listed(MILLION)),
    "digits": Bomb(lambda: b'{"n":' + b"1" * _ROOM, 400),
    "escapes": Bomb(lambda: _OPEN + b',"a":"' + b"\\u0061" * 2_500_000, 400),
    "pairs of escapes": Bomb(lambda: b'{"content":"' + b"\\ud83d\\ude00a" * 1_200_000, 400),
    "escapes in a name": Bomb(lambda: _OPEN + b',"' + b"\\u0061" * 2_500_000 + b'"', 400),
    "white space": Bomb(lambda: b" " * _ROOM + b"{", 400),
    "empty arrays": Bomb(lambda: _full_of(b"[],")),
    "empty objects": Bomb(lambda: _full_of(b"{},")),
    "empty strings": Bomb(lambda: _full_of(b'"",')),
}
"""What is large, or cut off, where a rule must read it."""
