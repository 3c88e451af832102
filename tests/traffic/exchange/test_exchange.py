"""The path of one message through gate, rules, keys and upstream."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence

import pytest

from proxy.config.limits import TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import KeyUnavailable, Unopened
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule, Verdict
from proxy.core.values.key_needs import Attempt, Keys, Needs
from proxy.traffic.exchange.exchange import KeySource
from tests.keys.builders import a_world

from ..ours import local, proxied
from ..wire import OK, Origin, Peer, Response, connected, get, post, running, talk

CANARY = b"canary-5f0c2d"
JSON = b"Content-Type: application/json"
CONTENT = Item(
    parse_selector("$.content"), "content", frozenset({"tenant", "conversation", "field"})
)
FORM = b"Content-Type: application/x-www-form-urlencoded"
PARTS = b"Content-Type: multipart/form-data; boundary=x"
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))


def a_rulebook(*, pass_unmatched: bool = True) -> RuleTable:
    sealing = Rule(
        "seal",
        (parse_pattern("POST /seal"),),
        NAMES,
        request=(Block(encrypt=(CONTENT,)),),
        response=(Block(decrypt=(CONTENT,), statuses=((200, 200),)),),
    )
    opening = Rule(
        "open",
        (parse_pattern("GET /open"),),
        NAMES,
        response=(Block(decrypt=(CONTENT,)),),
    )
    closed = Rule("closed", (parse_pattern("/closed"),), request=Verdict.REJECT)
    putting = Rule("put", (parse_pattern("PUT /put"),), NAMES, request=(Block(encrypt=(CONTENT,)),))
    return RuleTable((sealing, opening, closed, putting), pass_unmatched=pass_unmatched)


class BrokenKeys:
    """A key source that has none."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return None

    async def resolve(self, needs: Needs) -> Keys:
        reason = "store-down"
        raise KeyUnavailable(reason)

    def remember(self, sessions: Iterable[Session]) -> None:
        raise AssertionError

    shut: frozenset[tuple[str, str]] = frozenset()

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        raise AssertionError


