"""A form that asks for another method is no way around the rule for that method."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.compiled.request_names import asked_in_query
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import AmbiguousRequest, ForbiddenValue, InvalidBody
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers, RequestHead
from proxy.core.http.path import canonical
from proxy.core.planning.overrides import may_ask_in_body, refuse_in_body
from proxy.core.rules.model import Names, Rule, Verdict
from tests.factories import JSON_TYPE, Trip, a_block, a_message, a_rule, an_item

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
PART = b'--of-parts\r\nContent-Disposition: form-data; name="%b"\r\n\r\nPUT\r\n--of-parts--\r\n'
SEAL_PUT = a_rule("PUT /api/messages", name="put", request=a_block(encrypt=["$.card"]), names=NAMES)
READ_POST = a_rule(
    name="post",
    request=(a_block(encrypt=["optional form:a"]), a_block(encrypt=["optional part:a"])),
    names=NAMES,
)


def sends(rules: tuple[Rule, ...], body: bytes, headers: Headers, method: str = "POST") -> None:
    Trip(rules, a_message(body, method=method, headers=headers)).request()


def overridable(*rules: Rule, method: str = "POST", path: str = "/api/messages") -> bool:
    return RuleTable(rules, pass_unmatched=True).decide(method, canonical(path)).overridable


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"_method=PUT"),
        (FORM, b"a=1&_method=PUT&card=4111"),
        (FORM, b"%5Fmethod=PUT"),
        (FORM, b"_METHOD=PUT"),
        (PARTS, PART % b"_method"),
        (PARTS, PART % b"_Method"),
    ],
)
def test_a_form_that_asks_for_a_ruled_method_is_refused(headers: Headers, body: bytes) -> None:
    with pytest.raises(AmbiguousRequest):
        sends((READ_POST, SEAL_PUT), body, headers)
    sends((READ_POST,), body, headers)


def test_a_form_that_asks_in_a_spelling_of_its_own_is_refused() -> None:
    for headers, body in (
        (FORM, b"_method[]=PUT"),
        (FORM, b".method=PUT"),
        (FORM, b"%2Emethod=PUT"),
        (FORM, b"a=1&+.method=PUT"),
        (PARTS, PART % b"_method[]"),
        (PARTS, PART % b".method"),
    ):
        with pytest.raises(ForbiddenValue):
            sends((READ_POST, SEAL_PUT), body, headers)
    with pytest.raises(InvalidBody):
        sends((READ_POST, SEAL_PUT), b"_method=PUT&_method=POST", FORM)


def test_a_form_that_asks_for_nothing_and_other_bodies_pass() -> None:
    sends((READ_POST, SEAL_PUT), b"a=1&method=PUT", FORM)
    sends((READ_POST, SEAL_PUT), PART % b"a", PARTS)
    both = a_rule(name="post", request=a_block(encrypt=["$.a"]), names=NAMES)
    sends((both, SEAL_PUT), b'{"a":"_method"}', JSON_TYPE)


def test_a_body_of_no_format_asks_for_nothing() -> None:
    head = RequestHead("POST", "/api/messages", None, ((b"Content-Type", b"image/png"),))

    refuse_in_body(head, b"_method=PUT")


def test_a_form_that_is_sealed_whole_asks_nobody() -> None:
    block = a_block(encrypt=[an_item("body", field="b")], types=("*/*",))
    whole = a_rule(name="post", request=block, names=NAMES)

    sends((whole, SEAL_PUT), b"_method=PUT", FORM)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((SEAL_PUT,), True),
        ((a_rule("PUT /api/messages", request=Verdict.REJECT),), True),
        ((a_rule("GET /api/messages", response=a_block(encrypt=["$.a"]), names=NAMES),), True),
        ((a_rule("GET /api/messages", response=a_block(decrypt=["$.a"]), names=NAMES),), False),
        ((a_rule("PUT /api/messages"),), False),
        ((replace(SEAL_PUT, observes=True),), False),
        ((replace(READ_POST, observes=True), SEAL_PUT), True),
        ((a_rule("PUT /api/other", request=Verdict.REJECT),), False),
        ((READ_POST,), False),
        ((a_rule("/api/messages", request=a_block(encrypt=["$.a"]), names=NAMES),), False),
        ((a_rule(), a_rule("/api/messages", name="any", request=Verdict.REJECT)), True),
        ((a_rule("PURGE /api/**", request=Verdict.REJECT),), True),
    ],
)
def test_what_another_method_would_meet_decides(rules: tuple[Rule, ...], *, expected: bool) -> None:
    assert expected == overridable(*rules)


def test_only_post_is_overridden_and_laxer_readings_of_the_path_count() -> None:
    assert not overridable(SEAL_PUT, method="PATCH")
    assert overridable(SEAL_PUT, path="/api/messages")
    assert not overridable(SEAL_PUT, path="/api/messages/1")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_method=PUT", True),
        ("a=1&_METHOD=PUT", True),
        ("%5Fmetho%64=PUT", True),
        ("%255Fmethod=PUT", True),
        (".method=PUT", True),
        ("%2Emethod=PUT", True),
        ("+.method=PUT", True),
        ("a=1;_method=PUT", True),
        ("_method[]=PUT", True),
        ("[_method]=PUT", True),
        ("__proto__[_method]=PUT", True),
        ("method=PUT", False),
        ("payment_method=card", False),
        ("code_challenge_method=S256", False),
        ("next=/a_method", False),
        ("a=%5Fmethod", False),
        ("", False),
        (None, False),
    ],
)
def test_the_query_may_ask_too(query: str | None, *, expected: bool) -> None:
    assert expected == bool(asked_in_query(query))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(FORM, True), (PARTS, True), ((*FORM, *FORM), True), (JSON_TYPE, False), ((), False)],
)
def test_forms_may_ask_and_so_may_what_nobody_can_tell(headers: Headers, *, expected: bool) -> None:
    assert expected == may_ask_in_body(RequestHead("POST", "/", None, headers))
