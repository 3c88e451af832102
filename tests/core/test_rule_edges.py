"""Where one rule ends and another begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.token import Form
from proxy.core.errors import AmbiguousRequest, InvalidExpression, RejectedByRule
from proxy.core.expressions.routes import RouteTable, parse_pattern
from proxy.core.expressions.selectors import NamedSelector, parse_json_selector, parse_selector
from proxy.core.expressions.sources import parse_ask, parse_source
from proxy.core.http.message import parse_media_type
from proxy.core.http.path import canonical
from proxy.core.rules.model import Names, Rule
from tests.factories import a_block, a_rule, an_item

BLOCK = a_block(encrypt=["$.content"])


def table(*patterns: str) -> RouteTable:
    return RouteTable(list(enumerate(parse_pattern(one) for one in patterns)))


@pytest.mark.parametrize(
    ("pattern", "method", "path"),
    [
        ("/pay", "POST", "/pay/"),
        ("/pay/", "POST", "/pay"),
        ("/pay", "POST", "/pay.tar.gz"),
        ("/api/v1/pay", "POST", "/api/v1/pay.json"),
        ("/pay", "POST", "/x%2f%2f..%2f..%2fpay"),
        ("POST /pay", "POST", "/pay.json"),
        ("/pay", "POST", "/pay%3Fa%3Fb"),
        ("/pay", "POST", "/pay%23a?"),
        ("/pay.json", "POST", "/PAY.json"),
    ],
)
def test_a_laxer_reading_meets_the_rule(pattern: str, method: str, path: str) -> None:
    with pytest.raises(AmbiguousRequest):
        table(pattern).at(canonical(path.rstrip("?"))).first(method)


@pytest.mark.parametrize("path", ["/pay.json", "/PAY", "/pay/"])
def test_a_laxer_reading_for_another_method_meets_nothing(path: str) -> None:
    assert table("POST /pay").at(canonical(path)).first("GET") is None


@pytest.mark.parametrize(
    ("patterns", "method", "path", "expected"),
    [
        (("/pay", "/pay.json"), "POST", "/pay.json", 1),
        (("POST /a/**", "/a/b"), "GET", "/a/b", 1),
        (("POST /a/**", "/a/b"), "POST", "/a/b", 0),
        (("/a/**", "/a/b/**"), "GET", "/a/b/c", 0),
        (("/a/b/**", "/a/**"), "GET", "/a/b/c", 0),
        (("POST /a/**", "/**"), "GET", "/a/b", 1),
    ],
)
def test_the_first_of_several_patterns_is_found(
    patterns: tuple[str, ...], method: str, path: str, expected: int
) -> None:
    found = table(*patterns).at(canonical(path)).first(method)
    assert found is not None
    assert found[0] == expected


def test_the_rulebook_asks_for_the_method() -> None:
    book = RuleTable((a_rule("POST /a", request=BLOCK), a_rule("GET /b")), pass_unmatched=True)
    assert book.decide("POST", canonical("/a")).rule == book.rules[0].rule
    assert book.decide("GET", canonical("/a")).rule is None
    assert book.decide("POST", canonical("/b")).rule is None


def test_a_handshake_is_refused_where_a_rule_seals_or_takes_its_method() -> None:
    for ruled in (a_rule("POST /a", request=BLOCK), a_rule("GET /a")):
        with pytest.raises(RejectedByRule):
            RuleTable((ruled,), pass_unmatched=True).decide("GET", canonical("/a"), websocket=True)


def reading(*, tenant: str, conversation: str = "const:c") -> Rule:
    names = Names(tenant=parse_source(tenant), conversation=parse_source(conversation))
    return a_rule(response=a_block(decrypt=["$.content"]), names=names)


@pytest.mark.parametrize(
    ("tenant", "conversation", "varies"),
    [
        ("const:t", "const:c", ()),
        ("header:x-tenant", "const:c", (b"X-Tenant",)),
        ("header:x-tenant", "header:a-room", (b"A-Room", b"X-Tenant")),
        ("header:x-tenant", "header:x-tenant", (b"X-Tenant",)),
        ("jwt-unverified:org", "const:c", (b"Authorization",)),
        ("const:t", "query:room", ()),
    ],
)
def test_caches_learn_which_headers_choose_the_key(
    tenant: str, conversation: str, varies: tuple[bytes, ...]
) -> None:
    book = RuleTable((reading(tenant=tenant, conversation=conversation),), pass_unmatched=True)
    assert book.rules[0].varies == varies


ASKED = replace(
    reading(tenant="header:x-tenant"),
    names=Names(
        tenant=parse_source("header:x-tenant"),
        conversation=parse_ask("GET /notes/{query:id}", parse_json_selector("$.room")),
    ),
)


def test_caches_learn_that_a_name_was_asked_for_as_the_user() -> None:
    made = RuleTable((ASKED,), pass_unmatched=True).rules[0]
    assert made.varies == (b"Authorization", b"Cookie", b"X-Tenant")
    assert list(made.asks.values()) == ["conversation"]


def test_no_socket_has_a_name_that_is_asked_for() -> None:
    socket = replace(ASKED, patterns=a_rule("WS /ws").patterns)
    with pytest.raises(InvalidExpression, match="outlives"):
        RuleTable((socket,), pass_unmatched=True)


def test_what_is_not_bound_chooses_nothing() -> None:
    names = Names(tenant=parse_source("header:x-tenant"), conversation=parse_source("const:c"))
    block = a_block(decrypt=[an_item("$.content", bind={"conversation", "field"})])
    rule = a_rule(response=block, names=names)
    assert RuleTable((rule,), pass_unmatched=True).rules[0].varies == ()


def test_each_direction_knows_itself() -> None:
    rule = a_rule(request=BLOCK, response=a_block(decrypt=["$.content"]))
    compiled_rule = RuleTable((rule,), pass_unmatched=True).rules[0]
    assert [one.direction for one in compiled_rule.request] == ["request"]
    assert [one.direction for one in compiled_rule.response] == ["response"]


def test_every_selector_has_an_index_of_its_own() -> None:
    block = a_block(encrypt=["$.a", "$.b"], decrypt=["$.c", "$.d", "$.e"])
    compiled = CompiledBlock(block, Names(tenant=parse_source("$.t")), "request")
    indexes = [one.index for one in (*compiled.encrypt, *compiled.decrypt)]
    assert indexes == [0, 1, 2, 3, 4]
    assert [index for index, _ in compiled.source_index.values()] == [5]


def test_a_block_without_selectors_walks_nothing() -> None:
    block = a_block(encrypt=[an_item("body", field="body")])
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    assert CompiledBlock(block, names, "request").selection is None


@pytest.mark.parametrize(
    ("selector", "source", "shared"),
    [
        ("$.list[*].a", "$.list[*].id", 2),
        ("$.list[*].a[*].b", "$.list[*].a[*].c", 4),
        ("$.list[*].a", "$.other[*].id", 0),
        ("$.a.b", "$.a.c", 0),
        ("$..x[*].a", "$..x[*].b", 0),
        ("$.x[*].a", "$.x[*]..b", 2),
    ],
)
def test_a_source_is_read_from_the_element_of_its_value(
    selector: str, source: str, shared: int
) -> None:
    names = Names(tenant=parse_source("const:t"), conversation=parse_source(source))
    compiled = CompiledBlock(a_block(encrypt=[selector]), names, "request")
    assert list(compiled.encrypt[0].shared.values()) == ([shared] if shared else [])


@pytest.mark.parametrize(
    ("essence", "fits"), [("text/plain", True), ("text/html", True), ("x/text", False)]
)
def test_a_type_is_covered_by_its_kind(essence: str, *, fits: bool) -> None:
    block = a_block(encrypt=[an_item("body", field="body")], types=("text/*",))
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    media = parse_media_type(essence.encode())
    assert CompiledBlock(block, names, "request").fits(media, None) is fits


@pytest.mark.parametrize("form", ["short", "equal"])
def test_a_whole_body_has_no_short_form(form: Form) -> None:
    block = a_block(encrypt=[an_item("body", field="body", form=form)])
    with pytest.raises(InvalidExpression, match=r"^a whole body has no short form: its media"):
        CompiledBlock(block, Names(), "request")


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("query:Name", NamedSelector("query", "Name")),
        ("header:X-Name", NamedSelector("header", "x-name")),
        ("query:a:b", NamedSelector("query", "a:b")),
    ],
)
def test_headers_have_no_case_and_parameters_do(text: str, selector: NamedSelector) -> None:
    assert parse_selector(text) == selector


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("api", "the path `api` does not begin with `/`", "write `/api`"),
        ("post /a", "`post` is not a method", "methods are in upper case: `POST`"),
        ("POST, /a", "a comma has no method beside it", "delete the comma"),
        ("* /a", "`*` is not a method", "for all methods, write the path alone"),
        ("GET/1 /a", "`GET/1` is not a method", "for example `GET` or `POST,PUT`"),
        (
            "/a/{b-c}",
            "`{b-c}` in `/a/{b-c}` is not a capture: its name has letters, digits and `_` alone",
            "for example `{b}`",
        ),
        ("POST,WS /a", "`WS` cannot be combined with other methods", "give it a match of its own"),
        ("/a/p%61y", "`p%61y` in `/a/p%61y` is not in canonical form", "write `pay`"),
        (
            "/x/a%2Fb",
            "`a%2Fb` in `/x/a%2Fb` can be read in more than one way",
            "write `*` or `{name}` in its place",
        ),
        (
            "/aX{",
            "`aX{` in `/aX{`: braces and `*` stand for a whole segment",
            "write `{name}` or `*` in its place",
        ),
    ],
)
def test_a_refused_pattern_is_told_with_what_to_write(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_pattern(text)
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


def test_an_x_is_no_brace() -> None:
    assert parse_pattern("/aXb").segments == ("aXb",)
