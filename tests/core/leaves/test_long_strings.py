"""A long JSON string is read in pieces, and reads as it would at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import slices
from proxy.core.leaves import strings
from proxy.core.policy import LARGE_BYTES, PIECE_BYTES

UNITS = [
    "a",
    "é",
    "€",
    "😀",
    "\\n",
    '\\"',
    "\\\\",
    "\\u00e9",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00",
]


def a_literal(before: int, units: list[str]) -> bytes:
    """Return a literal whose first piece ends within these units, more or less."""
    return ('"' + "x" * (PIECE_BYTES - before) + "".join(units) + '"').encode()


@settings(max_examples=200)
@given(st.integers(0, 24), st.lists(st.sampled_from(UNITS), max_size=12))
def test_pieces_are_what_the_whole_is(before: int, units: list[str]) -> None:
    literal = a_literal(before, units)

    pieces = [one.encode(errors="replace") for one in strings.unquoted(literal)]

    assert b"".join(pieces) == json.loads(literal).encode(errors="replace")


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (b'"%b"' % (b"x" * LARGE_BYTES), b"x" * LARGE_BYTES),
        (b'"%b"' % (b"\\n" * LARGE_BYTES), b"\n" * LARGE_BYTES),
        (b'"%b\\"' % (b"x" * LARGE_BYTES), None),
        (b'"%b' % (b"x" * LARGE_BYTES), None),
        (b'"%b\n"' % (b"x" * LARGE_BYTES), None),
        (b'"%b""a"' % (b"x" * LARGE_BYTES), None),
        (b'"%b\xff"' % (b"x" * LARGE_BYTES), None),
        (b'"%b"' % (b"\x80" * LARGE_BYTES), None),
        (b'"%b\\ud83d"' % (b"x" * LARGE_BYTES), None),
    ],
    ids=[
        "plain",
        "escapes",
        "an escaped quote",
        "open",
        "a control",
        "two",
        "latin",
        "rest",
        "half",
    ],
)
def test_a_long_literal_is_read_or_refused(literal: bytes, expected: bytes | None) -> None:
    assert strings.unquote(literal) == expected


def test_a_long_literal_is_read_with_pauses() -> None:
    pauses: list[int] = []
    with slices.pausing(lambda: pauses.append(1)):
        strings.unquote(b'"%b"' % (b"\\n" * LARGE_BYTES))
    assert len(pauses) >= 2 * LARGE_BYTES // PIECE_BYTES
