"""Headers that ask for another address are no way around a rule."""

from __future__ import annotations

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import AmbiguousRequest
from proxy.core.http.path import canonical
from proxy.core.planning.overrides import refuse_rerouting
from tests.factories import a_block, a_rule

BOOK = RuleTable(
    (a_rule("POST /api/pay", request=a_block(encrypt=["$.card"])),), pass_unmatched=True
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/public", b"/api/pay"),
        ("/public", b"/API/pay"),
        ("/public", b"/x/../api/pay"),
        ("/public", b"https://host/api/pay?x=1"),
        ("/public", b"//host/api/pay"),
        ("/public", b"api/pay"),
        ("/public", b" /api/pay "),
        ("/public", b"/%zz"),
        ("/public", b"/\xff"),
        ("/api/pay", b"/public"),
        ("/api/pay", b"/api/pay?card=1"),
        ("/api/pay", b""),
    ],
)
def test_another_address_is_refused_where_a_rule_minds(path: str, value: bytes) -> None:
    with pytest.raises(AmbiguousRequest, match="rerouting-header"):
        refuse_rerouting(BOOK, canonical(path), None, [value])


@pytest.mark.parametrize(
    ("path", "query", "value"),
    [
        ("/api/pay", None, b"/api/pay"),
        ("/api/pay", "a=1", b"/api/pay?a=1"),
        ("/api/pay", None, b"http://proxy.example/api/pay"),
        ("/public", None, b"/other"),
    ],
)
def test_the_own_address_and_those_without_rules_pass(
    path: str, query: str | None, value: bytes
) -> None:
    refuse_rerouting(BOOK, canonical(path), query, [value])
