"""config/examples/transit-egress.yaml and transit-ingress.yaml: two Sealyards, a gateway between.

orders -> Sealyard (egress) -> the gateway, which keeps all it sees -> Sealyard (ingress) -> billing
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.core.crypto import sealed_stream
from tests.scenarios.examples import Kept, Scene, keeping, sealyard
from tests.scenarios.rig import write_keys

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
Change = Callable[[bytes], bytes]


@dataclass
class Gateway:
    """Hands everything on as it came, unless it is told to change what is answered."""

    to: int = 0
    session: aiohttp.ClientSession | None = None
    answers: list[bytes] = field(default_factory=list)
    change: Change = bytes

    async def hand_on(self, request: web.Request) -> web.Response:
        assert self.session is not None
        url = f"http://127.0.0.1:{self.to}{request.raw_path}"
        headers = {name: one for name, one in request.headers.items() if name.lower() not in HOP}
        body = await request.read()
        async with self.session.request(
            request.method, url, data=body or None, headers=headers
        ) as response:
            self.answers.append(await response.read())
            kept = {k: v for k, v in response.headers.items() if k.lower() not in HOP}
            return web.Response(
                status=response.status, body=self.change(self.answers[-1]), headers=kept
            )


@dataclass
class Billing:
    """Keeps invoices and answers with them."""

    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[web.RouteDef]:
        one = "/invoices/{id}"
        return [
            web.post("/invoices", self.create),
            web.put(one, self.replace),
            web.get(one, self.read),
            web.delete(one, self.delete),
            web.post("/archive", self.archive),
        ]

    async def create(self, request: web.Request) -> web.Response:
        name = f"i{next(self.numbers)}"
        self.invoices[name] = await request.json()
        return web.json_response({"id": name, **self.invoices[name]}, status=201)

    async def replace(self, request: web.Request) -> web.Response:
        self.invoices[request.match_info["id"]] = await request.json()
        return web.Response(status=204)

    async def read(self, request: web.Request) -> web.Response:
        found = self.invoices.get(request.match_info["id"])
        if found is None:
            return web.json_response({"error": "no such invoice"}, status=404)
        return web.json_response(found)

    async def delete(self, request: web.Request) -> web.Response:
        del self.invoices[request.match_info["id"]]
        return web.Response(status=204)

    async def archive(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type=request.content_type)


@dataclass
class Chain:
    """`scene` stands before the egress, and what the gateway was sent is what it kept."""

    scene: Scene
    gateway: Gateway
    billing: Billing
    arrived: Kept
    ingress: str


@asynccontextmanager
async def a_chain(folder: Path) -> AsyncIterator[Chain]:
    billing, gateway = Billing(), Gateway()
    near, far = folder / "orders", folder / "billing"
    near.mkdir()
    far.mkdir()
    write_keys(near)
    for name in ("keyring.jwe", "root.key", "admin.token"):
        shutil.copy(near / name, far / name)
    async with (
        keeping(billing.routes()) as arrived,
        sealyard(far, "transit-ingress.yaml", arrived.port) as ingress,
        aiohttp.ClientSession(auto_decompress=False) as onward,
        keeping([web.route("*", "/{path:.*}", gateway.hand_on)]) as passed,
        sealyard(near, "transit-egress.yaml", passed.port) as egress,
        aiohttp.ClientSession(f"http://127.0.0.1:{egress.port}") as client,
        aiohttp.ClientSession(f"http://127.0.0.1:{passed.port}") as direct,
    ):
        gateway.to, gateway.session = ingress.port, onward
        scene = Scene(egress, passed, client, direct)
        yield Chain(scene, gateway, billing, arrived, f"http://127.0.0.1:{ingress.port}")
        assert scene.canary.encode() not in b"".join(gateway.answers)
        for one in (scene, Scene(ingress, arrived, client, direct, scene.canary)):
            told = await one.told()
            assert scene.canary.encode() not in b"".join(told.values())
        assert not passed.has(scene.canary)


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with a_chain(tmp_path) as chain:
        yield chain


async def test_two_services_talk_and_the_gateway_sees_ciphertext(chain: Chain) -> None:
    invoice = {"customer": chain.scene.canary, "cents": 12345}
    sent = json.dumps(invoice, indent=2).encode()

    created = await chain.scene.ask("POST", "/invoices", sent)

    assert created == {"id": "i1", **invoice}
    assert chain.arrived.bodies == [sent]
    assert b"application/json" in chain.arrived.heads[0]
    assert chain.scene.kept.bodies[-1].startswith(b"eyJ")
    assert chain.gateway.answers[-1].startswith(b"eyJ")
    changed = {**invoice, "cents": 1}
    await chain.scene.ask("PUT", "/invoices/i1", changed)
    assert await chain.scene.ask("GET", "/invoices/i1") == changed
    assert await chain.scene.status("DELETE", "/invoices/i1") == (204, 1)
    assert chain.billing.invoices == {}


async def test_an_error_of_the_service_comes_back_sealed_as_well(chain: Chain) -> None:
    async with chain.scene.client.get("/invoices/none") as answer:
        assert (answer.status, await answer.json()) == (404, {"error": "no such invoice"})
    assert chain.gateway.answers[-1].startswith(b"eyJ")


async def test_long_bodies_go_as_frames_both_ways(chain: Chain) -> None:
    scan = chain.scene.canary.encode() + bytes(300_000)
    headers = {"Content-Type": "application/pdf"}
    async with chain.scene.client.post("/archive", data=scan, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, scan)
        assert answer.content_type == "application/pdf"
    assert chain.arrived.bodies[-1] == scan
    assert sealed_stream.MEDIA_TYPE.encode() in chain.scene.kept.heads[-1]


async def test_who_comes_past_the_egress_is_refused(chain: Chain) -> None:
    before = len(chain.arrived.bodies)
    async with aiohttp.ClientSession(chain.ingress) as eve:
        for method, kind, status in (
            ("POST", "application/json", 415),
            ("PATCH", "application/jose", 400),
            ("DELETE", "application/json", 400),
        ):
            headers = {"Content-Type": kind}
            async with eve.request(method, "/invoices/i1", data="{}", headers=headers) as answer:
                assert (method, answer.status) == (method, status)
    assert len(chain.arrived.bodies) == before


async def test_a_question_sent_back_as_the_answer_is_refused(chain: Chain) -> None:
    """Both are sealed under the keys of one conversation, but each as what it is."""
    chain.gateway.change = lambda _: chain.scene.kept.bodies[-1]
    invoice = {"customer": chain.scene.canary}
    assert await chain.scene.status("POST", "/invoices", json=invoice) == (502, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer[:-1] + (b"A" if answer[-1:] != b"A" else b"B"),
        lambda answer: answer[:-20],
        lambda _: b'{"cents":0}',
    ],
    ids=["a tag changed", "cut", "in plain"],
)
async def test_an_answer_that_the_gateway_changed_is_refused(chain: Chain, change: Change) -> None:
    await chain.scene.ask("POST", "/invoices", {"customer": chain.scene.canary})
    chain.gateway.change = change
    async with chain.scene.client.get("/invoices/i1") as answer:
        assert answer.status == 502
        assert chain.scene.canary not in await answer.text()
