"""The gate to the last bit: each refusal names its part, each bound is where it is said to be."""

from __future__ import annotations

import pytest

from proxy.core.errors import TrafficError
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.traffic.http1.accepted import accepted
from proxy.traffic.http1.framing import Framing
from proxy.traffic.http1.gate import RawRequest, admit
from tools.raw_requests import raw_request

HOST: Headers = ((b"Host", b"h"),)
SHAKE: Headers = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"k"),
)


def a_head(
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    target: str = "/",
    version: tuple[int, int] = (1, 1),
    hosts: Headers = HOST,
) -> RawRequest:
    return raw_request(method, target, version, (*hosts, *headers))


def a_length(text: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length", text


def a_coding(text: bytes) -> tuple[bytes, bytes]:
    return b"Transfer-Encoding", text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (a_head(version=(2, 0)), "version"),
        (a_head(method="TRACE"), "trace"),
        (a_head(method="CONNECT"), "connect"),
        (a_head(method="get"), "method"),
        (a_head(target="/a b"), "target-character"),
        (a_head(target="abc"), "target-form"),
        (a_head(target="http://u@h/"), "target-authority"),
        (a_head(hosts=()), "host-count"),
        (a_head(hosts=HOST + HOST), "host-count"),
        (a_head(hosts=((b"Host", b""),)), "host"),
        (a_head((b"a_b", b"c")), "header-name"),
        (a_head(a_length(b"x")), "content-length"),
        (a_head(a_length(b"9300000000000000000")), "content-length"),
        (a_head(a_length(b"1"), a_coding(b"chunked")), "content-length-and-transfer-encoding"),
        (a_head(a_coding(b"")), "transfer-encoding"),
        (a_head(a_coding(b"gzip")), "transfer-encoding"),
        (a_head((b"Expect", b"x")), "expect"),
        (a_head(target="/%zz"), "malformed-path"),
    ],
)
def test_the_log_learns_which_part_was_refused(raw: RawRequest, reason: str) -> None:
    with pytest.raises(TrafficError) as caught:
        admit(raw)
    assert caught.value.reason == reason


NAMES = frozenset({"header-underscores"})


def test_a_name_with_an_underscore_passes_where_it_is_accepted() -> None:
    raw = a_head((b"api_key", b"k"), (b"X-Room", b"1"))

    assert admit(accepted(raw, NAMES)).head.headers == raw.headers


@pytest.mark.parametrize(
    "names",
    [
        *((b"Content_Length",), (b"Transfer_Encoding",), (b"content_type",), (b"Host_",)),
        *((b"X_Forwarded_For",), (b"X_HTTP_Method_Override",), (b"X_Original_URL",)),
        *((b"api_key", b"Api-Key"), (b"api_key", b"api_key"), (b"api_key", b"X.Room")),
        *((b"api_ke.y",), (b"Proxy_",), (b"co_okie",), (b"Authorization_",)),
    ],
)
def test_what_cgi_takes_for_another_header_does_not(names: tuple[bytes, ...]) -> None:
    with pytest.raises(TrafficError, match="header-name"):
        admit(accepted(a_head(*((one, b"1") for one in names)), NAMES))


def test_a_target_in_raw_utf_8_is_encoded_where_it_is_accepted() -> None:
    raw, plain = "/café?q=ü".encode().decode("latin-1"), frozenset({"raw-targets"})
    admitted = admit(accepted(a_head(target=raw), plain))

    assert (admitted.path.text, admitted.head.query) == ("/caf%C3%A9", "q=%C3%BC")
    for accept, target in ((frozenset[str](), raw), (plain, "/caf\xe9"), (plain, raw + "#")):
        with pytest.raises(TrafficError, match="target-character"):
            admit(accepted(a_head(target=target), accept))


def test_what_is_matched_and_what_is_sent_are_told() -> None:
    admitted = admit(a_head(method="PUT", target="/a/./b"))
    assert admitted.path == canonical("/a/b")
    assert admitted.head.method == "PUT"


@pytest.mark.parametrize(("target", "path"), [("http://h/a", "/a"), ("http://h", "/")])
def test_the_path_of_a_target_in_absolute_form(target: str, path: str) -> None:
    assert admit(a_head(target=target)).path == canonical(path)


def test_the_longest_body_is_that_of_a_signed_64_bit_number() -> None:
    assert admit(a_head(a_length(b"%d" % (2**63 - 1)))).framing == Framing(2**63 - 1)
    with pytest.raises(TrafficError):
        admit(a_head(a_length(b"%d" % 2**63)))


def test_only_an_upgrade_asks_for_one() -> None:
    plain, other = admit(a_head()), admit(a_head((b"Upgrade", b"h2c")))
    assert (plain.upgrade, plain.websocket) == (False, False)
    assert (other.upgrade, other.websocket) == (True, False)


@pytest.mark.parametrize("length", [(), (a_length(b"0"),)])
def test_a_handshake_has_no_body(length: Headers) -> None:
    assert admit(a_head(*SHAKE, *length)).websocket
    assert not admit(a_head(*SHAKE, a_length(b"1"))).websocket


@pytest.mark.parametrize(
    "lines",
    [
        ((b"Connection", b"keep-alive"), (b"Connection", b"Upgrade")),
        ((b"Connection", b"close,Upgrade,keep-alive"),),
        ((b"Connection", b"close ,\tUpgrade\t, x"),),
    ],
)
def test_upgrade_may_be_one_of_several_options(lines: Headers) -> None:
    assert admit(a_head(*SHAKE[1:], *lines)).websocket


@pytest.mark.parametrize(
    "option", [b"Upgrades", b"no Upgrade", b"X Upgrade", b"\x0bUpgrade", b"upgradeX", b"upgrade;x"]
)
def test_what_only_looks_like_the_option_is_none(option: bytes) -> None:
    lines = ((b"Connection", option),)
    try:
        assert not admit(a_head(*SHAKE[1:], *lines)).websocket
    except TrafficError as error:
        assert error.reason == "header-value"  # noqa: PT017 - some are no values at all
