"""The text of tokens in JWE form, `head..iv.ciphertext.tag`, and tokens found in any text."""

from __future__ import annotations

import re
from typing import Final

from ..slices import paused
from .base64url import LAST, decode, decode_within, encode, encode_within

JWE_PREFIX: Final = b"eyJ0eXAiOiJzeTEi"  # base64url of {"typ":"sy1"
SHORT_PREFIX: Final = b"sy1."
BASE64_PREFIX: Final = b"iVNZMUI2NA0K"  # base64 of 89 "SY1B64" and a line end
PREFIXES: Final = (JWE_PREFIX, SHORT_PREFIX, BASE64_PREFIX)
"""With what every token begins, in each of its forms."""

LARGE: Final = 8192
"""From so many bytes on, the vector instructions of pybase64, which the Python form uses, are
faster than the native form, which has none."""

_CHARS: Final = rb"[A-Za-z0-9_-]"
TAGS: Final = rb"~(?:(?:[a-z2-7]{5}~)++|(?:[a-z2-7]{27}~)++)"
"""What may stand behind a token: tags of words, or of values as a whole. No token has a `~`."""
TAGS_PATTERN: Final = re.compile(TAGS)
_END: Final = rb"(?:%(?:25)*+[27]?)?(?![A-Za-z0-9_~-])"
LEFT_TAGS_PATTERN: Final = re.compile(
    rb"(?:~(?:[a-z2-7]{27}~|[a-z2-7]{5}~)++)++"
    rb"(?:[a-z2-7]{,5}+%b|(?<=[a-z2-7]{27}~)[a-z2-7]{,27}+%b|~[a-z2-7]{,27}+%b)?"
    rb"|~[a-z2-7]{,27}+%b" % (_END, _END, _END, _END)
)
"""What a backend may have left of tags, and groups of them: a preview ends anywhere."""
_HEAD: Final = rb"%s%s*+" % (JWE_PREFIX, _CHARS)
_WHOLE: Final = rb"\.\.%s{16}\.%s*+\.%s{22}" % (_CHARS, _CHARS, _CHARS)
# A truncated token: it has its beginning, not its end.
_CUT: Final = rb"(?:\.\.%s++(?:\.%s++(?:\.%s++)?|\.\.%s++)?)?" % (_CHARS, _CHARS, _CHARS, _CHARS)
JWE_PATTERN: Final = re.compile(_HEAD + _WHOLE)
CUT_PATTERN: Final = re.compile(_HEAD + _CUT)
# The beginning of a token in the short form, up to the time in its session id, or in the equal one.
SHORT_CUT_PATTERN: Final = re.compile(rb"sy1\.[AC]%s{11,}+" % _CHARS)
_SHORT_LENGTH: Final = 79
_CANDIDATE: Final = re.compile(
    b"|".join(
        (
            rb"%b(?:%b|%b)" % (_HEAD, _WHOLE, _CUT),  # a head may be long: it is read once
            rb"sy1\.%s{%d,}+" % (_CHARS, _SHORT_LENGTH),
            SHORT_CUT_PATTERN.pattern,
        )
    )
)
_CERTAIN: Final = len(b"sy1.") + _SHORT_LENGTH
"""So many bytes from its beginning tell whether there is a candidate."""
_QUOTE: Final = ord('"')

_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16

_DOT: Final = ord(".")
# After a head and its dot, and before the end.
_IV_END: Final = 1 + 16
_TAG: Final = -22
_BEGINNING: Final = b'"' + JWE_PREFIX
# With these characters, which are zeros, a text ends where its bytes do.
_FILL: Final = (b"", b"", b"AA", b"A")
_NO_STRING: Final = 0, 1
"""The place of what is none: too short to be a token, whatever is there."""
_ALONE: Final = 65_536
"""A longer string is decoded by itself, so that less of it is copied."""
_REST: Final = len("..") + 16 + len(".") + len(".") + 22


def may_spell(text: bytes) -> bool:
    """Return False only where no character of a text is spelled by an escape."""
    return b"%" in text or b"\\" in text or b"&" in text


def token_text(head: bytes, iv: bytes, sealed: bytes, /) -> bytes:
    """Return the text of a sealed value; raise ValueError for an IV or a tag of another size."""
    end = len(sealed) - _TAG_BYTES
    if len(iv) != _IV_BYTES or end < 0:
        raise ValueError("an IV has 12 bytes and a tag 16")
    beside = encode(iv + sealed[end:])  # the IV's text ends as its bytes
    text, rest = encode_within(sealed, end)
    before, tag = beside[: _IV_END - 1], beside[_IV_END - 1 :]
    return b"".join((head, b"..", before, b".", text, rest, b".", tag))


