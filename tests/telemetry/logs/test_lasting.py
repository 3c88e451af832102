"""A state that lasts has a line when it begins, and one in ten minutes."""

from __future__ import annotations

import json
from typing import Any

from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.policy import MOST_STATES, RETOLD_SECONDS, STATE_SECONDS
from proxy.telemetry.reporter import CountingReporter


class Scene:
    """A log with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.raw: list[bytes] = []
        self.logs = Logs(self.raw.append, clock=lambda: self.now)

    def fails(self, seconds: float, reason: str = "store-failed", every: float = 1.0) -> None:
        for _ in range(int(seconds / every)):
            self.logs.report("store.failed", store="redis", address="db:6379", reason=reason)
            self.now += every

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw]


def test_an_outage_of_an_hour_is_a_line_and_then_one_in_ten_minutes() -> None:
    scene = Scene()
    scene.fails(3600)
    first, second, *others = scene.lines
    assert len(others) == 4
    assert (first["address"], first.get("lasts_s"), first.get("number")) == ("db:6379", None, None)
    assert (second["lasts_s"], second["number"]) == (RETOLD_SECONDS, RETOLD_SECONDS)
    assert [one["lasts_s"] for one in others] == [1200, 1800, 2400, 3000]


def test_another_reason_and_an_outage_after_a_pause_are_told_at_once() -> None:
    scene = Scene()
    scene.fails(10)
    scene.fails(10, "store-timeout")
    scene.fails(10)
    scene.now += STATE_SECONDS
    scene.fails(10)
    assert [one["reason"] for one in scene.lines] == [
        "store-failed",
        "store-timeout",
        "store-failed",
    ]


def test_a_clock_that_goes_back_ends_a_state() -> None:
    scene = Scene()
    scene.fails(2)
    scene.now -= 3600
    scene.fails(2)
    assert len(scene.lines) == 2


def test_as_many_states_are_held_as_a_log_needs() -> None:
    scene = Scene()
    for number in range(3 * MOST_STATES):
        scene.fails(2, f"reason-{number}")
    assert len(scene.lines) == 3 * MOST_STATES
    assert len(scene.logs._lasting._states) == MOST_STATES


def test_every_failure_is_counted() -> None:
    scene = Scene()
    tally = CountingReporter(scene.logs)
    for _ in range(5):
        tally.report("store.failed", store="redis", reason="store-failed")
    assert len(scene.lines) == 1
    assert [values for name, _, values in tally.samples() if "store_errors" in name] == [(5.0,)]
