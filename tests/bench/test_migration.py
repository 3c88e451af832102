from __future__ import annotations

from typing import Any

import pytest

from bench.migration import page

COST = {"seconds": 2.0, "cpu_seconds": 1.0, "memory_kib": 50 * 1024, "status": 0}
RUN: dict[str, Any] = {
    "rows": 3000,
    "workers": 2,
    "updates": 400,
    "kills": 0,
    "seal": COST,
    "verify": COST,
    "open": COST,
    "lost": 0,
    "plain": 0,
    "doubled": 0,
    "not_byte_equal": 7,
}


def found(load: str = "0.1") -> dict[str, Any]:
    said = dict.fromkeys(("date", "commit", "cores", "system", "python"), "x")
    return {"about": said | {"load": load}, "runs": [RUN], "naive_rows_per_second": 321}


def test_the_page_shows_the_record_that_is_kept() -> None:
    written = page.PAGE.read_text()

    assert page.render(page.read(), written) == written


def test_the_page_shows_every_figure_of_a_part() -> None:
    before = "head\n<!-- migration: begin -->\nold\n<!-- migration: end -->\nfoot\n"
    written = page.render({"mariadb": found()}, before)

    assert written.startswith("head\n")
    assert written.endswith("foot\n")
    assert "old" not in written
    assert (
        "| 3,000 | 2 | 400 | 0 | 2.0 s | 1,500 | 2.0 s | 2.0 s | 50.0 MiB | 0, 0, 0, 7 |" in written
    )
    assert "row by row seals 321 rows / s" in written


@pytest.mark.parametrize(("load", "busy"), [("0.5", False), ("0.6", True)])
def test_a_machine_with_other_work_is_busy(load: str, busy: bool) -> None:  # noqa: FBT001 - a parameter
    assert page.busy(found(load)) is busy
