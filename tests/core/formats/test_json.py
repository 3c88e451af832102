from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import BodyTooLarge, InvalidBody, SealyardError
from proxy.core.expressions import selectors
from proxy.core.expressions.selectors import JsonSelector, Step, parse_json_selector
from proxy.core.formats.json import Selection, escape, unescape, unescaped, validate
from tests.core.json_texts import KEYS, documents

PATHS = ("$", "$..x", "$.v", "$.v..x", "$.*", "$[0]", "$..*", "$.a.b", "$..a..b")


def select(*texts: str) -> Selection:
    return Selection(tuple(parse_json_selector(one) for one in texts))


def found(body: str | bytes, *texts: str) -> list[list[bytes]]:
    raw = body.encode() if isinstance(body, str) else body
    return [[raw[one.start : one.end] for one in many] for many in select(*texts).find(raw).found]


def nested(depth: int, *, alternating: bool = False) -> bytes:
    if not alternating:
        return b"[" * depth + b"]" * depth
    opening = b"".join(b'{"a":' if level % 2 else b"[" for level in range(depth))
    closing = b"".join(b"}" if level % 2 else b"]" for level in reversed(range(depth)))
    return opening + b"1" + closing


# --- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "body", "expected"),
    [
        ("$", ' {"a": 1} ', ['{"a": 1}']),
        ("$.a", '{"b":2, "a" :\t1.10 }', ["1.10"]),
        ("$.a", '{"\\u0061":"x"}', ['"x"']),
        ("$.é", '{"é":"x"}', ['"x"']),
        ("$['a b']", '{"a\\u0020b":[ 1 ]}', ["[ 1 ]"]),
        ("$['']", '{"":1}', ["1"]),
        ("$.a.b", '{"a":{"b":{"a":1}}}', ['{"a":1}']),
        ("$[1]", "[0, 1, 2]", ["1"]),
        ("$.*", '{"a":1,"b":[2]}', ["1", "[2]"]),
        ("$[*].a", '[{"a":1},{"a":2}]', ["1", "2"]),
        ("$..a", '{"a":{"b":1},"c":[{"a":2}]}', ['{"b":1}', "2"]),
        ("$..[0]", "[[1],2]", ["1", "[1]"]),
        ("$..*", "[[1]]", ["1", "[1]"]),
        ("$.a..b", '{"b":0,"a":{"b":1,"c":{"b":2}}}', ["1", "2"]),
    ],
)
def test_selected_values_are_found_as_they_are_spelled(
    selector: str, body: str, expected: list[str]
) -> None:
    assert sorted(expected) == sorted(one.decode() for one in found(body, selector)[0])


def test_many_selectors_are_found_in_one_walk() -> None:
    body = '{"a":1,"b":{"a":2},"c":[3]}'
    assert found(body, "$.a", "$.b.a", "$..a", "$.c[0]", "$.none") == [
        [b"1"],
        [b"2"],
        [b"1", b"2"],
        [b"3"],
        [],
    ]


@pytest.mark.parametrize(
    ("selector", "body", "missing"),
    [
        ("$.a", '{"a":1}', False),
        ("$.a", '{"a":null}', True),
        ("$.a", "{}", True),
        ("$.a", "[]", True),
        ("$.a", "1", True),
        ("$.a.b", '{"a":1}', True),
        ("$.a.b", '{"a":{"b":""}}', False),
        ("$[1]", "[1]", True),
        ("$[1]", "[1,2]", False),
        ("$[0]", '{"0":1}', True),
        ("$.a.*", '{"a":[]}', True),
        ("$.a.*", '{"a":{}}', True),
        ("$.a.*", '{"a":[1]}', False),
        ("$.a.*", '{"a":[1,null]}', True),
        ("$.a.*.b", '{"a":[{"b":1},{}]}', True),
        ("$.a.*.b", '{"a":[{"b":1},7]}', True),
        ("$..a", '[{"a":1},{}]', False),
        ("$..a", "[{}]", True),
        ("$..a", '[{"a":1},{"a":null}]', True),
        ("$", "null", True),
    ],
)
def test_an_absent_or_null_value_is_missing(selector: str, body: str, missing: bool) -> None:  # noqa: FBT001 - a table
    assert missing == (0 in select(selector).find(body.encode()).missing)


