"""Responses whose type fits no block: read if they are what the rule reads, else told of."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.config.limits import TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.rules.model import Block, Item, Part, Rule
from tests.keys.builders import a_world

from .exchange.test_exchange import CANARY, CONTENT, JSON, NAMES, mirror, through
from .ours import local, proxied
from .wire import Origin, Peer, Response, connected, get, post, running, talk

BOUND: frozenset[Part] = frozenset({"tenant", "conversation"})
TOKENS = Item(parse_selector("tokens"), "tokens", BOUND)
KEYS = a_world().sessions
UNREAD = b"sealyard-unread"


def a_book(**changes: object) -> RuleTable:
    """Return rules that seal `content` without its field, and open all tokens in answers."""
    content = replace(CONTENT, bind=BOUND)
    opening = replace(Block(decrypt=(TOKENS,)), **changes)  # type: ignore[arg-type]  # names of fields
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((content,)),))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(opening,))
    return RuleTable((seal, rest), pass_unmatched=True)


async def a_token() -> bytes:
    origin = Origin(mirror)
    body = b'{"content":"%b"}' % CANARY
    await through(origin, post(body, JSON, target=b"/seal"), keys=KEYS, rule_table=a_book())
    return bytes(json.loads(origin.seen[0].body)["content"], "ascii")


def answering(
    media: bytes | None, body: bytes, *, way: str = "length", more: bytes = b""
) -> Origin:
    """Return an origin that gives one answer, in one of the ways that HTTP has."""

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            lines = [b"HTTP/1.1 200 OK", *((b"Content-Type: " + media,) if media else ())]
            lines += [more] if more else []
            if way == "length":
                peer.send(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body]))
            elif way == "close":
                peer.send(b"\r\n".join([*lines, b"", body]))
                peer.writer.close()
                return
            else:
                peer.send(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]))
                for at in range(0, len(body), 700):
                    piece = body[at : at + 700]
                    peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await asyncio.sleep(0)
                peer.send(b"0\r\n\r\n")

    return Origin(script)


def whole(response: Response) -> bytes:
    """Return the body of a response that came to its end."""
    if not response.values(b"transfer-encoding"):
        return response.body
    rest, pieces = response.body, []
    while size := int(rest.partition(b"\r\n")[0], 16):
        rest = rest.partition(b"\r\n")[2]
        pieces.append(rest[:size])
        rest = rest[size + 2 :]
    assert rest == b"0\r\n\r\n"
    return b"".join(pieces)


TYPES = (
    *(b"text/plain", b"text/plain; charset=utf-8", b"text/json", b"application/octet-stream", None),
    *(b"text/html", b"application/x-json", b"application/javascript", b"nonsense", b"text/x-json"),
)


@pytest.mark.parametrize("media", TYPES)
@pytest.mark.parametrize("way", ["length", "chunks"])
@pytest.mark.parametrize("size", [0, 100_000])
async def test_d14_json_is_read_whatever_its_type(media: bytes | None, way: str, size: int) -> None:
    body = b'{"content": "%b", "pad": "%b"}\n' % (await a_token(), b"x" * size)

    response, told = await through(
        answering(media, body, way=way), get(b"/any"), keys=KEYS, rule_table=a_book()
    )

    assert json.loads(whole(response))["content"] == CANARY.decode()
    assert response.values(b"content-type") == ([media] if media else [])
    assert response.values(b"cache-control") == [b"private, no-store"]
    assert response.values(UNREAD) == []
    assert told["response_opened"] == 1


@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_selectors_read_it_too(way: str) -> None:
    origin = Origin(mirror)
    await through(origin, post(b'{"content":"%b"}' % CANARY, JSON, target=b"/seal"), keys=KEYS)
    sealed = origin.seen[0].body

    response, _ = await through(answering(b"text/plain", sealed, way=way), get(b"/open"), keys=KEYS)
    plain, told = await through(
        answering(b"text/plain", b'{"content":"old"}', way=way), get(b"/open"), keys=KEYS
    )

    assert json.loads(whole(response)) == {"content": CANARY.decode()}
    assert (plain.status, whole(plain)) == (200, b'{"content":"old"}')
    assert "response_unread" not in told


@pytest.mark.parametrize(
    "lines",
    [
        b'{"content":"old"}\n',
        b'{"level":"info"}\nTraceback (most recent call last):\n  File "a.py", line 1\n',
        b"[1]\nfootnote\n",
        b'{"content":7}\n{"content":"a","content":"b"}\n{"content":\n',
    ],
)
@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_lines_that_hold_nothing_sealed_pass_beside_those_that_do(
    lines: bytes, way: str
) -> None:
    origin = Origin(mirror)
    await through(origin, post(b'{"content":"%b"}' % CANARY, JSON, target=b"/seal"), keys=KEYS)
    sealed = origin.seen[0].body + b"\n"

    plain, told = await through(answering(b"text/plain", lines, way=way), get(b"/open"), keys=KEYS)
    mixed, _ = await through(
        answering(b"text/plain", b"".join((sealed, lines, sealed)), way="chunks"),
        get(b"/open"),
        keys=KEYS,
    )

    opened = b'{"content":"%b"}\n' % CANARY
    assert (plain.status, whole(plain)) == (200, lines)
    assert "reason" not in told
    assert whole(mixed) == b"".join((opened, lines, opened))


async def test_a_line_that_is_no_json_but_holds_a_token_cuts() -> None:
    lines = b'{"level":"info"}\n'
    token = await a_token()

    response, told = await through(
        answering(b"text/plain", lines + b"see " + token + b"\n" + lines, way="chunks"),
        get(b"/open"),
        keys=KEYS,
    )

    assert response.body == b"%x\r\n%b\r\n" % (len(lines), lines)
    assert told["reason"] == "not-json"


@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_lines_and_coded_bodies_are_read(way: str) -> None:
    token = await a_token()
    lines = b'{"a":"%b"}\n{"a":1}\n["%b"]\n' % (token, token)
    response, _ = await through(
        answering(b"text/plain", lines, way=way), get(b"/any"), keys=KEYS, rule_table=a_book()
    )
    assert whole(response) == lines.replace(token, CANARY)
    coded = gzip.compress(b'["%b"]' % token)
    response, _ = await through(
        answering(b"text/plain", coded, way=way, more=b"Content-Encoding: gzip"),
        get(b"/any"),
        keys=KEYS,
        rule_table=a_book(),
    )
    # Without a length it may have no end, and what it holds does not show while it comes.
    assert whole(response) == (b'["%b"]' % CANARY if way == "length" else coded)


@pytest.mark.parametrize(
    "make",
    [
        lambda token: b"hello " + token,
        lambda token: b'{"a": "%b"' % token,
        lambda token: b"[2027-01-01] " + token,
        lambda token: b"<p>" + token + b"</p>",
        lambda token: b")]}',\n" + b'["%b"]' % token,
        lambda token: b'{"a":1} {"b":"%b"}' % token,
        lambda token: b"x" * 300_000 + token,
        lambda token: b"[" * 200 + token,
    ],
)
@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_what_is_no_json_passes_and_is_told(make: Callable[[bytes], bytes], way: str) -> None:
    token = await a_token()
    body = make(token)

    async with (
        running(answering(b"text/plain", body, way=way)) as origin,
        proxied(local(origin.port), rule_table=a_book(), keys=KEYS) as ours,
    ):
        answers = [await talk(ours.port, get(b"/any")) for _ in range(3)]
        events = [event for event, _ in ours.ear.heard]
        told = ours.ear.last
        heard = repr(ours.ear.heard).encode()

    assert token not in heard
    assert CANARY not in heard
    assert all(whole(one) == body for one in answers)
    early = len(body) < 700 or (way == "length" and len(body) < 32_000)
    assert answers[0].values(UNREAD) == ([b"1"] if early else [])
    assert told["response_unread"] == 1
    assert events.count("response.unread") == 1


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (b"text/plain", b"hello"),
        (b"text/plain", b'{"a":1}'),
        (b"application/octet-stream", bytes(range(256)) * 300),
        (b"text/plain", b""),
        (b"image/png", b"\x89PNG"),
    ],
)
@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_what_holds_nothing_sealed_passes_in_silence(
    media: bytes, body: bytes, way: str
) -> None:
    response, told = await through(
        answering(media, body, way=way, more=b'ETag: "x"'),
        get(b"/any"),
        keys=KEYS,
        rule_table=a_book(),
    )

    assert whole(response) == body
    assert response.values(b"etag") == [b'"x"']
    assert response.values(UNREAD) == []
    assert "response_unread" not in told


async def test_what_ends_with_its_connection_passes_and_is_told() -> None:
    body = b'["%b"]' % await a_token()

    response, told = await through(
        answering(b"text/plain", body, way="close"), get(b"/any"), keys=KEYS, rule_table=a_book()
    )

    assert whole(response) == body
    assert response.values(UNREAD) == [b"1"]
    assert told["response_unread"] == 1


@pytest.mark.parametrize("more", [{"types": ("application/json",)}, {"statuses": ((404, 404),)}])
async def test_what_a_rule_says_of_types_and_statuses_holds(more: dict[str, object]) -> None:
    body = b'["%b"]' % await a_token()

    response, _ = await through(
        answering(b"text/plain", body), get(b"/any"), keys=KEYS, rule_table=a_book(**more)
    )

    assert whole(response) == body


async def test_a_body_above_the_limit_passes() -> None:
    token = await a_token()
    body = b'["%b", "%b"]' % (token, b"x" * 3000)
    limits = TrafficLimits(body=2000)
    for way in ("length", "chunks"):
        response, told = await through(
            answering(b"text/plain", body, way=way),
            get(b"/any"),
            keys=KEYS,
            rule_table=a_book(),
            limits=limits,
        )
        assert whole(response) == body
        assert told["response_unread"] == 1


async def test_frames_and_tokens_are_known_by_how_they_begin() -> None:
    body = Item(parse_selector("body"), "body", frozenset({"tenant", "conversation", "field"}))
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((body,)),))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(Block(decrypt=(body,)),))
    book = RuleTable((seal, rest), pass_unmatched=True)
    for size in (100, 200_000):
        origin = Origin(mirror)
        text = CANARY + b"x" * size
        plain = b"Content-Type: text/x-mine"
        await through(origin, post(text, plain, target=b"/seal"), keys=KEYS, rule_table=book)
        sealed = origin.seen[0].body
        assert sealed.startswith(sealed_stream.MAGIC) == (size > 65536)
        for way in ("length", "chunks"):
            response, _ = await through(
                answering(b"application/octet-stream", sealed, way=way),
                get(b"/any"),
                keys=KEYS,
                rule_table=book,
            )
            assert whole(response) == text
            assert response.values(b"content-type") == [b"text/x-mine"]
    for other in (b"plain", b"eyJ0eXAiOiJzeTEi but no token", b"x" * 200_000):
        for way in ("length", "chunks"):
            response, _ = await through(
                answering(None, other, way=way), get(b"/any"), keys=KEYS, rule_table=book
            )
            assert whole(response) == other


async def test_streams_are_not_held_up() -> None:
    """Text that is no JSON goes on at once, JSON lines one by one, and a HEAD has no body."""
    token = await a_token()
    go_on = asyncio.Event()
    first = {b"/log": b"[info] started\n", b"/lines": b'{"a":"%b"}\n' % token, b"/any": b"x"}

    async def script(peer: Peer, origin: Origin) -> None:
        seen = await peer.request()
        piece = first[seen.target]
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        if seen.head.startswith(b"HEAD"):
            return
        peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await go_on.wait()
        peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=a_book(), keys=KEYS) as ours,
    ):
        for target, piece in first.items():
            go_on.clear()
            opened = piece.replace(token, CANARY)
            async with connected(ours.port) as client:
                client.send(get(target))
                await client.until(b"\r\n\r\n")
                assert await client.until(opened) == b"%x\r\n%b" % (len(opened), opened)
                go_on.set()
                assert (await client.rest()).count(opened) == 1
        head = await talk(ours.port, b"HEAD /any HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (head.status, head.body) == (200, b"")


async def test_what_is_json_of_a_page_has_no_tag_in_it() -> None:
    script = b"<script>alert(1)</script>"
    origin = Origin(mirror)
    await through(
        origin,
        post(b'{"content":"%b"}' % script, JSON, target=b"/seal"),
        keys=KEYS,
        rule_table=a_book(),
    )
    for media in (b"text/html", None, b"text/plain"):
        response, _ = await through(
            answering(media, origin.seen[0].body), get(b"/any"), keys=KEYS, rule_table=a_book()
        )
        assert json.loads(whole(response)) == {"content": script.decode()}
        assert (b"<" in whole(response)) == (media == b"text/plain")


@pytest.mark.parametrize(
    "media",
    [
        *(b"application/octet-stream", b"image/png", b"application/json", b"text/event-stream"),
        *(b"application/pdf", b"multipart/mixed; boundary=x", b"text/html", b"x/y; charset=z"),
        b"nonsense",
        None,
    ],
)
@pytest.mark.parametrize("size", [0, 70_000, 200_000])
async def test_a_sealed_body_opens_under_any_type_and_gets_its_own_back(
    media: bytes | None, size: int
) -> None:
    body = Item(parse_selector("body"), "body", BOUND)
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((body,)),))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(Block(decrypt=(body,)),))
    book = RuleTable((seal, rest), pass_unmatched=True)
    text, origin = CANARY + b"x" * size, Origin(mirror)
    await through(
        origin,
        post(text, b"Content-Type: text/x-mine", target=b"/seal"),
        keys=KEYS,
        rule_table=book,
    )
    sealed = origin.seen[0].body
    assert CANARY not in sealed

    for way in ("length", "chunks"):
        async with (
            running(answering(media, sealed, way=way)) as backend,
            proxied(local(backend.port), rule_table=book, keys=KEYS) as ours,
        ):
            for _ in range(2):
                response = await talk(ours.port, get(b"/any"))
                assert whole(response) == text
                assert response.values(b"content-type") == [b"text/x-mine"]
                assert response.values(b"cache-control") == [b"private, no-store"]
            assert CANARY not in repr(ours.ear.heard).encode()
        # Another body of such a type passes as it came, also where a token comes later in it.
        for other in (b"plain", b"", b"sy1", sealed[:3], b"\x89PNG " + sealed):
            response, _ = await through(
                answering(media, other, way=way), get(b"/any"), keys=KEYS, rule_table=book
            )
            assert whole(response) == other
            assert response.values(b"content-type") == ([] if media is None else [media])


async def test_a_stream_opens_where_the_rule_names_the_type_that_it_has() -> None:
    body = Item(parse_selector("body"), "body", BOUND)
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((body,)),))
    named = Block(decrypt=(body,), types=("application/octet-stream",))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(named,))
    book, origin = RuleTable((seal, rest), pass_unmatched=True), Origin(mirror)
    text = CANARY + b"x" * 200_000
    plain = b"Content-Type: text/x-mine"
    await through(origin, post(text, plain, target=b"/seal"), keys=KEYS, rule_table=book)

    answer = answering(b"application/octet-stream", origin.seen[0].body)
    response, _ = await through(answer, get(b"/any"), keys=KEYS, rule_table=book)

    assert whole(response) == text
    assert response.values(b"content-type") == [b"text/x-mine"]


async def test_a_decoded_attachment_opens_under_the_type_that_it_is_served_as() -> None:
    data = Item(parse_selector("$.data"), "data", BOUND | {"field"}, form="base64")
    body = Item(parse_selector("body"), "data", BOUND | {"field"})
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((data,)),))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(Block(decrypt=(body,)),))
    book, origin = RuleTable((seal, rest), pass_unmatched=True), Origin(mirror)
    picture = b"\x89PNG\r\n" + CANARY * 5000
    message = b'{"data":"%b"}' % b64encode(picture)
    head = b"Content-Type: application/json"
    await through(origin, post(message, head, target=b"/seal"), keys=KEYS, rule_table=book)
    served = b64decode(json.loads(origin.seen[0].body)["data"])
    assert CANARY not in served

    for way in ("length", "chunks"):
        for sent, seen in ((served, picture), (picture, picture)):
            answer = answering(b"image/png", sent, way=way)
            response, _ = await through(answer, get(b"/any"), keys=KEYS, rule_table=book)
            assert whole(response) == seen
            assert response.values(b"content-type") == [b"image/png"]


@pytest.mark.parametrize("media", [b"image/png", b"application/vnd.sealyard.stream"])
async def test_h9_a_file_comes_back_with_its_name(media: bytes) -> None:
    body = Item(parse_selector("body"), "body", BOUND)
    sent = Item(parse_selector("header:x-name"), "file_name", BOUND | {"field"})
    named = Item(parse_selector("header:content-disposition"), "file_name", BOUND | {"field"})
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(Block((body, sent)),))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(Block(decrypt=(body, named)),))
    book, origin = RuleTable((seal, rest), pass_unmatched=True), Origin(mirror)
    text = CANARY + b"x" * 200_000
    head = b"Content-Type: image/jpeg\r\nX-Name: =?utf-8?q?" + CANARY + b"=C3=A9.jpg?="
    await through(origin, post(text, head, target=b"/seal"), keys=KEYS, rule_table=book)
    seen = origin.seen[0]
    (token,) = seen.values(b"x-name")
    assert CANARY not in seen.head + seen.body

    for way in ("length", "chunks"):
        more = b"Content-Disposition: attachment; filename=\"%b\"; filename*=UTF-8''%b" % (
            token,
            token,
        )
        response, _ = await through(
            answering(media, seen.body, way=way, more=more),
            get(b"/any"),
            keys=KEYS,
            rule_table=book,
        )
        assert whole(response) == text
        assert response.values(b"content-type") == [b"image/jpeg"]
        assert response.values(b"content-disposition") == [
            b"attachment; filename=\"%b_.jpg\"; filename*=UTF-8''%b%%C3%%A9.jpg" % (CANARY, CANARY)
        ]


@pytest.mark.parametrize("size", [0, 100_000])
async def test_h9_a_file_of_a_form_comes_back_with_its_name(size: int) -> None:
    def item(selector: str, field: str) -> Item:
        return Item(parse_selector(selector), field, BOUND | {"field"})

    sealing = Block((item("part:scan", "scan"), item("filename:scan", "file_name")))
    opening = (item("body", "scan"), item("header:content-disposition", "file_name"))
    seal = Rule("seal", (parse_pattern("POST /seal"),), NAMES, request=(sealing,))
    rest = Rule("open", (parse_pattern("/**"),), NAMES, response=(Block(decrypt=opening),))
    book, origin = RuleTable((seal, rest), pass_unmatched=True), Origin(mirror)
    text = CANARY + b"x" * size
    form = (
        b'--of-parts\r\nContent-Disposition: form-data; name="scan"; filename="%b.png"\r\n'
        b"Content-Type: image/png\r\n\r\n%b\r\n--of-parts--\r\n" % (CANARY, text)
    )
    kind = b"Content-Type: multipart/form-data; boundary=of-parts"
    await through(origin, post(form, kind, target=b"/seal"), keys=KEYS, rule_table=book)
    kept = origin.seen[0].body
    assert CANARY not in kept
    head, _, rest_of_it = kept.partition(b"\r\n\r\n")
    name = head.partition(b'filename="')[2].partition(b'"')[0]
    content = rest_of_it.removesuffix(b"\r\n--of-parts--\r\n")

    response, _ = await through(
        answering(b"image/png", content, more=b'Content-Disposition: inline; filename="%b"' % name),
        get(b"/any"),
        keys=KEYS,
        rule_table=book,
    )

    assert whole(response) == text
    assert response.values(b"content-type") == [b"image/png"]
    assert response.values(b"content-disposition") == [b'inline; filename="%b.png"' % CANARY]
