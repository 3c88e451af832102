"""Who gets what over real sockets: the same list, refusals before the backend acts, and endings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import aiohttp
import pytest
from aiohttp import web

from proxy.core.callers import VerifiedCaller
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic.callers.callers import Callers
from tests.keys.builders import a_world
from tests.servers import serving
from tests.traffic.ours import HASTY, Ours, local, proxied

from .issuers import a_caller, claims, signed, verifying

CANARY: Final = "canary-4c81f2"
URN: Final = "urn:sealyard:error:"
NAMES: Final = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c1"))
WRITTEN: Final = Item(
    parse_selector("$.content"), "content", frozenset({"tenant", "conversation", "field"})
)
EACH: Final[tuple[tuple[str, Shown], ...]] = (
    ("doctor", "value"),
    ("billing", Mask(last=2)),
    ("clerk", "token"),
    ("student", "absent"),
)
ROLES: Final = (*dict(EACH), "guest")


def seen(selector: str) -> Item:
    return replace(
        WRITTEN, selector=parse_selector(selector), audience=CallerAudience(EACH), optional=True
    )


def a_rule(name: str, match: str, **changes: Any) -> Rule:  # noqa: ANN401 - fields of rules
    return Rule(
        name,
        (parse_pattern(match),),
        NAMES,
        callers=ROLES,
        deciding=(b"Authorization",),
        **changes,
    )


SHOWN: Final = (Block(decrypt=(seen("$.content"),)),)
RULES: Final = (
    a_rule("write", "POST,PUT,PATCH /m", request=(Block(encrypt=(WRITTEN,)),), response=SHOWN),
    a_rule("list", "GET /m", response=(Block(decrypt=(seen("$.*.content"),)),)),
    a_rule("live", "WS /live", response=SHOWN),
    a_rule(
        "chat",
        "WS /chat",
        request=(Block(encrypt=(replace(WRITTEN, optional=True),)),),
        response=SHOWN,
    ),
    a_rule("events", "GET /events", response=SHOWN),
    a_rule("closed", "POST /closed", request=(Block(callers=frozenset({"doctor"})),)),
)


@dataclass
class Hospital:
    """A backend that stores what it gets, and is told when to push it."""

    port: int = 0
    stored: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    push: asyncio.Event = field(default_factory=asyncio.Event)


async def answer(at: Hospital, request: web.Request) -> web.StreamResponse:
    at.heads.append(dict(request.headers))
    if request.path == "/live":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for one in at.stored:
            await socket.send_str(json.dumps(one))
            await at.push.wait()
            await socket.send_str(json.dumps(one))
        await socket.receive()
        return socket
    if request.path == "/chat":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            at.stored.append(json.loads(message.data))
            await socket.send_str(message.data)
        return socket
    if request.path == "/events":
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for one in at.stored:
            await stream.write(f"data: {json.dumps(one)}\n\n".encode())
            await at.push.wait()
            await stream.write(f"data: {json.dumps(one)}\n\n".encode())
        return stream
    if request.method == "GET":
        headers = {
            "ETag": '"same"',
            "Last-Modified": "Tue, 01 Dec 2026 00:00:00 GMT",
            "Cache-Control": "public, max-age=600",
            "Content-Digest": "sha-256=:AAAA:",
        }
        return web.json_response(at.stored, headers=headers)
    at.stored.append(await request.json())
    return web.json_response({"stored": True})


class Presented:
    """Stands in for what verifies: every client is one caller, until a time."""

    def __init__(self, caller: VerifiedCaller | None) -> None:
        self.caller = caller

    def earned(self, raw: object, _: object) -> object:
        return raw

    def presented(self, *_: object) -> None:
        return None

    def known(self, _: object) -> Presented:
        return self


@dataclass
class Ward:
    ours: Ours
    backend: Hospital
    session: aiohttp.ClientSession

    async def ask(
        self,
        role: str | None,
        method: str = "GET",
        path: str = "/m",
        **options: Any,  # noqa: ANN401 - as aiohttp
    ) -> tuple[int, Any, dict[str, str]]:
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {signed(claims(roles=role))}"
        url = f"http://127.0.0.1:{self.ours.port}{path}"
        async with self.session.request(method, url, headers=headers, **options) as told:
            text = await told.text()
            body = json.loads(text) if "json" in told.content_type else text
            return told.status, body, dict(told.headers)


@contextlib.asynccontextmanager
async def ward(callers: object | None = None) -> AsyncIterator[Ward]:
    backend = Hospital()
    app = web.Application()

    async def answering(request: web.Request) -> web.StreamResponse:
        return await answer(backend, request)

    app.router.add_route("*", "/{path:.*}", answering)
    known = verifying(*(a_caller(one, wanted=(("roles", one),)) for one in ROLES))
    async with (
        serving(app, shutdown=0.1) as backend.port,
        proxied(
            local(backend.port),
            rule_table=RuleTable(RULES, pass_unmatched=False),
            keys=a_world().sessions,
            timeouts=HASTY,
            callers=cast("Callers", callers or known),
        ) as ours,
        aiohttp.ClientSession() as session,
    ):
        yield Ward(ours, backend, session)


async def test_each_caller_reads_its_own_of_one_list() -> None:
    async with ward() as at:
        status, _, _ = await at.ask("doctor", "POST", json={"content": CANARY, "x": 1})
        assert status == 200
        (stored,) = at.backend.stored
        rows = {role: await at.ask(role) for role in (*ROLES, None)}
        conditions = {
            "If-None-Match": '"same"',
            "If-Modified-Since": "Tue, 01 Dec 2026 00:00:00 GMT",
            "If-Range": '"same"',
            "Range": "bytes=0-9",
        }
        again = await at.ask("billing", headers=conditions)

    assert rows["doctor"][1] == [{"content": CANARY, "x": 1}]
    assert rows["billing"][1] == [{"content": "\u2022" * 11 + "f2", "x": 1}]
    assert rows["clerk"][1] == [stored]
    assert rows["student"][1] == [{"x": 1}]
    assert again[:2] == rows["billing"][:2]
    for role in ("guest", None):
        assert (rows[role][0], rows[role][1]["type"]) == (403, f"{URN}caller-may-not-open")
    assert len(at.backend.heads) == 1 + 4 + 1
    assert not conditions.keys() & at.backend.heads[-1].keys()
    for role, (_, _, headers) in rows.items():
        if role in dict(EACH):
            assert headers["Cache-Control"] == "private, no-store"
            assert headers["Vary"] == "Authorization"
            assert not {"ETag", "Last-Modified", "Content-Digest"} & headers.keys()
    assert CANARY not in repr(at.ours.ear.heard)
    assert {one["caller"] for _, one in at.ours.ear.heard} == {*ROLES, None}
    assert sum(one.get("masked", 0) for one in at.ours.ear.all("message.handled")) == 2


async def test_who_may_not_open_never_reaches_the_backend() -> None:
    async with ward() as at:
        for role, method, path, code in (
            ("guest", "POST", "/m", "caller-may-not-open"),
            (None, "POST", "/m", "caller-may-not-open"),
            ("billing", "POST", "/closed", "caller-may-not-seal"),
            ("billing", "PUT", "/m", "masked-value"),
            ("clerk", "PATCH", "/m", "masked-value"),
        ):
            status, told, _ = await at.ask(role, method, path, json={"content": CANARY})
            assert told["type"] == f"{URN}{code}"
            assert status == (409 if code == "masked-value" else 403)
        status, told, _ = await at.ask("doctor", "POST", json={"content": "4\u2022"})
        assert (status, told["type"]) == (409, f"{URN}masked-value")
        assert (await at.ask("doctor", "POST", "/closed", json={}))[0] == 200

    assert len(at.backend.heads) == 1


@pytest.mark.parametrize("role", ["doctor", "student"])
async def test_a_websocket_ends_at_the_first_push_behind_the_credential(role: str) -> None:
    caller = Presented(VerifiedCaller("doctor"))
    async with ward(caller) as at:
        await at.ask(None, "POST", json={"content": CANARY})
        caller.caller = VerifiedCaller(role, expires=time.time() + 1)
        url = f"http://127.0.0.1:{at.ours.port}/live"
        async with at.session.ws_connect(url) as socket:
            first = await socket.receive_json()
            assert first == ({"content": CANARY} if role == "doctor" else {})
            await asyncio.sleep(1.1)
            at.backend.push.set()
            told = await asyncio.wait_for(socket.receive(), 20)
            assert (told.type, told.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert at.ours.ear.last["reason"] == "caller-expired"


async def test_a_message_of_a_websocket_changes_nothing_that_its_sender_does_not_see() -> None:
    async with ward() as at:
        for role in ("doctor", "billing", "student"):
            headers = {"Authorization": f"Bearer {signed(claims(roles=role))}"}
            url = f"http://127.0.0.1:{at.ours.port}/chat"
            async with at.session.ws_connect(url, headers=headers) as socket:
                await socket.send_json({"x": [1]})
                assert await asyncio.wait_for(socket.receive_json(), 20) == {"x": [1]}
                await socket.send_json({"content": CANARY})
                told = await asyncio.wait_for(socket.receive(), 20)
                if role == "doctor":
                    assert json.loads(told.data) == {"content": CANARY}
                else:
                    assert (told.type, told.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    reasons = [one["reason"] for _, one in at.ours.ear.heard if one.get("reason")]
    assert reasons == ["unseen-changed"] * 2
    assert [list(one) for one in at.backend.stored] == [["x"], ["content"], ["x"], ["x"]]


async def test_a_stream_of_events_ends_with_the_credential() -> None:
    caller = Presented(VerifiedCaller("doctor"))
    async with ward(caller) as at:
        await at.ask(None, "POST", json={"content": CANARY})
        caller.caller = VerifiedCaller("doctor", expires=time.time() + 1)
        url = f"http://127.0.0.1:{at.ours.port}/events"
        async with at.session.get(url) as stream:
            assert stream.headers["Cache-Control"] == "private, no-store"
            assert CANARY.encode() in await stream.content.readline()
            await asyncio.sleep(1.1)
            at.backend.push.set()
            with pytest.raises(aiohttp.ClientPayloadError):
                await stream.content.read()
