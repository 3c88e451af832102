from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.logs.access_line import Sampling
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.metrics import table
from proxy.telemetry.reporter import CountingReporter

from ..conftest import a_line

KEY = ("api", "send")


def a_log(share: float) -> tuple[CountingReporter, list[bytes]]:
    written: list[bytes] = []
    logs = Logs(written.append)
    logs.sampling = Sampling({KEY: share})
    return CountingReporter(logs), written


@given(st.integers(1, 1_000_000), st.integers(1, 3000))
def test_a_share_is_exact_and_begins_with_the_first(parts: int, lines: int) -> None:
    tally, written = a_log(parts / 1_000_000)
    for _ in range(lines):
        tally.messages([a_line()])

    assert len(written) == 1 + (lines - 1) * parts // 1_000_000
    assert tally.samples().value(table.MESSAGES, *KEY, "forwarded") == lines


def test_a_line_says_what_it_stands_for() -> None:
    tally, written = a_log(0.25)
    tally.messages([a_line()])

    assert json.loads(written[0])["sample"] == 0.25


@pytest.mark.parametrize("share", [0.0, 0.001])
def test_what_was_refused_failed_or_was_cut_off_is_always_written(share: float) -> None:
    tally, written = a_log(share)
    for _ in range(3):
        tally.messages([a_line(refused="open-failed", reason="tag")])
        tally.messages([a_line(status=503)])
        tally.messages([a_line(status=499)])
    events = [json.loads(line) for line in written]

    assert len(events) == 9
    assert not any("sample" in one for one in events)


def test_no_share_leaves_nothing_that_went_well() -> None:
    tally, written = a_log(0.0)
    tally.messages([a_line()])

    assert written == []


def test_other_rules_and_events_are_written_whole() -> None:
    tally, written = a_log(0.000001)
    for _ in range(3):
        tally.messages([a_line(rule="other")])
        tally.messages([a_line(rule=None)])
        tally.report("server.ready", listeners=1)

    assert len(written) == 9
