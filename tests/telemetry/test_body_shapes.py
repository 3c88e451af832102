from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.body_shapes import Row, shape, to_json
from proxy.telemetry.policy import SHAPE_BYTES, SHAPE_ROWS

NAMES = frozenset({"content", "messages"})
JWE = "eyJ0eXAiOiJzeTEiLCJhbGciOiJkaXIi..a.b.c"
CANARY = "canary-5f1c"

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=10**9),
    st.just(CANARY),
    st.text(st.characters(min_codepoint=0x3040, max_codepoint=0x30FF), min_size=1),
)
BODIES = st.recursive(
    LEAVES, lambda one: st.lists(one) | st.dictionaries(st.just(CANARY) | st.text(), one)
)


def test_a_shape_has_kinds_and_sizes() -> None:
    body = json.dumps(
        {
            "content": "hello",
            "from": "ada",
            "n": 12,
            "on": True,
            "no": None,
            "more": {"content": JWE},
        }
    ).encode()

    assert shape(body, NAMES) == (
        Row(0, "content", "text", 5),
        Row(0, "·", "text", 3),
        Row(0, "·", "number"),
        Row(0, "·", "flag"),
        Row(0, "·", "null"),
        Row(0, "·", "object"),
        Row(1, "content", "sealed", len(JWE)),
    )


def test_lists_tell_how_many_they_hold_and_long_ones_are_cut() -> None:
    rows = shape(json.dumps({"messages": [{"content": "x"}] * 30}).encode(), NAMES)

    assert rows[0] == Row(0, "messages", "list", 30)
    assert rows[1:4] == (
        Row(1, None, "object"),
        Row(2, "content", "text", 1),
        Row(1, None, "object"),
    )
    assert len(rows) == SHAPE_ROWS + 1
    assert rows[-1].kind == "more"


@pytest.mark.parametrize(
    ("body", "row"),
    [
        (JWE.encode(), Row(0, None, "sealed", len(JWE))),
        (b"sy1.AAAA", Row(0, None, "sealed", 8)),
        (b"SYST\x01rest", Row(0, None, "stream", 9)),
        (b"a=1&b=2", Row(0, None, "body", 7)),
        (b"\xff\xfe", Row(0, None, "body", 2)),
        (b"[" * 50_000, Row(0, None, "body", 50_000)),
        (b" " * SHAPE_BYTES + b"{}", Row(0, None, "body", SHAPE_BYTES + 2)),
    ],
)
def test_what_is_no_json_is_told_by_its_size(body: bytes, row: Row) -> None:
    assert shape(body, NAMES) == (row,)


@pytest.mark.parametrize("body", [None, b""])
def test_no_body_has_no_shape(body: bytes | None) -> None:
    assert shape(body, NAMES) == ()


def test_a_number_of_many_digits_is_never_computed() -> None:
    assert shape(b'{"content":%b}' % (b"9" * 20_000), NAMES) == (Row(0, "content", "number"),)


@given(BODIES)
def test_nothing_of_a_value_or_an_unknown_name_shows(body: object) -> None:
    told = json.dumps(to_json(shape(json.dumps(body, ensure_ascii=False).encode(), NAMES)))

    assert CANARY not in told
    assert {row.name for row in shape(json.dumps(body).encode(), NAMES)} <= {*NAMES, "·", None}
    assert all(not "\u3040" <= each <= "\u30ff" for each in told)


def test_the_demonstration_shows_values_cut_to_a_line() -> None:
    rows = shape(json.dumps({"content": "hello", "from": "a" * 999}).encode(), NAMES, values=True)

    assert rows[0].value == "hello"
    assert rows[1].name == "from"
    assert len(rows[1].value or "") == 160
    assert to_json(rows)[0] == [0, "content", "text", 5, "hello"]
