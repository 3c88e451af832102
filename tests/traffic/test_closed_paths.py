"""What a rule's path closes: other methods, bodies that no rule reads, names in the query."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli.commands.init import init
from proxy.config.load import parse
from proxy.core.compiled.rule_table import RuleTable
from tests.config.builders import loaded, with_rules
from tests.keys.builders import a_world

from .ours import local, proxied
from .wire import Origin, Response, Seen, get, running, talk

CANARY = b"canary-4e1b90"
JSON = b"Content-Type: application/json"
FORM = b"Content-Type: application/x-www-form-urlencoded"
BODIES = {
    "none": b"\r\n",
    "of length 0": b"Content-Length: 0\r\n\r\n",
    "of no chunk": b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "of a length": b"Content-Length: 26\r\n\r\n" + b'{"content":"%b"}' % CANARY[:12],
    "of chunks": b"Transfer-Encoding: chunked\r\n\r\nd\r\n%b\r\n0\r\n\r\n" % CANARY,
}
RULES = """
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: $.content, plain: $.id}
      - name: list
        match: GET /api/messages
        conversation: query:conversationId
        query: {page: plain}
        response: {decrypt: tokens}
      - name: mark as read
        match: PATCH /api/messages
        request: pass
      - name: the rest
        match: /api/**
        request: pass
"""


def table(rules: str = RULES, *, passes: bool = True) -> RuleTable:
    """Return the table of rules as a configuration has them."""
    (listener,) = loaded(with_rules(rules)).settings.listeners
    return RuleTable(listener.rules, pass_unmatched=passes)


async def through(
    data: bytes, rules: str = RULES, *, passes: bool = True
) -> tuple[Response, list[Seen]]:
    """Send a request through a proxy; return the answer, and what the backend got."""
    origin, made = Origin(), table(rules, passes=passes)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=made, keys=a_world().sessions) as ours,
    ):
        return await talk(ours.port, data), origin.seen


def asked(method: bytes, target: bytes, body: str, *lines: bytes) -> bytes:
    head = get(target, JSON, *lines, method=method)
    return head.removesuffix(b"\r\n") + BODIES[body]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    "method", [b"PUT", b"DELETE", b"OPTIONS", b"QUERY", b"PROPFIND", b"REPORT"]
)
@pytest.mark.parametrize(
    "target", [b"/api/messages", b"/api/messages/", b"/api/%6Dessages", b"/api/messages?page=1"]
)
async def test_no_other_method_carries_a_body_to_a_path_that_is_sealed(
    method: bytes, target: bytes, body: str
) -> None:
    """Go's `http.HandleFunc`, PHP and Express' `app.use` take a path with any method."""
    answer, seen = await through(asked(method, target, body))
    if body.startswith("of a") or body == "of chunks":
        assert (answer.status, seen) == (405, [])
        assert set(answer.values(b"allow")[0].split(b", ")) >= {b"GET", b"HEAD", b"PATCH", b"POST"}
    else:
        assert answer.status == 200


@pytest.mark.parametrize("body", ["none", "of length 0", "of no chunk"])
@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"QUERY"])
@pytest.mark.parametrize(
    "query", [b"content=%b", b"Content=%b", b"content%%5B%%5D=%b", b"x=1;content=%b"]
)
async def test_no_other_method_carries_a_selected_name_in_its_query(
    method: bytes, query: bytes, body: str
) -> None:
    answer, seen = await through(asked(method, b"/api/messages?" + query % CANARY, body))
    assert answer.status in {400, 405}  # HEAD is of the rule for GET: an unlisted name
    assert seen == []


async def test_a_name_that_binds_is_not_taken_to_another_method() -> None:
    answer, seen = await through(get(b"/api/messages?conversationId=c1", method=b"DELETE"))
    assert (answer.status, seen) == (405, [])


async def test_a_rule_that_names_path_and_method_opens_them_again() -> None:
    answer, seen = await through(asked(b"PATCH", b"/api/messages", "of a length"))
    assert (answer.status, len(seen)) == (200, 1)
    anything = RULES.replace("PATCH /api/messages", "/api/messages")
    answer, seen = await through(asked(b"PATCH", b"/api/messages", "of a length"), anything)
    assert (answer.status, seen) == (405, [])


@pytest.mark.parametrize(
    ("pattern", "opens"),
    [
        ("PUT /api/messages/{id}", True),
        ("PUT /api/*/{id}", False),
        ("PUT /api/messages/**", False),
        ("PUT,PATCH /api/messages/*", True),
        ("/api/messages/{id}", False),
    ],
)
async def test_a_pattern_that_is_less_exact_opens_nothing(pattern: str, *, opens: bool) -> None:
    rules = f"""
      - name: edit
        match: POST /api/messages/{{id}}
        request: {{encrypt: $.content}}
      - name: other
        match: {pattern}
        request: pass
"""
    answer, seen = await through(asked(b"PUT", b"/api/messages/7", "of a length"), rules)
    assert (answer.status, len(seen)) == ((200, 1) if opens else (405, 0))


