"""Which headers the names of a rule are read from."""

from __future__ import annotations

import pytest

from proxy.core.compiled.request_names import NamesOfHead
from proxy.core.expressions.sources import name_sources, parse_source


@pytest.mark.parametrize(
    ("headers", "reads"),
    [
        ({b"x-request-id"}, True),
        ({b"X-Request_Id", b"traceparent"}, True),
        ({b"traceparent"}, False),
        (set(), False),
    ],
)
def test_a_header_is_read_under_any_name_of_it(headers: set[bytes], *, reads: bool) -> None:
    sources = [parse_source(one) for one in ("header:X-Request-Id", "path:id")]
    names = NamesOfHead([found for one in sources for found in name_sources(one)])
    assert names.reads(frozenset(headers)) == reads


def test_the_claims_of_a_token_are_read_from_one_header() -> None:
    names = NamesOfHead(name_sources(parse_source("jwt-unverified:sub")))
    assert names.reads(frozenset({b"authorization"}))
    assert not names.reads(frozenset({b"x-request-id"}))
