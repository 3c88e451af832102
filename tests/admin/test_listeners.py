"""The admin and health listeners over real connections, for a subject that is made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.policy import MOST_CONNECTIONS as MOST
from proxy.admin.server import AdminServer
from proxy.admin.service import Reloaded
from proxy.core.errors import UnfitEnvironment
from proxy.traffic.downstream import sockets
from tests.factories import Ear
from tests.traffic.ours import ANY_PORT

from .conftest import TOKEN, Everything, Listening, Open, a_guard, an_access, issued

ALL = (
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/-/reload"),
    ("GET", "/v1/status"),
    ("GET", "/v1/status/steps"),
    ("GET", "/v1/status/leaks"),
    ("GET", "/v1/config"),
    ("GET", "/v1/sessions"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/rotate"),
    ("POST", "/v1/sessions/revoke"),
    ("POST", "/v1/seal"),
    ("POST", "/v1/open"),
)
HEALTH = ALL[:3]


@pytest.mark.parametrize(("method", "path"), ALL)
async def test_every_route_wants_the_token_and_says_so_in_the_log(
    ours: Open, method: str, path: str
) -> None:
    shown = await ours.call(method, path)
    for wrong in (None, "wrong", TOKEN[:-1], f"{TOKEN}x"):
        status, headers, _ = await ours.call(method, path, token=wrong)
        assert (status, headers["Sealyard-Error"]) == (401, "unauthorized")
        assert headers["WWW-Authenticate"] == "Bearer"

    # They want to know which session or which value.
    wanting = ("/v1/sessions", "/v1/seal", "/v1/open")
    expected = 400 if path.startswith(wanting) else 200
    assert shown[0] == expected
    assert [fields["status"] for _, fields in ours.heard] == [expected, 401, 401, 401, 401]
    assert all(fields["route"] == path for _, fields in ours.heard)
    assert TOKEN not in str(ours.heard)


async def test_the_health_listener_has_three_paths_and_wants_no_token(listening: Listening) -> None:
    ours = await listening("health")
    for method, path in HEALTH:
        assert (await ours.call(method, path, token=None))[0] == 200
    for method, path in ALL[3:]:
        assert (await ours.call(method, path))[0] == 404

    assert ours.heard == []


async def test_readiness_tells_each_check_when_asked(listening: Listening) -> None:
    ours = await listening(subject=Everything(ready=False))
    plain = await ours.call("GET", "/readyz")
    verbose = await ours.call("GET", "/readyz?verbose")

    assert (plain[0], plain[2]) == (503, "not ready\n")
    assert (verbose[0], verbose[2]) == (503, "[+] started\n[-] keyring: primary k1\nnot ready\n")


async def test_a_name_that_a_page_could_have_rebound_is_not_answered(ours: Open) -> None:
    status, headers, _ = await ours.call("GET", "/v1/config", Host="attacker.example")

    assert (status, headers["Sealyard-Error"]) == (403, "forbidden-host")


async def test_another_method_is_told_which_there_are_and_no_page_may_ask(ours: Open) -> None:
    status, headers, _ = await ours.call("DELETE", "/v1/status")
    preflight = await ours.call("OPTIONS", "/-/reload", Origin="https://attacker.example")
    asked = await ours.call("OPTIONS", "/-/reload")

    assert (status, headers["Allow"]) == (405, "GET")
    assert (preflight[0], asked[0]) == (403, 405)
    assert not any(name.lower().startswith("access-control") for name in preflight[1])


async def test_an_unknown_path_is_not_repeated_in_the_log(ours: Open) -> None:
    status, _, body = await ours.call("GET", "/canary/path?canary=1")

    assert status == 404
    assert "canary" not in str(ours.heard) + body


async def test_guesses_are_slowed_down_and_do_not_keep_out_who_has_the_token(ours: Open) -> None:
    wrong = [await ours.call("GET", "/livez", token="guess") for _ in range(12)]
    right = await ours.call("GET", "/livez")

    assert [status for status, *_ in wrong] == [401] * 10 + [429] * 2
    assert wrong[-1][1]["Retry-After"] == "1"
    assert right[0] == 200


async def test_a_caller_who_calls_too_often_waits_and_others_do_not(listening: Listening) -> None:
    access = an_access(issued("busy-token-0123456"), issued("calm-token-0123456"))
    ours = await listening(access=access)
    busy = [(await ours.call("GET", "/livez", token="busy-token-0123456"))[0]
            for _ in range(200)]  # fmt: skip
    calm = await ours.call("GET", "/livez", token="calm-token-0123456")

    assert busy[:100] == [200] * 100
    assert 429 in busy
    assert calm[0] == 200


async def test_a_page_of_another_origin_is_refused(ours: Open) -> None:
    own = str(ours.client.make_url("")).rstrip("/")
    same = await ours.call("GET", "/livez", Origin=own)
    other = await ours.call("GET", "/livez", Origin="http://attacker.example")
    none = await ours.call("GET", "/livez", Origin="null")

    assert same[0] == 200
    assert [one[1]["Sealyard-Error"] for one in (other, none)] == ["forbidden-origin"] * 2


async def test_each_call_is_written_down_before_it_is_answered(listening: Listening) -> None:
    lines: list[dict[str, Any]] = []

    async def record(told: Mapping[str, str | int]) -> None:
        lines.append(dict(told))

    ours = await listening(record=record)
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


async def test_what_cannot_be_written_down_is_not_answered(listening: Listening) -> None:
    async def record(_: Mapping[str, str | int]) -> None:
        raise UnfitEnvironment("full")

    ours = await listening(record=record)
    status, headers, body = await ours.call("GET", "/v1/status")

    assert (status, headers["Sealyard-Error"]) == (503, "audit-failed")
    assert "version" not in body
    assert ours.heard[0][1]["error"] == "audit-failed"


async def test_a_refused_reload_is_told_with_its_problems(listening: Listening) -> None:
    outcome = Reloaded(accepted=False, sha256="ab", code="restart-needed", problems=("one", "two"))
    ours = await listening(subject=Everything(outcome=outcome))
    status, headers, body = await ours.call("POST", "/-/reload")

    assert (status, headers["Sealyard-Error"]) == (422, "restart-needed")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert '"problems": ["one", "two"]' in body


async def test_a_mistake_of_ours_says_nothing_but_its_place(listening: Listening) -> None:
    ours = await listening(subject=Everything(broken=True))
    status, headers, body = await ours.call("GET", "/v1/status")

    assert (status, headers["Sealyard-Error"]) == (500, "internal-error")
    assert "canary" not in body + str(ours.heard)
    assert ours.heard[0][1]["exception"] == "RuntimeError"


async def test_an_answer_names_no_library_and_is_not_kept(ours: Open) -> None:
    _, headers, _ = await ours.call("GET", "/livez")

    assert headers["Server"] == "sealyard"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["admin", "health"])
async def test_more_connections_than_a_listener_answers_are_dropped_at_once(name: str) -> None:
    """They would else take the descriptors that messages need."""

    async def livez(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return await reader.read()

    server = AdminServer(*a_guard(name, Everything(), Ear()))
    opened = sockets.open_sockets(ANY_PORT)
    port = sockets.port_of(opened)
    await server.start(opened)
    try:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
        await asyncio.sleep(0.1)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 9) == b""
            writer.close()
        assert (await livez(*held[0])).startswith(b"HTTP/1.1 ")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.1)
        fresh = await asyncio.open_connection("127.0.0.1", port)
        assert (await livez(*fresh)).startswith(b"HTTP/1.1 ")
        fresh[1].close()
    finally:
        await server.close()
        sockets.close(opened)


UNREAD = {
    "a long request line": b"GET /livez?q=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (5000 * b"q"),
    "a long header": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: %b\r\n\r\n" % (5000 * b"q"),
    "many headers": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (100 * b"X: y\r\n"),
    "no HTTP": b"\x16\x03\x01\x02\x00secret-of-a-caller\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n: secret-of-a-caller\r\n\r\n",
    "two lengths": b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nsecret-of-a-caller",
}
"""What the HTTP library does not read, and answers before there is a request for a route."""


@pytest.mark.parametrize("name", ["admin", "health"])
@pytest.mark.parametrize("sent", UNREAD.values(), ids=UNREAD)
async def test_what_is_no_http_is_answered_as_any_other_mistake(
    name: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    server = AdminServer(*a_guard(name, Everything(), ear))
    opened = sockets.open_sockets(ANY_PORT)
    await server.start(opened)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets.port_of(opened))
        writer.write(sent)
        answered = await asyncio.wait_for(reader.read(), 9)
        writer.close()
    finally:
        await server.close()
        sockets.close(opened)

    head, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = head.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    told = json.loads(body)
    assert status.split(" ")[1:2] == ["400"]
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Sealyard-Error"] == "malformed-call"
    assert (headers["Server"], headers["Cache-Control"]) == ("sealyard", "no-store")
    assert headers["Sealyard-Request-Id"]
    assert told["type"] == "urn:sealyard:error:malformed-call"
    assert told["detail"]
    assert "secret-of-a-caller" not in answered.decode() + str(ear.heard) + caplog.text
    assert "qqqq" not in answered.decode() + str(ear.heard) + caplog.text
    called = [fields for event, fields in ear.heard if event == "admin.called"]
    assert [one["status"] for one in called] == ([400] if name == "admin" else [])


@pytest.mark.parametrize("name", ["admin", "health"])
async def test_livez_tells_that_the_traffic_stands_still(listening: Listening, name: str) -> None:
    ours = await listening(name, Everything(silent=12.3))

    status, _, text = await ours.call("GET", "/livez")

    assert (status, text) == (503, "stalled: no heartbeat for 12 s\n")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_certificate_that_cannot_be_put_in_force_leaves_the_one_before() -> None:
    opened = [one for _ in range(2) for one in sockets.open_sockets(ANY_PORT)]
    server = AdminServer(*a_guard("health", Everything(), Ear()))
    await server.start(opened)
    try:
        before = list(server._servers)
        held = descriptors()
        opened[1].close()
        with pytest.raises(OSError, match="descriptor"):
            await server.renew_tls(None)
        await asyncio.sleep(0)  # the event loop closes the sockets of servers that end
        assert server._servers == before
        assert all(one.is_serving() for one in before)
        assert descriptors() == held - 1
    finally:
        await server.close()
        opened[0].close()