@pytest.mark.parametrize(
    ("selector", "body", "variant"),
    [
        ("$.card", '{"Card":1}', True),
        ("$.card", '{"card":1,"CARD":2}', True),
        ("$.card", '{"\\u0043ard":1}', True),
        ("$.Card", '{"card":1}', True),
        ("$.key", '{"\\u212aey":1}', True),
        ("$.is", '{"i\\u017f":1}', True),
        ("$.a.card", '{"a":{"Card":1}}', True),
        ("$.a.card", '{"A":{"card":1}}', True),
        ("$..card", '{"a":[{"cARD":1}]}', True),
        ("$.*.card", '[{"Card":1}]', True),
        ("$.card", '{"card":{"Card":1}}', False),
        ("$.card", '{"a":{"Card":1}}', False),
        ("$.card", '{"card":1,"cards":2}', False),
        ("$.*", '{"a":1,"A":2}', False),
    ],
)
def test_a_member_in_another_case_is_noticed(selector: str, body: str, variant: bool) -> None:  # noqa: FBT001 - a table
    assert variant == (0 in select(selector).find(body.encode()).variants)


@pytest.mark.parametrize(
    ("selector", "body"),
    [
        ("$.a", '{"a":1,"a":2}'),
        ("$.a", '{"a":1,"\\u0061":1}'),
        ("$.a.b", '{"a":{},"a":{}}'),
        ("$.*", '{"z":1,"z":1}'),
        ("$..x", '{"a":[{"z":1,"z":1}]}'),
        ("$.a..x", '{"a":{"z":1,"z":1}}'),
    ],
)
def test_a_selected_member_that_stands_twice_is_refused(selector: str, body: str) -> None:
    with pytest.raises(InvalidBody, match="duplicate-member"):
        found(body, selector)


@pytest.mark.parametrize(
    ("selector", "body"),
    [
        ("$.a", '{"z":1,"z":2,"a":3}'),
        ("$.a.b", '{"a":{"b":1,"c":{"d":1,"d":1}}}'),
        ("$[0]", '{"a":1,"a":1}'),
    ],
)
def test_members_beside_the_path_may_stand_twice(selector: str, body: str) -> None:
    found(body, selector)


# --- what is refused -----------------------------------------------------------------------------

NO_JSON = (
    *(
        b"",
        b" ",
        b"{",
        b"[",
        b"[1,]",
        b'{"a":1,}',
        b"{,}",
        b"[,1]",
        b"[1 2]",
        b'{"a" 1}',
    ),
    *(
        b'{"a":}',
        b"{1:2}",
        b"NaN",
        b"[NaN]",
        b'{"a":Infinity}',
        b'{"v":-Infinity}',
        b"[01]",
    ),
    *(
        b"[+1]",
        b"[1.]",
        b"[.5]",
        b"[1e]",
        b"[-]",
        b"['a']",
        b"{a:1}",
        b"[1]//",
        b"/**/[1]",
    ),
    *(
        b"[1]x",
        b"[1][2]",
        b"[1]\x00",
        b'["\\x"]',
        b'["\\u12"]',
        b'["\n"]',
        b'["\t"]',
        b'"',
    ),
    *(
        b'"a',
        b'{"a',
        b'{"a\n":1}',
        b'{"\\z":1}',
        b"\xef\xbb\xbf[1]",
        b"[\xff]",
        b'["\xff"]',
    ),
    *(
        b'["\xc0\x80"]',
        b'["\xed\xa0\x80"]',
        b"\xa0[1]",
        b"[1\x00]",
        b"\x0c[1]",
        b"[\x0b1]",
    ),
    *(
        b"[1,\xc2\xa02]",
        b"\xfe\xff\x00[\x00]",
        b"[\x00]\x00",
        b"tru",
        b"[nul]",
        b"True",
    ),
    *(
        b"[1}",
        b"{]",
        b'{"a":[}',
        b'{"a":1]',
        b'[{"a":1,]',
        b'["\\ud800"]',
        b'["\\udc00"]',
    ),
    *(
        b'["\\ud800a"]',
        b'["\\ud800\\u0061"]',
        b'["\\udc00\\ud800"]',
    ),
    *(
        b'["\\ud800\\ud800\\udc00"]',
        b'{"\\ud800":1}',
        b'["\\ud800\\n"]',
    ),
    *(b'["\\ud800","\\udc00"]',),
)


@pytest.mark.parametrize("selector", PATHS)
@pytest.mark.parametrize(
    "body",
    NO_JSON,
)
def test_what_is_no_strict_json_is_refused(selector: str, body: bytes) -> None:
    with pytest.raises(InvalidBody):
        found(body, selector)


@pytest.mark.parametrize(
    "body",
    [
        '["\\ud83d\\ude00"]',
        '["\\\\ud800"]',
        '["\\\\\\ud83d\\ude00"]',
        '["\\uD83D\\uDE00\\ud83d\\ude00"]',
        '["\\ud7ff\\ue000"]',
    ],
)
def test_whole_surrogate_pairs_and_escaped_backslashes_are_json(body: str) -> None:
    validate(body.encode())


