"""Section D: what is said of a body when the body changes. Bytes in, both sides looked at."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import pytest

from proxy.config.limits import TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic.exchange.exchange import KeySource
from tests.keys.builders import a_world

from .exchange.test_exchange import JSON, a_rulebook, mirror, through
from .ours import local, proxied
from .wire import Origin, Peer, Response, connected, get, post, running, talk

CANARY = b"canary-77aa1c"
BODY = b'{"n": 1.10, "content": "%b"}' % CANARY
SHA_256 = base64.b64encode(hashlib.sha256(BODY).digest())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def replying(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK") -> Origin:
    """Return an origin that says one thing to everybody."""

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            head = (b"HTTP/1.1 " + status, b"Content-Type: application/json", *lines)
            peer.send(b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body]))

    return Origin(script)


async def a_sealed_body(keys: KeySource) -> bytes:
    """Return BODY as a backend holds it."""
    origin = Origin(mirror)
    await through(origin, post(BODY, JSON, target=b"/seal"), keys=keys)
    return origin.seen[0].body


async def test_d1_a_strong_tag_behind_weak_ones_is_made_weak() -> None:
    tags = [b'W/"a"', b'W/"a"', b'W/"b"', b'"c"', b"no tag", b'W/"d"', b'"e"']
    sent = iter(tags)

    async def tagging(peer: Peer, origin: Origin) -> None:
        while True:
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            peer.send(b"ETag: %b\r\nContent-Length: 2\r\n\r\n{}" % next(sent))

    async with (
        running(Origin(tagging)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        seen = []
        for _ in tags:
            client.send(b"GET /open HTTP/1.1\r\nHost: h\r\n\r\n")
            seen += (await client.response()).values(b"etag")

    assert seen == [b'W/"a"', b'W/"a"', b'W/"b"', b'W/"c"', b'W/"d"', b'W/"e"']


@pytest.mark.parametrize("tag", [b'"x"', b'W/"x"'])
async def test_d1_no_tag_of_a_changed_body_is_strong(tag: bytes) -> None:
    response, _ = await through(replying(b"ETag: " + tag, body=b'{"content":null}'), get(b"/open"))

    assert response.values(b"etag") == [b'W/"x"']


async def test_d2_preconditions_name_the_tag_that_the_backend_knows() -> None:
    origin = replying(b'ETag: "x"', status=b"304 Not Modified")

    response, _ = await through(origin, get(b"/open", b'If-None-Match: W/"x"', b'If-Match: W/"y"'))

    assert origin.seen[0].values(b"if-none-match") == [b'"x"']
    assert origin.seen[0].values(b"if-match") == [b'"y"']
    assert (response.status, response.values(b"etag"), response.body) == (304, [b'W/"x"'], b"")
    assert response.values(b"content-length") == []


async def test_d3_a_changed_body_has_no_parts() -> None:
    origin = replying(b"Accept-Ranges: bytes", body=b'{"content":null}')

    response, _ = await through(origin, get(b"/open", b"Range: bytes=0-9", b'If-Range: "x"'))

    assert origin.seen[0].values(b"range") == origin.seen[0].values(b"if-range") == []
    assert response.values(b"accept-ranges") == [b"none"]
    assert response.status == 200


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (b"206 Partial Content", b"Content-Range: bytes 0-1/9"),
        (b"200 OK", b"Content-Type: multipart/byteranges; boundary=x"),
    ],
)
async def test_d3_a_part_that_nobody_asked_for_is_a_502(status: bytes, line: bytes) -> None:
    origin = replying(line, body=b"{}", status=status)

    response, told = await through(origin, get(b"/open"))

    assert response.status == 502
    assert told["reason"] == "unexpected-partial-content"


async def test_d4_the_length_is_that_of_the_new_body() -> None:
    origin = Origin(mirror)

    response, _ = await through(origin, post(BODY, JSON, target=b"/seal"))

    assert origin.seen[0].values(b"content-length") == [b"%d" % len(origin.seen[0].body)]
    assert response.values(b"content-length") == [b"%d" % len(BODY)]


DIGESTS = (
    b"Content-Digest: sha-256=:%b:" % SHA_256,
    b"Repr-Digest: sha-256=:%b:" % SHA_256,
    b"Digest: sha-256=" + SHA_256,
    b"Signature-Input: s=()",
    b"Signature: s=:AAAA:",
    b"x-amz-checksum-sha256: " + SHA_256,
)


async def test_d5_digests_are_checked_and_end_with_the_body_they_tell_of() -> None:
    origin = Origin(mirror)

    response, _ = await through(origin, post(BODY, JSON, *DIGESTS, target=b"/seal"))

    assert response.status == 200
    assert SHA_256 not in origin.seen[0].head
    assert origin.seen[0].values(b"signature") == origin.seen[0].values(b"signature-input") == []


@pytest.mark.parametrize("name", [b"Content-Digest", b"Repr-Digest"])
async def test_d5_a_wrong_digest_is_a_400(name: bytes) -> None:
    origin = Origin(mirror)
    line = name + b": sha-256=:%b:" % base64.b64encode(bytes(32))

    response, _ = await through(origin, post(BODY, JSON, line, target=b"/seal"))

    assert response.status == 400
    assert response.values(b"sealyard-error") == [b"digest-mismatch"]
    assert origin.connections == 0


async def test_d6_what_is_sealed_is_not_recoded_and_what_is_opened_not_stored() -> None:
    origin = Origin(mirror)

    response, _ = await through(origin, post(BODY, JSON, target=b"/seal"))

    assert origin.seen[0].values(b"cache-control") == [b"no-transform"]
    assert response.values(b"cache-control") == [b"private, no-store"]


async def test_d7_a_response_names_the_header_that_it_depends_on() -> None:
    names = Names(tenant=parse_source("jwt-unverified:org"), conversation=parse_source("const:c"))
    item = Item(parse_selector("$.a"), "a", frozenset({"tenant"}))
    rule = Rule("r", (parse_pattern("/r"),), names, response=(Block(decrypt=(item,)),))

    response, _ = await through(
        replying(b"Vary: Accept", body=b'{"a":null}'),
        get(b"/r"),
        rule_table=RuleTable((rule,), pass_unmatched=True),
    )

    assert response.values(b"vary") == [b"Accept", b"Authorization"]


@pytest.mark.parametrize("coding", [b"gzip", b"X-GZip"])
async def test_d8_a_coded_request_is_sealed(coding: bytes) -> None:
    origin = Origin(mirror)
    request = post(gzip.compress(BODY), JSON, b"Content-Encoding: " + coding, target=b"/seal")

    response, _ = await through(origin, request)

    assert origin.seen[0].values(b"content-encoding") == []
    assert json.loads(origin.seen[0].body)["n"] == 1.1
    assert CANARY not in origin.seen[0].body
    assert response.body == BODY


async def test_d8_a_coded_request_that_no_rule_reads_passes_as_it_is() -> None:
    origin = Origin()
    coded = gzip.compress(BODY)

    await through(origin, post(coded, b"Content-Encoding: gzip", target=b"/free"))

    assert origin.seen[0].body == coded
    assert origin.seen[0].values(b"content-encoding") == [b"gzip"]


async def test_d9_a_coded_response_is_opened() -> None:
    keys = a_world().sessions
    coded = gzip.compress(await a_sealed_body(keys))
    origin = replying(b"Content-Encoding: gzip", body=coded)

    response, _ = await through(origin, get(b"/open", b"Accept-Encoding: gzip"), keys=keys)

    assert origin.seen[0].values(b"accept-encoding") == [b"identity"]
    assert response.values(b"content-encoding") == []
    assert response.body == BODY


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(bytes(2**22))),
        (b"gzip", gzip.compress(b"{}") + b"tail"),
        (b"gzip, gzip", b"x"),
        (b"compress", b"x"),
    ],
    ids=["bomb", "tail", "two", "unknown"],
)
async def test_d9_a_response_that_cannot_be_decoded_is_a_502(coding: bytes, body: bytes) -> None:
    origin = replying(b"Content-Encoding: " + coding, body=body)

    response, _ = await through(origin, get(b"/open"), limits=TrafficLimits(body=2**20))

    assert response.status == 502


async def test_d10_a_body_that_is_sealed_whole_has_a_type_that_nobody_guesses() -> None:
    item = Item(parse_selector("body"), "answer", frozenset({"tenant", "conversation", "field"}))
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    rule = Rule("whole", (parse_pattern("/whole"),), names, response=(Block(encrypt=(item,)),))
    rule_table = RuleTable((rule,), pass_unmatched=True)

    response, _ = await through(replying(body=BODY), get(b"/whole"), rule_table=rule_table)

    assert response.values(b"content-type") == [b"application/jose"]
    assert response.values(b"x-content-type-options") == [b"nosniff"]
    assert response.values(b"cache-control") == [b"no-transform"]
    assert CANARY not in response.raw


@pytest.mark.parametrize("charset", [b"utf-16", b"utf-7", b"latin-1"])
async def test_d11_json_is_utf_8(charset: bytes) -> None:
    origin = Origin(mirror)
    line = b"Content-Type: application/json; charset=" + charset

    response, _ = await through(origin, post(BODY, line, target=b"/seal"))

    assert response.status == 415
    assert origin.connections == 0


async def test_d12_multipart_that_a_rule_cannot_read_is_a_415() -> None:
    origin = Origin(mirror)

    response, _ = await through(
        origin, post(b"--x--", b"Content-Type: multipart/form-data; boundary=x", target=b"/seal")
    )

    assert response.status == 415
    assert origin.connections == 0


async def test_a7_head_of_a_ruled_route_shows_no_length() -> None:
    async def bare(peer: Peer, origin: Origin) -> None:
        await peer.request()
        peer.send(HEAD + b"Content-Length: 99\r\n\r\n")

    response, _ = await through(Origin(bare), get(b"/open", method=b"HEAD"))

    assert (response.status, response.values(b"content-length"), response.body) == (200, [], b"")


async def test_a8_bytes_behind_a_204_reach_nobody() -> None:
    async def lying(peer: Peer, origin: Origin) -> None:
        origin.seen.append(await peer.request())
        peer.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil")

    async with (
        running(Origin(lying)) as origin,
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
    ):
        answers: list[Response] = [await talk(ours.port, get(b"/open")) for _ in range(2)]

    assert [one.status for one in answers] == [204, 204]
    assert all(one.body == b"" and not one.values(b"content-length") for one in answers)
    assert origin.connections == 2


async def test_a2_connection_cannot_hide_the_type_from_the_rule() -> None:
    origin = Origin(mirror)
    request = post(BODY, JSON, target=b"/seal").replace(b"close", b"close, Content-Type")

    await through(origin, request)

    assert CANARY not in origin.seen[0].body
    assert origin.seen[0].values(b"content-type") == [b"application/json"]


async def test_a28_what_was_opened_stays_in_the_body() -> None:
    text = json.dumps({"content": "\r\nSet-Cookie: a=b\r\n\r\n"}).encode()

    response, _ = await through(Origin(mirror), post(text, JSON, target=b"/seal"))

    assert response.values(b"set-cookie") == []
    assert response.body == text


TRACE = (
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"traceparent", b"not one at all"),
    (b"tracestate", b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
    (b"baggage", b"userId=alice,serverNode=DF%2028"),
    (b"traceresponse", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)


@pytest.mark.parametrize("target", [b"/seal", b"/plain"])
@pytest.mark.parametrize(("name", "value"), TRACE)
async def test_what_traces_a_message_passes_untouched_both_ways(
    name: bytes, value: bytes, target: bytes
) -> None:
    origin = replying(name + b": " + value, body=b'{"content":null}')

    response, told = await through(origin, post(BODY, JSON, name + b": " + value, target=target))

    assert origin.seen[0].values(name) == [value]
    assert response.values(name) == [value]
    assert value.decode() not in repr(told)
