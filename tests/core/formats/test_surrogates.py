from __future__ import annotations

import itertools
import json
import tracemalloc

import pytest

from proxy.core.errors import InvalidBody
from proxy.core.leaves.strict_json import check

UNITS = (r"\ud83d", r"\uDE00", r"\uDBFF", r"\udc00", r"\\", "u", r"\u00e9", "a")


def is_whole(document: str) -> bool:
    """Tell by other means whether every half of a surrogate pair has its other half."""
    text: str = json.loads(document)
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def test_every_short_sequence_of_halves_is_judged_as_python_judges_it() -> None:
    judged = {True: 0, False: 0}
    for length in range(5):
        for units in itertools.product(UNITS, repeat=length):
            document = '"' + "".join(units) + '"'
            try:
                check(document.encode())
                whole = True
            except InvalidBody:
                whole = False
            assert whole == is_whole(document), document
            judged[whole] += 1
    assert min(judged.values()) > 500


@pytest.mark.parametrize("text", [r"\ud8zz\ude00", r"\ud83dx\ude00", r"\ud83d\u0061", r"\ud83"])
def test_half_an_escape_makes_no_pair(text: str) -> None:
    with pytest.raises(InvalidBody, match="lone-surrogate"):
        check(f'"{text}"'.encode())


def test_pairs_by_the_hundred_thousand_are_looked_at_without_copies() -> None:
    body = b'"' + b"\\ud83d\\ude00a" * 100_000 + b'"'
    tracemalloc.start()
    try:
        check(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(body)
