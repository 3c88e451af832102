from __future__ import annotations

import os
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.logs.access_line import MessageLine
from proxy.telemetry.logs.logger import DescriptorSink, Logs
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.prometheus_text import exposed
from proxy.telemetry.metrics.samples import Check, Facts, Labels, Samples
from proxy.telemetry.policy import MOST_SERIES
from proxy.telemetry.reporter import CountingReporter
from proxy.telemetry.tap import Tap
from tests.factories import Ear

from .conftest import a_line


def test_values_are_counted_by_direction_and_fate() -> None:
    tally = CountingReporter(Ear())
    tally.messages(
        [
            a_line(
                request_outcomes=(("sealed", 2), ("opened", 2)), response_outcomes=(("sealed", 1),)
            )
        ]
    )
    samples = tally.samples()

    assert samples.value(table.VALUES, "api", "send", "request", "sealed") == 2
    assert samples.value(table.VALUES, "api", "send", "response", "sealed") == 1
    assert samples.value(table.VALUES, "api", "send", "request", "opened") == 2
    assert samples.value(table.MESSAGES, "api", "send", "forwarded") == 1
    assert samples.value(table.RESPONSE_BYTES, "api") == 20


def test_refusals_and_upstream_errors_are_counted_by_code() -> None:
    ear = Ear()
    tally = CountingReporter(ear)
    for code, reason in (("upstream-failed", "connect"), ("open-failed", "tag")):
        tally.messages([a_line(rule=None, refused=code, reason=reason, direction="response")])
    samples = tally.samples()

    assert samples.value(table.MESSAGES, "api", "", "refused") == 1
    assert samples.value(table.MESSAGES, "api", "", "failed") == 1
    assert samples.value(table.REFUSALS, "api", "", "response", "open-failed") == 1
    assert samples.value(table.REFUSALS, "api", "", "response", "upstream-failed") == 0
    assert samples.value(table.REFUSAL_REASONS, "api", "request", "upstream-failed", "connect") == 0
    assert samples.value(table.UPSTREAM_ERRORS, "api", "", "upstream-failed", "connect") == 1
    assert samples.value(table.UPSTREAM_ERRORS, "api", "", "open-failed", "tag") == 0
    assert ear.events == ["message.failed", "message.refused"]


@pytest.mark.parametrize("code", ["busy", "upstream-resting"])
def test_what_sealyard_refuses_for_want_of_room_is_no_failure_of_the_backend(code: str) -> None:
    ear = Ear()
    tally = CountingReporter(ear)
    tally.messages([a_line(refused=code, reason="queue-full")])

    assert tally.samples().value(table.UPSTREAM_ERRORS, "api", "send", code, "queue-full") == 0
    assert tally.samples().value(table.REFUSALS, "api", "send", "request", code) == 1
    assert ear.events == ["message.refused"]


def test_requests_and_their_durations_have_method_class_of_status_and_outcome() -> None:
    tally = CountingReporter(Ear())
    lines = [
        a_line(),
        a_line(status=201),
        a_line(method="GET", status=404),
        a_line(status=499),
        a_line(refused="upstream-timeout", reason="response", status=504),
        a_line(method="", rule=None, refused="malformed-request", reason="x", status=400),
    ]
    tally.messages(lines)
    counted: dict[Labels, object] = {
        labels: (sum(values[:-1]), values[-1])
        for name, labels, values in tally.samples()
        if name == table.REQUEST_DURATION.name
    }

    assert counted == {
        ("api", "send", "POST", "2xx", "forwarded"): (2, pytest.approx(0.006)),
        ("api", "send", "GET", "4xx", "forwarded"): (1, pytest.approx(0.003)),
        ("api", "send", "POST", "4xx", "aborted"): (1, pytest.approx(0.003)),
        ("api", "send", "POST", "5xx", "failed"): (1, pytest.approx(0.003)),
        ("api", "", "", "4xx", "refused"): (1, pytest.approx(0.003)),
    }


def test_the_time_of_the_backend_is_counted_by_rule() -> None:
    tally = CountingReporter(Ear())
    tally.messages([a_line(), a_line(method="GET"), a_line(rule=None, upstream_ms=None)])
    counted = {
        labels: sum(values[:-1])
        for name, labels, values in tally.samples()
        if name == table.UPSTREAM_DURATION.name
    }

    assert counted == {("api", "send"): 2}


