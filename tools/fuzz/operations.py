"""A target that reads requests of GraphQL: what rules read of them lies in these very bytes."""

from __future__ import annotations

import json

from proxy.core.errors import MessageError
from proxy.core.formats import json as json_format
from proxy.core.formats.graphql.operations import OperationRecord


def operations(data: bytes) -> None:
    """Every value of an operation lies in its request, as it reads there."""
    try:
        operation = OperationRecord(data, 0)
    except MessageError:
        return
    json_format.validate(operation.text)
    for start, end in operation.values:
        read = operation.text[start:end]
        first, last = operation[start], operation[end]
        lies = data[first:last]
        if operation.in_string(start):
            lies = json.loads(b'"%b"' % lies).encode()
            if not read.startswith(b'"'):
                json.loads(read)
            elif not lies.startswith(b'"'):
                lies = b'"%b"' % lies  # the name of an enum value
        if lies != read:
            raise AssertionError("a value does not lie where it is said to")


def operation_seeds() -> list[bytes]:
    """Return requests."""
    documents = [
        'mutation A($n: String!) { x: send(note: $n, tags: ["a\\u00e9", B, 1.5, {c: $n}]) { id } }',
        'query Q($a: [I!] = [1]) { ...F } fragment F on Q { find(text: "q\\"", by: $a) { id } }',
        "subscription { sent(c: 1) # comment\n { ... on T @skip(if: true) { text } } }",
        'mutation { send(note: "é 😀", to: {a: null, b: [true]}) }',
    ]
    found = [json.dumps({"query": one, "variables": {"n": 'x"'}}).encode() for one in documents[:1]]
    found += [json.dumps({"query": one}).encode() for one in documents[1:]]
    found += [json.dumps({"query": documents[3]}, ensure_ascii=False).encode()]
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}
    found += [json.dumps({"extensions": persisted, "variables": {"a": [1]}}).encode()]
    return found
