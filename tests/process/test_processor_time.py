"""How busy a process is, by the time that it ran and that it waited for a processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.process.processor_time import ProcessorTime


def test_the_time_that_it_ran_and_that_it_waited_make_it_busy(tmp_path: Path) -> None:
    ran, stat = [5.0], tmp_path / "schedstat"
    stat.write_text("123 2000000000 7\n")
    processor = ProcessorTime(cpu=lambda: ran[0], schedstat=stat)
    processor.look(10.0)
    assert (processor.busy, processor.given) == (0, 1)
    ran[0] += 0.25
    stat.write_text("123 2700000000 9\n")
    processor.look(11.0)
    assert processor.busy == pytest.approx(0.95)
    assert processor.given == pytest.approx(0.25 / 0.95)
    processor.look(12.0)
    assert (processor.busy, processor.given) == (0, 1)


@pytest.mark.parametrize("text", [None, "", "odd", "1"])
def test_where_the_waits_are_not_told_the_quota_says_how_much_there_is(
    tmp_path: Path, text: str | None
) -> None:
    ran, stat = [0.0], tmp_path / "schedstat"
    if text is not None:
        stat.write_text(text)
    processor = ProcessorTime(cpu=lambda: ran[0], schedstat=stat, quota=0.25)
    processor.look(0.0)
    ran[0] = 0.25
    processor.look(1.0)
    assert (processor.busy, processor.given) == (1.0, 0.25)


def test_of_this_process_it_can_be_told() -> None:
    processor = ProcessorTime()
    processor.look(0.0)
    sum(range(100_000))
    processor.look(1.0)
    assert processor.busy > 0
    assert 0 < processor.given <= 1
