"""`only` in forms: no pair, part or member of JSON in them passes but those that the rule names."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote_plus

import pytest

from proxy.core.errors import ForbiddenValue
from proxy.core.http.message import Headers
from proxy.core.rules.model import Rule
from tests.core.planning.test_multipart_stream import flowed
from tests.core.test_nested_json import C1, FORM, PARTS, parts
from tests.factories import a_block, a_message, a_rule, an_item, sent

TEXT = ("operations", '\r\n\r\n{"query":"q","variables":{"text":"CANARY","room":"r"}}')
FILE = ("0", '; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nCANARY')
MAP = ("map", '\r\n\r\n{"0":["variables.file"]}')


def closed(*selectors: str, only: tuple[str, ...] = ("map", "room")) -> Rule:
    items = [an_item(one, field="note", optional=True) for one in selectors]
    return a_rule(request=replace(a_block(encrypt=items), only=only), names=C1)


UPLOAD = closed("part:operations $.variables.text", "part:0")


def test_what_is_named_passes_and_is_sealed() -> None:
    sealed = sent(UPLOAD, a_message(parts(TEXT, MAP, FILE), headers=PARTS))
    assert b"CANARY" not in sealed
    assert b'{"0":["variables.file"]}' in sealed


@pytest.mark.parametrize(
    "found",
    [
        (TEXT, MAP, FILE, ("1", FILE[1])),
        (TEXT, MAP, FILE, ("note", "\r\n\r\nCANARY")),
        (("operations", TEXT[1].replace("room", "other")), MAP, FILE),
        (("operations", TEXT[1].replace('"room":"r"', '"room":"r","more":"CANARY"')), MAP),
        (("operations", '\r\n\r\n{"variables":["CANARY"]}'), MAP),
        (("operations", '\r\n\r\n{"variables":"CANARY"}'), MAP),
    ],
)
def test_nothing_else_passes_in_parts(found: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ForbiddenValue):
        sent(UPLOAD, a_message(parts(*found), headers=PARTS))


def test_a_form_that_flows_is_held_to_its_names_as_well() -> None:
    rule = closed("part:0")
    sealed = flowed(rule, parts(MAP, FILE).encode(), (40, 90), PARTS)
    assert b"CANARY" not in sealed
    assert b'{"0":["variables.file"]}' in sealed
    with pytest.raises(ForbiddenValue):
        flowed(rule, parts(FILE, ("1", FILE[1])).encode(), (40, 90), PARTS)


PAIRS = closed("form:note", "form:payload $.text", only=("id", "room"))


@pytest.mark.parametrize(
    ("body", "passes"),
    [
        ("id=1&note=CANARY&payload=" + quote_plus('{"text":"CANARY","room":"r"}'), True),
        ("id=1&payload=" + quote_plus('{"text":"CANARY","more":"CANARY"}'), False),
        ("id=1&note=CANARY&other=CANARY", False),
        ("id=1&note=CANARY&=CANARY", False),
        ("note=CANARY&ID=CANARY", False),
    ],
)
def test_nothing_else_passes_in_pairs(body: str, passes: bool) -> None:  # noqa: FBT001 - drawn
    message = a_message(body, headers=FORM)
    if passes:
        assert b"CANARY" not in sent(PAIRS, message)
    else:
        with pytest.raises(ForbiddenValue):
            sent(PAIRS, message)


def test_without_only_they_pass() -> None:
    items = [an_item("part:0", field="file")]
    rule = a_rule(request=a_block(encrypt=items), names=C1)
    headers: Headers = PARTS
    assert b"plain" in sent(rule, a_message(parts(FILE, ("1", "\r\n\r\nplain")), headers=headers))


@pytest.mark.parametrize("selector", ["$.p json:$.text", "$.list.*.p json:$.text"])
def test_objects_in_strings_are_closed(selector: str) -> None:
    rule = closed(selector, only=("room", "p", "list"))
    inner = '{\\"text\\":\\"CANARY\\",\\"room\\":1%s}'
    body = '{"p":"%s"}' if "list" not in selector else '{"list":[{"p":"%s"}]}'
    assert b"CANARY" not in sent(rule, a_message(body % (inner % "")))
    with pytest.raises(ForbiddenValue):
        sent(rule, a_message(body % (inner % ',\\"more\\":\\"CANARY\\"')))
