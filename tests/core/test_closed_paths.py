"""What the path of a rule closes: other methods, bodies, names of queries and of headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from proxy.core.compiled.closed_world import USUAL_HEADERS
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import (
    MethodNotAllowed,
    SealyardError,
    TrafficError,
    UnlistedName,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import PASS, READ_REQUEST, treat_request
from proxy.core.rules.model import Behaviour, Block, Names, Rule, Verdict
from proxy.core.transform import Prepared, plan_request, prepare_request
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_rule,
    items,
    send,
    sent,
    with_block,
)

PATH = "/api/messages"
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
SEND = a_rule(
    f"POST {PATH}",
    request=a_block(encrypt=["$.content"], plain=["$.conversationId", "$.id"]),
    name="send",
)
LIST = replace(
    a_rule(
        f"GET {PATH}",
        response=a_block(decrypt=["$.text"]),
        names=replace(NAMES, conversation=parse_source("query:room")),
        name="list",
    ),
    query=frozenset({"page", "sort"}),
)
REST = a_rule("/api/**", name="rest")


def begun(rules: Iterable[Rule], method: str, query: str = "", path: str = PATH) -> Exchange:
    target = f"{path}?{query}" if query else path
    return Trip(tuple(rules), a_message("", method=method, target=target)).exchange


def fate(exchange: Exchange, body: bytes = b"") -> str:
    """Return why a request is refused before its body is read, or `passes`."""
    try:
        treated = treat_request(exchange, len(body), 1000)
        exchange.refuse_unclear()
    except TrafficError as error:
        return error.reason
    assert treated is PASS
    return "passes"


# --- other methods


@pytest.mark.parametrize("rules", [(SEND, LIST), (SEND, LIST, REST)], ids=["none", "wildcard"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_no_other_method_carries_a_body_or_a_name_to_a_sealed_path(
    rules: tuple[Rule, ...], method: str
) -> None:
    assert fate(begun(rules, method, "page=1")) == "passes"
    assert fate(begun(rules, method), b"x") == "other-method"
    for query in ("content=x", "x=1;Content[]=x", "conversationId=c1", "room=c1"):
        assert fate(begun(rules, method, query)) == "other-method"
    assert fate(begun(rules, method, "content=x", "/api/else"), b"x") == "passes"


def test_what_is_refused_tells_the_methods_that_rules_take() -> None:
    rejecting = a_rule(f"PATCH {PATH}", request=Verdict.REJECT, name="none")
    exchange = begun((SEND, LIST, rejecting), "PUT")
    with pytest.raises(MethodNotAllowed) as caught:
        exchange.refuse_body()
    assert caught.value.allow == "GET, HEAD, POST"


@pytest.mark.parametrize("query", ["sender", "$[0]"])
def test_a_rule_closes_its_path_by_what_it_reads(query: str) -> None:
    """What is read of an element has no name that a parameter could have."""
    source = "query:sender" if query == "sender" else "$[0]"
    made = replace(SEND, names=replace(NAMES, conversation=parse_source(source)))
    assert fate(begun((made,), "PUT", "sender=x")) == (
        "other-method" if query == "sender" else "passes"
    )
    assert fate(begun((made,), "PUT", "content=x")) == "other-method"


def opening(pattern: str, request: Behaviour | Block = Verdict.PASS) -> Rule:
    return a_rule(pattern, request=request, names=NAMES, name="other")


@pytest.mark.parametrize(
    ("pattern", "opens"),
    [
        ("PUT /api/messages/{id}", True),
        ("PUT,PATCH /api/messages/*", True),
        ("PUT /api/*/{id}", False),
        ("PUT /api/messages/**", False),
        ("/api/messages/{id}", False),
    ],
)
def test_a_rule_opens_a_path_again_that_it_names_as_closely(pattern: str, *, opens: bool) -> None:
    edit = replace(SEND, patterns=a_rule("POST /api/messages/{id}").patterns)
    found = fate(begun((edit, opening(pattern)), "PUT", path="/api/messages/7"), b"x")
    assert found == ("passes" if opens else "other-method")


@pytest.mark.parametrize(
    ("block", "opens"),
    [
        (a_block(encrypt=["optional $.note"]), False),
        (a_block(encrypt=["optional $.note"], plain=["$.content"]), True),
        (a_block(encrypt=items("optional body")), True),
    ],
)
def test_a_wildcard_rule_takes_what_it_lists_alone(block: Block, *, opens: bool) -> None:
    wild = opening("/api/**", replace(block, nothing="pass"))
    exchange = Trip((SEND, wild), a_message('{"content":"x"}', method="PUT")).exchange
    if opens:
        assert plan_request(exchange, b'{"content":"x"}').body
        return
    with pytest.raises(MethodNotAllowed):
        plan_request(exchange, b'{"content":"x"}')


# --- what a browser asks first


def asked(
    rules: tuple[Rule, ...], method: str, query: str = "", path: str = PATH
) -> Exchange | None:
    table = RuleTable(rules, pass_unmatched=False)
    decision = table.preflight(method, canonical(path))
    head = RequestHead("OPTIONS", path, query or None, ())
    return None if decision is None else Exchange(decision, head)


def test_a_preflight_is_held_to_the_query_of_what_is_to_come() -> None:
    for method, query, expected in (
        ("POST", "", "passes"),
        ("POST", "content=x", "unlisted-query"),
        ("POST", "contnt=x", "unlisted-query"),
        ("GET", "page=2&room=c1", "passes"),
        ("GET", "id=2", "unlisted-query"),
    ):
        exchange = asked((SEND, LIST), method, query)
        assert exchange is not None
        assert fate(exchange) == expected
        assert fate(exchange, b"x") in {"other-method", expected}
    open_ = with_block(SEND, others="pass", query=None)
    exchange = asked((open_,), "POST", "content=x")
    assert exchange is not None
    assert fate(exchange) == "other-method"
    exchange = asked((open_,), "POST", "conversationId=c1")
    assert exchange is not None
    assert fate(exchange) == "passes"  # it is named there by the request to come as well


def test_a_preflight_is_decided_as_any_request_where_no_rule_takes_what_is_to_come() -> None:
    reject = replace(REST, request=Verdict.REJECT)
    assert asked((SEND, LIST), "PUT") is None
    assert asked((SEND, LIST), "POST", path="/else") is None
    assert asked((SEND, reject), "PUT") is None
    assert asked((SEND, a_rule(f"OPTIONS {PATH}", name="options")), "POST") is None
    assert asked((SEND, reject), "POST") is not None


# --- bodies that no rule reads


def test_a_rule_that_reads_answers_alone_takes_no_body() -> None:
    exchange = begun((LIST,), "GET", "room=c1")
    assert fate(exchange) == "passes"
    assert fate(exchange, b"x") == "unlisted-body"
    # In chunks it may be empty, which shows once it is there.
    assert treat_request(exchange, None, 1000) is READ_REQUEST
    plan = plan_request(exchange, b"")
    assert (plan.body, plan.compiled) == (b"", None)
    with pytest.raises(UnlistedName, match="unlisted-body"):
        plan_request(exchange, b"x")
    assert prepare_request(exchange) is None
    with pytest.raises(TypeError):
        plan_request(begun((REST,), "PUT"), b"x")


# --- headers

HEADED = with_block(SEND, headers=frozenset({b"x-client"}))


def headed(made: Rule, name: bytes) -> str:
    message = a_message(headers=(*JSON_TYPE, (name, b"CANARY")))
    try:
        sent(made, message)
    except SealyardError as error:
        return error.reason
    return "passes"


@pytest.mark.parametrize(
    "name",
    [b"X-Client", b"x-client", b"User-Agent", b"Sec-CH-UA", b"X-Forwarded-User", b"X-Request-Id"],
)
def test_a_listed_or_usual_header_passes(name: bytes) -> None:
    assert headed(HEADED, name) == "passes"


@pytest.mark.parametrize("name", [b"X-Note", b"X-Clients", b"X_Client", b"Sec-Note", b"CANARY"])
def test_no_other_header_passes(name: bytes) -> None:
    assert headed(HEADED, name) == "unlisted-header"
    assert headed(SEND, name) == "passes"


def test_headers_that_a_rule_reads_or_seals_are_listed() -> None:
    names = replace(NAMES, conversation=parse_source("header:X-Room"))
    block = replace(a_block(encrypt=["header:X-Note"], plain=[]), headers=frozenset())
    made = a_rule(request=block, names=names)
    head = (*JSON_TYPE, (b"X-Room", b"c1"), (b"X-Note", b"CANARY"))
    applied = send(made, a_message("", headers=head))
    found = dict(applied.forwardable.head.headers)
    assert found[b"X-Room"] == b"c1"
    assert found[b"X-Note"].startswith(b"eyJ")
    with pytest.raises(UnlistedName, match="unlisted-header"):
        send(made, a_message("", headers=(*head, (b"X-Other", b"1"))))


def test_a_rule_that_reads_answers_alone_lists_headers_too() -> None:
    made = replace(LIST, headers=frozenset({b"x-client"}))
    for name, expected in ((b"X-Client", "passes"), (b"X-Note", "unlisted-header")):
        head = RequestHead("GET", PATH, "room=c1", ((name, b"1"),))
        table = RuleTable((made,), pass_unmatched=True)
        assert fate(Exchange(table.decide("GET", canonical(PATH)), head)) == expected


def test_usual_headers_are_in_lower_case() -> None:
    assert frozenset(one.lower() for one in USUAL_HEADERS) == USUAL_HEADERS


# --- values of the query


@pytest.mark.parametrize("opened", ["$.text", "tokens"])
@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("createdAt", True),
        ("-createdAt,id", True),
        ("texts", True),
        ("context", True),
        ("2", True),
        ("text", False),
        ("-text", False),
        ("id,Text", False),
        ("text-asc", False),
        ("textDesc", False),
        ("te%2578t", False),
    ],
)
def test_a_value_of_the_query_names_nothing_that_is_sealed(
    value: str, opened: str, *, passes: bool
) -> None:
    sealing = a_rule(request=a_block(encrypt=["$.note.text"]), names=NAMES)
    listing = replace(LIST, response=(a_block(decrypt=items(opened)),))
    exchange = begun((sealing, listing), "GET", f"room=c1&sort={value}")
    assert fate(exchange) == ("passes" if passes else "names-sealed-field")
    named = replace(listing, naming=frozenset({"fields"}))
    assert fate(begun((sealing, named), "GET", f"room=c1&fields={value}")) == "passes"


def test_a_name_that_is_read_may_have_the_value_of_a_sealed_field() -> None:
    made = replace(LIST, query=frozenset({"page", "room", "fields"}), naming=frozenset({"fields"}))
    assert fate(begun((made,), "GET", "room=text&fields=text")) == "passes"
    assert fate(begun((made,), "GET", "room=text&page=text")) == "names-sealed-field"


def test_where_tokens_open_no_field_that_any_rule_seals_is_named() -> None:
    sealing = a_rule(request=a_block(encrypt=["$.title"]), names=NAMES)
    for opened, expected in (("$.text", "passes"), ("tokens", "names-sealed-field")):
        listing = replace(LIST, response=(a_block(decrypt=items(opened)),))
        assert fate(begun((sealing, listing), "GET", "room=c1&sort=title")) == expected


# --- names that stand in the query as well


@pytest.mark.parametrize(
    ("query", "ready"),
    [("conversationId=c1", False), ("x=conversationId", True), ("x=1", True), ("", True)],
)
def test_a_name_in_the_query_as_well_is_compared_when_the_body_is_there(
    query: str, *, ready: bool
) -> None:
    made = a_rule(request=a_block(encrypt=["$.content"]))
    message = a_message(target=f"{PATH}?{query}")
    exchange = Trip((made,), message).exchange
    assert isinstance(prepare_request(exchange), Prepared) == ready
    assert b"eyJ" in sent(made, message)
    if not ready:
        with pytest.raises(SealyardError, match="name-differs"):
            sent(made, a_message(target=f"{PATH}?conversationId=c2"))