def token_parts(text: bytes, /) -> tuple[bytes, bytes, bytes] | None:
    """Return head text, IV and ciphertext with tag; None for what is no token, or not canonical.

    Of the head, only its prefix is certain.
    """
    # The places of the dots are known: to split at them would look at each byte.
    at = text.find(b".") + 1
    end = len(text) + _TAG - 1
    if not text.startswith(JWE_PREFIX) or len(text) - at < _REST - 1:
        return None
    if not text[at] == text[at + _IV_END] == text[end] == _DOT:
        return None
    # The IV's text ends as its bytes.
    beside = decode(text[at + 1 : at + _IV_END] + text[_TAG:])
    if beside is None:
        return None
    sealed = decode_within(text, at + _IV_END + 1, end, beside[_IV_BYTES:])
    return None if sealed is None else (text[: at - 1], beside[:_IV_BYTES], sealed)


def tokens_at(body: bytes, places: list[int], /) -> list[tuple[bytes, bytes, bytes] | None]:
    """Return what `token_parts` does for each JSON string of a body, None where there is none.

    `places` has the start and the end of each string with its quotes; raises ValueError where one
    of them is missing. A caller with many gives a few at a time, and pauses between them.
    """
    ends = iter(places)
    strings = [
        (start, end)
        if 0 <= start < end - 1 < len(body) and body[start] == body[end - 1] == _QUOTE
        else _NO_STRING
        for start, end in paused(zip(ends, ends, strict=True))
    ]
    found = _decoded_together(body, strings) if len(strings) > 1 else None
    if found is None:  # each by itself
        found = [token_parts(body[start + 1 : end - 1]) for start, end in paused(strings)]
    return found


def _decoded_together(
    body: bytes, strings: list[tuple[int, int]]
) -> list[tuple[bytes, bytes, bytes] | None] | None:
    """Return the tokens of many strings, decoded as one text; None where that cannot be.

    Most tokens of a list have one head. To decode each of them takes three times as long.
    """
    found: list[tuple[bytes, bytes, bytes] | None] = [None] * len(strings)
    pieces: list[bytes] = []
    sizes: list[tuple[int, bytes, int]] = []
    head = begin = b""
    for number, (start, end) in enumerate(paused(strings)):
        if not begin or not body.startswith(begin, start):
            dot = body.find(b".", start, end)
            begin = body[start : dot + 2] if dot > 0 else b""
            if not begin.startswith(_BEGINNING) or not begin.endswith(b".."):
                begin = b""
                continue
            head = begin[1:-2]
        at = start + len(begin)
        last = end + _TAG - 2
        size = last - at - _IV_END
        if end - start > _ALONE:
            return None
        if size < 0 or not body[at + _IV_END - 1] == body[last] == _DOT:
            continue
        if body[end - 2] not in LAST[2] or (size and body[last - 1] not in LAST[size % 4]):
            continue
        sizes.append((number, head, size))
        text = body[at + _IV_END : last]
        pieces += (body[at : at + _IV_END - 1], body[last + 1 : end - 1], b"AA", text)
        pieces.append(_FILL[size % 4])
    decoded = decode(b"".join(pieces))
    if decoded is None:
        return None
    at = 0
    for number, head, size in sizes:
        sealed = at + _IV_BYTES + _TAG_BYTES + 2
        text = decoded[sealed : sealed + size * 3 // 4]
        tag = decoded[at + _IV_BYTES : sealed - 2]
        found[number] = head, decoded[at : at + _IV_BYTES], text + tag
        at = sealed + (size + 3) // 4 * 3
    return found


def candidates(text: bytes, at: int, end: int, /) -> list[int]:
    """Return the start and the end of each text that looks like a token or the beginning of one.

    In order and apart, of those that begin from `at` on and before `end`; the last may go on behind
    it. Raises OverflowError for a negative place.
    """
    if at < 0 or end < 0:
        raise OverflowError("a place is not negative")
    found: list[int] = []
    # What is found may be cut by the end of this piece, and longer or another one in the text.
    piece = end + _CERTAIN
    while match := _CANDIDATE.search(text, at, piece):
        if match.start() >= end:
            break
        start = match.start()
        whole = match if piece >= len(text) else _CANDIDATE.match(text, start)
        assert whole is not None  # noqa: S101 - no pattern fails where there is more of the same
        at = whole.end()
        found += (start, at)
    return found