class Crash:
    """A key source with a fault."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        raise ZeroDivisionError(CANARY)

    async def resolve(self, needs: Needs) -> Keys:
        raise AssertionError

    def remember(self, sessions: Iterable[Session]) -> None:
        raise AssertionError

    shut: frozenset[tuple[str, str]] = frozenset()

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        raise AssertionError


async def mirror(peer: Peer, origin: Origin) -> None:
    """Give back what was sent, as JSON with validators."""
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\n')
        peer.send(b"Content-Length: %d\r\n\r\n" % len(seen.body) + seen.body)


async def through(
    origin: Origin,
    data: bytes,
    *,
    keys: KeySource | None = None,
    rule_table: RuleTable | None = None,
    limits: TrafficLimits | None = None,
) -> tuple[Response, dict[str, object]]:
    """Send a request through a proxy with rules; return the answer and what was reported."""
    async with (
        running(origin),
        proxied(
            local(origin.port),
            rule_table=rule_table or a_rulebook(),
            keys=keys or a_world().sessions,
            limits=limits,
        ) as ours,
    ):
        response = await talk(ours.port, data)
        return response, ours.ear.last


async def test_the_origin_sees_a_token_and_the_client_its_own_text() -> None:
    origin = Origin(mirror)
    body = b'{"n": 1.10, "content": "%b"}' % CANARY

    response, told = await through(origin, post(body, JSON, target=b"/seal"))

    assert CANARY not in origin.seen[0].body
    assert origin.seen[0].body.startswith(b'{"n": 1.10, "content": "eyJ0eXAiOiJzeTEi')
    assert origin.seen[0].values(b"content-length") == [b"%d" % len(origin.seen[0].body)]
    assert origin.seen[0].values(b"accept-encoding") == [b"identity"]
    assert response.body == body
    assert response.values(b"content-length") == [b"%d" % len(body)]
    assert response.values(b"etag") == [b'W/"x"']
    assert (told["rule"], told["status"], told["sealed"], told["opened"]) == ("seal", 200, 1, 1)
    assert CANARY.decode() not in repr(told)


async def test_a_method_of_the_clients_own_is_not_repeated_in_the_log() -> None:
    origin = Origin(mirror)

    _, told = await through(origin, get(b"/plain", method=b"PURGE"))

    assert origin.seen[0].head.startswith(b"PURGE ")
    assert told["method"] == "_OTHER"


async def test_a6_a_chunked_body_is_sealed_like_any_other() -> None:
    origin = Origin(mirror)
    body = b'{"content": "%b"}' % CANARY
    head = get(b"/seal", JSON, b"Transfer-Encoding: chunked", method=b"POST")
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)

    response, _ = await through(origin, head + pieces + b"0\r\n\r\n")

    assert CANARY not in origin.seen[0].body
    assert origin.seen[0].values(b"transfer-encoding") == []
    assert response.body == body


REFUSED = {
    "not json": (post(b"{", JSON, target=b"/seal"), 400),
    "other type": (post(CANARY, b"Content-Type: text/plain", target=b"/seal"), 415),
    "coded": (
        post(b"x", JSON, b"Content-Encoding: gzip, gzip", target=b"/seal"),
        415,
    ),
    "cut coding": (
        post(gzip.compress(b"{}")[:-1], JSON, b"Content-Encoding: gzip", target=b"/seal"),
        400,
    ),
    "bomb": (
        post(gzip.compress(bytes(2**25)), JSON, b"Content-Encoding: gzip", target=b"/seal"),
        413,
    ),
    "wrong digest": (
        post(b'{"content":"x"}', JSON, b"Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", target=b"/seal"),
        400,
    ),
    "missing value": (post(b"{}", JSON, target=b"/seal"), 400),
    "closed": (get(b"/closed"), 403),
    "other reading": (post(b"{}", target=b"/SEAL"), 400),
    "override": (post(b"{}", b"X-HTTP-Method-Override: PUT", target=b"/seal"), 400),
    "override of a method": (get(b"/seal", b"X-Method-Override: POST", method=b"PUT"), 400),
    "override of a lax spelling": (get(b"/Open/", b"X-HTTP-Method: GET", method=b"PUT"), 400),
    "override in the query": (post(b"{}", JSON, target=b"/put?_method=PUT"), 400),
    "override in an encoded query": (get(b"/put?%5fmethod=PUT"), 400),
    "override in a query that PHP reads": (get(b"/put?.method=PUT"), 400),
    "a form that could override": (post(b"_method=PUT", FORM, target=b"/put"), 400),
    "parts that could override": (post(b"--x", PARTS, target=b"/put"), 400),
    "a body of two types": (post(b"_method=PUT", JSON, FORM, target=b"/put"), 400),
    "encoded slash": (post(b"{}", target=b"/x/..%2fseal"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_a_rule_refuses_never_reaches_the_origin(name: str) -> None:
    origin = Origin(mirror)
    request, status = REFUSED[name]

    response, told = await through(origin, request)

    assert response.status == status
    assert origin.connections == 0
    assert told["status"] == status
    assert json.loads(response.body)["instance"] == told["request_id"]


async def test_a19_an_override_of_the_method_passes_where_no_rule_looks() -> None:
    origin = Origin()

    response, _ = await through(origin, get(b"/free", b"X-HTTP-Method-Override: PUT"))

    assert response.status == 200
    assert origin.seen[0].values(b"x-http-method-override") == [b"PUT"]


@pytest.mark.parametrize(
    "request_",
    [
        post(b"", JSON, target=b"/put"),
        post(b"_method=PUT", FORM, target=b"/free"),
        post(b"{}", JSON, target=b"/free?_method=PUT"),
        get(b"/put"),
        get(b"/put?payment_method=card&code_challenge_method=S256"),
    ],
)
async def test_what_cannot_ask_for_a_ruled_method_passes(request_: bytes) -> None:
    origin = Origin()

    response, _ = await through(origin, request_)

    assert response.status == 200


async def test_the_log_tells_which_rule_rejects() -> None:
    response, told = await through(Origin(mirror), get(b"/closed"))

    assert response.status == 403
    assert (told["rule"], told["reason"]) == ("closed", "rule-rejects")


async def test_unmatched_traffic_can_be_rejected() -> None:
    origin = Origin()

    response, _ = await through(origin, get(b"/x"), rule_table=a_rulebook(pass_unmatched=False))

    assert response.status == 403
    assert origin.connections == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000000000", b"Content-Length: 101"])
async def test_a10_b10_a_body_that_is_too_large_is_refused_before_it_is_sent(
    framing: bytes,
) -> None:
    origin = Origin()
    lines = (JSON, framing, b"Expect: 100-continue")

    response, _ = await through(
        origin, get(b"/seal", *lines, method=b"POST"), limits=TrafficLimits(body=100)
    )

    assert response.raw.startswith(b"HTTP/1.1 413 ")
    assert origin.connections == 0


async def test_b10_a_chunked_body_that_grows_too_large_is_refused() -> None:
    origin = Origin()
    head = get(b"/seal", JSON, b"Transfer-Encoding: chunked", method=b"POST")

    response, _ = await through(
        origin, head + b"ff\r\n" + b"x" * 255, limits=TrafficLimits(body=100)
    )

    assert response.status == 413
    assert origin.connections == 0


@pytest.mark.parametrize(("keys", "status"), [(BrokenKeys(), 503), (Crash(), 500)])
async def test_without_keys_nothing_is_forwarded(keys: KeySource, status: int) -> None:
    origin = Origin()
    body = b'{"content": "%b"}' % CANARY

    response, told = await through(origin, post(body, JSON, target=b"/seal"), keys=keys)

    assert response.status == status
    assert origin.connections == 0
    assert CANARY not in response.raw
    assert CANARY.decode() not in repr(told)


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BAD_RESPONSES = {
    "ends with its connection": JSON_HEAD.replace(b"1.1", b"1.0") + b'\r\n{"content":"x"}',
    "a part": JSON_HEAD.replace(b"200 OK", b"206 Part") + b"Content-Length: 2\r\n\r\n{}",
    "coded": JSON_HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "cut": JSON_HEAD + b'Content-Length: 99\r\n\r\n{"content":"x"}',
    "not json": JSON_HEAD + b"Content-Length: 1\r\n\r\n{",
    "not sealed": JSON_HEAD + b'Content-Length: 15\r\n\r\n{"content":"x"}',
    "too large": JSON_HEAD + b"Content-Length: 999\r\n\r\n" + b" " * 999,
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
async def test_b4_a_response_that_a_rule_cannot_read_is_a_502(name: str) -> None:
    async def once(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(BAD_RESPONSES[name])

    response, told = await through(Origin(once), get(b"/open"), limits=TrafficLimits(body=500))

    assert response.status == told["status"] == 502
    assert response.values(b"content-type") == [b"application/problem+json"]


async def test_head_and_304_of_a_ruled_route_show_no_strong_validator() -> None:
    reply = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 99\r\nDigest: d\r\n\r\n'

    async def bare(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(reply)

    response, _ = await through(Origin(bare), get(b"/open", method=b"HEAD"))

    assert response.values(b"etag") == [b'W/"x"']
    assert response.values(b"content-length") == response.values(b"digest") == []


async def test_a_refusal_before_the_body_ends_the_connection() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), rule_table=a_rulebook()) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"POST /closed HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
        response = await client.response()
        client.send(b"GET /x HT")

        assert response.values(b"connection") == [b"close"]
        assert await client.rest() == b""


async def test_a_refusal_without_a_body_lets_the_connection_go_on() -> None:
    async with (
        running(Origin(reply=OK)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook()) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET /closed HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.response()).status == 403
        client.send(get(b"/free"))
        assert (await client.response()).status == 200


async def _one_event(peer: Peer, origin: Origin) -> None:
    """Send one event of a stream that does not end."""
    origin.seen.append(await peer.request())
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    event = b"data: %b\n\n" % CANARY
    peer.send(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(event), event))
    await peer.reader.read()


async def test_b15_an_event_that_a_rule_cannot_seal_reaches_nobody() -> None:
    rule = Rule("seal", (parse_pattern("/"),), NAMES, response=(Block(encrypt=(CONTENT,)),))

    response, _ = await through(
        Origin(_one_event), get(), rule_table=RuleTable((rule,), pass_unmatched=True)
    )

    assert CANARY not in response.raw


async def test_b15_events_that_are_no_json_pass_as_they_come() -> None:
    async with (
        running(Origin(_one_event)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/open"))

        assert (await client.until(b"\n\n\r\n")).endswith(b"data: %b\n\n\r\n" % CANARY)


async def test_a_new_conversation_asks_for_its_key_once() -> None:
    """So each value of its first message counts once for the bounds of its session."""
    sessions, asked = a_world().sessions, list[str]()

    class Asked:
        shut = frozenset[tuple[str, str]]()

        def resolve_warm(self, needs: Needs) -> Keys | None:
            asked.append("at hand?")
            return sessions.resolve_warm(needs)

        async def resolve(self, needs: Needs) -> Keys:
            asked.append("wait")
            return await sessions.resolve(needs)

        def remember(self, found: Iterable[Session]) -> None:
            raise AssertionError

        def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
            raise AssertionError

    origin, body = Origin(), b'{"content":"%b"}' % CANARY
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=Asked()) as ours,
    ):
        for _ in range(2):
            response = await talk(ours.port, post(body, JSON, target=b"/seal"))
            assert response.status == 200

    assert asked == ["at hand?", "wait", "at hand?"]
    assert all(CANARY not in one.body for one in origin.seen)
    assert len({json.loads(one.body)["content"] for one in origin.seen}) == len(origin.seen)
