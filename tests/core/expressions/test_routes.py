from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import AmbiguousRequest, InvalidExpression
from proxy.core.expressions.routes import Pattern, RouteTable, parse_pattern
from proxy.core.http.path import canonical


def table(*patterns: str) -> RouteTable:
    return RouteTable([(index, parse_pattern(one)) for index, one in enumerate(patterns)])


def found(routes: RouteTable, request: str, *, websocket: bool = False) -> int | None:
    method, path = request.split(" ")
    match = routes.at(canonical(path)).first(method, websocket=websocket)
    return match[0] if match else None


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("/a", ["GET /a", "POST /a"], ["GET /b", "GET /a/b", "GET /"]),
        ("POST /a", ["POST /a"], ["GET /a", "PUT /a"]),
        ("POST,PUT /a", ["POST /a", "PUT /a"], ["PATCH /a"]),
        ("GET /a", ["GET /a", "HEAD /a"], ["POST /a"]),
        ("HEAD /a", ["HEAD /a"], ["GET /a"]),
        ("/", ["GET /"], ["GET /a"]),
        ("/a/{id}", ["GET /a/1", "GET /a/%C3%A9"], ["GET /a", "GET /a/", "GET /a/1/2"]),
        ("/a/*/c", ["GET /a/b/c"], ["GET /a/c", "GET /a/b/d"]),
        ("/a/**", ["GET /a", "GET /a/", "GET /a/b", "GET /a/b/c/d"], ["GET /b", "GET /ab"]),
        ("/**", ["GET /", "GET /a", "GET /a/b"], []),
        ("/a/{id}/**", ["GET /a/1", "GET /a/1/b"], ["GET /a", "GET /a/"]),
        ("/caf%C3%A9", ["GET /caf%C3%A9", "GET /caf%c3%a9"], ["GET /caf"]),
    ],
)
def test_a_pattern_takes_its_paths(pattern: str, takes: list[str], leaves: list[str]) -> None:
    routes = table(pattern)
    assert [0] * len(takes) == [found(routes, one) for one in takes]
    assert [None] * len(leaves) == [found(routes, one) for one in leaves]


def test_the_first_match_wins_however_exact_a_later_one_is() -> None:
    routes = table("/a/**", "/a/b", "GET /a/{x}")
    assert found(routes, "GET /a/b") == 0
    assert found(table("GET /a/{x}", "/a/b", "/a/**"), "GET /a/b") == 0
    assert found(table("GET /a/{x}", "/a/b", "/a/**"), "POST /a/b") == 1
    assert found(table("GET /a/{x}", "/a/b", "/a/**"), "POST /a/c") == 2


def test_a_websocket_handshake_meets_only_ws_patterns() -> None:
    routes = table("WS /chat", "GET /chat")
    assert found(routes, "GET /chat", websocket=True) == 0
    assert found(routes, "GET /chat") == 1
    assert found(table("GET /chat"), "GET /chat", websocket=True) is None


def test_captures_are_decoded_once() -> None:
    pattern = parse_pattern("/a/{one}/*/{two}")
    captures = pattern.captures(canonical("/a/%2541/x/caf%C3%A9"))
    assert captures == {"one": "%41", "two": "café"}


AS_PAY = (
    *("/api/pay.json", "/api/pay.JSON", "/api/pay%2Ejson", "/api/pay.json/", "/api/pay.html"),
    *("/api/pay.x", "/api/pay.tar.gz", "/api/pay;.json", "/api/pay.json;x=1", "/api/pay."),
    *("/api/pay.json.", "/api/pay.json%20", "/api/pay..json", "/api/pay%252Ejson", "/API/PAY.Json"),
    *("/api.php/pay", "/API.PHP/pay", "/api%2Ephp5/pay", "/api.fcgi/pay.json"),
    *("/index.php/api/pay", "/index%2Ephp/api/pay", "/index.php//api/pay", "/INDEX.PHP/api/pay"),
    *("/app_dev.php/api/pay", "/index.php5/api/pay", "/x/index.php/api/pay", "/api/index.php/pay"),
    *(
        "/index.php;x/api/pay",
        "/index.php/api/pay.json",
        "/index.php%2Fapi%2Fpay",
        "/a.cgi/api/pay",
    ),
    *("/index/api/pay", "/dispatch.fcgi/api/pay", "/api/pay/index.php", "/api/pay/index"),
    *("/api/pay/default.aspx", "/api/pay::$DATA", "/api/pay:x:$DATA", "/(S(abc))/api/pay"),
    *("/api/(A(a)F(b))/pay", "/api/pay;%2fx", "/api/pay;%2f%252e%252e", "/a%5cb/..%2fapi/pay"),
    *("/x%3f/..%2f..%2fapi/pay", "/a%EF%BC%8Fb/..%2fapi/pay", "/api/q%2f%2f..%2f..%2fpay"),
    *("/x/..%20/api/pay%5c", "/main.pl/api/pay", "/cgi-bin/app/api/pay", "/pay.do/../api/pay.do"),
)
"""Each is `/api/pay` for some server."""


