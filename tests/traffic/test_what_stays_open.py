"""A canary in each place of a request: what reaches the backend is what a page says stays open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .test_closed_paths import CANARY, FORM, JSON, through
from .wire import get

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "values.md"
HEADING = "## What of a request stays open"
RULES = """
      - name: send
        match: POST /api/{room}/messages
        conversation: path:room
        query: {page: plain}
        headers: {others: refuse, plain: X-Client}
        request:
          - {type: application/graphql+json, format: graphql, encrypt: $.fields.send.text}
          - encrypt: $.content
            plain: $.kind
          - encrypt: optional form:content
            nothing: pass
            plain: form:kind
          - encrypt: optional part:content
            nothing: pass
            plain: part:{kind,scan}
"""
TARGET = b"/api/7/messages"
ONE_PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\nx\r\n--b--\r\n'
CONTENT = b'{"content":"secret"}'
PARTS = b"Content-Type: multipart/form-data; boundary=b"
GRAPHQL = b"Content-Type: application/graphql+json"
DOCUMENT = (
    b'{"query":"mutation A($t: String!) { %b }","operationName":"A","variables":{"t":"secret"}}'
)


def sent(body: bytes, *lines: bytes, target: bytes = TARGET) -> bytes:
    lines = (*lines, b"Content-Length: %d" % len(body))
    return get(target, *lines, method=b"POST") + body


def chunked(*chunks: bytes) -> bytes:
    return get(TARGET, JSON, b"Transfer-Encoding: chunked", method=b"POST") + b"".join(chunks)


def json_with(*lines: bytes, target: bytes = TARGET, content_type: bytes = JSON) -> bytes:
    return sent(CONTENT, content_type, *lines, target=target)


def part(disposition: bytes, *lines: bytes, content: bytes = b"x", boundary: bytes = b"b") -> bytes:
    head = b"\r\n".join((b"Content-Disposition: form-data; " + disposition, *lines))
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (boundary, head, content, boundary)
    return sent(body, PARTS.replace(b"=b", b"=" + boundary))


SIZED = b"%x\r\n%b\r\n" % (len(CONTENT), CONTENT)
PLACES = {
    "the path": json_with(target=b"/api/%b/messages" % CANARY),
    "the value of a name of the query that is listed": json_with(
        target=TARGET + b"?page=" + CANARY
    ),
    "another name of the query": json_with(target=TARGET + b"?x=" + CANARY),
    "a query without a name": json_with(target=TARGET + b"?" + CANARY),
    "`Host`": json_with().replace(b"Host: h", b"Host: " + CANARY),
    "`Cookie`": json_with(b"Cookie: a=" + CANARY),
    "`Authorization`": json_with(b"Authorization: Bearer " + CANARY),
    "`Referer`": json_with(b"Referer: https://h/?q=" + CANARY),
    "`User-Agent`": json_with(b"User-Agent: " + CANARY),
    "`Origin`": json_with(b"Origin: https://" + CANARY),
    "`If-Match`": json_with(b'If-Match: "%b"' % CANARY),
    "`Accept`": json_with(b"Accept: text/" + CANARY),
    "`Content-Language`": json_with(b"Content-Language: " + CANARY),
    "`Sec-Fetch-*`, `Sec-CH-*`": json_with(b"Sec-CH-UA: " + CANARY),
    "`X-Request-Id`": json_with(b"X-Request-Id: " + CANARY),
    "`X-Forwarded-*`": json_with(b"X-Forwarded-User: " + CANARY),
    "a header that is listed": json_with(b"X-Client: " + CANARY),
    "another header": json_with(b"X-Note: " + CANARY),
    "the name of another header": json_with(b"X-%b: 1" % CANARY),
    "a parameter of `Content-Type`": json_with(content_type=JSON + b"; note=" + CANARY),
    "a boundary": part(b'name="kind"', boundary=CANARY),
    "a trailer": chunked(SIZED, b"0\r\nX-Note: " + CANARY + b"\r\n\r\n"),
    "an extension of a chunk": chunked(
        SIZED.replace(b"\r\n", b";n=" + CANARY + b"\r\n", 1), b"0\r\n\r\n"
    ),
    "another member": sent(b'{"content":"s","x":"%b"}' % CANARY, JSON),
    "the name of a member": sent(b'{"content":"s","%b":1}' % CANARY, JSON),
    "an object where a plain value is listed": sent(
        b'{"content":"s","kind":{"a":"%b"}}' % CANARY, JSON
    ),
    "JSON in a plain text": sent(b'{"content":"s","kind":"{\\"a\\":\\"%b\\"}"}' % CANARY, JSON),
    "what is behind a JSON text": sent(CONTENT + CANARY, JSON),
    "a JSON patch": sent(
        b'[{"op":"add","path":"/content","value":"%b"}]' % CANARY,
        b"Content-Type: application/json-patch+json",
    ),
    "another field of a form": sent(b"x=" + CANARY, FORM),
    "the name of a part": part(b'name="%b"' % CANARY),
    "an encoded word as a name": part(b'name="=?UTF-8?Q?c=6Fntent?="', content=CANARY),
    "a filename": part(b'name="scan"; filename="%b.pdf"' % CANARY),
    "a filename in UTF-8": part(
        b'name="scan"; filename="%b"; filename*=UTF-8\'\'%b' % (CANARY, CANARY)
    ),
    "a filename in UTF-8 behind an empty one": part(
        b'name="scan"; filename=""; filename*=UTF-8\'\'%b' % CANARY
    ),
    "a longer extension of a filename": part(
        b'name="scan"; filename="a.%b"' % CANARY.replace(b"-", b"")
    ),
    "the extension of a filename, of up to five characters": part(
        b'name="scan"; filename="a.canry"'
    ),
    "the media type of a part": part(b'name="kind"', b"Content-Type: text/plain; a=" + CANARY),
    "another header of a part": part(b'name="kind"', b"X-Note: " + CANARY),
    "what is before the first part": sent(CANARY + b"\r\n--b\r\n\r\n--b--\r\n", PARTS),
    "what is behind the last part": sent(ONE_PART % b"kind" + CANARY, PARTS),
    "a comment of a GraphQL document": sent(
        DOCUMENT % (b"send(text: $t) # %b\\n" % CANARY), GRAPHQL
    ),
    "an alias of a GraphQL document": sent(DOCUMENT % b"canary4e1b90: send(text: $t)", GRAPHQL),
    "the name of a GraphQL operation": sent(
        (DOCUMENT % b"send(text: $t)")
        .replace(b'"A"', b'"canary4e1b90"')
        .replace(b" A(", b" canary4e1b90("),
        GRAPHQL,
    ),
    "another variable of GraphQL": sent(
        (DOCUMENT % b"send(text: $t)").replace(b'{"t"', b'{"u":"%b","t"' % CANARY), GRAPHQL
    ),
}
TRACES = (CANARY, CANARY.replace(b"-", b""), b"canry")


async def is_open(place: str, rules: str = RULES) -> bool:
    """Return whether what a place holds reaches the backend."""
    answer, seen = await through(PLACES[place], rules)
    assert answer.status in {200, 400, 415}, answer.raw
    return any(trace in one.head + one.body for one in seen for trace in TRACES)


def told() -> set[str]:
    """Return the places that the page tells, of requests and not of WebSockets."""
    text = PAGE.read_text("utf-8")
    section = text[text.index(HEADING) + 1 :].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ", section, re.MULTILINE)
    assert rows[0] == "place"
    return {place for row in rows[1:] if row.strip("-") for place in row.split("; ")}


async def test_what_stays_open_is_what_the_page_tells() -> None:
    found = {place for place in PLACES if await is_open(place)}
    assert found == told()


@pytest.mark.parametrize(
    ("place", "without"),
    [
        ("another header", "headers: {others: refuse, plain: X-Client}"),
        ("the name of another header", "headers: {others: refuse, plain: X-Client}"),
    ],
)
async def test_headers_pass_where_nothing_is_said(place: str, without: str) -> None:
    assert await is_open(place, RULES.replace(without, ""))


@pytest.mark.parametrize(
    ("filenames", "expected"), [("replace", b"file.pdf"), ("plain", CANARY), ("seal", b"ey")]
)
async def test_a_filename_is_replaced_sealed_or_left(filenames: str, expected: bytes) -> None:
    rules = f"""
      - name: send
        match: POST /api/{{room}}/messages
        conversation: path:room
        request: {{encrypt: part:scan, plain: part:note, filenames: {filenames}}}
        response: {{decrypt: tokens}}
