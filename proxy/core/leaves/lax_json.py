r"""JSON as lax writers send it, read as strict JSON of the same length.

A rule can `accept` what strict JSON has not. Each such place is masked, so that every other byte
lies where it lies in the body, which is forwarded as it came. What is masked is never sealed and
names nothing: readers differ over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from ..slices import paused

_MARK: Final = b"\xef\xbb\xbf"
# A string that is whole, or a number that JSON has not, with no other beside it.
_NUMBERS: Final = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"|(?<![\w.+-])(-?Infinity|NaN)(?![\w.+-])', re.DOTALL
)
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# To the readings of names it is one that is left out, as some readers leave out a lone half.
_INVISIBLE: Final = rb"u200b"


def masked(body: bytes, accept: AbstractSet[str]) -> tuple[bytes, list[int]]:
    """Return a JSON text without what is accepted in it, and where that began; of equal length."""
    spans: list[tuple[int, bytes]] = []
    if "byte-order-mark" in accept and body.startswith(_MARK):
        spans.append((0, b"   "))
    if "nan" in accept and (b"NaN" in body or b"Infinity" in body):
        spans += _numbers(body)
    if "lone-surrogates" in accept and b"\\u" in body:
        spans += _halves(body)
    if not spans:
        return body, []
    text = bytearray(body)
    for at, mask in spans:
        text[at : at + len(mask)] = mask
    return bytes(text), sorted(at for at, mask in spans if mask.strip())


def _numbers(body: bytes) -> Iterator[tuple[int, bytes]]:
    for found in paused(_NUMBERS.finditer(body)):
        if found[1]:
            # It has a fraction: conditions ask for none, so that it meets none in an answer.
            sign = b"-" if found[1].startswith(b"-") else b""
            yield found.start(), (sign + b"0.").ljust(len(found[1]), b"1")


def _halves(body: bytes) -> Iterator[tuple[int, bytes]]:
    for found in paused(_ESCAPES.finditer(body)):
        if found[1]:
            yield found.start(1), _INVISIBLE
