"""What a message costs grows with its bytes, values, names and tokens, and no faster.

Instructions are counted at three sizes, each four times the one before. Along a line, the second
step costs four times what the first does; the bound leaves room for longer numbers and larger
tables. Where another way of reading begins between two sizes, as it does at the length from which
messages are read in slices, one step is steeper, and the next is not: what is steep is counted
once more at four times the sizes.
"""

from __future__ import annotations

import pytest

from tests.linear.callgrind import VALGRIND, counted
from tests.linear.works import GROWTHS

pytestmark = pytest.mark.skipif(VALGRIND is None, reason="there is no valgrind here")

SIZES = (50, 200, 800)
STEEPEST = 5.2
FLAT = 2_000_000
"""Instructions; what two steps cost together below this says nothing of how they grow."""
NAMES = [one.name for one in GROWTHS]
HALVES = (NAMES[::2], NAMES[1::2])


def steep(counts: dict[str, list[int]]) -> dict[str, str]:
    """Return what grows faster than a line, each with its counts."""
    found = {}
    for name, (small, middle, large) in counts.items():
        first, second = middle - small, large - middle
        if second > FLAT and second > STEEPEST * first:
            found[name] = f"{second / first:.2f}: {small}, {middle}, {large}"
    return found


def steep_twice(names: list[str], sizes: tuple[int, int, int]) -> dict[str, str]:
    """Return what grows faster than a line at these sizes, and at four times as many as well."""
    found = [*steep(counted(names, sizes, patience=7200))]
    longer = [4 * one for one in sizes]
    return steep(counted(found, longer, patience=7200)) if found else {}


@pytest.mark.parametrize("names", HALVES, ids=["first half", "second half"])
def test_no_message_costs_more_than_its_length(names: list[str]) -> None:
    assert steep_twice(names, SIZES) == {}


def test_no_drawn_rule_makes_a_message_cost_more() -> None:
    assert steep_twice([str(seed) for seed in range(10)], SIZES) == {}


@pytest.mark.slow
def test_no_long_message_costs_more_than_its_length() -> None:
    assert steep_twice(NAMES, (250, 1000, 4000)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1400, 100))
def test_none_of_many_drawn_rules_makes_a_message_cost_more(first: int) -> None:
    seeds = [str(seed) for seed in range(first, first + 100)]

    assert steep_twice(seeds, (125, 500, 2000)) == {}


def test_what_takes_the_square_is_seen() -> None:
    assert steep({"square": [n * 100_000 + 100 * n * n for n in SIZES]})
