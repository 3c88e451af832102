"""Long texts are read in pieces: with the same result, and with pauses between them."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import policy, slices
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.equal import EqualSession
from proxy.core.crypto.secret import IndexSecret
from proxy.core.crypto.token import FORMS, Form
from proxy.core.errors import InvalidBody, TrafficError
from proxy.core.expressions.selectors import JsonSelector, parse_json_selector
from proxy.core.formats import embedded_tokens, token_places, urlencoded
from proxy.core.formats.json import Selection, validate
from proxy.core.formats.json.lexer import LongText
from proxy.core.formats.json.walk import SCANNED_MAX
from proxy.core.leaves import strict_json
from proxy.core.leaves.strict_json import scan
from proxy.core.values.table import splice
from tests.core.json_texts import documents
from tests.factories import SCOPE, a_session

LONE = "lone-surrogate"
LONG = 5 * policy.PIECE_BYTES
FILLER = "x" * policy.PIECE_BYTES
COST = 64  # characters that differ; what is long around them does not


def test_without_a_driver_nothing_pauses() -> None:
    slices.pause()

    assert list(slices.paused("ab")) == ["a", "b"]
    assert list(slices.pieces(b"abc", 2)) == [b"ab", b"c"]


def test_a_driver_is_called_at_every_pause_and_forgotten_behind_its_block() -> None:
    called: list[int] = []

    with slices.pausing(lambda: called.append(1)):
        slices.pause()
        list(slices.paused("ab"))
        list(slices.pieces(b"abc", 2))
    slices.pause()

    assert len(called) == 5


def _selection(*paths: str) -> Selection:
    selectors: list[JsonSelector] = [parse_json_selector(one) for one in paths]
    return Selection.of(selectors, frozenset(), frozenset())


def _reason(body: bytes) -> str:
    try:
        validate(body)
    except TrafficError as error:
        return error.reason
    return ""


def _outcome(selection: Selection, body: bytes) -> object:
    try:
        found = selection.find(body)
    except TrafficError as error:
        return error.code, error.reason
    return [[(one.path, one.start, one.end) for one in each] for each in found.found], found.missing


# --- values of long texts -------------------------------------------------------


@given(st.lists(documents(), min_size=1, max_size=4), st.integers(0, 3))
def test_a_value_of_a_long_text_ends_where_the_scanner_ends_it(
    values: list[str], depth: int
) -> None:
    inner = f'[{",".join(values)},"{FILLER}",{{"a":{values[0]}}}]'
    whole = "[" * depth + inner + "]" * depth

    assert LongText(whole).end(0) == scan(whole, 0)[1]


@pytest.mark.parametrize(
    "text_",
    [
        json.dumps({f"a{at}": at for at in range(20_000)}),
        json.dumps({f"ä{at}": at for at in range(20_000)}, ensure_ascii=False),
        json.dumps([1] * 100_000),
        json.dumps([{"a": "b" * 100}] * 3000),
        json.dumps([[{"a": {}, "b": [], "c": [[]]}] * 5000]),
        json.dumps("ä" * LONG),
        json.dumps(FILLER * 3),
        json.dumps({"a": {"b": {"c": FILLER * 2}}, "d": 1}),
        "[" + " " * LONG + "1" + " " * LONG + "]",
    ],
)
def test_long_values_end_where_the_scanner_ends_them(text_: str) -> None:
    assert len(text_) > policy.PIECE_BYTES
    assert LongText(text_).end(0) == scan(text_, 0)[1]


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "wrong",
    [
        "[%s,]", "[%s}", "[%s", '{"a":%s,}', '{"a":%s,b:1}', '{"a":%s', "[%s,tru]", '[%s,"\x01"]',
        '[%s,"\\x"]', '[%s,"a', '[%s,"a\\u12', "[%s,01]", "[%s,NaN]", '{"a":1,"b" %s}', "[%s 1]",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "long", [json.dumps(FILLER), json.dumps([1] * 70_000), json.dumps([{}] * 70_000)]
)
def test_what_is_no_json_is_none_however_long(wrong: str, long: str) -> None:
    for body in (wrong % long, wrong % long.replace(FILLER, "x")):
        with pytest.raises(InvalidBody):
            validate(body.encode())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "A", "ä", "\\u0061", "__proto__", "c.a"]), documents()
        ),
        max_size=5,
    ),
    st.sampled_from([0, 300]),
)
def test_long_objects_are_walked_as_short_ones_are(
    members: list[tuple[str, str]], crowd: int
) -> None:
    """Of two texts, one is long by a member at the end; the walk finds the same before it."""
    pairs = [f'"{name}":{value}' for name, value in members]
    others = [f'"n{at}":{at}' for at in range(crowd)]
    short = "{" + ",".join([*others, *pairs, *others, '"z":"x"']) + "}"
    long = short.replace('"z":"x"', '"z":"' + "x" * SCANNED_MAX + '"')
    selection = _selection("$.a", "$.b[0]")

    before, after = _outcome(selection, short.encode()), _outcome(selection, long.encode())

    assert before == after


def test_members_of_long_objects_are_found_behind_many_others() -> None:
    many = {f"n{at}": at for at in range(50_000)}
    body = json.dumps({**many, "card": "4111", **{f"m{at}": "x" for at in range(1000)}}).encode()

    found = _selection("$.card").find(body).found[0]

    assert [body[one.start : one.end] for one in found] == [b'"4111"']


@pytest.mark.parametrize("twin", ["Card", "__proto__"])
def test_twins_among_many_members_of_long_objects_are_found(twin: str) -> None:
    members = {**{f"n{at}": at for at in range(50_000)}, twin: 1, "card": "4111"}

    findings = _selection("$.card").find(json.dumps(members).encode())

    assert findings.variants | findings.hidden == {0}


def test_the_elements_of_long_lists_are_found_whatever_their_length() -> None:
    items = [{"text": "a"}, {"text": FILLER * 2}, {"other": FILLER, "text": "b"}, {"text": "c"}]
    body = json.dumps({"items": [*items, "x" * SCANNED_MAX]}).encode()

    found = _selection("$.items.*.text").find(body).found[0]

    assert [json.loads(body[one.start : one.end])[:1] for one in found] == ["a", "x", "b", "c"]


# --- encoding, depth, escapes ----------------------------------------------------


@given(st.text(st.sampled_from('[]{}"\\a'), max_size=COST), st.integers(-COST, COST))
def test_depth_is_the_same_wherever_a_piece_ends(part: str, shift: int) -> None:
    """As it was counted before there were pieces."""
    body = (" " * (policy.PIECE_BYTES - COST + shift) + part + "[" * 128 + part).encode()

    plain = re.sub(rb'\\\\|\\"', b"", body)
    depth = deepest = 0
    for outside in plain.split(b'"')[::2]:
        for mark in outside:
            depth += (mark in b"[{") - (mark in b"]}")
            deepest = max(deepest, depth)

    assert strict_json.is_too_deep(body) == (deepest > policy.JSON_DEPTH)


@pytest.mark.parametrize("shift", range(-14, 15))
@pytest.mark.parametrize(
    ("escapes", "reason"),
    [
        (r"\ud83d\ude00", ""),
        (r"\ud83d", LONE),
        (r"\ude00", LONE),
        (r"\\ud83d", ""),
        (r"\\\ud83d", LONE),
        (r"\\\ud83d\ude00", ""),
        ("\\" * 28, ""),
        ("\\" * 28 + "ud83d", ""),
        (r"\u0061", ""),
        (r"\ud83d\\ude00", LONE),
    ],
)
def test_halves_of_pairs_are_found_wherever_a_piece_ends(
    shift: int, escapes: str, reason: str
) -> None:
    body = ('"' + "x" * (policy.PIECE_BYTES + shift) + escapes + FILLER + '"').encode()

    assert _reason(body) == reason


@pytest.mark.parametrize("shift", range(-3, 4))
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_utf_8_is_checked_wherever_a_piece_ends(shift: int, bad: bytes) -> None:
    before = b"x" * (policy.PIECE_BYTES + shift)

    strict_json.require_utf8(before + "€😀".encode() + before)
    for body in (before + bad + before, before + "€😀".encode() + before + bad):
        with pytest.raises(InvalidBody):
            strict_json.require_utf8(body)


def test_the_values_of_a_long_text_are_counted_up_to_what_it_may_have() -> None:
    assert _reason(b"[" + b"1," * 1_000_001 + b"1]") == "too-many-values"


# --- forms and tokens -------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["%41", "%c3%a4", "a", "+", "%25"]), max_size=20), st.integers(-9, 9)
)
def test_a_long_value_of_a_form_reads_as_it_is_spelled(parts: list[str], shift: int) -> None:
    value = ("x" * (16 * 1024 + shift) + "".join(parts) + FILLER).encode()

    decoded = urlencoded.decode(value)

    assert decoded == unquote_to_bytes(value.replace(b"+", b" "))
    assert urlencoded.decode(urlencoded.encode(decoded)) == decoded


@pytest.mark.parametrize("shift", range(-4, 4))
@pytest.mark.parametrize("broken", ["%", "%4", "%g1", "%%41"])
def test_a_broken_triplet_of_a_long_value_is_found(shift: int, broken: str) -> None:
    before = "x" * (16 * 1024 + shift)
    for value in (before + broken, before + broken + "/" + FILLER):
        with pytest.raises(InvalidBody):
            urlencoded.decode(value.encode())


@pytest.mark.parametrize("shift", range(-240, 10, 7))
@pytest.mark.parametrize("form", FORMS)
def test_tokens_of_a_long_text_are_found_wherever_a_piece_ends(shift: int, form: Form) -> None:
    session, context = a_session(), Context(SCOPE)
    if form == "equal":
        session, context = EqualSession(IndexSecret(bytes(32)), 1, Scope("t")), Context(Scope("t"))
    sealed = session.seal(b"a longer secret", context, form=form)
    body = b"x" * (policy.PIECE_BYTES + shift) + b" " + sealed + b" " + sealed[:40] + b" " + sealed

    found = embedded_tokens.find_in_text(body + b" " + FILLER.encode(), 10)

    whole = [body[one.start : one.end] for one in found if one.token is not None]
    # Nothing in the equal form tells where it ends, so that a part of it is a token that fails.
    cut = [sealed[:40]] if form == "equal" else []
    assert whole == [sealed, *cut, sealed]


@pytest.mark.parametrize("shift", range(-18, 3))
@pytest.mark.parametrize("prefix", [b"eyJ0eXAiOiJzeTEi", b"sy1.", b"iVNZMUI2NA0K"])
def test_a_token_of_a_large_text_is_seen_wherever_a_piece_ends(shift: int, prefix: bytes) -> None:
    before = b"x" * (policy.LARGE_BYTES + shift)

    assert token_places.any_in(before + prefix + before)
    assert not token_places.any_in(before + prefix[:-1] + before)


def test_many_changes_are_joined_to_one_body() -> None:
    body = b"a." * 3000
    changes = [(at, at + 1, b"bc") for at in range(0, 6000, 2)]

    assert splice(body, changes) == b"bc." * 3000
