"""What a real Prometheus makes of a real process: dashboard, alerts, exemplars, labels.

Grafana is not run. What it would ask is: every query of the dashboard, with its variables filled in
as Grafana does.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.telemetry.logs.access_line import METHODS, OTHER_METHOD
from proxy.telemetry.metrics.metric import OPENMETRICS
from tests.redis.server import PROGRAM as REDIS
from tests.redis.server import Server
from tests.scenarios.rig import TOKEN, Served, backend, served
from tests.servers import free_port
from tests.telemetry.test_watching import DASHBOARD, FILES
from tests.telemetry.test_watching import RULES as ALL_RULES

from .server import MISSING, PROGRAM, Prometheus, prometheus

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
    pytest.mark.skipif(REDIS is None, reason="no redis-server here"),
]

INSTANCE = "sidecar-1"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RULES = """\
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {{encrypt: [$.content, $.note]}}
        response: {{decrypt: [$.content, $.note]}}
  - name: dead
    listen: 127.0.0.1:{dead}
    upstream: http://127.0.0.1:{nobody}
    unmatched: reject
    defaults: {{others: pass, tenant: "const:beta"}}
    rules:
      - name: lost
        match: POST /api/messages
        conversation: $.conversationId
        request: {{encrypt: $.content}}
"""
EMPTY = {
    "sealyard_session_expiry_timestamp_seconds": "only ephemeral sessions expire",
    "sealyard_store_errors_total": "the store has not failed",
    "sealyard_messages_total{rule!=": "every rule has matched within the day",
}
"""Queries of the dashboard to which there is rightly no answer here, and why."""


@dataclass
class Scene:
    """A sidecar that has carried all kinds of messages, and the Prometheus that scrapes it."""

    ours: Served
    prometheus: Prometheus
    canary: str
    redis: Server
    held: list[bytes]


async def messages(session: aiohttp.ClientSession, ours: Served, dead: int, canary: str) -> None:
    """Send messages of all outcomes: sealed, opened, uncovered, refused, failed."""
    base, lost = f"http://127.0.0.1:{ours.port}", f"http://127.0.0.1:{dead}"
    for number in range(40):
        body = {"conversationId": f"c{number % 4}", "content": canary, "note": canary, canary: 1}
        headers = {"X-Request-Id": f"gateway-{number}", "traceparent": f"00-{TRACE}-{1:016x}-01"}
        if number % 2:
            headers["X-Request-Id"] = f"<{canary}>"
        url = f"{base}/api/messages"
        async with session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["content"] == canary
    forged = {"conversationId": "c1", "content": "sy1." + "A" * 80, "note": canary}
    for method, url, sent in (
        ("PUT", f"{base}/{canary}", b"anything"),
        ("GET", f"{base}/{canary}", None),
        ("POST", f"{base}/api/messages", b'{"conversationId": NaN, "content": "%b"}'),
        ("POST", f"{base}/api/messages", json.dumps(forged).encode()),
        ("POST", f"{lost}/api/messages", json.dumps(forged | {"content": canary}).encode()),
        (f"X{canary.upper()}", f"{base}/{canary}", None),
    ):
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        async with session.request(method, url, data=sent, headers=headers) as answer:
            await answer.read()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Start all of it, and send messages for as long as a rate needs."""
    canary, dead = secrets.token_hex(12), free_port()
    redis = Server(folder)
    redis.start()
    try:
        async with backend() as behind, aiohttp.ClientSession() as session:
            rules = RULES.format(dead=dead, nobody=free_port())
            store = f"  store: redis://127.0.0.1:{redis.port}\n"
            with served(
                folder, behind.port, "--workers", "2", rules=rules, keys_more=store
            ) as ours:
                await ours.event("server.ready")
                targets = {f"127.0.0.1:{ours.health}": INSTANCE}
                rules_file = FILES / "rules.yaml"
                async with prometheus(folder / "prometheus", rules_file, targets) as asked:
                    await asked.until("sealyard_build_info")
                    for _ in range(4):
                        await messages(session, ours, dead, canary)
                        await asyncio.sleep(1.5)
                    yield Scene(ours, asked, canary, redis, behind.bodies)
    finally:
        redis.kill()


def filled(expression: str, **variables: str) -> str:
    """Return a query of the dashboard as Grafana sends it."""
    for name, value in {"__rate_interval": "15s", **variables}.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression, expression
    return expression


ALL = {"instance": ".*", "listener": ".*", "rule": ".*"}
CHOSEN = {"instance": INSTANCE, "listener": "api", "rule": "send"}


