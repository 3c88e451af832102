"""Spans of a real process, as a collector gets them: OTLP over HTTP, decoded from protobuf."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.scenarios.rig import TOKEN, Served, backend, served
from tests.servers import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
RULES = """\
      - name: send
        match: ["POST /other/{room}", "POST /api/{room}/messages"]
        conversation: path:room
        request: {encrypt: $.content}
        response: {decrypt: $.content}
"""


@dataclass
class Collector:
    """Takes spans as any collector does."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.path == "/v1/traces"
        assert request.content_type == "application/x-protobuf"
        self.bodies.append(body)
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(one.resource))
            self.spans += (span for scope in one.scope_spans for span in scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    async def until(self, number: int) -> list[Span]:
        """Return the spans once there are so many."""
        async with asyncio.timeout(20):
            while len(self.spans) < number:  # noqa: ASYNC110 - the process sends when it likes
                await asyncio.sleep(0.05)
        return self.spans


def attributes(one: Any) -> dict[str, Any]:  # noqa: ANN401 - a message of protobuf
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in one.attributes
    }


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    async with serving(app) as made.port:
        yield made


def variables(port: int, **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **more,
    }


async def send(
    ours: Served, body: Mapping[str, object], *, room: str = "ward-7", **headers: str
) -> int:
    url = f"http://127.0.0.1:{ours.port}/api/{room}/messages"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as answer,
    ):
        return answer.status