@pytest.mark.parametrize(
    ("patterns", "request_"),
    [
        (["/api/pay"], "POST /API/pay"),
        (["/api/pay"], "POST /api/pay/"),
        (["/api/pay"], "POST /api/pay."),
        (["/api/pay"], "POST /api/pay.json"),
        (["/api/pay"], "POST /api%2fpay"),
        (["/api/pay"], "POST /api;a/pay"),
        (["/api/pay/"], "POST /api/pay"),
        (["/users/me", "/users/{id}"], "GET /users/ME"),
        (["/public/**", "/api/pay"], "POST /public/..%2fapi/pay"),
        (["/a/{id}"], "GET /a/x%2Fy"),
        (["/b", "/**"], "GET /B"),
        *((["/api/pay", "/**"], f"POST {one}") for one in AS_PAY),
        *((["/api/pay", "/api/{what}"], f"POST {one}") for one in AS_PAY if "index" not in one),
        *((["/api/pay"], f"POST {one}") for one in AS_PAY),
        (["/users/me", "/users/{id}"], "GET /users/me.json"),
        (["/api/pay.json"], "POST /api/pay"),
        (["/api/pay.json"], "POST /api/pay.xml"),
        (["/api/pay.json", "/api/{what}"], "POST /api/pay"),
        (["/files/pay.php", "/**"], "POST /files/pay.php/x"),
        (["/files/pay.php", "/**"], "POST /files/pay/x"),
        (["/files/pay.php"], "POST /files/pay"),
        (["/files/{name}"], "POST /files/pay.php/x"),
        (["/files/{name}", "/**"], "POST /files/pay.pl/x"),
        (["/cgi-bin/pay", "/**"], "POST /cgi-bin/pay/x"),
        (["/index.php/api/pay"], "POST /api/pay"),
        (["/index.php/api/pay"], "POST /app_dev.php/api/pay"),
        (["/index.php/**", "/api/pay"], "POST /index.php/api/pay"),
        (["/index.php"], "POST /"),
        (["/"], "POST /index.html"),
        (["/{tenant}/messages", "/messages"], "POST /index.php/messages"),
        (["/api/*"], "POST /API/a%2Fb"),
    ],
)
def test_a_path_that_two_readers_take_for_two_rules_is_refused(
    patterns: list[str], request_: str
) -> None:
    with pytest.raises(AmbiguousRequest) as caught:
        found(table(*patterns), request_)
    assert caught.value.reason == "two-readings-of-path"