def test_the_time_of_changes_is_counted_where_it_was_measured() -> None:
    tally = CountingReporter(Ear())
    tally.messages(
        [
            a_line(changes=[("request", 0.00002), ("response", 0.003)]),
            a_line(changes=[("request", 0.00002)]),
            a_line(changes=[]),
            a_line(),
        ]
    )
    counted: dict[Labels, object] = {
        labels: (sum(values[:-1]), values[1], values[-1])
        for name, labels, values in tally.samples()
        if name == table.CRYPTO_DURATION.name
    }

    assert counted == {
        ("api", "send", "request"): (2, 2, pytest.approx(0.00004)),
        ("api", "send", "response"): (1, 0, pytest.approx(0.003)),
    }


@pytest.mark.parametrize(
    "line",
    [
        a_line(rule=None),
        a_line(rule=None, method="PATCH", status=404),
        a_line(rule=None, status=499),
        a_line(rule=None, status=504, refused="upstream-timeout", reason="response"),
        a_line(rule=None, status=502, refused="upstream-failed", reason="no-response"),
        a_line(rule=None, status=400, refused="malformed-request", reason="body-cut"),
        a_line(
            rule=None, status=503, refused="busy", reason="long-transfers", direction="response"
        ),
        a_line(rule=None, method="GET", status=101, switched=True),
        a_line(rule=None, method="GET", status=499, switched=True),
        a_line(rule=None, method="GET", status=502, switched=True, refused="upstream-failed"),
    ],
)
def test_a_write_that_no_rule_matches_is_counted_if_it_was_sent(line: MessageLine) -> None:
    tally = CountingReporter(Ear())
    tally.messages([line] * 2)

    assert tally.samples().value(table.UNCOVERED_WRITES, "api") == 2


@pytest.mark.parametrize(
    "line",
    [
        a_line(),
        a_line(status=499),
        a_line(method="GET", status=101, switched=True),
        a_line(rule=None, method="GET"),
        a_line(rule=None, method="GET", status=499),
        a_line(rule=None, status=400, refused="malformed-request", upstream_ms=None),
        a_line(rule=None, status=499, upstream_ms=None),
        a_line(rule=None, status=503, refused="busy", reason="queue-full"),
        a_line(rule=None, status=503, refused="upstream-resting", reason="upstream-resting"),
        a_line(rule=None, status=502, refused="upstream-failed", reason="connect"),
    ],
)
def test_no_other_message_is_counted_as_such_a_write(line: MessageLine) -> None:
    tally = CountingReporter(Ear())
    tally.messages([line])

    assert tally.samples().value(table.UNCOVERED_WRITES, "api") == 0


def test_a_client_that_went_away_is_no_forwarded_message() -> None:
    tally = CountingReporter(Ear())
    tally.messages([a_line(status=499)])

    assert tally.samples().value(table.MESSAGES, "api", "send", "aborted") == 1


def test_series_are_bounded() -> None:
    tally = CountingReporter(Ear())
    for number in range(MOST_SERIES + 10):
        tally.messages([a_line(rule=f"r{number}")])
    rows = [labels for name, labels, _ in tally.samples() if name == table.MESSAGES.name]

    assert len(rows) == MOST_SERIES + 1
    assert tally.samples().value(table.MESSAGES, "other", "other", "other") == 10


def test_no_value_is_lost_where_outcomes_are_of_more_kinds_than_are_remembered() -> None:
    tally = CountingReporter(Ear())
    numbers = range(1, MOST_SERIES + 20)
    for number in numbers:
        tally.messages([a_line(request_outcomes=(("sealed", number),))] * 2)
        if number % 1000 == 0:
            assert tally.samples().value(table.MESSAGES, "api", "send", "forwarded") == 2 * number

    for _ in range(2):  # a scrape counts nothing twice
        samples = tally.samples()
        assert samples.value(table.MESSAGES, "api", "send", "forwarded") == 2 * len(numbers)
        sealed = samples.value(table.VALUES, "api", "send", "request", "sealed")
        assert sealed == 2 * sum(numbers)


