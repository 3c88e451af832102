from __future__ import annotations

import json

import pytest

from proxy.telemetry.logs.event_keys import ECS, OTEL, Event, KeyNames
from proxy.telemetry.logs.events import EVENTS

from ..conftest import rendered

MESSAGE: dict[str, object] = {
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
    line = rendered("message.refused", MESSAGE)

    assert line == (
        b'{"at":"1970-01-01T00:00:00.250Z","level":"warning","event":"message.refused",'
        b'"request_id":"a-1","listener":"api","http.request.method":"POST","rule":"send",'
        b'"http.response.status_code":502,"error.type":"open-failed",'
        b'"http.request.body.size":12,"http.response.body.size":34,"duration_ms":1.500}\n'
    )


def test_an_ecs_line_has_the_names_of_elastic() -> None:
    line = rendered("message.refused", {**MESSAGE, "body": "x"}, "ecs")

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


@pytest.mark.parametrize("names", [OTEL, ECS], ids=["otel", "ecs"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)
def test_no_two_keys_of_an_event_get_one_name(names: KeyNames, event: Event) -> None:
    opening = [names.time, *names.head("x.y", "info")]
    all_names = [*opening, *map(names.key, event.keys), names.key("dropped")]

    assert len(all_names) == len(set(all_names))


def test_every_name_belongs_to_a_key_that_there_is() -> None:
    keys = {key for event in EVENTS.values() for key in event.keys}

    assert set(OTEL.names) | set(ECS.names) <= keys


def test_what_is_remembered_for_one_key_does_not_pass_for_another() -> None:
    secret = "c2VjcmV0LUtleS0xMjM0NTY3ODkwMTIzNDU2"
    own = json.loads(rendered("message.refused", {"request_id": secret}))
    hidden = json.loads(rendered("message.refused", {"rule": secret}))

    assert (own["request_id"], hidden["rule"]) == (secret, "<hidden>")
