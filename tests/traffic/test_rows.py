"""The rows of docs/reference/http.md, and the tests that carry their ids."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "reference" / "http.md"
ROWS: Final = {"a": 30, "b": 21, "d": 15, "e": 16, "g": 9, "h": 9}
"""How many rows each section has, numbered from one."""

_ROW: Final = re.compile(r"^\| ((?:[A-EGH]\d+(?:, )?)+) \|", re.MULTILINE)
_TEST: Final = re.compile(r"def test_((?:[a-z]\d+_)+)")


def documented() -> list[str]:
    """Return the ids that the page tells of."""
    return [one.lower() for ids in _ROW.findall(PAGE.read_text()) for one in ids.split(", ")]


def ids_of_tests() -> set[str]:
    """Return the ids in the names of tests, findings (F) left out."""
    names = [
        found for path in TESTS.rglob("test_*.py") for found in _TEST.findall(path.read_text())
    ]
    return {one for name in names for one in name.rstrip("_").split("_") if one[0] in ROWS}


def test_every_row_is_documented_once() -> None:
    expected = [f"{section}{at}" for section, last in ROWS.items() for at in range(1, last + 1)]

    assert sorted(documented()) == sorted(expected)


def test_every_row_has_a_test_and_every_test_of_a_row_has_one() -> None:
    assert ids_of_tests() == set(documented())
