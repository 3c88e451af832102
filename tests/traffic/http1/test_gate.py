from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    AmbiguousRequest,
    ExpectationFailed,
    MalformedRequest,
    MethodNotAllowed,
    TrafficError,
    UnsupportedTransferCoding,
)
from proxy.core.http.message import Headers
from proxy.traffic.http1.framing import ABSENT, CHUNKED, Framing
from proxy.traffic.http1.gate import Admitted, RawRequest, admit
from tools.raw_requests import raw_request

HOST: Headers = ((b"Host", b"h"),)


def a_request(
    target: str = "/",
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    host: bytes | None = b"h",
) -> RawRequest:
    hosts: Headers = ((b"Host", host),) if host is not None else ()
    return raw_request(method, target, version, (*hosts, *headers))


def admitted(target: str = "/", *headers: tuple[bytes, bytes], method: str = "GET") -> Admitted:
    return admit(a_request(target, *headers, method=method))


def test_the_path_is_canonical_and_the_query_as_it_came() -> None:
    head = admitted("/a/../b%41?q=%2f&x=a%20b").head

    assert (head.path, head.query) == ("/bA", "q=%2f&x=a%20b")


@pytest.mark.parametrize(("target", "query"), [("/a", None), ("/a?", ""), ("/a?b?c", "b?c")])
def test_the_query_begins_at_the_first_question_mark(target: str, query: str | None) -> None:
    assert admitted(target).head.query == query


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://x.test/a?b", "/a", "b"),
        ("HTTPS://x.test:8443", "/", None),
        ("http://x.test?b", "/", "b"),
        ("http://[::1]:80/a", "/a", None),
    ],
)
def test_absolute_form_becomes_origin_form(target: str, path: str, query: str | None) -> None:
    head = admitted(target).head

    assert (head.path, head.query) == (path, query)


def test_the_authority_of_the_target_is_the_host() -> None:
    assert admitted("http://x.test:81/", (b"X", b"y")).head.headers == (
        (b"Host", b"x.test:81"),
        (b"X", b"y"),
    )


def test_http_1_0_may_name_its_host_in_the_target_alone() -> None:
    request = admit(a_request("http://x.test/a", (b"X", b"y"), host=None, version=(1, 0)))

    assert request.head.headers == ((b"Host", b"x.test"), (b"X", b"y"))


@pytest.mark.parametrize("host", [b"h", None])
def test_the_host_and_the_way_so_far_are_told(host: bytes | None) -> None:
    request = admit(a_request("/", (b"via", b"1.1 a"), host=host, version=(1, 0)))

    assert (request.host, request.via) == (host or b"", True)


def test_headers_keep_order_spelling_and_bytes() -> None:
    headers = ((b"x-B", b"\xff\xfe"), (b"X-a", b""), (b"x-b", b" a\tb"))

    assert admitted("/", *headers).head.headers == (*HOST, *headers)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "a",
        "abc://h/p",
        "//h\\x",
        "/a b",
        "/a#b",
        "/a\\b",
        "/é",
        "/\udcff",
        "/a\x00",
        "/%zz",
        "ftp://x/",
        "http:///a",
        "http://u@h/",
        "http://u:p@h/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:/",
    ],
)
def test_targets_that_are_no_target_are_refused(target: str) -> None:
    with pytest.raises(MalformedRequest):
        admitted(target)