@pytest.mark.parametrize(
    ("request_", "opens"),
    [
        ("pass", False),
        ("{encrypt: optional $.note, nothing: pass, others: pass}", False),
        ("{encrypt: optional $.note, nothing: pass, plain: $.content}", True),  # it is listed
        ("{encrypt: optional body as all}", True),  # nothing passes
    ],
)
@pytest.mark.parametrize("body", ["of a length", "of chunks"])
async def test_a_wildcard_rule_opens_what_it_lists_alone(
    request_: str, body: str, *, opens: bool
) -> None:
    rules = f"""
      - name: send
        match: POST /api/messages
        request: {{encrypt: $.content}}
      - name: other
        match: /api/**
        request: {request_}
"""
    answer, seen = await through(asked(b"PUT", b"/api/messages", body), rules)
    if opens and body == "of chunks" and "body" not in request_:
        assert (answer.status, seen) == (400, [])  # no JSON
    else:
        assert (answer.status, len(seen)) == ((200, 1) if opens else (405, 0))
    answer, seen = await through(asked(b"PUT", b"/api/messages", "of no chunk"), rules)
    assert (answer.status, len(seen)) == (200, 1)
    answer, seen = await through(asked(b"PUT", b"/api/else", "of a length"), rules)
    assert (answer.status, len(seen)) == (200, 1)


async def test_a_rule_for_any_method_takes_its_own_requests() -> None:
    rules = """
      - name: any
        match: /api/messages
        request: {encrypt: optional $.content, nothing: pass, others: pass}
"""
    answer, seen = await through(asked(b"PUT", b"/api/messages", "of a length"), rules)
    assert (answer.status, len(seen)) == (200, 1)


async def test_paths_that_nothing_is_sealed_on_take_what_they_took() -> None:
    answer, seen = await through(asked(b"PUT", b"/api/else", "of a length"))
    assert (answer.status, len(seen)) == (200, 1)
    answer, seen = await through(asked(b"PUT", b"/else?content=x", "of chunks"))
    assert (answer.status, len(seen)) == (200, 1)


@pytest.mark.parametrize("method", [b"FOO", b"PUTT", b"X-SEAL"])
async def test_no_unknown_method_passes(method: bytes) -> None:
    answer, seen = await through(asked(method, b"/api/messages", "of a length"))
    assert (answer.status, seen) == (405, [])
    assert answer.values(b"allow")


async def test_no_handshake_goes_around_a_path_that_is_sealed() -> None:
    rules = RULES.replace(
        "      - name: list\n        match: GET /api/messages",
        "      - name: list\n        match: GET /x",
    )
    rules = rules[: rules.index("      - name: the rest")]
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    answer, seen = await through(get(b"/api/messages", *upgrade, key), rules)
    assert (answer.status, seen) == (403, [])


PREFLIGHT = (b"Origin: https://app.example", b"Access-Control-Request-Method: POST")


@pytest.mark.parametrize("passes", [True, False])
async def test_what_a_browser_asks_first_passes(*, passes: bool) -> None:
    rules = RULES[: RULES.index("      - name: the rest")]
    data = get(b"/api/messages", *PREFLIGHT, method=b"OPTIONS")
    answer, seen = await through(data, rules, passes=passes)
    assert (answer.status, len(seen)) == (200, 1)
    other = data.replace(b"Method: POST", b"Method: PUT")
    answer, seen = await through(other, rules, passes=passes)
    assert answer.status == (200 if passes else 403)


