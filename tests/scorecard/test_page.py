from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from scorecard import items, results
from scorecard.items import Item
from scorecard.page import PAGE, render
from scorecard.results import Form, Result, telling
from scorecard.testing import judge

ITEM = Item(7, "Nothing | lost", "0 lost", tests=("tests/core",))


def a_result(form: Form = "short", at: str = "2026-01-02 03:04", verdict: str = "ok") -> Result:
    return Result(form, at, "a machine", "3 tests passed, 0 failed", verdict)


def forms(*given: Result) -> dict[Form, Result]:
    return {one.form: one for one in given}


def counts(**given: int) -> Mapping[str, str]:
    return {name: str(number) for name, number in given.items()}


def test_the_page_is_what_the_results_say() -> None:
    assert render(items.load(), results.read()) == PAGE.read_text()


def test_every_item_is_measured_in_one_way_by_what_is_there() -> None:
    known = items.load()
    assert [item.number for item in known] == list(range(1, len(known) + 1))
    for item in known:
        assert not (item.tests and item.figure), item
        assert all(Path(PAGE.parents[1], path).exists() for path in item.tests), item


def test_what_nobody_measured_is_missing() -> None:
    page = render([ITEM], {})
    assert "0 ok; 0 ok short; 0 missed; 1 missing." in page
    assert "| 7 | Nothing \\| lost | 0 lost | not measured yet |  | missing |" in page


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = {7: forms(a_result("long"), a_result("short", verdict="missed")), 3: forms(a_result())}
    results.write(kept, tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == kept
    assert results.read(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("short", "speaks"),
    [
        (a_result(at="2026-01-01 00:00", verdict="missed"), "long"),
        (a_result(at="2026-01-09 00:00", verdict="ok short"), "long"),
        (a_result(at="2026-01-09 00:00", verdict="missed"), "short"),
    ],
)
def test_a_long_run_speaks_until_a_later_one_misses(short: Result, speaks: Form) -> None:
    told = telling(forms(short, a_result("long")))
    assert told is not None
    assert told.form == speaks


def test_the_only_form_that_was_run_speaks() -> None:
    assert telling({}) is None
    assert telling(forms(a_result("short"))) == a_result("short")
    assert telling(forms(a_result("long"))) == a_result("long")


@pytest.mark.parametrize(
    ("item", "tally", "long", "verdict"),
    [
        (ITEM, counts(tests=3), False, "ok"),
        (ITEM, counts(tests=3, failures=1), True, "missed"),
        (ITEM, counts(tests=3, errors=1), True, "missed"),
        (ITEM, counts(tests=3, skipped=1), True, "ok short"),
        (ITEM, counts(tests=3, skipped=3), True, "missing"),
        (ITEM, counts(), True, "missing"),
        (Item(7, "n", "t", short="a part"), counts(tests=3), False, "ok short"),
        (Item(7, "n", "t", short="a part"), counts(tests=3), True, "ok"),
        (Item(7, "n", "t", less="a part"), counts(tests=3), True, "ok short"),
    ],
)
def test_only_all_of_what_the_target_asks_for_is_ok(
    item: Item,
    tally: Mapping[str, str],
    long: bool,  # noqa: FBT001 - a parameter of the test
    verdict: str,
) -> None:
    assert judge(item, tally, [], long=long).verdict == verdict


def test_what_tests_noted_is_told_once() -> None:
    told = judge(ITEM, counts(tests=2), ["memory 3 MiB", "memory 3 MiB", "p99 1 ms"], long=True)
    assert told.measured == "2 tests passed, 0 failed; memory 3 MiB; p99 1 ms"
