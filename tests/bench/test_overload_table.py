from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tools.bench import cpu, load
from tools.bench.overload import table
from tools.bench.overload.page import PAGE, TABLE, render_table
from tools.bench.overload.proxies import Proxy, absent_from_table, for_table
from tools.bench.overload.quota import limited
from tools.bench.overload.record import Delivered
from tools.bench.overload.table import SHARES, TIMES, Cell, from_json, render, to_json, works
from tools.bench.works import Work

FOUND = Delivered(
    proxy="Sealyard",
    limits="its defaults",
    capacity=1000,
    offered=3000,
    good=850,
    of_capacity=0.85,
    polite=0.99,
    served_p50=10,
    served_p99=300,
    refused=0.5,
    refused_p50=1,
    refused_p99=2,
    left=0.2,
    cut=0,
    recovery_seconds=0.1,
    probes=20,
    probe_p99=30,
    probe_most=40,
    generator_late_p99=1,
)


def test_a_row_has_a_column_for_each_load() -> None:
    found = [
        Cell("short", share, "cgroup", times, replace(FOUND, served_p99=times * 100))
        for share in (1.0, 0.25)
        for times in TIMES
    ]
    head, _, whole, quarter = render(found).splitlines()
    assert head.count("|") == whole.count("|") == quarter.count("|") == 5 + len(TIMES)
    assert "| whole | 1000 /s | 85%, 99%, 70 ms, 30 ms |" in whole
    assert "| 25% (cgroup) |" in quarter


def test_the_page_is_that_of_the_kept_table() -> None:
    page = PAGE.read_text()
    kept = json.loads(TABLE.read_text()) if TABLE.exists() else None

    assert render_table(kept, page) == page


def test_a_kept_table_is_rendered_as_it_was_measured() -> None:
    found = [Cell("short", 1.0, "whole", times, FOUND) for times in TIMES]
    about = dict.fromkeys(("date", "commit", "cores", "system", "load", "seconds", "sealyard"), "x")
    record = json.loads(json.dumps({"about": about, "cells": to_json(found)}))

    assert render(found) in render_table(record, PAGE.read_text())


def test_every_kind_of_message_is_one_that_sealyard_is_told_of() -> None:
    assert [one.title for one in works()] == [
        "short",
        "200 fields",
        "1,000 fields",
        "a list of 50",
        "passing",
    ]
    assert SHARES == (1.0, 0.5, 0.3, 0.25)
    assert for_table()[0].peer.name == "Sealyard"
    assert len(for_table()) + len(absent_from_table()) == 3


@pytest.mark.timing
def test_a_quota_is_kept_in_whatever_way() -> None:
    burning = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(burning) as process:  # noqa: S603 - our own words
        try:
            with limited(process.pid, 0.3) as by:
                began, before = time.monotonic(), cpu.cpu_seconds(process.pid)
                time.sleep(2)
                share = (cpu.cpu_seconds(process.pid) - before) / (time.monotonic() - began)
        finally:
            process.kill()
    assert by in {"cgroup", "stopped"}
    assert share <= 0.4


def test_what_this_machine_could_not_ask_is_told() -> None:
    row = [Cell("short", 1.0, "whole", times, replace(FOUND, offered=2000)) for times in TIMES]
    told = render(row).splitlines()[-1]

    assert told.count("(offered 2.0 times)") == 2  # of three and of five


def test_a_table_that_was_ended_goes_on_with_the_cell_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float, float]] = []

    @contextlib.contextmanager
    def nothing(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(pid=0)

    def found(
        proxy: Proxy, _: object, work: Work, capacity: float, times: float, __: object
    ) -> Delivered:
        asked.append((work.title, capacity, times))
        return replace(FOUND, proxy=proxy.peer.name, limits=proxy.limits, capacity=capacity)

    for one in ("a_backend", "started", "limited"):
        monkeypatch.setattr(table, one, nothing)
    monkeypatch.setattr(table, "capacity_of", lambda *_: 7.0)
    proxy, shares = for_table()[0], [1.0]

    def measured(kept: list[Cell]) -> list[Cell]:
        rows = table.cells(
            [proxy], found, seconds=1, kinds=["short", "passing"], shares=shares, kept=kept
        )
        return list(rows)

    whole = measured([])
    assert len(asked) == len(whole) == 2 * len(TIMES)
    asked.clear()
    kept = from_json(to_json(whole[:3]))
    assert [one.times for one in measured(kept)] == [*TIMES, *TIMES]
    assert asked[:3] == [("short", 7.0, 3.0), ("short", 7.0, 5.0), ("passing", 7.0, TIMES[0])]
    asked.clear()
    assert measured(whole) == whole
    assert asked == []


def test_a_capacity_is_that_with_as_many_under_way_as_end_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[int] = []

    def run(rate: float, _: object, at_once: int, __: int) -> SimpleNamespace:
        loads.append(at_once)
        if at_once > 30:
            raise load.LoadFailed
        return SimpleNamespace(per_second=rate * at_once / 4)

    monkeypatch.setattr(load, "run", run)
    of: Any = table.capacity_of  # here of a rate, in place of what runs
    found = [of(rate, works()[0], 1) for rate in (300.0, 2000.0, 9000.0)]
    assert found == [300.0, 10_000.0, 9000.0]
    assert loads == [4, 4, 4, 4, 20, 4, 4, 64]
