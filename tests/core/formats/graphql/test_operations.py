"""What is read of an operation lies in its request, wherever a client has put it."""

from __future__ import annotations

import json

import pytest

from proxy.core.formats.graphql.body import GRAPHQL
from proxy.core.formats.graphql.operations import OperationRecord

QUERY = 'mutation ($n: X, $m: X = "d\\"é") {send(a: $n, b: "é\\n😀", c: {d: NAME, e: [$m, 1.5]})}'


def test_each_value_lies_in_the_request_as_it_reads() -> None:
    body = b"[" + json.dumps({"query": QUERY, "variables": {"n": {"x": "é"}}}).encode() + b"]"

    record = OperationRecord(body[1:-1], 1)

    found = []
    for start, end in record.values:
        lies = body[record[start] : record[end]].decode()
        found.append(json.loads(f'"{lies}"') if record.in_string(start) else lies)
    assert found == ['{"x": "\\u00e9"}', '"é\\n😀"', "NAME", '"d\\"é"', "1.5"]
    texts = [record.text[start:end].decode() for start, end in record.values]
    assert texts == ['{"x": "\\u00e9"}', '"é\\n😀"', '"NAME"', '"d\\"é"', "1.5"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (
            '{"query":"mutation Ada($t:String!){x:send(text:$t){id}}","variables":{"t":"CANARY"}}',
            "mutation send",
        ),
        (
            '{"query":"mutation{send(text:\\"CANARY\\"){id} note(text:\\"CANARY\\"){id}}"}',
            "mutation send, note",
        ),
        (
            '[{"query":"{list}"},{"query":"{list}"},{"query":"subscription CANARY{on}"}]',
            "query list; subscription on",
        ),
        ('[{"query":"{list}"},{"query":"CANARY"},{"query":"{other}"}]', "query list"),
        ('{"type":"subscribe","id":"1","payload":{"query":"{list}"}}', "query list"),
        ('{"type":"ping"}', ""),
        ('{"extensions":{"persistedQuery":{"sha256Hash":"00"}}}', "this persisted document"),
        ("CANARY", ""),
        ("", ""),
    ],
)
def test_operations_are_named_by_type_and_fields(body: str, names: str) -> None:
    assert GRAPHQL.names(body.encode()) == names


def test_names_of_many_operations_are_cut() -> None:
    body = json.dumps([{"query": f"{{a{at:050}}}"} for at in range(100)])

    assert len(GRAPHQL.names(body.encode())) == 1000
