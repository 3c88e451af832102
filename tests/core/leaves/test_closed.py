"""Both forms of Closed say the same of every strict JSON text; of others, the native one says no.

What they say is held to the walk in `test_closed_places` and `test_closed_world`.
"""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import InvalidBody
from proxy.core.leaves import closed as python
from proxy.core.leaves.closed import ClosedPlace
from proxy.core.leaves.strict_json import after_space, check, scan

native = pytest.importorskip(
    "sealyard_native", reason="the native leaves are not built: `./dev native` builds them"
)

WHOLE: Final[ClosedPlace] = (True, True, {}, {}, None, None)
SCALAR: Final[ClosedPlace] = (False, True, {}, {}, None, None)
INNER: Final[ClosedPlace] = (False, False, {"a": SCALAR, "b": WHOLE}, {}, None, None)
NUMBERED: Final[ClosedPlace] = (False, False, {}, {1: WHOLE}, None, None)
ROOTS: Final[tuple[ClosedPlace, ...]] = (
    SCALAR,
    (False, False, {"a": SCALAR, "b": WHOLE, "c": INNER}, {}, None, None),
    (False, False, {"a": SCALAR}, {0: SCALAR, 2: INNER}, INNER, None),
    (False, True, {"a": INNER}, {}, None, SCALAR),
    (False, False, {"c": NUMBERED}, {}, SCALAR, (False, True, {}, {}, WHOLE, WHOLE)),
)
FORMS: Final = [(python.Closed(one), native.Closed(one)) for one in ROOTS]
NAMES: Final = st.sampled_from(["a", "b", "c", "A", "é", "", "a\x00", '"', "\\"])
BEGINNINGS: Final = st.sampled_from(
    [
        "",
        "x",
        " {",
        '{"',
        "[1",
        "[x",
        "[null",
        "{}",
        "[ true",
        "\ufeff[",
        "ï»¿{",
        "\x00[-",
        "é",
        "[]",
    ]
)
SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(str.__add__, BEGINNINGS, BEGINNINGS)
)
DOCUMENTS: Final = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def is_strict(body: bytes) -> bool:
    """Return whether a text is strict JSON."""
    try:
        text = check(body)
        return after_space(text, scan(text, after_space(text, 0))[1]) == len(text)
    except (InvalidBody, ValueError, StopIteration):
        return False


def same(body: bytes) -> list[bool]:
    """Return what both forms say for each root."""
    strict, said = is_strict(body), []
    for one, other in FORMS:
        said.append(other.is_clear(body))
        assert said[-1] == (one.is_clear(body) and strict)
    return said


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
@example({"c": {"b": [[{"x": 1}]], "a": "[x"}, "a": "1"}, True, None)  # noqa: FBT003 - drawn
def test_both_forms_say_the_same(document: object, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - drawn
    same(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())


@given(st.data())
def test_both_forms_say_the_same_of_what_is_nearly_json(data: st.DataObject) -> None:
    body = json.dumps(data.draw(DOCUMENTS)).encode()
    at = data.draw(st.integers(0, len(body)))
    stray = data.draw(st.sampled_from([b"", b'"', b"\\", b"{", b"]", b",", b"\xff", b"\n", b"NaN"]))
    same(body[:at] + stray + body[at + data.draw(st.integers(0, 2)) :])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":[]}',
        rb'{"\u0061":1,"\u0062":{"x":1}}',
        rb'{"\u0064":1}',
        rb'{"a":"\ufeff\u007b\u0022"}',
        b'{"a":"\xef\xbb\xbf{}"}',
        b'{"b":' + b"[" * 127 + b"]" * 127 + b"}",
        b'{"b":' + b"[" * 128 + b"]" * 128 + b"}",
        b" \t{ }\r\n",
        b'[1,2,{"a":"t"}]',
        b"",
        b"nul",
        b'{"a":1} x',
    ],
)
def test_both_forms_say_the_same_of_what_is_rare(body: bytes) -> None:
    same(body)


def test_each_root_has_a_text_that_is_clear_and_one_that_is_not() -> None:
    texts = [b"1", b'{"a":1,"b":[{}]}', b'[1,{"a":2}]', b'{"a":{"a":1},"x":2}', b'{"c":[]}']
    found = [same(one) for one in texts]
    assert [one[at] for at, one in enumerate(found)] == [True] * len(ROOTS)
    assert same(b'{"x":{"x":[{}]},"a":1}') == [False] * 4 + [True]
    assert same(b"[[[1]]]") == [False] * len(ROOTS)


def test_long_texts_are_read_as_short_ones() -> None:
    text = json.dumps({"a": "x" * 70_000, "b": [1] * 9_000}).encode()
    assert same(text) == [False, True, False, False, True]


def test_a_place_beyond_the_last_step_lists_nothing_in_the_native_form() -> None:
    place, text = SCALAR, "1"
    for _ in range(64):
        place, text = (False, False, {"a": place}, {}, None, None), f'{{"a":{text}}}'
    assert not native.Closed(place).is_clear(text.encode())
    assert native.Closed(place[2]["a"]).is_clear(text[5:-1].encode())
