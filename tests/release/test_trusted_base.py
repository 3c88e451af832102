"""The page for reviewers tells of every package."""

from __future__ import annotations

from pathlib import Path

from tools.trusted_base import BEGIN, END, PAGE, ROOMS, current, main, table, written


def test_every_package_of_the_product_has_a_row() -> None:
    rows = [line for line in table().splitlines() if line.startswith("| `")]

    assert len(rows) == len(ROOMS)
    assert not [one for one in rows if "| 0 |" in one]


def test_the_page_has_one_table_and_keeps_the_rest() -> None:
    page = PAGE.read_text("utf-8")

    assert page.count(BEGIN) == page.count(END) == 1
    assert written(written(page)) == written(page)
    assert written(page).startswith(page.partition(BEGIN)[0])
    assert written(page).endswith(page.partition(END)[2])


def test_a_page_with_other_lines_is_not_current(tmp_path: Path) -> None:
    page = tmp_path / "review.md"
    page.write_text(f"{BEGIN}| room |\n{END}")
    before = current(page)
    main(page)

    assert (before, current(page)) == (False, True)