@pytest.mark.parametrize(
    ("patterns", "request_", "expected"),
    [
        (["/files/{name}"], "GET /files/Report.PDF", 0),
        (["/a/**"], "GET /a/B;c/%2E%2E%2fd", 0),
        (["/caf%C3%A9"], "GET /caf%c3%a9", 0),
        (["/Users/{id}"], "GET /Users/1", 0),
        (["/x"], "GET /y.json", None),
        (["/a/{id}"], "GET /a/!abc:server", 0),
        (["/a/{id}"], "GET /a/%21abc%3Aserver", 0),
        (["/files/{name}"], "GET /files/report.pdf", 0),
        (["/files/{name}", "/**"], "GET /files/archive.tar.gz", 0),
        (["/api/pay", "/**"], "GET /static/app.js", 1),
        (["/api/pay", "/**"], "GET /static/index.html", 1),
        (["/api/pay.json"], "POST /api/pay.json", 0),
        (["/api/pay.json", "/api/pay"], "POST /api/pay", 1),
        (["/api/pay", "/api/pay.json"], "POST /api/pay.json", 1),
        (["/api/pay.json", "/api/pay.xml"], "POST /api/pay.xml", 1),
        (["/c/{id}/pay", "/c/{id}/pay.json"], "POST /c/1/pay.json", 1),
        (["/index.php/api/pay", "/api/pay"], "POST /api/pay", 1),
        (["/api/pay", "/index.php/api/pay"], "POST /index.php/api/pay", 1),
        (["/index.php/c/{id}", "/c/{id}"], "POST /c/1", 1),
        (["/v1.2/messages", "/v1.3/messages"], "POST /v1.3/messages", 1),
        (["/v1.2", "/v1"], "POST /v1", 1),
        (["/v1.2"], "POST /v1.3", None),
        (["/users/{id}", "/users/me"], "GET /users/ann@example.com", 0),
        (["/users/me", "/users/{id}", "/**"], "GET /users/ann@example.com", 1),
        (["/users/{id}", "/users/{id}/messages", "/messages"], "GET /users/jan@x.pl/messages", 1),
        (["/domains/{name}", "/domains/{name}/records"], "GET /domains/example.pl/records", 1),
        (["/domains/{name}", "/domains/{name}/records"], "GET /domains/a.b.py/records", 1),
        (["/files/{name}", "/files/{name}/meta"], "GET /files/shell.php/meta", 1),
        (["/repos/{id}/contents", "/repos/{id}/contents/{path}"], "GET /repos/1/contents/.env", 1),
        (["/rooms/{room}/send/{type}/{txn}"], "PUT /rooms/!a:b.org/send/m.room.message/m1.2", 0),
        (["/api/pay", "/**"], "GET /oid/" + ".".join("1" * 60), 1),
        (["/index/{name}", "/{name}/{id}"], "GET /index/a", 0),
        (["/state/m.room.topic", "/state/{type}"], "PUT /state/m.room.avatar", 1),
        (["/state/m.room.topic"], "PUT /state/m.room.avatar", None),
        (["/state/m.room.topic", "/state/m.room.name"], "PUT /state/m.room.name", 1),
    ],
)
def test_a_path_that_all_readers_take_for_one_rule_is_found(
    patterns: list[str], request_: str, expected: int | None
) -> None:
    assert expected == found(table(*patterns), request_)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ANY /a", "for all methods, write the path alone"),
        ("all /a", "for all methods, write the path alone"),
        ("GET,* /a", "for all methods, write the path alone"),
        ("GET /rooms/:id", "write `{id}`"),
        ("GET /rooms/:id?", "write `{id}`"),
        ("GET /rooms/<int:pk>", "write `{pk}`"),
        ("GET /rooms/<room_id>/", "write `{room_id}`"),
        ("GET /rooms/$id", "write `{id}`"),
        ("GET /rooms/$roomId", "write `{roomId}`"),
        ("GET /rooms/[id]", "write `{id}`"),
    ],
)
def test_what_cannot_match_is_told_with_the_spelling_that_was_meant(text: str, meant: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        parse_pattern(text)

    assert refused.value.hint == meant


@pytest.mark.parametrize("text", ["GET /Patient/{id}/$everything", "POST /v1/messages:send"])
def test_names_of_operations_are_no_captures(text: str) -> None:
    assert parse_pattern(text).text == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not begin with `/`"),
        ("api", "does not begin with `/`"),
        ("POST api", "does not begin with `/`"),
        ("POST /a /b", "a path has no white space"),
        ("POST", "lacks a path"),
        ("/a POST", "methods are written before the path"),
        ("POST, PUT /a", "methods are separated by commas alone"),
        ("POST http://localhost/a", "no scheme and no host"),
        ("post /a", "`post` is not a method"),
        ("POST, /a", "a comma has no method beside it"),
        ("POST,WS /a", "`WS` cannot be combined"),
        ("CONNECT /a", "never forwarded"),
        ("TRACE /a", "never forwarded"),
        ("/a//b", "empty segment"),
        ("//**", "empty segment"),
        ("/a//**", "empty segment"),
        ("/a/{b}/{b}", "the same name twice"),
        ("/a/{b", "stand for a whole segment"),
        ("/a/b*", "stand for a whole segment"),
        ("/a/**/b", "is not at the end"),
        ("/a/{1}", "stand for a whole segment"),
        ("/a/%zz", "not a segment of a path"),
        ("/a/%0a", "not a segment of a path"),
        ("/a?b", "has a query"),
        ("/é", "not a segment of a path"),
        ("/a/..", "canonical form"),
        ("/p%61y", "canonical form"),
        ("/a%2fb", "canonical form"),
    ],
)
def test_what_is_no_pattern_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidExpression, match=re.escape(complaint)):
        parse_pattern(text)


