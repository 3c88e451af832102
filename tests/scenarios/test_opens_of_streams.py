"""The audit log of what forms, event streams and WebSockets open: who, as what, how often, why."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from tests.scenarios.rig import Wanted, backend, served
from tests.scenarios.test_audit import lines, until
from tests.scenarios.test_callers import write_keys
from tests.scenarios.test_opens_by_caller import CANARY, CARD, JWT, MASKS, OPENS, told
from tests.traffic.callers.issuers import ISSUER, claims, signed

WAYS: Final = {  # what is selected, and how often the backend sends it
    "form": ("form:content", "form:card", 1),
    "parts": ("part:content", "part:card", 1),
    "events": ("$.content", "$.card", 2),
    "socket": ("$.content", "$.card", 2),
}
CALLERS: Final = f"""    callers:
      - {{name: doctor, jwt: {{{JWT}, claims: {{roles: doctor}}}}}}
      - {{name: billing, jwt: {{{JWT}, claims: {{roles: billing}}}}}}
"""
SEAL: Final = """\
      - name: seal-{way}
        match: POST /{way}/{{room}}
        conversation: path:room
        request: {{encrypt: ['{content}', '{card}']}}
"""
OPEN: Final = """\
      - name: {way}
        match: {method} /{way}/{{room}}
        conversation: path:room
        response:
          decrypt:
            - {{select: '{content}', for: {{doctor: value, billing: absent}}, {purpose}}}
            - {{select: '{card}', for: {{doctor: {{mask: pan}}, billing: value}}, {purpose}}}
"""
PURPOSE: Final = "purpose_of_use: header:x-purpose"
TOP: Final = f"  store: sqlite:keys.db\n{OPENS}{MASKS}purposes_of_use: [treatment, payment]\n"


def rules() -> str:
    made = ""
    for way, (content, card, _) in WAYS.items():
        named = {"way": way, "content": content, "card": card, "purpose": PURPOSE}
        made += SEAL.format(**named)
        made += OPEN.format(method="WS" if way == "socket" else "GET", **named)
    return made


@dataclass
class Kept:
    """A backend that keeps the last body of each way, and gives it to everybody in each room."""

    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        way = request.match_info["way"]
        if request.method == "POST":
            self.kept[way] = request.headers["Content-Type"], await request.read()
            return web.Response(status=204)
        self.asked += 1
        kind, body = self.kept[way]
        if way == "events":
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            for _ in range(2):
                await stream.write(b"data: %b\n\n" % body)
            return stream
        if way != "socket":
            return web.Response(body=body, headers={"Content-Type": kind})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(2):
            await socket.send_str(body.decode())
        await socket.close()
        return socket


async def seal(session: aiohttp.ClientSession, url: str, way: str) -> None:
    sent = {"content": CANARY, "card": CARD}
    data = aiohttp.FormData(sent, default_to_multipart=True) if way == "parts" else sent
    body = {"data": data} if way in {"form", "parts"} else {"json": sent}
    async with session.post(url, **body) as answer:
        assert answer.status == 204


async def read(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    """Return the status of an answer, or of the handshake of a socket, and all that comes."""
    if "/socket/" not in url:
        text = bytearray()
        async with session.get(url, headers=headers) as answer:
            with suppress(aiohttp.ClientPayloadError):  # a stream may be cut
                async for some in answer.content.iter_any():
                    text += some
            return answer.status, text.decode()
    try:
        async with session.ws_connect(url, headers=headers) as socket:
            return 101, "".join([message.data async for message in socket])
    except aiohttp.WSServerHandshakeError as error:
        return error.status, ""


def everything_in(folder: Path) -> bytes:
    """Return what stands in the store, the audit log and all other files beside them."""
    return b"".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


def bearer(role: str) -> str:
    return f"Bearer {signed(claims(roles=[role], sub=f'{role}-canary'))}"


async def test_the_log_says_who_got_what_of_forms_events_and_sockets(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    write_keys(tmp_path, "ES256")
    kept = Kept()
    doctor = {"Authorization": bearer("doctor"), "x-purpose": "treatment"}
    billing = {"Authorization": bearer("billing"), "x-purpose": "payment"}
    no_purpose = {"Authorization": doctor["Authorization"]}
    unfit = ({"x-purpose": "treatment"}, no_purpose, no_purpose | {"x-purpose": "canary"})
    more: Wanted = {"keys_more": TOP, "rules": rules(), "listener_more": CALLERS}
    async with (
        backend(web.route("*", "/{way}/{room}", kept.answer)) as behind,
        aiohttp.ClientSession() as session,
    ):
        with served(tmp_path, behind.port, **more) as ours:
            await ours.event("server.ready")
            base = f"http://127.0.0.1:{ours.port}"
            for way in WAYS:
                await seal(session, f"{base}/{way}/r1", way)
                asked = [(await read(session, f"{base}/{way}/r1", **one))[0] for one in unfit]
                assert (way, asked, kept.asked) == (way, [403, 400, 400], 0)
            for way, (_, _, times) in WAYS.items():
                for shown, value in ((doctor, CANARY), (billing, CARD)):
                    _, text = await read(session, f"{base}/{way}/r1", **shown)
                    assert (way, text.count("canary"), text.count(value)) == (way, times, times)
                    _, text = await read(session, f"{base}/{way}/other", **shown)
                    assert "canary" not in text
            await until(lambda: sum(len(one.get("delivered", ())) for one in lines(tmp_path)) >= 8)
            metrics = await ours.metrics()
            stored = everything_in(tmp_path)

    by_id = {one["request_id"]: one for one in ours.events if "error.type" in one}
    opened: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for one in told(tmp_path, "--tenant", "alpha", "--conversation", "r1"):
        assert (one["listener"], one["direction"], one["delivered"]) == ("api", "response", "whole")
        assert one["request_id"] not in by_id
        for each in one["fields"]:
            what, _, number = each.rpartition(":")
            opened[one["rule"], one["caller"], one["purpose_of_use"]][what] += int(number)
    assert opened == {
        (way, caller, purpose): dict.fromkeys(fields, times)
        for way, (_, _, times) in WAYS.items()
        for caller, purpose, fields in (
            ("doctor", "treatment", ("content:value", "card:mask")),
            ("billing", "payment", ("content:absent", "card:value")),
        )
    }
    assert len(told(tmp_path, "--issuer", ISSUER, "--subject", "doctor-canary")) >= len(WAYS)
    unopened = [one for one in lines(tmp_path) if one["event"] == "open.refused"]
    assert {one["reason"] for one in unopened} == {"wrong-context"}
    assert {(one["rule"], by_id[one["request_id"]]["caller"]) for one in unopened} == {
        (way, caller) for way in WAYS for caller in ("doctor", "billing")
    }
    refused = Counter((one.get("caller"), one["error.type"]) for one in by_id.values())
    assert refused == {
        (None, "caller-may-not-open"): len(WAYS),
        ("doctor", "purpose-of-use-missing"): 2 * len(WAYS),
        ("doctor", "open-failed"): len(WAYS),
        ("billing", "open-failed"): len(WAYS),
    }
    assert b"canary" not in stored + metrics.encode() + ours.log.read_bytes()
    assert not any(b"canary" in body for _, body in kept.kept.values())
