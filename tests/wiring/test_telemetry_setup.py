from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.config.settings import TcpAddress, UnixAddress
from proxy.wiring.telemetry_setup import begin, end, wanted
from tests.factories import Ear

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_wanted_where_the_environment_names_a_collector(
    environ: dict[str, str], *, told: bool
) -> None:
    assert wanted(environ) is told


def test_without_a_collector_nothing_begins() -> None:
    ear = Ear()

    assert begin({}, ear) is None
    assert ear.heard == []


def test_without_the_packages_messages_are_carried_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    ear = Ear()

    assert begin(ENDPOINT, ear) is None
    assert ear.heard == [("tracing.unavailable", {"reason": "no-packages"})]


def test_a_variable_that_cannot_be_used_keeps_no_message_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon")
    ear = Ear()
    traces = begin(ENDPOINT, ear)

    if traces is None:
        assert ear.heard == [("tracing.unavailable", {"reason": "ValueError"})]
    else:
        traces.close()
        assert ear.heard == [("tracing.started", {})]


def test_an_end_of_the_way_is_told_as_the_conventions_call_it() -> None:
    told = end(TcpAddress("::1", 8443), secure=True)

    assert told.attributes == {
        "url.scheme": "https",
        "server.address": "::1",
        "server.port": 8443,
    }
    assert told.url("/a/{id}") == "https://[::1]:8443/a/{id}"


def test_a_unix_socket_has_a_path_and_no_port() -> None:
    told = end(UnixAddress(Path("/run/app.sock")), secure=False)

    assert told.attributes == {
        "url.scheme": "http",
        "server.address": "/run/app.sock",
        "network.transport": "unix",
    }
    assert told.url("/a") == "http://localhost/a"
