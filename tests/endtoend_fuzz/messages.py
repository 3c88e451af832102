"""Requests to begin with, and requests that came of them by small mistakes.

Each carries one canary where the rule selects it. MARK stands for it until the mistakes are made,
so that it is neither doubled nor cut.
"""

from __future__ import annotations

import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
import re
from typing import Final

from tests.smuggling.corpus import rows

MARK: Final = b"<<canary>>"
BEGINNING: Final = b"CanaryOfAFuzzedField"
"""How each canary begins, and nothing else."""

_BODIES: Final = (
    b'{"content":"<<canary>>"}',
    b'{"a":[1,{"b":"\\u00e9"}],"content" : "<<canary>>","n":1e400}',
    b'{"content":{"x":["<<canary>>"]},"y":null}',
    b'[{"content":"<<canary>>"}]',
    b'{"content":"a","list":[{"content":"<<canary>>"}],"content2":""}',
    b'{"content":null,"Content":"<<canary>>"}',
)
_LINES: Final = (
    b"Content-Type: application/json",
    b"Content-Type: application/json; charset=utf-8",
    b"Content-Type: text/plain",
    b"Content-Encoding: identity",
    b"Content-Encoding: gzip",
    b"Connection: close",
    b"Connection: keep-alive, Content-Type",
    b"Connection: Content-Length",
    b"Expect: 100-continue",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"TE: trailers",
    b"Trailer: Content-Length",
    b"X-HTTP-Method-Override: GET",
    b"Host: other",
    b"Via: 1.1 x",
    b"X: \xff\xfe",
)
_TARGETS: Final = (b"/a", b"/a/b?c=d", b"/", b"//a/./b", b"/%61", b"http://h/a", b"*", b"/a;b")
_METHODS: Final = (b"POST", b"PUT", b"PATCH", b"GET", b"DELETE", b"OPTIONS", b"HEAD", b"post")
_PIECES: Final = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b'"', b"{", b"}", b"[", b"]"),
    *(b"\\", b"\\u0063", b"0\r\n\r\n", b"1\r\n", b"ffffffff\r\n", b"-1", b"0x", b"+", b"_", b"%"),
    *(b"%2f", b"%00", b"..", b"#", b"?", b"@", b"\x0b", b"\x85", b"\xc2\xa0", b"\xff", b"HTTP/1.1"),
    *(b"chunked", b"Chunked", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"content"),
)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n|\r\r|\n\r")
_REQUEST_LINE: Final = re.compile(rb"\A[A-Za-z]+ |HTTP/1\.\d[ \t]*[\r\n]")
"""One, or its beginning."""


class Fuzzer:
    """Makes requests, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        """Begin with the corpora of smuggling and with a grammar."""
        self._random = random.Random(seed)  # noqa: S311 - see above
        self._rows = [row.raw for row in rows()]
        self.made = 0

    def next(self) -> bytes:
        """Return a connection's bytes: a sound request or none, a changed one, and a sound one."""
        self.made += 1
        changed = self._start()
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3, 5))):
            changed = self._mistake(changed)
        before = self._sound() if self._random.random() < 0.3 else b""
        behind = self._sound() if self._random.random() < 0.3 else b""
        return before + self._marked(changed) + behind

    def _start(self) -> bytes:
        if self._random.random() < 0.5:
            return self._sound_template()
        raw = self._random.choice(self._rows)
        body = self._random.choice(_BODIES)
        head, end, _ = raw.partition(b"\r\n\r\n")
        # Half of the rows keep their own body, and have the canary behind it.
        if end and self._random.random() < 0.5:
            length = b"Content-Length: %d" % self._length(body)
            head = re.sub(rb"(?i)content-length: *\d+", length, head)
            return head + end + body
        return raw + body

    def _sound_template(self) -> bytes:
        body = self._random.choice(_BODIES)
        lines = [
            self._random.choice(_METHODS[:3]) + b" " + self._random.choice(_TARGETS) + b" HTTP/1.1",
            b"Host: h",
            _LINES[0],
        ]
        if self._random.random() < 0.5:
            lines.append(b"Content-Length: %d" % self._length(body))
        else:
            lines.append(b"Transfer-Encoding: chunked")
            # A chunk may end anywhere but within the mark, whose length is not yet known.
            at = self._random.randint(1, body.index(MARK))
            first, rest = body[:at], body[at:]
            body = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
                len(first),
                first,
                self._length(rest),
                rest,
            )
        return b"\r\n".join([*lines, b"", b""]) + body

    @staticmethod
    def _length(body: bytes) -> int:
        """Return how long a body will be with its canary."""
        return len(body) + (len(BEGINNING) + 12 - len(MARK)) * body.count(MARK)

    def _sound(self) -> bytes:
        return self._marked(self._sound_template())

    def _mistake(self, data: bytes) -> bytes:
        at = self._random.randint(0, len(data))
        end = min(len(data), at + self._random.choice((1, 1, 2, 4, 16)))
        piece = self._random.choice(_PIECES)
        row = self._random.choice(self._rows)
        begin = self._random.randint(0, len(row))
        line = data.find(b"\r\n") + 2
        kinds = (
            data[:at] + data[end:],
            data[:at] + piece + data[at:],
            data[:at] + piece + data[end:],
            data[:end] + data[at:end] + data[end:],
            data[:at] + bytes((self._random.randrange(256),)) + data[at + 1 :],
            data[:at] + data[at:end].swapcase() + data[end:],
            data[:line] + self._random.choice(_LINES) + b"\r\n" + data[line:],
            data[:at] + row[begin : begin + 40] + data[end:],
        )
        return self._random.choice(kinds)

    def _marked(self, data: bytes) -> bytes:
        """Put the canary where the first mark is in a body, and nothing where others are.

        A head may have anything but a canary. A mistake may leave that of a second request in front
        of a mark: a request line, and no blank line behind it.
        """
        canary = BEGINNING + b"%012x" % self._random.getrandbits(48)
        filler = b"x" * len(canary)
        blanks = [blank.end() for blank in _BLANK_LINE.finditer(data)]
        pieces = data.split(MARK)
        marked, at = pieces[0], len(pieces[0])
        for piece in pieces[1:]:
            behind = [end for end in blanks if end <= at]
            in_body = bool(behind) and not _REQUEST_LINE.search(data[behind[-1] : at])
            marked += (canary if in_body and canary not in marked else filler) + piece
            at += len(MARK) + len(piece)
        return marked
