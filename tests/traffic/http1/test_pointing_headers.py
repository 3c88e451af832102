"""What points at the upstream points at Sealyard, and nothing else of a header changes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.http1.pointing_headers import NO_REWRITE, LocationRewrite

OWN = LocationRewrite(
    frozenset({b"127.0.0.1:3000", b"backend", b"other:443", b"[fd00::1]:3000"}), b"https://api.test"
)


@pytest.mark.parametrize("name", [b"location", b"content-location"])
@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b"http://127.0.0.1:3000/a?b#c", b"https://api.test/a?b#c"),
        (b"HTTPS://BACKEND", b"https://api.test"),
        (b"//backend/x", b"https://api.test/x"),
        (b"http://backend?q", b"https://api.test?q"),
        (b"http://backend:80/", b"https://api.test/"),
        (b"https://backend:443/", b"https://api.test/"),
        (b"https://other:443/", b"https://api.test/"),
        (b"http://[FD00::1]:3000/", b"https://api.test/"),
        (b"http://backend:443/", b"http://backend:443/"),
        (b"//backend:80/", b"//backend:80/"),
        (b"http://backend:8080/", b"http://backend:8080/"),
        (b"/a", b"/a"),
        (b"a//backend/", b"a//backend/"),
        (b"http://other/", b"http://other/"),
        (b"http://backend.evil/", b"http://backend.evil/"),
        (b"http://backend@evil/", b"http://backend@evil/"),
        (b"ftp://backend/", b"ftp://backend/"),
        (b"http://elsewhere/?next=http://backend/", b"http://elsewhere/?next=http://backend/"),
    ],
)
def test_locations(name: bytes, said: bytes, seen: bytes) -> None:
    assert OWN.of_header(name, said) == seen


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b'<http://backend/2>; rel="next"', b'<https://api.test/2>; rel="next"'),
        (
            b'<http://backend/2>;rel=next, </3>;rel=prev,<//backend/4>; title="<http://backend>"',
            b'<https://api.test/2>;rel=next, </3>;rel=prev,<https://api.test/4>; title="<http://backend>"',
        ),
        (
            b'<http://x/>; title="a \\" <http://backend/> "; rel=a, <http://backend/>; rel=b',
            b'<http://x/>; title="a \\" <http://backend/> "; rel=a, <https://api.test/>; rel=b',
        ),
        (
            b'</a> ; Anchor = "http://backend/a#b"; rel="http://backend/rels/x"',
            b'</a> ; Anchor = "https://api.test/a#b"; rel="http://backend/rels/x"',
        ),
        (b'</a>; title="open <http://backend/>', b'</a>; title="open <http://backend/>'),
        (b'</a>; title="open\\', b'</a>; title="open\\'),
        (b"</a>; title*=UTF-8''%3Chttp://backend%3E", b"</a>; title*=UTF-8''%3Chttp://backend%3E"),
        (b"<http://elsewhere/?u=http://backend/>", b"<http://elsewhere/?u=http://backend/>"),
        (b"<http://backend/", b"<http://backend/"),
        (b"http://backend/", b"http://backend/"),
    ],
)
def test_links(said: bytes, seen: bytes) -> None:
    assert OWN.of_header(b"link", said) == seen


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b"5; url=http://backend/a", b"5; url=https://api.test/a"),
        (b"0;URL='http://backend'", b"0;URL='https://api.test'"),
        (b'0.5, url = "//backend/a"; x', b'0.5, url = "https://api.test/a"; x'),
        (b"3 http://backend/a", b"3 https://api.test/a"),
        (b"3;http://backend:80/a'b", b"3;https://api.test/a'b"),
        (b"3;url=/a//backend/", b"3;url=/a//backend/"),
        (b"3; url=http://elsewhere/", b"3; url=http://elsewhere/"),
        (b"url=http://backend/", b"url=http://backend/"),
    ],
)
def test_refreshes(said: bytes, seen: bytes) -> None:
    assert OWN.of_header(b"refresh", said) == seen


def test_other_headers_stay_and_so_do_all_where_the_client_named_no_host() -> None:
    assert OWN.of_header(b"x-next", b"http://backend/") == b"http://backend/"
    for rewrite in (NO_REWRITE, LocationRewrite(OWN.own, b"http://")):
        for name, value in ((b"location", b"http://backend/"), (b"link", b"<http://backend/>")):
            assert rewrite.of_header(name, value) == value


parts = st.lists(
    st.sampled_from([b"<", b">", b'"', b"\\", b";", b",", b" ", b"anchor=", b"url=", b"5", b"'"])
    | st.sampled_from([b"http://elsewhere/", b"//x", b"/a", b"http://back", b"backend"]),
    max_size=20,
).map(b"".join)


@given(st.sampled_from([b"location", b"content-location", b"link", b"refresh"]), parts)
def test_what_names_no_upstream_stays_byte_for_byte(name: bytes, value: bytes) -> None:
    if b"//backend" not in value:
        assert OWN.of_header(name, value) == value


@given(parts, parts)
def test_the_target_of_a_link_is_found_whatever_follows(before: bytes, after: bytes) -> None:
    before = before.replace(b'"', b"").replace(b"<", b"").replace(b"\\", b"")

    seen = OWN.of_header(b"link", before + b"<http://backend/p>" + after)

    assert seen.startswith(before + b"<https://api.test/p>")


@pytest.mark.timing
@pytest.mark.parametrize("name", [b"link", b"refresh", b"location"])
@pytest.mark.parametrize("piece", [b'"', b'\\"', b"<", b";", b"; ", b'; anchor="', b'"\\', b" "])
def test_a_long_header_takes_no_time(name: bytes, piece: bytes) -> None:
    value = b"5//" + piece * (64 * 1024 // len(piece))
    start = time.process_time()
    OWN.of_header(name, value)
    assert time.process_time() - start < 1
