"""The prepared line of a message is what structlog's processors make of the same fields."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.values.outcomes import Outcome
from proxy.telemetry.logs.access_line import ALL, AccessLines, MessageLine, Refusal
from proxy.telemetry.logs.event_keys import ECS, OTEL
from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.logs.processors import Format
from proxy.telemetry.policy import CACHED_TEXTS

from ..conftest import Page, a_line, rendered

OUTCOMES = get_args(Outcome)
COUNTS = [*OUTCOMES, *(f"response_{outcome}" for outcome in OUTCOMES)]
TEXTS = st.text(max_size=20) | st.sampled_from(["password=hunter2-9", "\n\x1b[2J", "é" * 300])
SIZES = st.integers(0, 2**40)
VALUES = st.dictionaries(st.sampled_from(OUTCOMES), SIZES).map(lambda each: tuple(each.items()))
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
    VALUES,
    VALUES,
    st.dictionaries(st.sampled_from(["observed", "shape", "would_fail"]), TEXTS, max_size=2),
    st.none() | TIMES,
    st.none()
    | st.builds(
        Refusal,
        TEXTS | st.just("upstream-failed"),
        TEXTS,
        st.sampled_from(["request", "response"]),
    ),
    st.just("") | st.text("0123456789abcdef", min_size=32, max_size=32),
)
PREPARED = {"json": AccessLines(OTEL), "ecs": AccessLines(ECS)}
"""One of each for all examples: they remember what they have written."""


@pytest.mark.parametrize("log_format", PREPARED)
@given(st.lists(LINES, max_size=2), TIMES, st.sampled_from([ALL, 0.25]))
def test_a_prepared_line_is_byte_for_byte_what_the_processors_make(
    log_format: Format, lines: list[MessageLine], now: float, share: float
) -> None:
    for line in lines:
        represents = ALL if line.refusal else share
        fields = line.fields() | ({} if represents == ALL else {"sample": share})
        expected = rendered(line.event, fields, log_format, now=now)

        assert PREPARED[log_format](now, line, represents).encode("ascii") == expected
        assert PREPARED[log_format](now, line, represents).encode("ascii") == expected


@pytest.mark.parametrize("log_format", get_args(Format))
def test_every_format_writes_messages(log_format: Format, page: Page) -> None:
    Logs(page, log_format).messages(
        [a_line(request_outcomes=(("sealed", 1),), observations={"observed": "request"})]
    )

    for word in ("message.handled", "POST", "send", "sealed", "observed"):
        assert word in page.text


def test_a_count_that_is_not_declared_is_dropped(page: Page, logs: Logs) -> None:
    logs.messages([a_line(request_outcomes=(("sealed", 1), ("seen", 2)))])

    (line,) = page.lines
    assert (line["sealed"], line["dropped"]) == (1, 1)


def test_whatever_becomes_of_a_value_is_declared() -> None:
    for event in ("message.handled", "message.refused", "message.failed"):
        assert {*COUNTS, *a_line(refused="x").fields()} <= set(EVENTS[event].keys)


def test_a_refused_message_tells_why(page: Page, logs: Logs) -> None:
    logs.messages([a_line(refused="open-failed", reason="tag", direction="response")])

    (line,) = page.lines
    assert (line["event"], line["level"]) == ("message.refused", "warning")
    assert (line["error.type"], line["reason"], line["direction"]) == (
        "open-failed",
        "tag",
        "response",
    )


@pytest.mark.parametrize("code", ["upstream-failed", "upstream-timeout"])
def test_a_message_that_the_backend_failed_is_called_so(code: str, page: Page, logs: Logs) -> None:
    logs.messages([a_line(refused=code, reason="connect")])

    (line,) = page.lines
    assert (line["event"], line["level"]) == ("message.failed", "error")
    assert (line["error.type"], line["reason"]) == (code, "connect")


@pytest.mark.parametrize(("log_format", "key"), [("json", "trace_id"), ("ecs", "trace.id")])
def test_a_line_has_the_trace_of_its_message(log_format: Format, key: str, page: Page) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"  # it looks like a secret, and is none
    logs = Logs(page, log_format)
    logs.messages([a_line(trace_id=trace), a_line()])
    logs.report("message.handled", **a_line(trace_id=trace).fields())
    logs.messages([a_line(trace_id=trace, observations={"observed": "request"})])

    assert [line.get(key) for line in page.lines] == [trace, None, trace, trace]


def test_a_text_is_scrubbed_or_not_by_its_key_whatever_key_had_it_before() -> None:
    lines = AccessLines(OTEL)
    text = "\n\x91i\x08:¶cI\x8e²)öN\n©}Ùê"
    line = a_line(request_id=text, listener=text, observations={"observed": "request"})
    for _ in range(2):
        told = json.loads(lines(0.0, line, ALL))

        assert (told["request_id"], told["listener"][0]) == (text, "<")


def test_names_are_remembered_up_to_a_number() -> None:
    lines = AccessLines(OTEL)
    for number in range(CACHED_TEXTS + 5):
        line = json.loads(lines(0.0, a_line(rule=f"r{number}"), ALL))

        assert line["rule"] == f"r{number}"
    assert len(lines._templates) <= CACHED_TEXTS


def test_a_level_above_leaves_handled_messages_out_and_no_refused_one(page: Page) -> None:
    logs = Logs(page, level="warning")
    logs.messages([a_line()])
    logs.messages([a_line(refused="x")])
    logs.messages([a_line(refused="upstream-failed")])
    Logs(page, level="error").messages([a_line(refused="x"), a_line(refused="upstream-failed")])

    assert [line["event"] for line in page.lines] == [
        "message.refused",
        "message.failed",
        "message.failed",
    ]
