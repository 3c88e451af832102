from __future__ import annotations

import pytest

from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.transform.forwardable import mint
from proxy.traffic.http1.forwarding_headers import Forwarding
from proxy.traffic.http1.framing import ABSENT, CHUNKED, Framing, as_chunk
from proxy.traffic.http1.hop_by_hop import framed
from proxy.traffic.http1.outgoing_heads import (
    request_lines,
    response_lines,
    switching_head,
)
from proxy.traffic.http1.pointing_headers import LocationRewrite

Pair = tuple[bytes, bytes]


def lines_up(
    *headers: Pair,
    framing: Framing = ABSENT,
    changed: bool = False,
    decoded: bool = False,
    ruled: bool = False,
    media_type: str | None = None,
    websocket: bool = False,
) -> list[bytes]:
    """Return the lines that go upstream, without Host and the empty ones."""
    head = RequestHead("GET", "/a", "b=c", ((b"Host", b"h"), *headers))
    message = mint(head, changed=changed, decoded=decoded, ruled=ruled, media_type=media_type)
    whole = framed(request_lines(message, host=b"other", websocket=websocket), framing)
    lines = whole.split(b"\r\n")
    assert lines[:2] == [b"GET /a?b=c HTTP/1.1", b"Host: h"]
    assert lines[-2:] == [b"", b""]
    return lines[2:-2]


def lines_down(
    *headers: Pair,
    framing: Framing = ABSENT,
    changed: bool = False,
    ruled: bool = False,
    private: bool = False,
    media_type: str | None = None,
    marks: Headers = (),
    connection: bytes | None = None,
) -> list[bytes]:
    """Return the lines that go to the client, without the empty ones."""
    head = ResponseHead(200, b"Fine", headers)
    message = mint(
        head,
        changed=changed,
        ruled=ruled,
        private=private,
        media_type=media_type,
        added_headers=marks,
    )
    lines = framed(response_lines(message, connection=connection), framing).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 Fine"
    return lines[1:-2]


def test_kept_headers_keep_order_spelling_and_bytes() -> None:
    headers = ((b"x-B", b"\xff"), (b"COOKIE", b"a"), (b"X-b", b""), (b"cookie", b"b"))

    kept = [b"x-B: \xff", b"COOKIE: a", b"X-b: ", b"cookie: b"]
    assert lines_up(*headers) == kept
    assert lines_down(*headers) == kept


HOPS = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
    b"HTTP2-Settings",
    b"Content-Length",
]


@pytest.mark.parametrize("name", HOPS)
def test_hop_by_hop_headers_end_here(name: bytes) -> None:
    for spelled in (name, name.lower(), name.upper()):
        assert lines_up((spelled, b"x")) == []
        assert lines_down((spelled, b"x")) == []


def test_expect_ends_here() -> None:
    assert lines_up((b"Expect", b"100-continue")) == []


def test_what_connection_lists_ends_here() -> None:
    headers = ((b"Connection", b"close, X-Hop,"), (b"connection", b"X-Other"), (b"x-hop", b"1"))

    assert lines_up(*headers, (b"X-Other", b"2"), (b"X-Stays", b"3")) == [b"X-Stays: 3"]
    assert lines_down(*headers, (b"X-Other", b"2"), (b"X-Stays", b"3")) == [b"X-Stays: 3"]


@pytest.mark.parametrize(
    "name", [b"Authorization", b"Cookie", b"Content-Type", b"Content-Encoding"]
)
def test_connection_cannot_take_away_what_the_upstream_relies_on(name: bytes) -> None:
    assert lines_up((b"Connection", b"Host, " + name), (name, b"x")) == [name + b": x"]


def test_what_is_private_says_nothing_of_the_backend_s_to_caches() -> None:
    mark = (b"Cache-Control", b"private, no-store")
    said = (
        (b"X-Accel-Expires", b"9"),
        (b"CACHE-control", b"public"),
        (b"CDN-Cache-Control", b"max-age=9"),
        (b"Expires", b"0"),
        (b"Age", b"3"),
        (b"X-Accel-Buffering", b"no"),
    )
    stays = [b"Age: 3", b"X-Accel-Buffering: no"]

    assert lines_down(*said, private=True, marks=(mark,)) == [*stays, b": ".join(mark)]
    assert lines_down(*said) == [b": ".join(one) for one in said]


def test_a_host_is_added_only_where_none_came() -> None:
    message = mint(RequestHead("GET", "/", None, ()))

    head = framed(request_lines(message, host=b"b:1"), ABSENT)
    assert head == b"GET / HTTP/1.1\r\nHost: b:1\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (ABSENT, []),
        (Framing(0), [b"Content-Length: 0"]),
        (Framing(12), [b"Content-Length: 12"]),
        (CHUNKED, [b"Transfer-Encoding: chunked"]),
    ],
)
def test_framing_is_ours(framing: Framing, expected: list[bytes]) -> None:
    old = ((b"Content-Length", b"99"), (b"Transfer-Encoding", b"gzip"))

    assert lines_up(*old, framing=framing) == expected
    assert lines_down(*old, framing=framing) == expected