def test_prometheus_reads_what_is_exposed() -> None:
    tally = CountingReporter(Ear())
    for milliseconds in (0.2, 0.5, 3.0, 100_000.0):
        tally.messages([a_line(duration_ms=milliseconds)])
    families = {
        family.name: family
        for family in text_string_to_metric_families(exposed(tally.samples()).body.decode())
    }
    buckets = {
        sample.labels["le"]: sample.value
        for sample in families["sealyard_request_duration_seconds"].samples
        if sample.name.endswith("_bucket")
    }

    assert (buckets["0.0005"], buckets["0.005"], buckets["60.0"], buckets["+Inf"]) == (2, 3, 3, 4)
    assert families["sealyard_messages"].samples[0].value == 4


def test_samples_of_workers_add_up_and_gauges_of_the_dead_are_left_out() -> None:
    dead, alive, together = Samples(), Samples(), Samples()
    for samples in (dead, alive):
        samples.add(table.MESSAGES, 5, labels=("api", "send", "forwarded"))
        samples.add(table.CLIENT_CONNECTIONS, 7, labels=("api",))
    together.merge(dead, gauges=False)
    together.merge(alive)

    assert together.value(table.MESSAGES, "api", "send", "forwarded") == 10
    assert together.value(table.CLIENT_CONNECTIONS, "api") == 7


def test_facts_survive_the_way_to_another_process() -> None:
    samples = Samples()
    samples.add(table.READY, 1)
    facts = Facts((Check("started", ok=True),), samples, {"pid": 1})
    again = Facts.from_json(facts.to_json())

    assert (again.checks, again.status, again.ready) == (facts.checks, {"pid": 1}, True)
    assert list(again.samples) == list(samples)


def test_refusals_are_counted_by_the_reason_that_only_the_log_tells() -> None:
    tally = CountingReporter(Ear())
    for reason in ("tag", "tag", "revoked-session"):
        tally.messages([a_line(refused="open-failed", reason=reason)])
    samples = tally.samples()

    def found(reason: str) -> float:
        return samples.value(table.REFUSAL_REASONS, "api", "request", "open-failed", reason)

    assert found("tag") == 2
    assert found("revoked-session") == 1


def test_lines_that_nobody_reads_are_counted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    tally = CountingReporter(Logs(DescriptorSink(writing)))
    tally.messages([a_line()])
    os.close(writing)

    assert tally.samples().value(table.LINES_LOST) == 1


def test_a_rule_tells_when_it_last_matched() -> None:
    tally = CountingReporter(Ear())
    began = time.time()
    tally.messages([a_line()])
    tally.messages([a_line(rule=None, refused="x", reason="y")])
    matched = [row for row in tally.samples() if row[0] == table.RULE_MATCHED.name]

    ((_, labels, (last,)),) = matched
    assert labels == ("api", "send")
    assert began - 1 <= last <= time.time() + 1


def test_of_several_workers_the_first_due_and_the_last_match_count() -> None:
    whole = Samples()
    for due, matched in ((100.0, 7.0), (50.0, 9.0)):
        one = Samples()
        one.add(table.SESSION_DUE, due)
        one.add(table.RULE_MATCHED, matched, labels=("api", "send"))
        whole.merge(one)

    assert whole.value(table.SESSION_DUE) == 50
    assert whole.value(table.RULE_MATCHED, "api", "send") == 9


def test_of_a_worker_that_is_gone_the_last_match_stays_and_its_sessions_do_not() -> None:
    gone, whole = Samples(), Samples()
    gone.add(table.SESSION_DUE, 100.0)
    gone.add(table.RULE_MATCHED, 7.0, labels=("api", "send"))
    whole.merge(gone, gauges=False)

    assert whole.value(table.SESSION_DUE) == 0
    assert whole.value(table.RULE_MATCHED, "api", "send") == 7


async def test_lines_of_messages_go_to_the_tap_only_while_somebody_looks() -> None:
    tap = Tap(time.time)
    tally = CountingReporter(Ear(), tap)
    tally.messages([a_line()])
    tap.look()
    tally.messages([a_line()])
    tally.messages([a_line(refused="x", reason="y")])
    tally.report("store.failed", store="redis", reason="down")

    seen = tap.look()["messages"]
    assert [one["error"] for one in seen] == [None, "x"]
