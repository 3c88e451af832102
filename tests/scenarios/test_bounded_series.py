"""How many time series there are, the configuration decides, and never what clients send."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import defaultdict
from pathlib import Path
from random import Random  # noqa: TID251 - requests that can be had again by their seed

from aiohttp import web

from proxy.cli.support.reasons import reasons
from proxy.core.errors import traffic_errors
from proxy.telemetry.logs.access_line import METHODS, OTHER_METHOD
from proxy.telemetry.metrics.message_counts import OUTCOMES
from proxy.telemetry.metrics.table import METRICS
from proxy.traffic.downstream.acceptor import REASONS
from tests.scenarios.rig import Served, backend, served

REQUESTS = 500
RULES = {"alpha", ""}
REASON_CODES = {one.reason for one in reasons()}
FROM = {
    "listener": {"api"},
    "rule": RULES,
    "method": {*METHODS, OTHER_METHOD, ""},
    "status_class": {f"{number}xx" for number in range(1, 10)},
    "direction": {"request", "response", ""},
    "outcome": {*OUTCOMES, "forwarded", "refused", "failed", "aborted"},
    "code": {one.code for one in traffic_errors()},
    "reason": {*REASON_CODES, *REASONS, "revoked-session", ""},
}
"""All values that a label may have in metrics of messages, of configuration and code alone."""
LINE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


async def echo(request: web.Request) -> web.Response:
    """Answer with whatever status the client asks for."""
    await request.read()
    status = int(request.headers.get("X-Status", "200"))
    return web.Response(status=status, text="anything")


def hostile(random: Random, canary: str) -> bytes:
    """Return a request whose every part may be invented, in bytes as they are sent."""
    invented = f"{canary}{random.getrandbits(40):x}"
    method = random.choice([*sorted(METHODS), invented.upper(), "POST", "POST"])
    path = random.choice(["/api/messages", f"/api/{invented}", f"/{invented}?{invented}=1", "*"])
    body = random.choice(
        ["", invented, f'{{"conversationId": "{invented}", "content": "x"}}', '{"content": NaN}']
    )
    kind = random.choice(["application/json", f"text/{invented}", "multipart/form-data"])
    lines = [
        f"{method} {path} HTTP/{random.choice(['1.1', '1.0', '3.9'])}",
        f"Host: {invented}",
        f"X-Status: {random.randrange(200, 999)}",
        f"X-Request-Id: {invented}",
        f"User-Agent: {invented}",
        f"Content-Type: {kind}",
        random.choice([f"Content-Length: {len(body)}", f"Content-Length: {invented}"]),
        random.choice([f"X-{invented}: {invented}", f"Content-Encoding: {invented}", "Accept: *"]),
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", body]).encode()


async def sent(ours: Served, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
    writer.write(request)
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()


async def series(ours: Served) -> dict[str, set[str]]:
    """Return the series of each metric, without the buckets of histograms; check their labels."""
    found = defaultdict(set)
    for line in (await ours.metrics()).splitlines():
        if line.startswith("#") or (match := LINE.match(line)) is None:
            continue
        name = re.sub("_(bucket|sum|count|created)$", "", match[1])
        labels = [one for one in LABEL.findall(match[2] or "") if one[0] != "le"]
        for label, value in labels:
            if {"listener"} < set(dict(labels)) and label in FROM:
                assert value in FROM[label], line
        found[name].add(str(labels))
    return found


async def test_what_clients_invent_makes_no_series(tmp_path: Path) -> None:
    canary = f"q{secrets.token_hex(4)}"
    random = Random(canary)  # noqa: S311 - as above
    async with backend(web.route("*", "/{rest:.*}", echo)) as behind:
        with served(tmp_path, behind.port) as ours:
            await ours.event("server.ready")
            for _ in range(REQUESTS):
                await sent(ours, hostile(random, canary))
            first = await series(ours)
            for _ in range(REQUESTS):
                await sent(ours, hostile(random, canary))
            second = await series(ours)
    assert canary not in str(second)
    assert len(first["sealyard_request_duration_seconds"]) > 20
    for name, held in second.items():
        most = 1
        for label in METRICS[name].labels if name in METRICS else ():
            most *= len(FROM.get(label, held))
        assert len(held) <= most
    # What is not about messages is there from the start.
    others = {name for name, metric in METRICS.items() if "listener" not in metric.labels}
    assert {name: second[name] for name in others} == {name: first[name] for name in others}