@pytest.mark.parametrize("target", ["/%00", "/a%0d%0ab", "/%ff"])
def test_paths_that_hide_something_are_refused(target: str) -> None:
    with pytest.raises(AmbiguousRequest):
        admitted(target)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_some_methods_are_never_forwarded(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        admitted(method=method)


@pytest.mark.parametrize("method", ["get", "Get", "", "GET ", "G=T", "-GET", "M1"])
def test_methods_are_upper_case(method: str) -> None:
    with pytest.raises(MalformedRequest):
        admitted(method=method)


@pytest.mark.parametrize("version", [(0, 9), (1, 2), (2, 0), (3, 0)])
def test_other_versions_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(MalformedRequest):
        admit(a_request(version=version))


@pytest.mark.parametrize("host", [b"h", b"h:1", b"h:65535", b"127.0.0.1:80", b"[::1]:8080", b"a_b"])
def test_hosts(host: bytes) -> None:
    assert admit(a_request(host=host)).head.headers == ((b"Host", host),)


@pytest.mark.parametrize(
    "host",
    [b"", b"a, b", b"a,b", b"h/p", b"u@h", b"h#", b"h?", b"h:0", b"h:99999", b"h:", b"h h", b"::1"],
)
def test_hosts_that_are_no_host_are_refused(host: bytes) -> None:
    with pytest.raises(MalformedRequest):
        admit(a_request(host=host))


@pytest.mark.parametrize(
    "name",
    [
        b"X-HTTP-Method-Override",
        b"x-method-override",
        b"X-HTTP-Method",
        b"X.HTTP-Method.Override",
        b"X~Method",
    ],
)
def test_a_request_for_another_method_is_noticed(name: bytes) -> None:
    assert admitted("/", (name, b"DELETE")).overrides
    assert not admitted("/").overrides


@pytest.mark.parametrize("name", [b"X-Original-URL", b"x-rewrite-url", b"X.Original~URL"])
def test_a_request_for_another_address_is_noticed(name: bytes) -> None:
    assert admitted("/", (name, b"/api/pay")).reroutes == (b"/api/pay",)
    assert admitted("/", (b"X.Other", b"/api/pay")).reroutes == ()


def test_there_is_one_host() -> None:
    with pytest.raises(MalformedRequest):
        admit(a_request(host=None))
    with pytest.raises(MalformedRequest):
        admitted("/", (b"host", b"h"))

    assert admit(a_request(host=None, version=(1, 0))).head.headers == ()


@pytest.mark.parametrize(
    ("headers", "framing"),
    [
        ((), ABSENT),
        (((b"content-length", b"0"),), Framing(0)),
        (((b"Content-Length", b"007"),), Framing(7)),
        (((b"Transfer-Encoding", b"Chunked"),), CHUNKED),
    ],
)
def test_framing(headers: Headers, framing: Framing) -> None:
    assert admitted("/", *headers).framing == framing


@pytest.mark.parametrize(
    "headers",
    [
        ((b"Content-Length", b"1"), (b"Content-Length", b"1")),
        ((b"Content-Length", b"1, 1"),),
        ((b"Content-Length", b"+1"),),
        ((b"Content-Length", b"-1"),),
        ((b"Content-Length", b"0x1"),),
        ((b"Content-Length", b"1_0"),),
        ((b"Content-Length", b"\xd9\xa1"),),
        ((b"Content-Length", b""),),
        ((b"Content-Length", b"9300000000000000000"),),
        ((b"Content-Length", b"99999999999999999999"),),
        ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")),
        ((b"Transfer-Encoding", b""), (b"Content-Length", b"1")),
        ((b"Transfer-Encoding", b""),),
        ((b"Transfer_Encoding", b"chunked"),),
        ((b"Content_Length", b"1"),),
    ],
)
def test_headers_with_two_readings_are_refused(headers: Headers) -> None:
    with pytest.raises(MalformedRequest):
        admitted("/", *headers)


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity"])
def test_other_codings_are_not_done(coding: bytes) -> None:
    with pytest.raises(UnsupportedTransferCoding):
        admitted("/", (b"Transfer-Encoding", coding))


def test_http_1_0_has_no_chunks() -> None:
    with pytest.raises(MalformedRequest):
        admit(a_request("/", (b"Transfer-Encoding", b"chunked"), version=(1, 0)))


SHAKE = (
    (b"Connection", b"keep-alive, Upgrade"),
    (b"Upgrade", b"WebSocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"k"),
)


def test_a_handshake_asks_for_a_websocket() -> None:
    request = admitted("/", *SHAKE)

    assert (request.websocket, request.upgrade) == (True, False)


@pytest.mark.parametrize("missing", range(len(SHAKE)))
def test_anything_less_asks_for_none(missing: int) -> None:
    request = admitted("/", *SHAKE[:missing], *SHAKE[missing + 1 :])

    assert not request.websocket


def test_expectations() -> None:
    expect = (b"Expect", b"100-Continue")

    assert admitted("/", expect).expects_continue
    assert not admit(a_request("/", expect, version=(1, 0))).expects_continue
    with pytest.raises(ExpectationFailed):
        admitted("/", (b"Expect", b"other"))


@given(
    st.builds(
        raw_request,
        st.sampled_from(["GET", "POST", "get", "TRACE"]),
        st.text(alphabet=st.characters(max_codepoint=300)).map(lambda text: "/" + text) | st.text(),
        st.sampled_from([(1, 0), (1, 1), (2, 0)]),
        st.lists(st.tuples(st.sampled_from([b"Host", b"Expect", b"X_Y", b"TE"]), st.binary())).map(
            tuple
        ),
    )
)
def test_whatever_comes_is_admitted_or_refused(raw: RawRequest) -> None:
    try:
        head = admit(raw).head
    except TrafficError:
        return

    assert head.path.startswith("/")
    assert head.path.isascii()
    assert not set(head.path) & set("?#\\ \r\n")
    assert head.query is None or head.query.isascii()
