from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import AmbiguousRequest, MalformedRequest, SealyardError
from proxy.core.http.path import canonical, decode_segment, fold_literal
from proxy.core.policy import KEPT_PATH_CHARS


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/", "/"),
        ("/api/pay", "/api/pay"),
        ("/api/pay/", "/api/pay/"),
        ("/API/Pay", "/API/Pay"),
        ("//api///pay//", "/api/pay/"),
        ("/./api/./pay", "/api/pay"),
        ("/x/../api/pay", "/api/pay"),
        ("/../../api", "/api"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a//../b", "/b"),
        ("/p%61y", "/pay"),
        ("/p%2D%5f%7e%2E", "/p-_~."),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%25b", "/a%25b"),
        ("/a%2561", "/a%2561"),
        ("/a%3b", "/a%3B"),
        ("/a;b=c", "/a;b=c"),
        ("/a!$&'()*+,;=:@b", "/a!$&'()*+,;=:@b"),
        ('/a"<>[]^`{|}b', "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7Db"),
        ("/...", "/..."),
        ("/.hidden", "/.hidden"),
    ],
)
def test_a_path_has_one_spelling(raw: str, expected: str) -> None:
    assert expected == canonical(raw).text


@pytest.mark.parametrize(
    "raw",
    [
        *("", "api", "*", "http://h/", "/a b", "/a\tb", "/a\x00", "/a\x7f", "/a\\b", "/a#b"),
        *("/a?b", "/é", "/%", "/%4", "/%zz", "/%u0061", "/a%", "/\ud800", "/a\n"),
    ],
)
def test_what_is_no_path_is_malformed(raw: str) -> None:
    with pytest.raises(MalformedRequest):
        canonical(raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("/a%00", "control-in-path"),
        ("/a%0a", "control-in-path"),
        ("/a%1F", "control-in-path"),
        ("/a%7f", "control-in-path"),
        ("/a%c2%85", "control-in-path"),
        ("/a%ff", "path-not-utf-8"),
        ("/a%c0%af", "path-not-utf-8"),
        ("/a%ed%a0%80", "path-not-utf-8"),
    ],
)
def test_a_path_that_hides_bytes_is_ambiguous(raw: str, reason: str) -> None:
    with pytest.raises(AmbiguousRequest) as caught:
        canonical(raw)
    assert reason == caught.value.reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/", ("",)),
        ("/api/pay", ("api", "pay")),
        ("/API/Pay/", ("api", "pay")),
        ("/api/pay.", ("api", "pay")),
        ("/api/pay%20", ("api", "pay")),
        ("/api/pay;x=1", ("api", "pay")),
        ("/api;a=b/pay", ("api", "pay")),
        ("/api%2fpay", ("api", "pay")),
        ("/api%5Cpay", ("api", "pay")),
        ("/x/..;/api/pay", ("api", "pay")),
        ("/x/..%2fapi/pay", ("api", "pay")),
        ("/x/%252e%252e/api/pay", ("api", "pay")),
        ("/api/p%2561y", ("api", "pay")),
        ("/api/pay%3fx", ("api", "pay")),
        ("/api/pay%23x", ("api", "pay")),
        ("/api/pay%2500", ("api", "pay")),
        ("/api/p%252525252561y", ("api", "p%2561y")),
        ("/api/pa%EF%BD%99", ("api", "pay")),
        ("/api%EF%BC%8Fpay", ("api", "pay")),
        ("/stra%C3%9Fe", ("strasse",)),
    ],
)
def test_the_shadow_is_the_laxest_reading(raw: str, expected: tuple[str, ...]) -> None:
    assert expected == canonical(raw).shadow


segments = st.text(
    st.sampled_from("aB.%/;\\2eEfF5cC0~é ?#:@!+") | st.characters(codec="utf-8"), max_size=8
)
triplets = st.sampled_from(["%2e", "%2E", "%2f", "%25", "%41", "%c3%a9", "%00", "%5c", ".", "/"])
raw_paths = st.lists(segments | triplets, max_size=8).map(lambda parts: "/" + "".join(parts))


@given(raw_paths)
@example("/%2e%2e/%2e/a/./..//b")
@example("/a/%252e%252e/b")
def test_a_canonical_path_is_its_own_canonical_path(raw: str) -> None:
    try:
        path = canonical(raw)
    except SealyardError:
        return
    again = canonical(path.text)
    assert path == again


@given(raw_paths)
def test_a_canonical_path_has_no_dot_segments_and_no_empty_ones(raw: str) -> None:
    try:
        path = canonical(raw)
    except SealyardError:
        return
    assert "/" + "/".join(path.segments) == path.text
    assert not {".", ".."} & set(path.segments)
    assert "" not in path.segments[:-1]
    assert not {".", ".."} & set(path.shadow)


@given(st.text())
def test_any_text_is_a_path_or_refused(raw: str) -> None:
    try:
        path = canonical(raw)
    except SealyardError:
        return
    assert path.text.isascii()


@given(st.text(st.sampled_from("abcXYZ019._~-/"), max_size=20))
def test_the_fast_way_and_the_careful_way_agree(rest: str) -> None:
    plain = canonical("/" + rest)
    spelled = canonical("/" + rest.replace("a", "%61", 1).replace("X", "%58"))
    assert plain == spelled


@pytest.mark.parametrize(
    ("segment", "expected"), [("abc", "abc"), ("a%20b", "a b"), ("%C3%A9", "é"), ("%2541", "%41")]
)
def test_a_segment_is_decoded_once(segment: str, expected: str) -> None:
    assert expected == decode_segment(segment)


def test_a_literal_is_folded_as_shadows_are() -> None:
    assert fold_literal("%EF%BD%99Pay") == "ypay"


@pytest.mark.parametrize("length", [KEPT_PATH_CHARS - 1, KEPT_PATH_CHARS, KEPT_PATH_CHARS + 1])
@pytest.mark.parametrize("start", ["/a/", "/%61//b/../", "/A%2f;p/"])
def test_a_remembered_path_is_what_it_was(start: str, length: int) -> None:
    raw = start.ljust(length, "x")
    first, second = canonical(raw), canonical(raw)
    assert first == second
    assert (first is second) == (length <= KEPT_PATH_CHARS)
    assert canonical(first.text).text == first.text