@given(st.text() | st.text("/{}*aA% ,GETW.", max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except InvalidExpression:
        return
    assert text == pattern.text


# --- the trie against a list ---------------------------------------------------------------------


def matches(pattern: Pattern, segments: tuple[str, ...], *, folded: bool) -> bool:
    wanted = list(pattern.segments)
    if folded:
        while len(wanted) > 1 and wanted[-1] == "":
            wanted.pop()
    if pattern.rest:
        segments = segments[: len(wanted)]
    return len(segments) == len(wanted) and all(
        bool(have) if want is None else want == have
        for want, have in zip(wanted, segments, strict=True)
    )


def naive(patterns: list[Pattern], method: str, path: str) -> int | str | None:
    readings = []
    where = canonical(path)
    for segments, folded in ((where.segments, False), (where.shadow, True)):
        hits = [
            index
            for index, one in enumerate(patterns)
            if one.takes(method) and not one.websocket and matches(one, segments, folded=folded)
        ]
        readings.append(hits[0] if hits else None)
    return readings[0] if readings[0] == readings[1] else "ambiguous"


parts = st.lists(st.sampled_from(["a", "b", "*", "{x}"]), max_size=4).filter(
    lambda names: names.count("{x}") < 2
)
patterns = st.builds(
    lambda method, names, end: parse_pattern(
        method + ("/" + "/".join(names) + end if names else end or "/")
    ),
    st.sampled_from(["", "GET ", "POST ", "GET,POST ", "WS "]),
    parts,
    st.sampled_from(["", "", "/", "/**"]),
)
paths = st.builds(
    lambda names, end: "/" + "/".join(names) + (end if names else ""),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=5),
    st.sampled_from(["", "/"]),
)


@given(st.lists(patterns, max_size=8), st.sampled_from(["GET", "HEAD", "POST"]), paths)
def test_the_trie_finds_what_a_list_would(all_: list[Pattern], method: str, path: str) -> None:
    routes = RouteTable(list(enumerate(all_)))
    expected = naive(all_, method, path)
    if expected == "ambiguous":
        with pytest.raises(AmbiguousRequest):
            routes.at(canonical(path)).first(method)
    else:
        assert expected == found(routes, f"{method} {path}")


@pytest.mark.no_cover
def test_ten_thousand_rules_are_found_one_by_one() -> None:
    routes = table(*(f"GET /v1/r{number}/{{id}}" for number in range(10_000)))
    assert found(routes, "GET /v1/r9999/7") == 9_999
    assert found(routes, "GET /v1/r10000/7") is None


def test_the_first_pattern_of_a_rule_gives_the_captures() -> None:
    table = RouteTable([(0, parse_pattern("/a/b")), (0, parse_pattern("/a/{x}"))])
    found = table.at(canonical("/a/b")).first("GET")
    assert found is not None
    assert found[1].text == "/a/b"


@pytest.mark.parametrize("path", ["/v1.", "/a;b", "/a%20"])
def test_a_literal_that_parses_can_match(path: str) -> None:
    assert RouteTable([(0, parse_pattern(path))]).at(canonical(path)).first("GET")


@pytest.mark.parametrize("path", ["/a%2Fb", "/.;x", "/%20"])
def test_a_literal_with_two_readings_is_refused(path: str) -> None:
    with pytest.raises(InvalidExpression):
        parse_pattern(path)
