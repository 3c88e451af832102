from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.scorecard import items, results
from tools.scorecard.items import Item
from tools.scorecard.page import PAGE, render
from tools.scorecard.results import Form, Outcome, Record, made, telling, whole
from tools.scorecard.testing import judge

ITEM = Item(7, "Nothing | lost", "0 lost", tests=("tests/core",))


def a_record(
    form: Form = "short",
    at: str = "2026-01-02 03:04",
    verdict: str = "ok",
    seconds: float = 10.0,
    **figures: object,
) -> Record:
    told = "3 tests passed, 0 failed"
    return Record(7, form, at, "abc", seconds, None, "a machine", told, verdict, figures)


def forms(*given: Record) -> dict[Form, Record]:
    return {one.form: one for one in given}


def counts(**given: int) -> Mapping[str, str]:
    return {name: str(number) for name, number in given.items()}


def test_the_page_is_what_the_results_say() -> None:
    assert render(items.load(), results.read(), results.last_change()) == PAGE.read_text()


def test_every_item_is_measured_in_one_way_by_what_is_there() -> None:
    known = items.load()
    assert [item.number for item in known] == list(range(1, len(known) + 1))
    for item in known:
        assert not (item.tests and item.figure), item
        assert all(Path(PAGE.parents[1], path).exists() for path in item.tests), item


def test_what_nobody_measured_is_missing() -> None:
    page = render([ITEM], {})
    assert "0 ok; 0 ok short; 0 missed; 0 due; 1 missing." in page
    assert "| 7 | Nothing \\| lost | 0 lost | not measured yet |  | missing |" in page


@pytest.mark.parametrize(
    ("verdict", "shown"), [("ok", "due"), ("ok short", "due"), ("missed", "missed")]
)
def test_what_was_measured_before_the_last_change_is_due(verdict: str, shown: str) -> None:
    records = {7: forms(a_record(at="2026-01-02 03:04", verdict=verdict))}
    assert f"| {shown} |" in render([ITEM], records, "2026-01-02 03:05")
    assert f"| {verdict} |" in render([ITEM], records, "2026-01-02 03:04")


def test_the_last_change_of_the_product_is_kept_as_git_knows_it(tmp_path: Path) -> None:
    assert results.last_change(tmp_path) == ""
    results.keep_change(tmp_path)
    assert len(results.last_change(tmp_path)) == len("2026-01-02 03:04")


def test_records_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = {7: forms(a_record("long", runs=3), a_record("short", verdict="missed"))}
    for record in kept[7].values():
        results.write(record, tmp_path / "records")
    assert results.read(tmp_path / "records") == kept
    assert results.read(tmp_path / "none") == {}


def test_a_part_of_a_run_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    whole_run, part = a_record("long"), a_record("long", verdict="ok short")
    missed = a_record("long", verdict="missed")

    assert results.write(part, tmp_path)
    assert results.write(whole_run, tmp_path)
    assert results.write(part, tmp_path) is None
    assert results.read(tmp_path) == {7: forms(whole_run)}
    assert results.write(missed, tmp_path)
    assert results.read(tmp_path) == {7: forms(missed)}
    assert results.write(part, tmp_path, tmp_path / "own.txt") == tmp_path / "own.txt"


def test_no_row_says_more_than_its_run() -> None:
    known = {item.number: item for item in items.load()}
    for number, found in results.read().items():
        for record in found.values():
            assert record.item == number
            assert record.verdict != "ok" or whole(known[number], record), record
            assert results.RECORDS.joinpath(f"{number:02}-{record.form}.json").exists()


@pytest.mark.parametrize(
    ("item", "record", "enough"),
    [
        (ITEM, a_record(), True),
        (Item(7, "n", "t", less="a part"), a_record("long"), False),
        (Item(7, "n", "t", short="a part"), a_record("short"), False),
        (Item(7, "n", "t", short="a part"), a_record("long"), True),
        (Item(7, "n", "t", seconds=60), a_record("long", seconds=59.9), False),
        (Item(7, "n", "t", seconds=60), a_record("long", seconds=60), True),
        (Item(7, "n", "t", least={"runs": 1_000_000}), a_record("long"), False),
        (Item(7, "n", "t", least={"runs": 1_000_000}), a_record("long", runs="999,999"), False),
        (
            Item(7, "n", "t", least={"runs": 1_000_000}),
            a_record("long", runs="1,000,000 in 9 s"),
            True,
        ),
    ],
)
def test_a_shorter_run_than_the_target_asks_for_is_not_whole(
    item: Item,
    record: Record,
    enough: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert whole(item, record) == enough
    outcome = Outcome("measured", "ok", record.figures)
    kept = made(item, record.form, outcome, record.seconds or 0.0)
    assert kept.verdict == ("ok" if enough else "ok short")
    assert kept.commit


@pytest.mark.parametrize(
    ("short", "speaks"),
    [
        (a_record(at="2026-01-01 00:00", verdict="missed"), "long"),
        (a_record(at="2026-01-09 00:00", verdict="ok short"), "long"),
        (a_record(at="2026-01-09 00:00", verdict="missed"), "short"),
    ],
)
def test_a_long_run_speaks_until_a_later_one_misses(short: Record, speaks: Form) -> None:
    told = telling(forms(short, a_record("long")))
    assert told is not None
    assert told.form == speaks


def test_the_only_form_that_was_run_speaks() -> None:
    assert telling({}) is None
    assert telling(forms(a_record("short"))) == a_record("short")
    assert telling(forms(a_record("long"))) == a_record("long")


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


def test_of_many_figures_of_one_kind_the_range_is_told() -> None:
    held = [("longest hold", f"{number}.5 ms") for number in (9, 10, 2, 40)]
    told = judge(ITEM, counts(tests=2), [*held, ("p99", "1 ms")], long=True)
    assert told.measured == "2 tests passed, 0 failed; longest hold 2.5 to 40.5 ms; p99 1 ms"
    assert told.figures["longest hold"] == "2.5 to 40.5 ms"
    other = [("longest hold", "1 s"), *held]
    assert "longest hold 10.5 ms" in judge(ITEM, counts(tests=2), other, long=True).measured


def test_what_tests_noted_is_told_once() -> None:
    noted = [("memory", "3 MiB"), ("memory", "3 MiB"), ("p99", "1 ms")]
    told = judge(ITEM, counts(tests=2), noted, long=True)
    assert told.measured == "2 tests passed, 0 failed; memory 3 MiB; p99 1 ms"
    assert told.figures == {"memory": "3 MiB", "p99": "1 ms"}
