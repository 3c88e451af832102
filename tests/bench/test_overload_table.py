from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tools.bench import cpu
from tools.bench.overload.page import PAGE, TABLE, render_table
from tools.bench.overload.proxies import for_table
from tools.bench.overload.quota import limited
from tools.bench.overload.record import Delivered
from tools.bench.overload.table import SHARES, TIMES, Cell, render, to_json, works

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
