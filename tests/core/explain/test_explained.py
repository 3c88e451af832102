from __future__ import annotations

import json

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import OpenFailed
from proxy.core.explain.explanation import (
    Considered,
    Explained,
    Explanation,
    Wanted,
    bound_parts,
    considered_for,
    document,
    explained_document,
)
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from tests.core.explained import explain_request

NOTHING = RuleTable((), pass_unmatched=True)
CANARY = "canary-51c0"


def told(table: RuleTable, target: str, body: bytes, *headers: tuple[bytes, bytes]) -> Explanation:
    head = RequestHead("POST", target, None, headers)
    return explain_request(table, head, canonical(target), body)[0]


def test_a_request_that_passes_is_told_with_what_goes_out() -> None:
    assert document(told(NOTHING, "/a", b"hello")) == {
        "rule": None,
        "considered": [],
        "values": [],
        "outgoing": "hello",
        "refusal": None,
        "status": None,
        "target": None,
        "headers": [],
        "observed": {},
    }


def test_a_path_that_nobody_can_read_has_no_rule_that_takes_it() -> None:
    assert considered_for(NOTHING, Wanted("GET", "/a/%zz")) == ()


def test_a_refusal_is_told_in_each_place_of_a_document() -> None:
    refused = Explanation((), "r", refusal=OpenFailed("bad-tag"), status=502)
    passed = Explanation((), "r", outgoing=b"x", headers=((b"X-Note", b"<note sealed>"),))
    explained = Explained(passed, refused, (("request", refused),))

    made = explained_document(explained)

    assert explained.refused
    assert not Explained(passed).refused
    assert made["request"] == document(passed)
    assert document(passed)["headers"] == [["X-Note", "<note sealed>"]]
    assert made["response"] == document(refused)
    assert made["messages"] == [{"direction": "request", **document(refused)}]
    assert explained_document(Explained(passed)) == {"request": document(passed)}
    assert document(refused)["refusal"] == {
        "code": "open-failed",
        "reason": "bad-tag",
        "detail": "",
    }


def test_only_the_method_ws_is_a_websocket() -> None:
    assert Wanted("WS", "/chat").websocket
    assert not Wanted("GET", "/chat").websocket
    table = RuleTable((Rule("ws", (parse_pattern("WS /chat"),), Names()),), pass_unmatched=True)
    assert considered_for(table, Wanted("WS", "/chat")) == (Considered("ws", None),)


def test_a_message_is_told_without_its_values() -> None:
    bind: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
    rule = Rule(
        "send",
        (parse_pattern("POST /c/{id}"),),
        Names(tenant=parse_source("const:t"), conversation=parse_source("path:id")),
        request=(Block(encrypt=(Item(parse_selector("$.content"), "content", bind),)),),
    )
    body = json.dumps({"content": CANARY}).encode()
    book = RuleTable((rule,), pass_unmatched=True)
    json_type = ((b"Content-Type", b"application/json"),)
    held = document(told(book, "/c/7", body, *json_type))

    assert (held["rule"], held["refusal"]) == ("send", None)
    assert CANARY not in json.dumps(held)
    assert isinstance(held["values"], list)
    (value,) = held["values"]
    assert (value["action"], value["field"], value["place"]) == ("sealed", "content", "body")
    assert value["bytes"] == [body.index(b'"canary'), len(body) - 1]
    assert value["bound_to"] == {"tenant": "t", "conversation": "7", "field": "content"}


def test_only_what_is_bound_has_a_name() -> None:
    assert bound_parts(Context(Scope("t", None), field="f", purpose="p")) == {
        "tenant": "t",
        "field": "f",
        "purpose": "p",
    }


def lines() -> RuleTable:
    item = Item(parse_selector("$.v"), "v", frozenset({"tenant", "field"}))
    block = Block(encrypt=(item,), format="ndjson")
    names = Names(tenant=parse_source("const:t"))
    return RuleTable(
        (Rule("feed", (parse_pattern("POST /feed"),), names, request=(block,)),),
        pass_unmatched=True,
    )


def test_the_values_before_a_record_at_fault_are_told_beside_the_refusal() -> None:
    explained = told(lines(), "/feed", b'{"v":"canary"}\n{}\n{"v":"canary"}\n')

    assert [one.action for one in explained.values] == ["sealed"]
    assert explained.refusal is not None
    assert explained.refusal.reason == "missing-value"
    assert explained.outgoing is None


def test_a_sentinel_is_told_and_stays() -> None:
    explained = told(lines(), "/feed", b'{"v":"canary"}\n[DONE]\n')

    assert explained.outgoing is not None
    assert explained.outgoing.endswith(b"\n[DONE]\n")
    assert b"canary" not in explained.outgoing
    sealed, kept = explained.values
    assert (sealed.action, kept.action, kept.field) == ("sealed", "sentinel", "record")
    assert kept.note == "passes unread"
