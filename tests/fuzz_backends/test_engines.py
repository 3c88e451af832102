"""A run of a target of `./dev fuzz` has a process of its own, and its end is known."""

from __future__ import annotations

from pathlib import Path

from tools.fuzz import engines


def test_what_a_target_prints_and_how_it_ends_is_known(tmp_path: Path) -> None:
    well = engines.run("by_examples", ["tokens", "0.01", "", str(tmp_path)], 60)
    broken = engines.run("by_examples", ["nowhere", "1", "", str(tmp_path)], 60)

    assert (well[0], broken[0]) == (0, 1)
    assert "stat::number_of_executed_units: " in well[1]
    assert "KeyError: 'nowhere'" in broken[1]


def test_a_target_that_does_not_end_is_ended(tmp_path: Path) -> None:
    assert engines.run("by_examples", ["tokens", "600", "", str(tmp_path)], 0.5)[0] is None