@pytest.mark.parametrize("target", [b"content=%b", b"contnt=%b", b"Content[x]=%b"])
async def test_what_a_browser_asks_first_carries_no_value(target: bytes) -> None:
    data = get(b"/api/messages?" + target % CANARY, *PREFLIGHT, method=b"OPTIONS")
    answer, seen = await through(data)
    assert answer.status in {400, 405}
    assert seen == []
    answer, seen = await through(asked(b"OPTIONS", b"/api/messages", "of a length", *PREFLIGHT))
    assert (answer.status, seen) == (405, [])


async def test_a_rule_for_options_takes_them() -> None:
    asking = "{name: asked, match: OPTIONS /api/messages, request: reject}"
    rules = f"{RULES}      - {asking}\n".replace("/api/**", "PUT /api/**")
    answer, seen = await through(get(b"/api/messages", *PREFLIGHT, method=b"OPTIONS"), rules)
    assert (answer.status, seen) == (403, [])


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("content_type", [JSON, FORM, b"Content-Type: text/plain", b"X: y"])
async def test_a_rule_that_reads_no_request_takes_no_body(body: str, content_type: bytes) -> None:
    """Laravel, Echo, Sinatra, Express and Plack read the body of a GET before its query."""
    target = b"/api/messages?conversationId=victim"
    data = asked(b"GET", target, body).replace(JSON, content_type)
    answer, seen = await through(data)
    empty = body in {"none", "of length 0", "of no chunk"}
    assert (answer.status, len(seen)) == ((200, 1) if empty else (400, 0))
    assert empty or json.loads(answer.body)["type"].endswith("unlisted-name")


@pytest.mark.parametrize("said", ["request: pass", "others: pass"])
async def test_a_rule_may_say_that_it_takes_any_body(said: str) -> None:
    rules = f"""
      - name: list
        match: POST /api/search
        {said}
        response: {{decrypt: tokens}}
"""
    answer, seen = await through(asked(b"POST", b"/api/search?q=x", "of a length"), rules)
    assert (answer.status, len(seen)) == (200, 1)


async def test_a_request_read_for_its_answer_holds_nothing_else() -> None:
    rules = """
      - name: read
        match: POST /api/read
        conversation: $.conversationId
        response: {decrypt: $.content}
"""
    for extra, status in ((b"", 200), (b',"conversation_id":"mallory"', 400), (b',"x":1', 400)):
        body = b'{"conversationId":"c1"%b}' % extra
        data = get(b"/api/read", JSON, b"Content-Length: %d" % len(body), method=b"POST") + body
        answer, seen = await through(data, rules)
        assert (answer.status == 400, bool(seen)) == (status == 400, status != 400)


@pytest.mark.parametrize(
    "block", ["{encrypt: 'header:X-Note'}", "{decrypt: $.content}", "{encrypt: 'query:q'}"]
)
@pytest.mark.parametrize("content_type", [JSON, FORM, b"Content-Type: text/plain", b"X: y"])
async def test_blocks_of_heads_and_blocks_that_open_are_closed(
    block: str, content_type: bytes
) -> None:
    rules = f"""
      - name: note
        match: POST /api/notes
        request: {block}
"""
    for body in (b'{"contnt":"%b"}' % CANARY, b"contnt=%b" % CANARY, CANARY, b'"%b"' % CANARY):
        lines = (content_type, b"X-Note: hello", b"Content-Length: %d" % len(body))
        answer, seen = await through(get(b"/api/notes?q=a", *lines, method=b"POST") + body, rules)
        assert answer.status in {400, 415}
        assert seen == []


