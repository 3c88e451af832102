"""Reads the responses on one upstream connection; bytes in, facts out, no I/O.

It uses llhttp without leniencies (httptools), plus what RFC 9112 requires of a proxy and llhttp
does not check: one framing, no unrequested 101, no control bytes in the reason phrase, and limits
on the head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias

import httptools

from ...core.errors import UpstreamFailed
from ...core.http.message import ResponseHead
from .fast_heads import FastResponseHead, response_head_cache
from .framing import ABSENT, CHUNKED, Framing

_BAD_REASON: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LINE_ENDS: Final = 4

Awaits: TypeAlias = Callable[[FastResponseHead], bool]
"""Whether a response with this head is to be there whole, all of its body."""


def _never(_: FastResponseHead) -> bool:
    return False


class ResponseReader:
    """Reads one response after the other; `expect` announces each.

    `doubt` is set for good once the connection must not carry another message. `fast` is the head
    of a response that never met the parser: it came whole, or is held until `missing` more bytes
    have come.
    """

    __slots__ = (
        "_chunks",
        "_framing",
        "_head",
        "_head_bytes",
        "_head_limit",
        "_head_only",
        "_headers",
        "_headers_limit",
        "_heads",
        "_held",
        "_interim",
        "_parser",
        "_reason",
        "_upgrade",
        "bodiless",
        "complete",
        "doubt",
        "fast",
        "leftover",
        "missing",
        "started",
    )

    def __init__(self, *, head_limit: int, headers_limit: int) -> None:
        self._head_limit = head_limit
        self._headers_limit = headers_limit
        self._heads = response_head_cache()
        self._parser: httptools.HttpResponseParser | None = None
        self.doubt = False
        self._held: list[bytes] = []
        self.missing = 0
        self._begin_parsing()
        self.expect(head_only=False, upgrade=False)
        self.complete = True

    def expect(self, *, head_only: bool, upgrade: bool) -> None:
        """Make ready for the response to the next request."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._upgrade = upgrade
        self.started = False
        self._head: ResponseHead | None = None
        self._framing = ABSENT
        self.fast: FastResponseHead | None = None
        self.bodiless = False
        self.complete = False
        self.leftover = b""

    def _begin_parsing(self) -> None:
        """Forget what the parser found in another response."""
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._interim = False
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def head(self) -> ResponseHead | None:
        """The head of the response, once it is there."""
        return self._head if self.fast is None else self.fast.head

    @property
    def framing(self) -> Framing:
        """The framing of its body, once the head is there."""
        return self._framing if self.fast is None else self.fast.framing

    @property
    def delimited(self) -> bool:
        """Whether a body that was cut can be told from a whole one."""
        return self.bodiless or self.framing.present

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the upstream and return the body bytes among them.

        Raises:
            UpstreamFailed: They are not a response that may be passed on.
        """
        whole = self.whole(data)
        return self.parse(data) if whole is None else whole

    def whole(self, data: bytes, awaits: Awaits = _never) -> bytes | None:
        """Take a complete response that the parser need not see, and return its body.

        Return None where it is no such response, or not the first that came: then nothing is taken.
        Or where more of it is `missing`: `awaits` says whether one with such a head is held.
        """
        if self.started or self.complete or self._head_only:
            return self._more(data) if self._held else None
        heads = self._heads
        found = heads.found if data.startswith(heads.whole) else heads.find(data)
        if found is None:
            return None
        fast, size = found
        if size > self._head_limit or fast.fields > self._headers_limit:
            return None
        missing = fast.length - (len(data) - size)
        if missing:
            if missing > 0 and awaits(fast):
                self.fast, self.started = fast, True
                self._held, self.missing = [data], missing
            return None
        self.fast = fast
        self.started = self.complete = True
        return data[size:]

    def _more(self, data: bytes) -> bytes | None:
        """Do as `whole` with another piece of what is held."""
        self.missing -= len(data)
        if not self.missing:
            return self._joined(data)
        if self.missing > 0:
            self._held.append(data)
        else:
            self.missing = 0
        return None

    def _joined(self, last: bytes) -> bytes:
        first, *others = self._held
        fast = self.fast
        assert fast is not None  # noqa: S101 - it is held with its head
        self._held = []
        self.complete = True
        others.append(last)
        size = len(first) + sum(map(len, others)) - fast.length
        return b"".join((memoryview(first)[size:], *others))

    def parse(self, data: bytes) -> bytes:
        """Do as `feed`, for what is not `whole`."""
        if self._held:  # more has come than was missing
            data = b"".join((*self._held, data))
            self.fast, self.started, self._held = None, False, []
        first, self.started = not self.started, True
        if self._parser is None or self.complete:
            self.doubt = True
            return b""
        if first:
            self._begin_parsing()
        heading = self._head is None
        self._parse(self._parser, data)
        if heading and self._head is None:
            self._count(len(data))
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks = []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _parse(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.leftover = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            # Behind a complete response it is no longer that response's fault.
            self.doubt = True
            if not self.complete:
                raise _cause(error) from None

    def end(self) -> None:
        """Note that the upstream has closed its sending half.

        Raises:
            UpstreamFailed: The response is incomplete.
        """
        self.doubt = True
        if self.complete:
            return
        if self._head is None or self.delimited:
            raise UpstreamFailed("response-cut" if self.started else "no-response")
        self.complete = True

    # --- called by the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start a head: of the response, or of the one behind an interim response."""
        if self.complete:
            self.doubt = True

    def on_status(self, reason: bytes) -> None:
        """Take a piece of the reason."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; behind the body it is a trailer and dropped (RFC 9110 section 6.5.1)."""
        self._count(len(name) + len(value) + _LINE_ENDS)
        if self._head is None:
            self._headers.append((name, value.rstrip(b" \t")))
            if len(self._headers) > self._headers_limit:
                _refuse("response-headers")

    def on_headers_complete(self) -> None:
        """Check the head."""
        if self.complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in _VERSIONS or status < HTTPStatus.CONTINUE:
            _refuse("response-status-line")
        if _BAD_REASON.search(self._reason):
            _refuse("response-reason")
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._switch()
        elif status < HTTPStatus.OK:
            self._interim = True
            return
        self._framing = _framing(self._headers, self._parser.get_http_version())
        self.bodiless = self._head_only or status in _BODILESS
        self._head = ResponseHead(status, self._reason, tuple(self._headers))
        if self._head_only:
            self._finish(self._parser)
            # llhttp waits for a body that a response to HEAD does not have.
            self._parser = None

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self.complete:
            self.doubt = True
        else:
            self._chunks.append(data)

    def on_message_complete(self) -> None:
        """Close the message; an interim response (RFC 9110 section 15.2) is forgotten."""
        if self._interim:
            self._interim = False
            self._headers = []
            self._reason = b""
        elif not self.complete and self._parser is not None:
            self._finish(self._parser)

    def _finish(self, parser: httptools.HttpResponseParser) -> None:
        self.complete = True
        if not parser.should_keep_alive():
            self.doubt = True

    def _switch(self) -> None:
        if not self._upgrade:
            _refuse("unrequested-101")
        # No other protocol is ever asked for, and the 101 to the client names this one.
        if [value.lower() for name, value in self._headers if name.lower() == b"upgrade"] != [
            b"websocket"
        ]:
            _refuse("other-protocol")
        self.bodiless = True
        self.doubt = True

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._head_limit:
            _refuse("response-head")


def _refuse(reason: str) -> None:
    raise UpstreamFailed(reason)


def _cause(error: httptools.HttpParserError) -> UpstreamFailed:
    """Return the refusal that a callback raised inside the parser, or one for the parser's own."""
    if isinstance(error.__context__, UpstreamFailed):
        return error.__context__
    return UpstreamFailed("response-malformed")


def _framing(headers: Sequence[tuple[bytes, bytes]], version: str) -> Framing:
    """Return the framing of a response (RFC 9112 section 6.3); refuse what is ambiguous."""
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if codings:
        if lengths or len(codings) != 1 or codings[0].lower() != b"chunked" or version == "1.0":
            _refuse("response-framing")
        return CHUNKED
    if not lengths:
        return ABSENT
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        _refuse("response-framing")
    return Framing(int(lengths[0]))