@pytest.mark.parametrize("selector", PATHS)
@pytest.mark.parametrize("depth", [127, 128])
def test_128_levels_are_read(selector: str, depth: int) -> None:
    found(nested(depth), selector)
    found(nested(depth, alternating=True), selector)
    found(b'{"v":' * (depth - 1) + b"[]" + b"}" * (depth - 1), selector)


@pytest.mark.parametrize("selector", PATHS)
def test_129_levels_are_refused(selector: str) -> None:
    with pytest.raises(InvalidBody, match="nested-too-deeply"):
        found(nested(129), selector)
    with pytest.raises(InvalidBody, match="nested-too-deeply"):
        found(b'{"v":' * 129 + b"1" + b"}" * 129, selector)


@pytest.mark.parametrize("selector", PATHS)
def test_brackets_in_strings_and_side_by_side_are_no_levels(selector: str) -> None:
    found(b'["' + b"[{" * 5000 + b'"]', selector)
    found(b'["\\"' + b"[" * 5000 + b'\\\\"]', selector)
    found(b"[" + b",".join([b'{"x":[]}'] * 5000) + b"]", selector)


DEEP = (b"[", b'{"v":', b'[{"v":', b'{"a":[', b'["", ', b"{}", b"]", b'[\\"')


@pytest.mark.timing
@pytest.mark.parametrize("selector", ["$", "$..x", "$.v"])
@pytest.mark.parametrize(
    ("part", "depth"), [*((part, 10**5) for part in DEEP), (b"[", 10**6), (b'{"v":', 10**6)]
)
def test_deep_nesting_is_refused_fast_and_without_recursion(
    part: bytes, selector: str, depth: int
) -> None:
    began = time.process_time()
    for body in (part * depth, part * depth + b"]" * depth, b'{"v":' + part * depth + b"}"):
        with pytest.raises(InvalidBody):
            found(body, selector)
    assert time.process_time() - began < 5


@pytest.mark.timing
@pytest.mark.no_cover
@pytest.mark.parametrize("selector", ["$.k999999", "$.no", "$[0]"])
def test_a_million_members_are_read_in_a_second_or_so(selector: str) -> None:
    body = b"{" + b",".join(b'"k%d":%d' % (one, one) for one in range(10**6)) + b"}"
    began = time.process_time()
    found(body, selector)
    assert time.process_time() - began < 5


# --- numbers keep their spelling -----------------------------------------------------------------

NUMBERS = ("1E400", "-1e400", "-0", "-0.0", "1.10", "1E5", "0.1000000000000000055")
LONG_NUMBERS = ("123456789012345678901234567890", "1e-400", "9" * 100_000, "0." + "1" * 100_000)


@pytest.mark.parametrize("number", NUMBERS + LONG_NUMBERS, ids=lambda one: one[:30])
@pytest.mark.parametrize("selector", ["$.a", "$.a.*", "$..x", "$.*"])
def test_a_number_is_found_as_it_is_spelled(number: str, selector: str) -> None:
    body = f'{{"a":[{number}, {number} ],"b": {number}}}'.encode()
    spans = {"$.a": [f"[{number}, {number} ]"], "$.a.*": [number] * 2, "$..x": []}
    spans["$.*"] = [f"[{number}, {number} ]", number]
    assert spans[selector] == [one.decode() for one in found(body, selector)[0]]


@pytest.mark.parametrize("number", NUMBERS + LONG_NUMBERS, ids=lambda one: one[:30])
def test_the_standard_library_would_change_that_number(number: str) -> None:
    if number in {"-0.0", "123456789012345678901234567890"}:
        assert json.dumps(json.loads(number)) == number  # the control of the control
        return
    try:
        assert json.dumps(json.loads(number)) != number
    except ValueError as error:
        assert "digits" in str(error)  # noqa: PT017 - either outcome shows it


@pytest.mark.parametrize("number", ["123456789012345678901234567890", "1E5", "1.10"])
def test_orjson_would_change_that_number(number: str) -> None:
    orjson = pytest.importorskip("orjson", reason="orjson is not installed")
    assert orjson.dumps(orjson.loads(number)).decode() != number


# --- against a reference -------------------------------------------------------------------------

Path = tuple[str | int, ...]