@pytest.mark.parametrize(
    ("lines", "query", "passes"),
    [
        ((b"X-HTTP-Method-Override: POST",), b"", True),
        ((b"X-HTTP-Method-Override: post",), b"", True),
        ((b"X-HTTP-Method-Override: PATCH",), b"", False),
        ((b"X-HTTP-Method: POST, PATCH",), b"", False),
        ((b"X-Method-Override: POST", b"X-HTTP-Method: PUT"), b"", False),
        ((b"X-HTTP-Method-Override;x: POST",), b"", False),
        ((b"X.HTTP.Method.Override: PUT",), b"", False),
        ((b"X-HTTP-Method-Override: ",), b"", False),
        ((), b"?_method=PATCH", False),
        ((), b"?_method", False),
    ],
)
async def test_an_override_is_judged_by_both_methods(
    lines: tuple[bytes, ...], query: bytes, *, passes: bool
) -> None:
    body = b'{"content":"x","conversationId":"c"}'
    sized = b"Content-Length: %d" % len(body)
    data = get(b"/api/messages" + query, JSON, sized, *lines, method=b"POST") + body
    answer, seen = await through(data)
    assert (answer.status == 200, len(seen)) == (passes, int(passes))


SORTED = """
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: [$.content, $.patient.full_name, 'optional $.files.*.title']}
      - name: list
        match: GET /api/rooms/{id}/messages
        conversation: path:id
        query: {sort: plain, filter: plain, where: plain, page: plain, fields: names}
        response: {decrypt: DECRYPT}
"""


@pytest.mark.parametrize("decrypt", ["tokens", "$.items.*.content"])
@pytest.mark.parametrize(
    "query",
    [
        "sort=content",
        "sort=-content",
        "sort=Content",
        "sort=createdAt,-content",
        "sort=content:desc",
        "sort=content.desc",
        "sort=content_desc",
        "sort=contentAsc",
        "sort=items.content",
        "sort=%7B%22content%22%3A1%7D",
        "sort=%2563ontent",
        "filter=content%20eq%20%27Penicillin%27",
        "filter=%5B%22content%22,%22like%22,%22Penicillin%22%5D",
        "where=content~Penicillin",
        "where=(content~*penic)",
    ],
)
async def test_no_query_sorts_or_filters_by_what_is_sealed(query: str, decrypt: str) -> None:
    target = f"/api/rooms/7/messages?{query}".encode()
    answer, seen = await through(get(target), SORTED.replace("DECRYPT", decrypt))
    assert (answer.status, seen) == (400, [])


@pytest.mark.parametrize(
    "query", ["sort=full_name", "sort=fullName", "sort=full-name:asc", "sort=patient.FullName"]
)
async def test_where_tokens_open_no_sealed_field_is_named(query: str) -> None:
    target = f"/api/rooms/7/messages?{query}".encode()
    answer, seen = await through(get(target), SORTED.replace("DECRYPT", "tokens"))
    assert (answer.status, seen) == (400, [])


@pytest.mark.parametrize(
    "query",
    ["sort=createdAt", "sort=contents", "page=2&sort=-id", "fields=id,content", "sort=discontent"],
)
async def test_a_query_may_sort_by_what_is_plain_and_ask_for_what_is_sealed(query: str) -> None:
    target = f"/api/rooms/7/messages?{query}".encode()
    answer, seen = await through(get(target), SORTED.replace("DECRYPT", "tokens"))
    assert (answer.status, len(seen)) == (200, 1)


@pytest.mark.parametrize(
    "query", ["q=Penicillin", "search=Penicillin", "content=Penicillin", "filter[content]=x"]
)
async def test_the_words_of_a_search_reach_no_backend_with_the_first_file(
    query: str, tmp_path: Path
) -> None:
    assert CliRunner().invoke(init, [str(tmp_path)]).exit_code == 0
    text = (tmp_path / "sealyard.yaml").read_text()
    (listener,) = parse(text, tmp_path / "sealyard.yaml", {}).settings.listeners
    made = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    for path in ("/api/messages", "/api/conversations/7/messages"):
        origin = Origin()
        async with running(origin), proxied(local(origin.port), rule_table=made) as ours:
            answer = await talk(ours.port, get(f"{path}?{query}".encode()))
        assert answer.status in {400, 403}
        assert origin.seen == []


@pytest.mark.parametrize("body", ["of a length", "of chunks"])
async def test_a_rule_that_seals_what_it_does_not_list_closes_its_path(body: str) -> None:
    rules = """
      - name: send
        match: POST /api/messages
        conversation: const:c
        request: {others: seal}
        response: {decrypt: tokens}
"""
    answer, seen = await through(asked(b"PUT", b"/api/messages", body), rules)
    assert answer.status == 405
    assert answer.values(b"allow") == [b"POST"]
    assert not seen
