from __future__ import annotations

import json

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.explain.explanation import bound_parts, document, explain_target
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule

NOTHING = RuleTable((), pass_unmatched=True)
CANARY = "canary-51c0"


def test_a_request_that_passes_is_told_with_what_goes_out() -> None:
    told, exchange = explain_target(NOTHING, "POST", "/a?b=c", (), b"hello")

    assert document(told) == {
        "rule": None,
        "considered": [],
        "values": [],
        "outgoing": "hello",
        "refusal": None,
    }
    assert exchange is not None
    assert exchange.head.query == "b=c"


def test_a_path_that_nobody_can_read_is_told_as_refused() -> None:
    told, exchange = explain_target(NOTHING, "GET", "/a/%zz", (), b"")

    assert exchange is None
    refusal = document(told)["refusal"]
    assert isinstance(refusal, dict)
    assert refusal["code"] == "malformed-request"
    assert document(told)["outgoing"] is None


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
    held = document(explain_target(book, "POST", "/c/7", json_type, body)[0])

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


def test_a_sentinel_is_told_and_stays() -> None:
    item = Item(parse_selector("$.v"), "v", frozenset({"tenant", "field"}))
    block = Block(encrypt=(item,), format="ndjson")
    names = Names(tenant=parse_source("const:t"))
    table = RuleTable(
        (Rule("feed", (parse_pattern("POST /feed"),), names, request=(block,)),),
        pass_unmatched=True,
    )

    explained, _ = explain_target(table, "POST", "/feed", (), b'{"v":"canary"}\n[DONE]\n')

    assert explained.outgoing is not None
    assert explained.outgoing.endswith(b"\n[DONE]\n")
    assert b"canary" not in explained.outgoing
    sealed, kept = explained.values
    assert (sealed.action, kept.action, kept.field) == ("sealed", "kept", "sentinel")
    assert kept.note == "passes unread"
