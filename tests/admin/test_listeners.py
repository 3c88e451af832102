"""The admin and health listeners over real connections, for a subject that is made up."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.admin.access import Access
from proxy.admin.caller import Caller
from proxy.admin.guard import Gate, Guard, Record
from proxy.admin.operation import scopes
from proxy.admin.routes import Routes
from proxy.admin.server import MOST_CONNECTIONS as MOST
from proxy.admin.server import AdminServer
from proxy.admin.subject import Reloaded, Viewer
from proxy.admin.token import BearerToken, Issued, Tokens
from proxy.config.load import load
from proxy.config.settings import ADMIN_SCOPES, AdminScope, Settings, TcpAddress
from proxy.core.context import Scope
from proxy.core.errors import SealyardError, UnfitEnvironment
from proxy.keys.desk import Answer, Call
from proxy.keys.participants.desk import ParticipantAnswer, ParticipantCall
from proxy.keys.value_desk import Value, ValueCall
from proxy.telemetry import metrics
from proxy.telemetry.facts import Check
from proxy.telemetry.samples import Samples
from proxy.traffic import sockets

CONFIGURATION = Path(__file__).parents[2] / "config" / "sealyard.yaml"
TOKEN = "token-of-the-tests-0123456789"
LISTEN = TcpAddress("127.0.0.1", 0)
ALL = (
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/-/reload"),
    ("GET", "/v1/status"),
    ("GET", "/v1/config"),
    ("GET", "/v1/sessions"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/rotate"),
    ("POST", "/v1/sessions/revoke"),
    ("POST", "/v1/explain"),
    ("POST", "/v1/seal"),
    ("POST", "/v1/open"),
)
HEALTH = ALL[:3]


@dataclass
class Everything:
    """A subject that answers what it was told to."""

    ready: bool = True
    outcome: Reloaded = field(default_factory=lambda: Reloaded(accepted=True, sha256="ab"))
    broken: bool = False
    calls: list[Call] = field(default_factory=list)
    answer: Answer = field(default_factory=lambda: Answer("A" * 22, 5))
    raises: SealyardError | None = None
    asked: list[ValueCall] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load(CONFIGURATION, {"SEALYARD_PASSPHRASE": "x"}).settings

    async def checks(self) -> tuple[Check, ...]:
        return (Check("started", ok=True), Check("keyring", self.ready, "primary k1"))

    async def samples(self) -> Samples:
        samples = Samples()
        samples.add(metrics.READY, 1)
        return samples

    async def status(self) -> Mapping[str, Any]:
        if self.broken:
            raise RuntimeError("canary")
        return {"version": "0"}

    def viewer(self) -> Viewer:
        raise NotImplementedError

    async def operate(self, call: Call) -> Answer:
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises
        return self.answer

    async def participants(self, call: ParticipantCall) -> ParticipantAnswer:
        raise AssertionError(call.action)

    async def packages(self, scope: Scope, recipient: str) -> list[dict[str, Any]]:
        if self.raises is not None:
            raise self.raises
        return [one for one in self.found if (scope, recipient) == (Scope("clinic", "c1"), "bob")]

    async def values(self, call: ValueCall) -> list[Value]:
        self.asked.append(call)
        if self.raises is not None:
            raise self.raises
        return [Value(one.value.text[::-1], one.value.json_value) for one in call.values]

    async def reload(self) -> Reloaded:
        return self.outcome


@dataclass
class Open:
    """A running listener, and a way to call it."""

    port: int
    heard: list[tuple[str, dict[str, object]]]
    session: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        body: bytes | io.BytesIO | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], str]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, data=body) as response:
            return response.status, dict(response.headers), await response.text()


def issued(token: str, *allowed: AdminScope, name: str = "", expires: int = 0) -> Issued:
    caller = Caller(name or token, frozenset(allowed or ADMIN_SCOPES))
    return Issued(BearerToken(token.encode()), caller, expires)


def an_access(*tokens: Issued) -> Access:
    return Access(Tokens(tokens or (issued(TOKEN, name="token"),)), frozenset(ADMIN_SCOPES))


@asynccontextmanager
async def listening(
    name: str = "admin",
    subject: Everything | None = None,
    *,
    access: Access | None = None,
    record: Record | None = None,
) -> AsyncIterator[Open]:
    heard: list[tuple[str, dict[str, object]]] = []

    class Ear:
        def report(self, event: str, **fields: object) -> None:
            heard.append((event, fields))

    routes = Routes(subject or Everything())
    endpoints = routes.admin() if name == "admin" else routes.health()
    gate = Gate(access or an_access(), scopes(endpoints), record) if name == "admin" else None
    guard = Guard(name, LISTEN, Ear(), gate=gate)
    server = AdminServer(guard, [one.route() for one in endpoints])
    opened = sockets.open_sockets(LISTEN)
    await server.start(opened)
    try:
        async with aiohttp.ClientSession() as session:
            yield Open(sockets.port_of(opened), heard, session)
    finally:
        await server.close()
        sockets.close(opened)


@pytest.mark.parametrize(("method", "path"), ALL)
async def test_every_route_wants_the_token_and_says_so_in_the_log(method: str, path: str) -> None:
    async with listening() as ours:
        shown = await ours.call(method, path)
        for wrong in (None, "wrong", TOKEN[:-1], f"{TOKEN}x"):
            status, headers, _ = await ours.call(method, path, token=wrong)
            assert (status, headers["Sealyard-Error"]) == (401, "unauthorized")
            assert headers["WWW-Authenticate"] == "Bearer"

    # They want to know which session, which message, or which value.
    wanting = ("/v1/sessions", "/v1/explain", "/v1/seal", "/v1/open")
    expected = 400 if path.startswith(wanting) else 200
    assert shown[0] == expected
    assert [fields["status"] for _, fields in ours.heard] == [expected, 401, 401, 401, 401]
    assert all(fields["route"] == path for _, fields in ours.heard)
    assert TOKEN not in str(ours.heard)


async def test_the_health_listener_has_three_paths_and_wants_no_token() -> None:
    async with listening("health") as ours:
        for method, path in HEALTH:
            assert (await ours.call(method, path, token=None))[0] == 200
        for method, path in ALL[3:]:
            assert (await ours.call(method, path))[0] == 404

    assert ours.heard == []


async def test_readiness_tells_each_check_when_asked() -> None:
    async with listening(subject=Everything(ready=False)) as ours:
        plain = await ours.call("GET", "/readyz")
        verbose = await ours.call("GET", "/readyz?verbose")

    assert (plain[0], plain[2]) == (503, "not ready\n")
    assert (verbose[0], verbose[2]) == (503, "[+] started\n[-] keyring: primary k1\nnot ready\n")


async def test_a_name_that_a_page_could_have_rebound_is_not_answered() -> None:
    async with listening() as ours:
        status, headers, _ = await ours.call("GET", "/v1/config", Host="attacker.example")

    assert (status, headers["Sealyard-Error"]) == (403, "forbidden-host")


async def test_another_method_is_told_which_there_are_and_no_page_may_ask() -> None:
    async with listening() as ours:
        status, headers, _ = await ours.call("DELETE", "/v1/status")
        preflight = await ours.call("OPTIONS", "/-/reload", Origin="https://attacker.example")
        asked = await ours.call("OPTIONS", "/-/reload")

    assert (status, headers["Allow"]) == (405, "GET")
    assert (preflight[0], asked[0]) == (403, 405)
    assert not any(name.lower().startswith("access-control") for name in preflight[1])


async def test_an_unknown_path_is_not_repeated_in_the_log() -> None:
    async with listening() as ours:
        status, _, body = await ours.call("GET", "/canary/path?canary=1")

    assert status == 404
    assert "canary" not in str(ours.heard) + body


async def test_guesses_are_slowed_down_and_do_not_keep_out_who_has_the_token() -> None:
    async with listening() as ours:
        wrong = [await ours.call("GET", "/livez", token="guess") for _ in range(12)]
        right = await ours.call("GET", "/livez")

    assert [status for status, *_ in wrong] == [401] * 10 + [429] * 2
    assert wrong[-1][1]["Retry-After"] == "1"
    assert right[0] == 200


async def test_a_caller_who_calls_too_often_waits_and_others_do_not() -> None:
    access = an_access(issued("busy-token-0123456"), issued("calm-token-0123456"))
    async with listening(access=access) as ours:
        busy = [(await ours.call("GET", "/livez", token="busy-token-0123456"))[0]
                for _ in range(200)]  # fmt: skip
        calm = await ours.call("GET", "/livez", token="calm-token-0123456")

    assert busy[:100] == [200] * 100
    assert 429 in busy
    assert calm[0] == 200


async def test_a_page_of_another_origin_is_refused() -> None:
    async with listening() as ours:
        own = f"http://127.0.0.1:{ours.port}"
        same = await ours.call("GET", "/livez", Origin=own)
        other = await ours.call("GET", "/livez", Origin="http://attacker.example")
        none = await ours.call("GET", "/livez", Origin="null")

    assert same[0] == 200
    assert [one[1]["Sealyard-Error"] for one in (other, none)] == ["forbidden-origin"] * 2


async def test_each_call_is_written_down_before_it_is_answered() -> None:
    lines: list[dict[str, Any]] = []

    async def record(told: Mapping[str, str | int]) -> None:
        lines.append(dict(told))

    async with listening(record=record) as ours:
        _, headers, _ = await ours.call("GET", "/v1/config")
        (line,) = lines
        await ours.call("POST", "/-/reload", token="guess")
        for _ in range(20):
            await ours.call("GET", "/livez", token="guess")

    assert (line["caller"], line["route"]) == ("token", "/v1/config")
    assert (line["request_id"], line["status"]) == (headers["Sealyard-Request-Id"], 200)
    assert lines[1]["error"] == "unauthorized"
    assert "caller" not in lines[1]
    assert {one["status"] for one in lines} == {200, 401}  # and no flood of 429
    assert TOKEN not in str(lines)


async def test_what_cannot_be_written_down_is_not_answered() -> None:
    async def record(_: Mapping[str, str | int]) -> None:
        raise UnfitEnvironment("full")

    async with listening(record=record) as ours:
        status, headers, body = await ours.call("GET", "/v1/status")

    assert (status, headers["Sealyard-Error"]) == (503, "audit-failed")
    assert "version" not in body
    assert ours.heard[0][1]["error"] == "audit-failed"


async def test_a_refused_reload_is_told_with_its_problems() -> None:
    outcome = Reloaded(accepted=False, sha256="ab", code="restart-needed", problems=("one", "two"))
    async with listening(subject=Everything(outcome=outcome)) as ours:
        status, headers, body = await ours.call("POST", "/-/reload")

    assert (status, headers["Sealyard-Error"]) == (422, "restart-needed")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert '"problems": ["one", "two"]' in body


async def test_a_mistake_of_ours_says_nothing_but_its_place() -> None:
    async with listening(subject=Everything(broken=True)) as ours:
        status, headers, body = await ours.call("GET", "/v1/status")

    assert (status, headers["Sealyard-Error"]) == (500, "internal-error")
    assert "canary" not in body + str(ours.heard)
    assert ours.heard[0][1]["exception"] == "RuntimeError"


async def test_an_answer_names_no_library_and_is_not_kept() -> None:
    async with listening() as ours:
        _, headers, _ = await ours.call("GET", "/livez")

    assert headers["Server"] == "sealyard"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["admin", "health"])
async def test_more_connections_than_a_listener_answers_are_dropped_at_once(name: str) -> None:
    """They would else take the descriptors that messages need."""
    async with listening(name) as ours:
        held = [await asyncio.open_connection("127.0.0.1", ours.port) for _ in range(MOST)]
        await asyncio.sleep(0.1)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        reader, writer = held[0]
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 ")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.1)
        assert (await ours.call("GET", "/livez"))[0] == 200
