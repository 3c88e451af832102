"""Strategies for JSON texts in every spelling that RFC 8259 allows."""

from __future__ import annotations

import json
from random import Random  # noqa: TID251 - a run can be had again by its seed
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


class RandomTexts:
    """Texts of the same kinds without hypothesis, never `null` by itself."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def space(self) -> str:
        """Return up to two blanks."""
        return "".join(self._random.choices(" \t\n\r", k=self._random.randrange(3)))

    def value(self, depth: int = 3) -> str:
        """Return a document, nested up to so deep."""
        random = self._random
        kind = random.randrange(5 if depth else 3)
        if kind == 0:
            return self._number()
        if kind == 1:
            return self._literal()
        if kind == 2:
            return random.choice(("true", "false"))
        inner = [self.value(depth - 1) for _ in range(random.randrange(4))]
        if kind == 3:
            return f"[{','.join(self.space() + one + self.space() for one in inner)}]"
        keys = random.sample([key for key in KEYS if text_of(key) != "x"], len(inner))
        keys = list({text_of(key): key for key in keys}.values())
        members = [
            f"{self.space()}{key}{self.space()}:{self.space()}{one}"
            for key, one in zip(keys, inner, strict=False)
        ]
        return f"{{{','.join(members)}}}"

    def _number(self) -> str:
        random = self._random
        whole = str(random.getrandbits(random.choice((1, 8, 64))))
        part = f".{random.getrandbits(20)}" if random.random() < 0.3 else ""
        power = random.choice(("e", "E")) + random.choice(("", "+", "-")) + "7"
        return random.choice(("", "-")) + whole + part + (power if random.random() < 0.3 else "")

    def _literal(self) -> str:
        random = self._random
        pieces = (
            chr(random.choice((0x61, 0x7A, 0xE4, 0x20AC, 0x1F600, random.randrange(0x20, 0x7F)))),
            random.choice((*(f"\\{one}" for one in '"\\/bfnrt'), "\\u0000", "\\uD83d\\uDe00")),
            f"\\u{random.randrange(0xD800):04x}",
        )
        chosen = (random.choice(pieces) for _ in range(random.randrange(6)))
        return '"' + "".join("'" if one in {'"', "\\"} else one for one in chosen) + '"'
