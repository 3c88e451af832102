"""What a run tells of how far it is: the rate of this run, and the time that is left at it."""

from __future__ import annotations

import io
import json

from proxy.migration.progress import Progress


class Clock:
    """Gives a time that a test moves."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_a_run_that_goes_on_has_the_rate_of_its_own_rows() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    progress.begin(10_000, 9_000)
    clock.now += 10
    progress.reached("messages", 100)

    assert json.loads(stream.getvalue()) == {
        "table": "messages",
        "rows": 9_100,
        "of": 10_000,
        "rows_per_second": 10,
        "seconds_left": 90,
    }


def test_elsewhere_a_line_is_written_every_five_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    progress.begin(None)
    for _ in range(20):
        clock.now += 1
        progress.reached("messages", 3)
    progress.end()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [one["rows"] for one in said] == [15, 30, 45, 60]
    assert {one["seconds_left"] for one in said} == {None}


def test_a_terminal_has_a_bar_with_the_rate_and_the_time_left() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, clock)
    progress.begin(4_000)
    clock.now += 10
    progress.reached("messages", 1_000)
    progress.end()

    assert stream.getvalue() == (
        "\rmessages [######------------------]  25% 100/s 0:30 left\x1b[K\n"
    )


def test_a_terminal_without_a_known_end_has_rows_and_rate() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, clock)
    progress.begin(None)
    clock.now += 10
    progress.reached("items", 1_000)

    assert stream.getvalue() == "\ritems 1,000 rows 100/s\x1b[K"


def test_more_rows_than_expected_are_no_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock)
    progress.begin(10)
    clock.now += 10
    progress.reached("items", 20)

    assert json.loads(stream.getvalue())["seconds_left"] == 0
