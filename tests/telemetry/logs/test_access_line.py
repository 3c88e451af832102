"""The line of a message that is made in a hurry says the same as one that is made by its fields."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.edits.edits import Fate
from proxy.telemetry.logs.access_line import MessageLine
from proxy.telemetry.logs.console import ConsoleLines
from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.logs.json_lines import (
    MOST_WORDS,
    EcsLines,
    JsonLines,
    Renderer,
    message_by_fields,
)
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.logs.sampling import ALL

from ..conftest import Page, a_line

FATES = get_args(Fate)
COUNTS = [*FATES, *(f"response_{fate}" for fate in FATES)]
TEXTS = st.text(max_size=20) | st.sampled_from(["password=hunter2-9", "\n\x1b[2J", "é" * 300])
SIZES = st.integers(0, 2**40)
TIMES = st.floats(0, 1e9)
LINES = st.builds(
    MessageLine,
    st.text(max_size=20),  # the id is Sealyard's own, and short
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.integers(0, 999),
    SIZES,
    SIZES,
    TIMES,
    st.dictionaries(st.sampled_from(COUNTS), SIZES),
    st.dictionaries(st.sampled_from(["observed", "shape", "would_fail"]), TEXTS, max_size=2),
    st.none() | TIMES,
    st.none(),
)
HASTY = JsonLines()
"""One for all examples: it remembers what it has written."""


@given(st.lists(LINES, max_size=2), TIMES, st.sampled_from([ALL, 0.25]))
def test_a_hasty_line_is_byte_for_byte_the_one_by_its_fields(
    lines: list[MessageLine], now: float, share: float
) -> None:
    for line in lines:
        assert HASTY.message(now, line, share) == message_by_fields(JsonLines(), now, line, share)
        assert HASTY.message(now, line, share) == message_by_fields(JsonLines(), now, line, share)


@pytest.mark.parametrize("render", [JsonLines(), EcsLines(), ConsoleLines(colors=False)])
def test_every_format_writes_messages(render: Renderer) -> None:
    text = render.message(0.0, a_line(counts={"sealed": 1}), 0.5).decode()

    for word in ("message.handled", "POST", "send", "sealed", "0.5"):
        assert word in text


def test_whatever_becomes_of_a_value_is_declared() -> None:
    for event in ("message.handled", "message.refused"):
        assert {*COUNTS, *a_line(refused="x").fields()} <= set(EVENTS[event].keys)


def test_a_refused_message_tells_why(page: Page, logs: Logs) -> None:
    logs.message(a_line(refused="open-failed", reason="tag", direction="response"))

    (line,) = page.lines
    assert (line["event"], line["level"]) == ("message.refused", "warning")
    assert (line["error.type"], line["reason"], line["direction"]) == (
        "open-failed",
        "tag",
        "response",
    )


def test_a_text_is_scrubbed_or_not_by_its_key_whatever_key_had_it_before() -> None:
    lines = JsonLines()
    text = "\n\x91i\x08:¶cI\x8e²)öN\n©}Ùê"
    line = a_line(request_id=text, listener=text, told={"observed": "request"})
    for _ in range(2):
        told = json.loads(lines.message(0.0, line, ALL))

        assert (told["request_id"], told["listener"][0]) == (text, "<")


def test_names_are_remembered_up_to_a_number() -> None:
    lines = JsonLines()
    for number in range(MOST_WORDS + 5):
        line = json.loads(lines.message(0.0, a_line(rule=f"r{number}"), ALL))

        assert line["rule"] == f"r{number}"
    assert len(lines._names) <= MOST_WORDS


def test_a_level_above_leaves_handled_messages_out_and_no_refused_one(page: Page) -> None:
    logs = Logs(page, level="warning")
    logs.message(a_line())
    logs.message(a_line(refused="x"))

    assert [line["event"] for line in page.lines] == ["message.refused"]
