"""What is read of an operation lies in its request, wherever a client has put it."""

from __future__ import annotations

import json

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
