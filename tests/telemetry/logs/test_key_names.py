from __future__ import annotations

import json

import pytest

from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.logs.json_lines import MOST_WORDS, EcsLines, JsonLines
from proxy.telemetry.logs.key_names import ECS, OTEL, Naming

MESSAGE = {
    "request_id": "a-1",
    "listener": "api",
    "method": "POST",
    "rule": "send",
    "status": 502,
    "error": "open-failed",
    "request_bytes": 12,
    "response_bytes": 34,
    "duration_ms": 1.5,
}


def test_a_json_line_has_the_names_of_opentelemetry() -> None:
    line = JsonLines()(0.25, EVENTS["message.refused"], "warning", MESSAGE)

    assert line == (
        b'{"at":"1970-01-01T00:00:00.250Z","level":"warning","event":"message.refused",'
        b'"request_id":"a-1","listener":"api","http.request.method":"POST","rule":"send",'
        b'"http.response.status_code":502,"error.type":"open-failed",'
        b'"http.request.body.size":12,"http.response.body.size":34,"duration_ms":1.500}\n'
    )


def test_an_ecs_line_has_the_names_of_elastic() -> None:
    line = EcsLines()(0.25, EVENTS["message.refused"], "warning", {**MESSAGE, "body": "x"})

    assert json.loads(line) == {
        "@timestamp": "1970-01-01T00:00:00.250Z",
        "log.level": "warning",
        "message": "message.refused",
        "ecs.version": "8.11.0",
        "service.name": "sealyard",
        "event.dataset": "sealyard.log",
        "event.action": "message.refused",
        "http.request.id": "a-1",
        "sealyard.listener": "api",
        "http.request.method": "POST",
        "rule.name": "send",
        "http.response.status_code": 502,
        "error.code": "open-failed",
        "http.request.body.bytes": 12,
        "http.response.body.bytes": 34,
        "event.duration": 1_500_000,
        "sealyard.dropped": 1,
    }


@pytest.mark.parametrize("naming", [OTEL, ECS], ids=["otel", "ecs"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)
def test_no_two_keys_of_an_event_get_one_name(naming: Naming, event: object) -> None:
    keys = event.keys  # type: ignore[attr-defined] # an Event
    opening = json.loads(naming.stamp + "00" + naming.head("x.y", "info") + "}")
    names = [*opening, *map(naming.key, keys), naming.key("dropped")]

    assert len(names) == len(set(names))


def test_every_name_belongs_to_a_key_that_there_is() -> None:
    keys = {key for event in EVENTS.values() for key in event.keys}

    assert set(OTEL.names) | set(ECS.names) <= keys


def test_words_are_remembered_up_to_a_bound() -> None:
    lines = JsonLines()
    for number in range(3 * MOST_WORDS):
        line = lines(0.0, EVENTS["message.refused"], "warning", {"rule": f"r{number}"})
        assert json.loads(line)["rule"] == f"r{number}"

    assert len(lines._words) <= MOST_WORDS


def test_what_is_remembered_for_one_key_does_not_pass_for_another() -> None:
    lines, secret = JsonLines(), "c2VjcmV0LUtleS0xMjM0NTY3ODkwMTIzNDU2"
    event = EVENTS["message.refused"]
    own = json.loads(lines(0.0, event, "info", {"request_id": secret}))
    hidden = json.loads(lines(0.0, event, "info", {"rule": secret}))

    assert (own["request_id"], hidden["rule"]) == (secret, "<hidden>")
