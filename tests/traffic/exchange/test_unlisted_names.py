"""Names that requests have and rules do not list: counted, and told in full only by evidence."""

from __future__ import annotations

import itertools
import json
from functools import cache

import pytest

from proxy.core.compiled.rule_table import CompiledRule
from proxy.core.http.message import RequestHead
from proxy.core.http.path import canonical
from proxy.traffic.exchange.place_names import PlaceNames
from proxy.traffic.exchange.unlisted_names import UnlistedNames
from proxy.traffic.policy import MOST_UNLISTED, PROPOSED, SCANNED_BYTES
from tests.traffic.test_closed_paths import table

RULES = """
      - name: send
        match: POST /rooms/{room}/messages
        conversation: path:room
        query: {page: plain}
        request:
          - {type: application/json, encrypt: $.content, plain: [$.kind, '$.tags.*']}
          - {type: application/x-www-form-urlencoded, encrypt: 'form:content'}
      - name: pass
        match: POST /open
        conversation: const:c1
        request: {encrypt: $.content, others: pass}
"""
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
PLACES = PlaceNames(frozenset({"content", "kind", "tags", "page"}), bytes(32))
PATH = "/rooms/7/messages"


@cache
def compiled(path: str = PATH) -> CompiledRule:
    rule = table(RULES).decide("POST", canonical(path)).compiled_rule
    assert rule is not None
    return rule


def look(
    names: UnlistedNames,
    body: object,
    *,
    client: str = "a",
    query: str | None = None,
    kind: bytes = JSON,
    path: str = PATH,
) -> None:
    head = RequestHead("POST", path, query, ((b"Content-Type", kind),))
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    names.look(compiled(path), head, text, client=client, places=PLACES)


def often(body: object, *, query: str | None = None, kind: bytes = JSON) -> UnlistedNames:
    """Return what was seen where so many requests had a body that its names are proposed."""
    names = UnlistedNames(bytes(32), itertools.count().__next__)
    for number in range(PROPOSED.requests):
        look(names, body, client=str(number % PROPOSED.clients), query=query, kind=kind)
    return names


def selectors(names: UnlistedNames) -> set[str]:
    return {row["selector"] for row in names.rows("api")}


def test_what_a_rule_lists_is_not_counted() -> None:
    names = UnlistedNames(bytes(32), itertools.count().__next__)
    look(names, {"content": "x", "kind": 1, "tags": ["a"], "none": None}, query="page=1")
    look(names, [{"content": "x", "kind": 1}])
    look(names, b"content=x", kind=FORM)
    look(names, {"content": "x", "more": 1}, path="/open")
    look(names, {"more": "x" * SCANNED_BYTES})

    assert list(names.rows("api")) == []


def test_names_of_json_forms_and_queries_are_counted() -> None:
    body = {"urgent": True, "meta": {"a b": 1}, "list": [{"n": 1}, {"n": 2}]}
    assert selectors(often(body, query="sort=x&page=1")) == {"$.urgent", "", "$.list.*.n", "?sort"}
    assert selectors(often(b"urgent=1&content=x", kind=FORM)) == {"form:urgent"}


def test_one_message_counts_once_at_each_place() -> None:
    names = UnlistedNames(bytes(32), itertools.count().__next__)
    look(names, {"list": [{"n": 1}, {"n": 2}]})

    (row,) = names.rows("api")
    assert (row["messages"], len(row["clients"]), row["selector"]) == (1, 1, "")
    assert row["place"].startswith("$.*#")


@pytest.mark.parametrize(
    "body",
    [
        {"Content": "x"},
        {"room": "7"},
        {"content.x": "1"},
        {"ada@example.org": 1},
        {"note": "ada@example.org"},
        {"diagnosis": "x"},
    ],
    ids=["twin of a sealed name", "twin of a label", "a part of one", "data", "shape", "name"],
)
def test_what_may_be_data_or_stands_for_what_is_sealed_is_never_told(body: object) -> None:
    assert selectors(often(body)) == {""}


def test_a_value_that_once_looked_sensitive_takes_the_name_back() -> None:
    names = often({"note": "hello"})
    assert selectors(names) == {"$.note"}
    look(names, {"note": "ada@example.org"})
    assert selectors(names) == {""}


@pytest.mark.parametrize("missing", ["requests", "clients", "share"])
def test_a_name_needs_enough_requests_of_several_clients(missing: str) -> None:
    names = UnlistedNames(bytes(32), itertools.count().__next__)
    few = missing == "requests"
    for number in range(PROPOSED.requests - few):
        look(names, {"n": 1}, client=str(number % (PROPOSED.clients - (missing == "clients"))))
    if missing == "share":
        for _ in range(int(PROPOSED.requests / PROPOSED.share)):
            look(names, {"content": "x"})

    assert selectors(names) == {""}


def test_a_tenth_of_hostile_requests_gets_no_name_told() -> None:
    names = UnlistedNames(bytes(32), itertools.count().__next__)
    for number in range(1000):
        hostile = not number % 10
        body = {"canary": "x", f"k{number}": 1} if hostile else {"urgent": 1}
        look(names, body, client=str(number))

    assert selectors(names) == {"$.urgent", ""}
    assert len(list(names.rows("api"))) <= MOST_UNLISTED


def test_a_flood_of_names_does_not_displace_a_usual_one() -> None:
    names = often({"urgent": 1})
    for number in range(2 * MOST_UNLISTED):
        look(names, {f"k{number}": 1})

    assert "$.urgent" not in selectors(names)  # its share is too small by now
    assert max(row["messages"] for row in names.rows("api")) == PROPOSED.requests
