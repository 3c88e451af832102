from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.secret import SessionKey
from proxy.telemetry.logs.logger import Logs, to_stderr
from proxy.telemetry.logs.processors import Format
from proxy.telemetry.reporter import CountingReporter

from ..conftest import CANARY, Page, rendered


def test_a_line_has_time_level_event_and_the_fields(page: Page, logs: Logs) -> None:
    logs.report("key.session_created", sid="s1", kek="k1", mode="durable", ttl_s=3600)

    expected = (
        '{"at":"2023-11-14T22:13:20.250Z","level":"info","event":"key.session_created",'
        '"sid":"s1","kek":"k1","mode":"durable","ttl_s":3600}\n'
    )
    assert expected == page.text


def test_undeclared_keys_are_dropped_and_counted(page: Page, logs: Logs) -> None:
    logs.report("server.stopped", duration_ms=1, body=CANARY, header=CANARY)

    assert page.lines[0]["dropped"] == 2
    assert CANARY not in page.text


@pytest.mark.parametrize("name", ["message.lost", f"message.{CANARY}", f"could not open {CANARY}"])
def test_of_an_undeclared_event_only_the_place_in_code_is_told(
    page: Page, logs: Logs, name: str
) -> None:
    CountingReporter(logs).report(name, body=CANARY)

    (line,) = page.lines
    assert line["event"] == "log.undeclared"
    assert re.fullmatch(rf"{re.escape(__name__)}:\d+", line["where"])
    assert CANARY not in page.text
    assert name not in page.text


@pytest.mark.parametrize(
    "value",
    [CANARY.encode(), [CANARY], {"a": CANARY}, ValueError(CANARY), Path(CANARY)],
    ids=lambda value: type(value).__name__,
)
def test_only_scalars_are_shown(page: Page, logs: Logs, value: object) -> None:
    logs.report("message.refused", reason=value)

    assert page.lines[0]["reason"] == f"<{type(value).__name__}>"
    assert CANARY not in page.text


def test_long_text_is_cut(page: Page, logs: Logs) -> None:
    logs.report("message.refused", reason="a" * 10_000)

    assert page.lines[0]["reason"] == "a" * 255 + "…"


def test_numbers_and_truth_values_stay_what_they_are(page: Page, logs: Logs) -> None:
    logs.report("key.revoked", scope=None, not_before=12, durable=True, source=1.23456)

    line = page.lines[0]
    assert [line["not_before"], line["durable"], line["source"]] == [12, True, 1.235]
    assert "scope" not in line


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_line_is_json_whatever_the_number(page: Page, logs: Logs, value: float) -> None:
    logs.report("message.handled", duration_ms=value)

    assert page.lines[0]["duration_ms"] is None


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu"])))
def test_no_value_can_break_a_line_or_steer_a_terminal(value: str) -> None:
    page = Page()
    Logs(page).report("message.refused", reason=value, rule="x\n\x1b[2J\u2028\u2029\x7f\x9b")

    text = page.text
    assert text.removesuffix("\n").isprintable()
    assert json.loads(text)["rule"] == "x\n\x1b[2J\u2028\u2029\x7f\x9b"


@given(st.text(), st.sampled_from(get_args(Format)))
def test_a_line_is_one_line_of_printable_ascii_in_every_format(
    value: str, log_format: Format
) -> None:
    line = rendered("message.refused", {"rule": value, "reason": "\r\n\x85"}, log_format)

    assert line.endswith(b"\n")
    assert line[:-1].decode("ascii").isprintable()


def test_lines_below_the_level_are_left_out(page: Page) -> None:
    logs = Logs(page, level="warning")
    logs.report("message.handled", status=200)
    logs.report("message.refused", status=400)

    assert [line["event"] for line in page.lines] == ["message.refused"]


@pytest.mark.parametrize("log_format", get_args(Format))
def test_the_log_of_a_server_goes_to_stderr(
    log_format: Format, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.fdopen(os.dup(2), "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs = to_stderr(log_format)
        logs.report("server.started", version="1", python="3\n\x1b[2J\u2028", pid=7, x=CANARY)

    out, err = capfd.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.removesuffix("\n").isprintable()
    assert "server.started" in err
    assert CANARY not in err


def test_a_key_that_was_handed_over_as_a_value_stays_hidden(page: Page, logs: Logs) -> None:
    logs.report("keyring.opened", primary=SessionKey(CANARY.encode().ljust(32, b"-")))

    assert page.lines[0]["primary"] == "<SessionKey>"