async def answered(asked: Prometheus) -> None:
    """Ask every query of the dashboard, for everything and for a choice."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            found = await asked.query(filled(expression, **ALL))
            excused = [why for text, why in EMPTY.items() if text in expression]
            assert bool(found) is not bool(excused), (panel["title"], expression, excused)
            chosen = await asked.query(filled(expression, **CHOSEN))
            assert len(chosen) <= len(found)
            assert not await asked.query(filled(expression, **{**ALL, "instance": "another"})) or (
                "time()" in expression
            )


async def offered(asked: Prometheus) -> dict[str, list[str]]:
    """Return what each variable of the dashboard offers, as Grafana asks for it."""
    offers: dict[str, list[str]] = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] != "query":
            continue
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert match is not None
        match_all = {"match[]": filled(match[1], **ALL)}
        offers[variable["name"]] = await asked.api(f"label/{match[2]}/values", **match_all)
    return offers


async def alerting(asked: Prometheus) -> set[tuple[str, str]]:
    """Return the alerts that fire, with their instances."""
    firing = await asked.query('ALERTS{alertstate="firing"}')
    return {(one["metric"]["alertname"], one["metric"].get("instance", "")) for one in firing}


def texts(one: Any) -> str:  # noqa: ANN401 - JSON
    """Return all that was told, for a search."""
    return json.dumps(one)


async def test_a_real_prometheus_answers_every_query_of_the_dashboard(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        asked, canary = made.prometheus, made.canary
        await asked.until('sealyard_crypto_duration_seconds_count{direction="response"}')
        await answered(asked)
        assert await offered(asked) == {
            "instance": [INSTANCE],
            "listener": ["api", "dead"],
            "rule": ["lost", "send"],
        }

        await asked.until('ALERTS{alertname="SealyardUncoveredPlaintext",alertstate="firing"}')
        assert ("SealyardUncoveredPlaintext", INSTANCE) in await alerting(asked)
        rules = [one for group in (await asked.api("rules"))["groups"] for one in group["rules"]]
        assert [one["health"] for one in rules] == ["ok"] * len(ALL_RULES)

        counted = await asked.query("sealyard_request_duration_seconds_count")
        seen = {
            label: {one["metric"].get(label, "") for one in counted}
            for label in ("rule", "method", "status_class", "outcome")
        }
        assert seen["rule"] == {"", "lost", "send"}
        assert seen["method"] <= {*METHODS, OTHER_METHOD, ""}
        assert seen["status_class"] <= {"2xx", "4xx", "5xx"}
        assert seen["outcome"] == {"forwarded", "refused", "failed"}
        failed = await asked.query(
            "sum by (listener, rule, reason) (sealyard_upstream_errors_total)"
        )
        assert [one["metric"] for one in failed] == [
            {"listener": "dead", "rule": "lost", "reason": "connect"}
        ]
        stored = await asked.query(
            "sum by (store, operation) (sealyard_store_duration_seconds_count)"
        )
        assert {"redis"} == {one["metric"]["store"] for one in stored}
        assert {"find", "get_or_create"} & {one["metric"]["operation"] for one in stored}

        at = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        histogram = "sealyard_request_duration_seconds_bucket"
        exemplars = await asked.api("query_exemplars", query=histogram, **at)
        traces = {each["labels"]["trace_id"] for one in exemplars for each in one["exemplars"]}
        assert traces == {TRACE}

        everything = await asked.api("series", **{"match[]": '{__name__=~".+"}'}, **at)
        log = made.ours.log.read_text()
        kept = made.redis.command("KEYS", "*").decode("latin-1")
        lines = [line for line in made.ours.events if line["event"].startswith("message.")]
        url = f"http://127.0.0.1:{made.ours.health}/metrics"
        async with asked.session.get(url, headers={"Accept": OPENMETRICS}) as answer:
            exposed = await answer.text()

    for place in (texts(everything), texts(exemplars), kept, log, exposed):
        assert canary not in place.lower()
    sealed = [body for body in made.held if body.startswith(b'{"conversationId"')]
    assert sealed
    assert all(json.loads(body)["content"] != canary for body in sealed if b"content" in body)
    ids = {line["request_id"] for line in lines}
    assert {f"gateway-{number}" for number in range(0, 40, 2)} <= ids
    assert {line.get("trace_id") for line in lines if line.get("rule") == "send"} >= {TRACE}
    failed_lines = [line for line in lines if line["event"] == "message.failed"]
    assert {(line["listener"], line["reason"]) for line in failed_lines} == {("dead", "connect")}


async def ask(session: aiohttp.ClientSession, method: str, url: str, body: object) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with session.request(method, url, json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def test_usual_work_raises_no_alert_and_a_dead_backend_does_within_seconds(
    tmp_path: Path,
) -> None:
    """The short windows, in a real Prometheus; the long ones are drawn (test_incidents)."""
    fired = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[10m]))'
    canary = secrets.token_hex(12)
    message = {"conversationId": "c1", "content": canary, "note": canary}
    bodies: list[bytes] = []
    stored = False

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        body = bodies[0 if stored else -1]
        return web.Response(body=body, content_type="application/json")

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with backend(web.post("/api/messages", answer)) as behind:
            store = "  store: sqlite:keys.db\n"
            ours = stack.enter_context(served(tmp_path, behind.port, keys_more=store))
            await ours.event("server.ready")
            url, admin = f"http://127.0.0.1:{ours.port}", f"http://127.0.0.1:{ours.admin}"
            asked = await stack.enter_async_context(
                prometheus(
                    tmp_path / "prometheus",
                    FILES / "rules.yaml",
                    {f"127.0.0.1:{ours.health}": INSTANCE},
                )
            )
            await asked.until("sealyard_build_info")
            for _ in range(20):
                assert await ask(session, "POST", f"{url}/api/messages", message) == 200
                await asyncio.sleep(0.1)
            await ours.reload()
            scope = {"tenant": "alpha", "conversation": "c1"}
            assert await ask(session, "POST", f"{admin}/v1/sessions/revoke", scope) == 200
            stored = True
            for _ in range(20):  # read what was revoked
                assert await ask(session, "POST", f"{url}/api/messages", message) == 502
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)
            assert await asked.query(fired) == []
            assert await asked.query('sealyard_refusal_reasons_total{reason="revoked-session"}')
        for _ in range(30):
            assert await ask(session, "POST", f"{url}/api/messages", message) >= 500
            await asyncio.sleep(0.1)
        await asked.until('ALERTS{alertname="SealyardClientsGetErrors",alertstate="firing"}')
        told = {one["metric"]["alertname"] for one in await asked.query(fired)}
    assert told == {"SealyardClientsGetErrors"}