async def exemplars(ours: Served) -> set[tuple[str, str]]:
    """Return the histograms that have exemplars, with their traces."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/openmetrics-text"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{ours.admin}/metrics", headers=headers) as answer,
    ):
        text = await answer.text()
    return {
        (family.name, one.exemplar.labels["trace_id"])
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # has no types
        for one in family.samples
        if one.exemplar is not None
    }


def by_name(spans: list[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_message_is_a_trace_and_nothing_of_it_is_in_a_span(
    tmp_path: Path, workers: int
) -> None:
    canary = secrets.token_hex(16)
    seen: list[web.Request] = []

    async def echo(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=await request.read(), content_type="application/json")

    async with backend(web.post("/api/{room}/messages", echo)) as behind, collector() as told:
        with served(
            *(tmp_path, behind.port, "--workers", str(workers)),
            rules=RULES,
            variables=variables(told.port),
        ) as ours:
            await ours.event("server.ready")
            parent = f"00-{TRACE}-{PARENT}-01"
            headers = {"traceparent": parent, "tracestate": f"x={canary}", "x-canary": canary}
            for _ in range(2):  # the second has its keys at hand, and takes the way without a task
                body = {"content": canary, canary: canary}
                assert await send(ours, body, room=canary, **headers) == 200
            spans = by_name(await told.until(12))
            assert await exemplars(ours) == {
                ("sealyard_request_duration_seconds", TRACE),
                ("sealyard_upstream_duration_seconds", TRACE),
            }

    (root, _) = spans["POST /api/{room}/messages"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    assert root.kind == Span.SPAN_KIND_SERVER
    assert root.status.code == Status.STATUS_CODE_UNSET
    shown = attributes(root)
    assert shown["http.route"] == "/api/{room}/messages"
    assert shown["http.request.method"] == "POST"
    assert shown["http.response.status_code"] == 200
    # What the conventions of HTTP spans require of a server, and of a client below.
    assert (shown["url.scheme"], shown["url.path"]) == ("http", "/api/{room}/messages")
    assert (shown["server.address"], shown["server.port"]) == ("127.0.0.1", ours.port)
    assert (shown["sealyard.rule"], shown["sealyard.listener"]) == ("send", "api")
    assert (shown["sealyard.sealed"], shown["sealyard.opened"]) == (1, 1)
    assert {name: len(found) for name, found in spans.items()} == {
        "POST /api/{room}/messages": 2,
        "plan": 4,
        "keys": 4,
        "POST": 2,
    }
    for name in ("plan", "keys", "POST"):
        for span in spans[name]:
            assert span.trace_id.hex() == TRACE
            assert any(span.parent_span_id == one.span_id for one in spans[root.name])
            assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert spans["POST"][0].kind == Span.SPAN_KIND_CLIENT
    outward = attributes(spans["POST"][0])
    assert outward["http.response.status_code"] == 200
    assert outward["http.request.method"] == "POST"
    assert (outward["server.address"], outward["server.port"]) == ("127.0.0.1", behind.port)
    assert outward["url.full"] == f"http://127.0.0.1:{behind.port}/api/{{room}}/messages"
    assert outward["url.template"] == "/api/{room}/messages"
    assert told.resources[0]["service.name"] == "sealyard"
    assert not any(canary.encode() in body for body in told.bodies)
    # What the client sent goes on as it came.
    assert {one.headers["traceparent"] for one in seen} == {parent}
    assert {one.headers["tracestate"] for one in seen} == {f"x={canary}"}


async def test_what_is_refused_is_told_by_its_code(tmp_path: Path) -> None:
    async with backend() as behind, collector() as told:
        with served(tmp_path, behind.port, rules=RULES, variables=variables(told.port)) as ours:
            await ours.event("server.ready")
            assert await send(ours, {"nothing": 1}) == 400
            spans = by_name(await told.until(1))
            (tmp_path / "sealyard.yaml").write_text(
                (tmp_path / "sealyard.yaml")
                .read_text()
                .replace(f"127.0.0.1:{behind.port}", "127.0.0.1:1")
            )
            ours.process.send_signal(1)
            await ours.event("config.loaded", 2)
            assert await send(ours, {"content": "x"}) == 502
            later = by_name((await told.until(5))[1:])

    (refused,) = spans["POST /api/{room}/messages"]
    assert attributes(refused)["error.type"] == "missing-value"
    assert attributes(refused)["url.scheme"] == "http"
    assert refused.status.code == Status.STATUS_CODE_UNSET  # 4xx is the client's error
    (failed,) = later["POST /api/{room}/messages"]
    assert attributes(failed)["error.type"] == "upstream-failed"
    assert failed.status.code == Status.STATUS_CODE_ERROR
    (outward,) = later["POST"]
    assert attributes(outward)["error.type"] == "upstream-failed"
    assert outward.parent_span_id == failed.span_id


async def test_a_parent_that_is_not_sampled_is_respected(tmp_path: Path) -> None:
    async with backend() as behind, collector() as told:
        with served(
            tmp_path,
            behind.port,
            rules=RULES,
            variables=variables(told.port, OTEL_SERVICE_NAME="ward"),
        ) as ours:
            await ours.event("server.ready")
            quiet = f"00-{TRACE}-{PARENT}-00"
            assert await send(ours, {"content": "x"}, traceparent=quiet) == 200
            assert not await exemplars(ours)
            assert await send(ours, {"content": "x"}) == 200
            ours.process.terminate()
            assert await ours.ended() == 0
            spans = told.spans

    assert len(spans) == 6
    assert TRACE not in {span.trace_id.hex() for span in spans}
    assert told.resources[0]["service.name"] == "ward"


async def test_a_collector_that_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, rules=RULES, variables=variables(1)) as ours:
            await ours.event("server.ready")
            assert await send(ours, {"content": "x"}) == 200
            ours.process.terminate()
            assert await ours.ended() == 0


async def test_without_an_endpoint_there_are_no_spans(tmp_path: Path) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
            assert await send(ours, {"content": "x"}) == 200
            events = {one["event"] for one in ours.events}
            assert not await exemplars(ours)

    assert "tracing.started" not in events


async def test_a_path_that_no_rule_stands_for_is_not_told(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    async with backend(web.get("/{name}", answer)) as behind, collector() as told:
        with served(tmp_path, behind.port, rules=RULES, variables=variables(told.port)) as ours:
            await ours.event("server.ready")
            url = f"http://127.0.0.1:{ours.port}/{canary}?q={canary}"
            async with aiohttp.ClientSession() as session, session.get(url) as answered:
                assert answered.status == 200
            spans = {span.kind: attributes(span) for span in await told.until(2)}

    server, client = spans[Span.SPAN_KIND_SERVER], spans[Span.SPAN_KIND_CLIENT]
    assert server["url.path"] == "/REDACTED"
    assert client["url.full"] == f"http://127.0.0.1:{behind.port}/REDACTED"
    assert "http.route" not in server
    assert "url.template" not in client
    assert not any(canary.encode() in body for body in told.bodies)