def test_ruled_routes_ask_for_whole_and_uncoded_responses() -> None:
    headers = ((b"Accept-Encoding", b"gzip"), (b"Range", b"bytes=0-1"), (b"If-Range", b'"x"'))

    assert lines_up(*headers, ruled=True) == [b"Accept-Encoding: identity"]
    assert len(lines_up(*headers)) == 3


def test_weak_tags_become_strong_again_on_the_way_up() -> None:
    headers = ((b"If-None-Match", b'W/"a", "b",W/"c"'), (b"if-match", b"*"))

    assert lines_up(*headers, ruled=True)[:2] == [b'If-None-Match: "a", "b","c"', b"if-match: *"]
    assert lines_up(*headers)[0] == b'If-None-Match: W/"a", "b",W/"c"'


DIGESTS = [
    b"Content-MD5",
    b"Digest",
    b"Content-Digest",
    b"Repr-Digest",
    b"Signature",
    b"Signature-Input",
    b"x-amz-checksum-sha256",
]


@pytest.mark.parametrize("name", DIGESTS)
def test_digests_of_other_bytes_end_here(name: bytes) -> None:
    assert lines_up((name, b"x"), changed=True) == []
    assert lines_up((name, b"x")) == [name + b": x"]
    assert lines_down((name, b"x"), changed=True) == [b"Accept-Ranges: none"]
    assert lines_down((name, b"x"), ruled=True) == [b"Accept-Ranges: none"]
    assert lines_down((name, b"x")) == [name + b": x"]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [(b'"x"', [b'ETag: W/"x"']), (b'W/"x"', [b'ETag: W/"x"']), (b"x", [])],
)
def test_tags_of_changed_bytes_are_weak(tag: bytes, expected: list[bytes]) -> None:
    for ruled, changed in ((True, False), (False, True)):
        lines = lines_down((b"ETag", tag), ruled=ruled, changed=changed)
        assert lines == [*expected, b"Accept-Ranges: none"]
    assert lines_down((b"ETag", tag)) == [b"ETag: " + tag]


def test_ranges_of_changed_bytes_are_not_offered() -> None:
    assert lines_down((b"Accept-Ranges", b"bytes"), ruled=True) == [b"Accept-Ranges: none"]


def test_a_new_media_type_stands_where_the_old_one_stood() -> None:
    headers = ((b"content-type", b"a/b"), (b"X", b"y"))

    assert lines_up(*headers, changed=True, media_type="c/d") == [b"content-type: c/d", b"X: y"]
    assert lines_up(changed=True, media_type="c/d") == [b"Content-Type: c/d"]


def test_marks_and_cookies_arrive() -> None:
    headers = ((b"Set-Cookie", b"a"), (b"set-cookie", b"b"))

    assert lines_down(*headers, marks=((b"Sealyard-Kept", b"2"),), connection=b"close") == [
        b"Set-Cookie: a",
        b"set-cookie: b",
        b"Connection: close",
        b"Sealyard-Kept: 2",
    ]


def test_a_websocket_handshake_passes_its_upgrade() -> None:
    headers = (
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", b"k"),
    )

    assert lines_up(*headers, websocket=True) == [
        b"Sec-WebSocket-Key: k",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]
    assert b"Sec-WebSocket-Key: k" in switching_head(ResponseHead(101, b"S", headers))


def test_a_message_goes_only_its_own_way() -> None:
    request = mint(RequestHead("GET", "/", None, ()))
    response = mint(ResponseHead(200, b"OK", ()))

    with pytest.raises(TypeError):
        request_lines(response, host=b"h")
    with pytest.raises(TypeError):
        response_lines(request, connection=None)


def test_a_coding_ends_with_the_coded_body() -> None:
    headers = ((b"Content-Encoding", b"gzip"),)

    assert lines_up(*headers, changed=True, decoded=True) == []
    assert lines_up(*headers, changed=True) == [b"Content-Encoding: gzip"]


def test_forwarding_headers_replace_those_of_a_client() -> None:
    message = mint(RequestHead("GET", "/", None, ((b"X-Forwarded-For", b"spoof"), (b"Host", b"h"))))
    forwarding = Forwarding(frozenset({b"x-forwarded-for"}), (b"X-Forwarded-For: 1.2.3.4",))

    head = framed(request_lines(message, host=b"h", forwarding=forwarding), ABSENT)
    assert head.split(b"\r\n")[1:-2] == [
        b"Host: h",
        b"X-Forwarded-For: 1.2.3.4",
    ]


@pytest.mark.parametrize("name", [b"Location", b"content-location"])
def test_a_location_at_the_upstream_becomes_one_at_sealyard(name: bytes) -> None:
    location_rewrite = LocationRewrite(frozenset({b"127.0.0.1:3000"}), b"https://api.test")
    head = ResponseHead(201, b"C", ((name, b"http://127.0.0.1:3000/a"), (b"Link", b"<http://x>")))

    response = framed(
        response_lines(mint(head), connection=None, location_rewrite=location_rewrite), ABSENT
    )

    assert response.split(b"\r\n")[1:3] == [name + b": https://api.test/a", b"Link: <http://x>"]


def test_a_chunk() -> None:
    assert as_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert as_chunk(b"") == b""  # it would end the body, and what follows would be a request