"""
    for name in (b"scan", b"note"):
        quoted = b'name="%b"; filename="%b.PDF"; filename*=UTF-8\'\'%b.PDF' % (name, CANARY, CANARY)
        data = part(quoted)
        if name == b"note":
            first = b'--b\r\nContent-Disposition: form-data; name="scan"\r\n\r\nx\r\n'
            body = first + data.partition(b"\r\n\r\n")[2]
            data = sent(body, PARTS)
        answer, (seen,) = await through(data, rules)
        assert answer.status == 200
        assert seen.body.count(b'filename="' + expected) == 1
        assert (CANARY in seen.body) == (filenames == "plain")


@pytest.mark.parametrize("length", [10, 200_000])
async def test_a_filename_is_replaced_in_a_form_that_flows(length: int) -> None:
    rules = """
      - name: send
        match: POST /api/{room}/messages
        conversation: path:room
        request: {encrypt: optional part:scan, nothing: pass, plain: part:note}
"""
    content = b"y" * length
    data = part(b'name="note"; filename="%b.pdf"' % CANARY, content=content)
    body = data.partition(b"\r\n\r\n")[2]
    head = get(TARGET, PARTS, b"Transfer-Encoding: chunked", method=b"POST")
    answer, (seen,) = await through(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), rules)
    assert answer.status == 200
    assert b'filename="file.pdf"' in seen.body
    assert CANARY not in seen.body
    assert content in seen.body


@pytest.mark.parametrize(
    "content_type",
    ["json-patch+json", "JSON-Patch+JSON", "json-patch+json; charset=utf-8", "vnd.x-patch+json"],
)
@pytest.mark.parametrize(
    "said",
    ["$.content", "optional $.content, nothing: pass", "$..content, others: pass", "'header:x-a'"],
)
async def test_a_patch_is_no_json(content_type: str, said: str) -> None:
    rules = f"      - {{name: edit, match: PATCH /api/x, request: {{encrypt: {said}}}}}\n"
    body = b'[{"op":"add","path":"/content","value":"%b"}]' % CANARY
    lines = (
        f"Content-Type: application/{content_type}".encode(),
        b"Content-Length: %d" % len(body),
        b"X-A: x",
    )
    answer, seen = await through(get(b"/api/x", *lines, method=b"PATCH") + body, rules)
    assert (answer.status, seen) == (400 if "header" in said else 415, [])


async def test_a_merge_patch_is_json() -> None:
    rules = "      - {name: edit, match: PATCH /api/x, request: {encrypt: $.content}}\n"
    lines = (b"Content-Type: application/merge-patch+json", b"Content-Length: %d" % len(CONTENT))
    answer, (seen,) = await through(get(b"/api/x", *lines, method=b"PATCH") + CONTENT, rules)
    assert answer.status == 200
    assert b"secret" not in seen.body


@pytest.mark.parametrize("others", ["refuse", "seal", "pass"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"ca%%00rd=%b" % CANARY),
        (FORM, b"card%%00x=%b" % CANARY),
        (FORM, b"%%3D?UTF-8?Q?c%%3D61rd?%%3D=%b" % CANARY),
        (PARTS, ONE_PART % b"=?UTF-8?Q?c=61rd?="),
        (PARTS, ONE_PART % b"=?UTF-8?B?Y2FyZA==?="),
        (PARTS, ONE_PART % b"ca\x00rd"),
    ],
)
async def test_a_name_that_readers_decode_or_cut_is_none(
    others: str, content_type: bytes, body: bytes
) -> None:
    place = "part" if content_type is PARTS else "form"
    rules = f"""
      - name: send
        match: POST /api/{{room}}/messages
        conversation: path:room
        request: {{encrypt: 'optional {place}:card', nothing: pass, others: {others}}}
        response: {{decrypt: tokens}}
"""
    answer, seen = await through(sent(body, content_type), rules)
    assert (answer.status, seen) == (400, [])
