"""The safety net after the table of events: it hides what looks like a secret, whatever its source.

Nothing of a message or a key is ever reported, and texts of libraries are not written at all. What
remains are words of the configuration and of our own errors: a password that was typed in the
wrong place must not be repeated in the log that reports the mistake. Secrets are recognised by name
(`password=…`, `Cookie: …`) and by form (PEM, JWK, tokens, bearer tokens, random-looking text).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from .. import policy

HIDDEN: Final = "<hidden>"

_NAMES: Final = (
    "authorization|cookie|passphrase|passwd|password|pwd|secret|credentials?"
    "|api[_-]?key|access[_-]?key|private[_-]?key|session[_-]?(?:id|key)|token"
)
_ANY_CASE: Final = re.IGNORECASE | re.DOTALL
_SHAPES: Final = (
    # To the end of the text, since the rest of a truncated PEM block is a key too.
    re.compile(r"(?P<kept>)-----BEGIN [A-Z0-9 ]+-----.*", re.DOTALL),
    # The private members of RFC 7518 section 6, in JSON or as Python prints it.
    re.compile(r"""(?P<kept>["'](?:d|k|p|q|dp|dq|qi)["']\s*:\s*["'])[A-Za-z0-9_=-]{8,}"""),
    # JWE, JWS and our own tokens, also if truncated.
    re.compile(
        r"(?P<kept>)(?:eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}|sy1\.[A-Za-z0-9_-]{8,})"
    ),
    re.compile(
        r"(?P<kept>\b(?:bearer|basic|digest|negotiate)\s+)[A-Za-z0-9._~+/=-]{6,}", _ANY_CASE
    ),
    re.compile(r"(?P<kept>\b(?:set-)?cookie\s*:\s*).*", _ANY_CASE),
    # RFC 3986 section 3.2.1: what may hold a password.
    re.compile(r"(?P<kept>://)[^\s/@\"']+(?=@)"),
    # A word in lower case after a colon is a sentence about the name, not its value.
    re.compile(
        rf"""(?P<kept>(?:{_NAMES})["']?\s*(?:=|:(?!\s*[a-z]+(?:[\s,.;]|$))(?!//))\s*["']?)"""
        r"""[^\s"',;&]+""",
        _ANY_CASE,
    ),
)
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_HEX: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Fa-f])[0-9A-Fa-f]{32,}")
_DIGIT, _UPPER, _LOWER = re.compile("[0-9]"), re.compile("[A-Z]"), re.compile("[a-z]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ESCAPES: Final = re.compile(r"\\x[0-9a-f]{2}")
_HIGH: Final = re.compile(r"[\xa0-\xff]")


def scrubbed(text: str) -> str:
    """Return at most `SCRUBBED_CHARS` of the text, with all hidden that looks like a secret."""
    text = text[: policy.SCRUBBED_CHARS]
    if _read_from_bytes(text):
        return HIDDEN
    for shape in _SHAPES:
        text = shape.sub(_hidden, text)
    return _RUN.sub(_run, text)


def _hidden(match: re.Match[str]) -> str:
    # A template (r"\1…") would need an import, and none can be had while the process ends.
    return match["kept"] + HIDDEN


def _read_from_bytes(text: str) -> bool:
    """Return whether the text looks like bytes of a key: decoded as Latin-1, or escaped."""
    controls = len(_CONTROLS.findall(text)) + len(_ESCAPES.findall(text))
    return controls > policy.MOST_CONTROLS or (
        controls > 0 and len(_HIGH.findall(text)) > policy.MOST_HIGH
    )


def _run(match: re.Match[str]) -> str:
    # Base64 of 32 bytes has few slashes, a path has many: so each piece is judged, and the whole.
    run = match.group()
    whole = run.replace("/", "")
    found = any(map(_looks_random, run.split("/"))) or (
        not run.startswith("/") and _looks_random(whole) and _bits(whole) >= policy.BITS_OF_BASE64
    )
    return HIDDEN if found else run


def _looks_random(piece: str) -> bool:
    """Return whether letters and digits are mixed as in random text, not as in names."""
    if len(piece) < policy.SHORTEST_SECRET:
        return False
    if _HEX.fullmatch(piece):
        return True
    mixed = _UPPER.search(piece) and _LOWER.search(piece)
    if not _DIGIT.search(piece):
        return (
            bool(mixed)
            and len(piece) >= policy.SHORTEST_OF_TWO
            and _bits(piece) >= policy.BITS_OF_BASE64
        )
    if mixed:
        return _bits(piece) >= policy.MIXED_BITS
    return (
        len(piece) >= policy.SHORTEST_OF_TWO
        and piece.isalnum()
        and _bits(piece) >= policy.BITS_OF_TWO
    )


def _bits(text: str) -> float:
    """Return the Shannon entropy of the text, in bits per character."""
    whole = len(text)
    return -sum(n / whole * math.log2(n / whole) for n in Counter(text).values())
