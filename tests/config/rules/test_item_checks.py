import pytest

from proxy.config.rules.item_checks import overlap
from proxy.core.expressions.selectors import parse_json_selector
from tests.config.builders import problems_of, warnings_of, with_rules


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("$.a", "$.b", False),
        ("$.a", "$.a", True),
        ("$.a", "$.a.b", True),
        ("$", "$.a", True),
        ("$.a.*", "$.a.b", True),
        ("$.*.x", "$.a.y", False),
        ("$.*.x", "$.a.x", True),
        ("$[0]", "$.a", False),
        ("$[0].a", "$[1].a", False),
        ("$['0']", "$[0]", False),
        ("$.a.b.c", "$.a.d.c", False),
        ("$..a", "$..b", False),
        ("$..a", "$.x.a", True),
        ("$..a", "$.a.b", False),
        ("$.x..a", "$.y..a", False),
        ("$..*", "$.a", True),
        ("$..a..b", "$.a.x.b", True),
    ],
)
def test_selectors_overlap_where_they_could_take_the_same_bytes(
    first: str, second: str, *, expected: bool
) -> None:
    one, other = parse_json_selector(first), parse_json_selector(second)

    assert expected == overlap(one, other) == overlap(other, one)


@pytest.mark.parametrize(
    ("actions", "told"),
    [
        ("encrypt: [$.a, $.b]", 0),
        ("encrypt: $.a, decrypt: $.b", 0),
        ("encrypt: $.a, decrypt: tokens", 0),
        ("encrypt: $.a, decrypt: $.a.b", 1),
        ("encrypt: body, decrypt: tokens", 1),
        ("encrypt: body, decrypt: $.a", 1),
        ("encrypt: [body, text]", 1),
        ("decrypt: [tokens, $.a]", 1),
        ("decrypt: [tokens, tokens]", 1),
        ("encrypt: text, decrypt: text", 1),
    ],
)
def test_items_that_overlap_do_not_stand_together(actions: str, told: int) -> None:
    rules = f"      - name: r\n        match: /r\n        request: {{{actions}, bind: [tenant]}}\n"

    assert told == len(problems_of(with_rules(rules)))


def test_a_filename_that_uploads_seal_is_opened_in_downloads() -> None:
    rules = """\
      - name: upload
        match: POST /files
        request: {encrypt: [part:scan, filename:scan as file_name]}
      - name: download
        match: GET /files/**
        response: {decrypt: [body as scan, header:content-disposition as file_name]}
"""

    assert problems_of(with_rules(rules)) == warnings_of(with_rules(rules)) == []


SEALS = """
      - name: send
        match: POST /messages
        conversation: const:c
        request: {%s, others: %s}
"""


@pytest.mark.parametrize("items", ["encrypt: $.a", "encrypt: 'part:a'", "encrypt: $..a"])
def test_what_a_block_leaves_open_is_told(items: str) -> None:
    found = warnings_of(with_rules(SEALS % (items, "pass")))
    [told] = [one for one in found if "leaves open" in one]

    assert "listeners[0].rules[0].request `others: pass` leaves open other members" in told


@pytest.mark.parametrize(("others", "told"), [("seal", 1), ("refuse", 0)])
def test_types_that_stay_are_told(others: str, told: int) -> None:
    rules = SEALS % ("encrypt: $.a, keep_types: [boolean]", others)
    rules += "        response: {decrypt: tokens}\n"

    assert told == sum("`keep_types: boolean`" in one for one in warnings_of(with_rules(rules)))


@pytest.mark.parametrize(
    ("items", "others"),
    [("encrypt: $.a", "refuse"), ("encrypt: body", "pass"), ("decrypt: $.a", "pass")],
)
def test_of_a_block_that_leaves_nothing_open_nothing_is_told(items: str, others: str) -> None:
    assert not any("leaves open" in one for one in warnings_of(with_rules(SEALS % (items, others))))