def children(value: Any) -> Iterator[tuple[str | int, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def descendants(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 - any JSON value
    yield path, value
    for key, child in children(value):
        yield from descendants(child, (*path, key))


class Reference:
    """Finds what a selector selects in a parsed document, step by step."""

    def __init__(self, selector: JsonSelector, document: Any) -> None:  # noqa: ANN401 - any JSON value
        self.found: dict[Path, Any] = {}
        self.missing = False
        self.dead_end = False
        self._follow(selector.steps, document, ())
        deep = any(step.deep for step in selector.steps)
        self.missing |= not self.found if deep else self.dead_end

    def _follow(self, steps: tuple[Step, ...], value: Any, path: Path) -> None:  # noqa: ANN401 - any JSON value
        if not steps:
            if value is None:
                self.missing = True
            else:
                self.found[path] = value
            return
        step, *rest = steps
        starts = descendants(value, path) if step.deep else [(path, value)]
        for at, start in starts:
            chosen = [
                (key, child)
                for key, child in children(start)
                if step.key is selectors.Any.MEMBER
                or (key == step.key and isinstance(key, str) == isinstance(step.key, str))
            ]
            self.dead_end |= not chosen
            for key, child in chosen:
                self._follow(tuple(rest), child, (*at, key))


steps = st.builds(
    Step,
    st.sampled_from(["a", "b", "c d", "é", "", "x"])
    | st.integers(0, 2)
    | st.just(selectors.Any.MEMBER),
    st.booleans(),
)
random_selectors = st.builds(
    lambda steps: JsonSelector("", tuple(steps)), st.lists(steps, max_size=4)
)


@given(documents(st.sampled_from(KEYS)), st.lists(random_selectors, max_size=4))
@example('{"x": {"b": 1}, "a": {"c": [2]}}', [parse_json_selector(one) for one in ("$.a", "$[0]")])
def test_a_walk_finds_what_a_reference_finds(text: str, chosen: list[JsonSelector]) -> None:
    body = text.encode()
    findings = Selection(tuple(chosen)).find(body)
    for index, selector in enumerate(chosen):
        reference = Reference(selector, json.loads(text, parse_float=str, parse_int=str))
        spans = {
            one.path: json.loads(body[one.start : one.end], parse_float=str, parse_int=str)
            for one in findings.found[index]
        }
        assert reference.found == spans
        assert len(findings.found[index]) == len(spans)
        assert reference.missing == (index in findings.missing)


@given(st.binary(max_size=60) | st.text('[]{}",:\\ued80 19.eE-+tfn\n', max_size=40).map(str.encode))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        json.loads(body.decode(), parse_constant=_refuse)
        is_json = True
    except (ValueError, RecursionError):
        is_json = False
    for selector in PATHS:
        try:
            select(selector).find(body)
        except SealyardError as error:
            assert isinstance(error, InvalidBody)  # noqa: PT017 - either outcome is lawful
        else:
            assert is_json


def _refuse(name: str) -> None:
    raise ValueError(name)


@given(documents())
def test_every_strict_json_text_is_read(text: str) -> None:
    validate(text.encode())
    for selector in PATHS:
        select(selector).find(text.encode())


@given(st.text())
def test_text_survives_being_escaped(text: str) -> None:
    literal = f'"{escape(text)}"'
    assert text == json.loads(literal)
    if not any("\ud800" <= one <= "\udfff" for one in text):
        assert text == unescape(literal.encode()) == unescaped(literal.encode()).decode()


def test_half_of_a_pair_has_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        unescaped(rb'"\ud83d"')


@pytest.mark.parametrize("depth", [129, 200, 254])
def test_levels_of_both_kinds_count_alike(depth: int) -> None:
    with pytest.raises(InvalidBody):
        validate(nested(depth, alternating=True))


def test_more_values_than_a_million_are_refused() -> None:
    validate(b"[" + b"1," * 999_998 + b"1]")
    with pytest.raises(BodyTooLarge):
        validate(b"[" + b"1," * 1_000_000 + b"1]")


def test_a_number_that_is_none_is_told_with_what_takes_it() -> None:
    with pytest.raises(InvalidBody, match="not-json") as met:
        Selection((parse_json_selector("$.a"),)).find(b'{"a": NaN}')
    assert "`accept: nan`" in met.value.detail


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a": 1,}', 8),
        (b'{"a": 1 "b": 2}', 8),
        (b'{"a": tru}', 6),
        (b'{"b": [1, 2}, "a": 1}', 11),
        (b'{"a": "x}', 6),
        (b'{"\xc3\xa9": 1, "a" 1}', 14),  # bytes are counted, not characters
        (b'{"a": %b x}' % (b"1" * 5000), 5007),
        (b'{"a": "%b}' % (b"x" * 100_000), None),  # too long to be read once more
    ],
)
def test_a_broken_text_is_told_with_the_place(body: bytes, place: int | None) -> None:
    with pytest.raises(InvalidBody) as met:
        Selection((parse_json_selector("$.a"),)).find(body)
    said = "" if place is None else f"The JSON is broken from its byte {place} on."
    assert (met.value.reason, met.value.detail) == ("not-json", said)
