"""Strategies for JSON texts in every spelling that RFC 8259 allows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

spaces = st.text(" \t\n\r", max_size=2)
plain = st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc", "Cs"])
escapes = st.sampled_from([*(f"\\{one}" for one in '"\\/bfnrt'), "\\u0000", "\\uD83d\\uDe00"])
units = st.integers(0, 0xFFFF).filter(lambda unit: not 0xD800 <= unit <= 0xDFFF)
literals = st.lists(plain | escapes | units.map("\\u{:04x}".format), max_size=6).map(
    lambda pieces: '"' + "".join(pieces) + '"'
)
numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
    fullmatch=True,
    alphabet="0123456789-+.eE",
)
scalars = numbers | literals | st.sampled_from(["true", "false", "null"])
KEYS = ('"a"', '"b"', '"\\u0061"', '"c d"', '"é"', '""', '"x"', '"long \\" one"')
KEY_LITERALS = st.sampled_from(KEYS) | literals


def text_of(literal: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text."""
    return json.loads(literal)


@st.composite
def _array(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    elements = [draw(spaces) + one + draw(spaces) for one in draw(st.lists(values, max_size=4))]
    return "[" + (",".join(elements) or draw(spaces)) + "]"


@st.composite
def _object(draw: st.DrawFn, keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> str:
    members = draw(
        st.lists(
            st.tuples(keys, values),
            max_size=4,
            unique_by=lambda member: str(text_of(member[0])).casefold(),
        )
    )
    spelled = [
        f"{draw(spaces)}{key}{draw(spaces)}:{draw(spaces)}{value}{draw(spaces)}"
        for key, value in members
    ]
    return "{" + (",".join(spelled) or draw(spaces)) + "}"


def documents(
    keys: st.SearchStrategy[str] = KEY_LITERALS,
) -> st.SearchStrategy[str]:
    """Return texts without duplicate members (nor members that differ in case alone)."""
    return st.recursive(scalars, lambda inner: _array(inner) | _object(keys, inner), max_leaves=12)
