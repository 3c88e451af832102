from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form
from proxy.core.errors import InvalidBody, OpenFailed, SealyardError
from proxy.core.expressions.sources import parse_source
from proxy.core.formats import embedded_tokens
from proxy.core.policy import PIECE_BYTES
from proxy.core.rules.model import Names, Rule
from tests.core.json_texts import documents
from tests.factories import a_block, a_rule, a_session, an_item, replied, reply

LIMIT = 10_000
SCOPE = Scope("clinic")
CONTEXT = Context(SCOPE)
SESSION = a_session(SCOPE)
RULE = a_rule(
    response=a_block(decrypt=[an_item("tokens", bind=["tenant"])]),
    names=Names(tenant=parse_source("const:clinic")),
)
EXACT = a_rule(
    response=replace(a_block(decrypt=[an_item("tokens", bind=["tenant"])]), escape="none"),
    names=RULE.names,
)


def sealed(text: str, form: Form = "jwe") -> str:
    return SESSION.seal(text.encode(), CONTEXT, form=form).decode()


def sealed_json(text: str, form: Form = "jwe") -> str:
    return SESSION.seal(text.encode(), CONTEXT, cty="json", form=form).decode()


def opened(document: object, *, ascii_only: bool = True, rule: Rule = RULE) -> Any:  # noqa: ANN401 - any JSON value
    body = json.dumps(document, ensure_ascii=ascii_only)
    return json.loads(replied(rule, body))


def wrapped(text: str, depth: int) -> str:
    """Return the text as a string in that many JSON texts, each a string in the next."""
    for _ in range(depth - 1):
        text = json.dumps({"in": [text]})
    return text


def unwrapped(text: str, depth: int) -> str:
    for _ in range(depth - 1):
        text = json.loads(text)["in"][0]
    return text


texts = st.text(st.characters(codec="utf-8"), max_size=8)
# Text around tokens: not like the beginning of a JSON text, nor like more of a token.
around = st.text(st.sampled_from('x 7"\\/\n\t\0é世🌍:,.[{'), max_size=5).map(
    lambda text: f"({text})"
)
pieces = st.lists(
    st.tuples(around, st.just(None)) | st.tuples(texts, st.sampled_from(["jwe", "short"])),
    max_size=5,
)


@given(pieces, st.integers(1, 4), st.booleans())
def test_tokens_open_wherever_they_stand_in_text(
    parts: list[tuple[str, Form | None]],
    depth: int,
    ascii_only: bool,  # noqa: FBT001 - drawn
) -> None:
    # A short token ends where its characters end, so something else must follow it.
    spelled = "".join(
        text if form is None else sealed(text, form) + (" " if form == "short" else "")
        for text, form in parts
    )
    expected = "".join(text + (" " if form == "short" else "") for text, form in parts)
    spelled, expected = f"Re: {spelled}", f"Re: {expected}"
    document = {"a": wrapped(spelled, depth), "b": [wrapped(spelled, depth), 1.10, None]}
    answer = opened(document, ascii_only=ascii_only, rule=EXACT)
    assert expected == unwrapped(answer["a"], depth)
    assert expected == unwrapped(answer["b"][0], depth)
    assert answer["b"][1:] == [1.1, None]


@given(texts, st.integers(1, 4), st.sampled_from(["jwe", "short"]))
def test_a_token_that_fills_its_string_gives_its_text(text: str, depth: int, form: Form) -> None:
    assert text == unwrapped(opened([wrapped(sealed(text, form), depth)])[0], depth)


@given(documents(), st.integers(1, 4), st.sampled_from(["jwe", "short"]))
def test_a_json_token_that_fills_its_string_gives_its_value(
    text: str, depth: int, form: Form
) -> None:
    answer = opened({"a": wrapped(sealed_json(text, form), depth)})["a"]
    for _ in range(depth - 1):
        answer = json.loads(answer)["in"][0]
    assert json.loads(text) == answer


def test_a_json_token_comes_back_byte_for_byte() -> None:
    body = f'{{"a" : "{sealed_json("[1.10, 1E400 ]")}" }}'
    assert replied(RULE, body) == b'{"a" : [1.10, 1E400 ] }'


def test_a_json_token_inside_other_text_gives_its_text() -> None:
    text = '[1, "a"]'
    assert opened([f"Re: {sealed_json(text)}"]) == [f"Re: {text}"]


@pytest.mark.parametrize(
    "before", ["\n", "\\", '"', "\t", "/", "\0", "é", "\u2028", "\\n", "n", ""]
)
@pytest.mark.parametrize("form", ["jwe", "short"])
def test_an_escape_before_a_token_is_not_part_of_it(before: str, form: Form) -> None:
    assert opened([f"{before}{sealed('x', form)}"]) == [f"{before}x"]
    assert opened([wrapped(f"{before}{sealed('x', form)}", 3)]) == [wrapped(f"{before}x", 3)]


def test_tokens_next_to_one_another_open() -> None:
    assert opened([sealed("a") + sealed("b") + sealed("c", "short")]) == ["abc"]


def test_a_token_as_a_members_name_opens() -> None:
    assert opened({sealed('a"b'): 1}) == {'a"b': 1}


@pytest.mark.parametrize("text", ["", "x", "Meet me at the gate, at eight."])
def test_a_cut_token_becomes_the_placeholder_at_each_length(text: str) -> None:
    whole = sealed(text)
    for length in range(len(whole)):
        cut = whole[:length]
        answer = opened([f"Re: {cut}"])[0]
        if length < len("eyJ0eXAiOiJzeTEi"):
            assert answer == f"Re: {cut}"
        elif text:
            # Dots alone might as well end a sentence: they stay.
            assert answer.rstrip(".") == "Re: [sealed]"
        else:
            assert answer.startswith("Re: [sealed]")
    assert opened([f"Re: {whole}"]) == [f"Re: {text}"]


@pytest.mark.no_cover
@pytest.mark.parametrize("text", ["x", "Meet me at the gate, at eight."])
@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize("cty", [None, "json"])
def test_a_cut_short_token_becomes_the_placeholder_unless_it_may_be_whole(
    text: str,
    ephemeral: bool,  # noqa: FBT001 - a parameter
    cty: str | None,
) -> None:
    session = a_session(SCOPE, ephemeral=ephemeral)
    whole = session.seal(json.dumps(text).encode(), CONTEXT, cty=cty, form="short").decode()
    for length in range(len(whole)):
        cut = whole[:length]
        stays = length < len("sy1.") + 12 or is_whole(cut)
        assert opened([f"Re: {cut}"]) == [f"Re: {cut if stays else '[sealed]'}"]
        if length >= len("sy1.") + 12:
            # What trails off and does not open was cut.
            for end in ("...", "…"):
                assert opened([f"Re: {cut}{end}"]) == [f"Re: [sealed]{end}"]
                assert opened([wrapped(f"{cut}{end}", 3)]) == [wrapped(f"[sealed]{end}", 3)]


def is_whole(text: str) -> bool:
    try:
        token.decode(text.encode())
    except OpenFailed:
        return False
    return True


def test_a_whole_short_token_that_trails_off_opens_or_is_taken_for_cut() -> None:
    foreign = a_session(Scope("other")).seal(b"x", Context(Scope("other")), form="short").decode()
    assert opened([f"{sealed('x', 'short')}... {foreign}"]) == [f"x... {foreign}"]
    assert opened([f"{foreign}..."]) == ["[sealed]..."]
    jwe = a_session(Scope("other")).seal(b"x", Context(Scope("other"))).decode()
    assert opened([f"{jwe}..."]) == [f"{jwe}..."]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "sy1. is out",
            "sy1.ABCDEFGHIJKL",
            "sy1.Unavailable_in_stores",
            "sy1.AAAAAAAAAAAAAAAAAAAA",
            "sy1.AAAAa0nXAAAAAAAAAAAA",
        ),
        *("sy1.A-name_that-is_long-enough", "sy1.Qwertyuiopasdfgh", "sy1.BAABa0nXAAAAAAAAAAAA"),
        *("sy1.AAABAAAAAAAAAAAAAAAA", "sy1.AQABa0nXAAAAAAAAAAAA", "sy1.AAAB_____AAAAAAAAAAA"),
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert opened([text, f"a {text}..."]) == [text, f"a {text}..."]


def test_a_cut_token_is_told_from_the_one_beside_it() -> None:
    assert opened([f"{sealed('abc')[:-1]} {sealed('x')} {sealed('y')[:40]}..."]) == [
        "[sealed] x [sealed]..."
    ]


def test_what_does_not_open_stays_and_is_counted() -> None:
    foreign = a_session(Scope("other")).seal(b"x", Context(Scope("other"))).decode()
    wrong_type = SESSION.seal(b"x", CONTEXT, cty="text/plain").decode()
    not_text = SESSION.seal(b"\xff", CONTEXT).decode()
    not_json = SESSION.seal(b"{", CONTEXT, cty="json").decode()
    body = json.dumps([foreign, wrong_type, not_text, not_json, sealed("x"), sealed("y")[:-5]])
    applied = reply(RULE, body)
    assert dict(applied.counts) == {"kept": 4, "opened": 1, "cut": 1}
    assert applied.forwardable.frame.added_headers == (
        (b"Sealyard-Kept", b"4"),
        (b"Cache-Control", b"private, no-store"),
    )
    assert json.loads(applied.forwardable.body or b"") == [
        *(foreign, wrong_type, not_text, not_json),
        *("x", "[sealed]"),
    ]


def test_what_only_looks_like_a_token_stays() -> None:
    head = sealed("x").partition(".")[0]
    looks = [
        f"{head[:-4]}AAAA..{'A' * 16}.AAAA.{'A' * 22}",
        "sy1." + "A" * 57,
        "sy1." + "_" * 60,
        "sy1.",
        "eyJhbGciOiJkaXIifQ..a.b.c",
    ]
    assert embedded_tokens.find(json.dumps(looks).encode(), LIMIT) == []
    assert opened(looks) == looks


def test_a_token_spelled_with_escapes_stays() -> None:
    body = f'["\\u0065{sealed("x")[1:]}", "{sealed("y")}"]'
    assert json.loads(replied(RULE, body)) == ["e" + json.loads(body)[0][1:], "y"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_end_of_an_escape_is_no_beginning_of_a_token(depth: int) -> None:
    looks = '"\\u000' + sealed("x") + '"'  # U+000E, and no token
    for _ in range(depth - 1):
        looks = json.dumps(f'{{"in":{looks}}}')
    answer = json.loads(replied(RULE, f'[{looks}, "{sealed("y")}"]'))
    assert answer == [json.loads(looks), "y"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_half_a_pair_in_a_nested_text_keeps_no_token_shut(depth: int) -> None:
    inner = wrapped(f'["\\ud83d", "{sealed("x")}", "\\ud83d{sealed("z")}"]', depth)
    answer = json.loads(replied(RULE, json.dumps({"in": inner, "at": sealed("y")})))
    assert (unwrapped(answer["in"], depth), answer["at"]) == ('["\\ud83d", "x", "\\ud83dz"]', "y")


def test_a_token_deeper_than_eight_texts_is_opened_as_part_of_text() -> None:
    assert json.loads(replied(RULE, json.dumps([wrapped(sealed("x"), 9)])))


def test_what_opens_is_not_opened_again() -> None:
    twice = sealed(sealed("x"))
    once = opened([twice])[0]
    assert once.startswith("eyJ0eXAiOiJzeTEi")
    assert opened([once]) == ["x"]


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b'{"a":1', b"<p>sy1</p>"])
def test_a_body_without_tokens_passes_whatever_it_is(body: bytes) -> None:
    assert embedded_tokens.find(body, LIMIT) == []


def test_a_body_with_tokens_must_be_json() -> None:
    with pytest.raises(InvalidBody):
        embedded_tokens.find(b'{"a":"' + sealed("x").encode() + b'"', LIMIT)


def test_places_are_told_as_they_are() -> None:
    body = json.dumps({"a": sealed("x"), "b": json.dumps([sealed("y") + "!"])}).encode()
    first, second = embedded_tokens.find(body, LIMIT)
    assert body[first.start : first.end].startswith(b"eyJ0eXAiOiJzeTEi")
    assert (first.depth, first.quotes, second.depth, second.quotes) == (1, (1, 1), 2, None)
    assert first.end < second.start


def test_a_json_token_as_a_members_name_stays_a_string() -> None:
    assert opened({sealed_json("42"): 1}) == {"42": 1}
    assert json.loads(opened([json.dumps({sealed_json("42"): 1})])[0]) == {"42": 1}


def test_quotes_of_a_nested_text_may_be_spelled_with_an_escape() -> None:
    quote = "\\u0022"  # as .NET writes them
    body = f'{{"a":"{{{quote}b{quote}:{quote}{sealed_json("42")}{quote}}}"}}'
    assert json.loads(json.loads(replied(RULE, body))["a"]) == {"b": 42}


def test_quotes_that_are_spelled_in_a_way_nobody_writes_leave_a_text() -> None:
    backslash = "\\u005c"  # the escape of the escape, itself escaped
    body = (
        f'["[{backslash}\\"x{backslash}\\", {backslash}u0022{sealed_json("42")}{backslash}u0022]"]'
    )
    assert isinstance(json.loads(replied(RULE, body))[0], str)


def test_a_string_in_a_string_stays_a_string() -> None:
    assert json.loads(opened([json.dumps(sealed('a"b'))])[0]) == 'a"b'


def test_a_cut_token_of_nothing_leaves_no_remains() -> None:
    assert opened([sealed("")[:-3]]) == ["[sealed]"]


@pytest.mark.parametrize(
    "before", ["\\u000eyJ0eXAiOiJzeTEi", sealed("s", "short") + "\\u0041"], ids=["jwe", "short"]
)
def test_a_token_behind_what_only_looks_like_one_opens(before: str) -> None:
    answer = json.loads(replied(RULE, f'["{before} {sealed("x")}"]'))
    assert answer[0].endswith(" x")


@pytest.mark.timing
@pytest.mark.parametrize("piece", ["eyJ0eXAiOiJzeTEi", "sy1.AAAAa0nXAAAAA"])
def test_what_only_looks_like_tokens_is_passed_over_in_linear_time(piece: str) -> None:
    body = b'["%b"]' % (f"{piece}\\u0041 ".encode() * 30_000)
    began = time.process_time()
    assert embedded_tokens.find(body, LIMIT) == []
    assert time.process_time() - began < 10  # a second; each compared with all took a minute


@pytest.mark.parametrize("form", ["jwe", "short"])
def test_more_tokens_than_the_limit_are_refused(form: Form) -> None:
    body = json.dumps([sealed("x", form)] * 4).encode()
    assert len(embedded_tokens.find(body, 4)) == 4
    with pytest.raises(InvalidBody):
        embedded_tokens.find(body, 3)


def test_tokens_stay_where_a_name_that_binds_them_is_missing() -> None:
    names = Names(conversation=parse_source("$.cid"))
    block = a_block(decrypt=[an_item("tokens", bind=["conversation"])], names=names)
    body = json.dumps([sealed("x")])
    assert replied(a_rule(response=block), body) == body.encode()


parts = st.sampled_from(
    [
        sealed("x"),
        sealed("y", "short"),
        sealed("z")[:30],
        "sy1.",
        '"',
        "\\",
        "[",
        "]",
        "{",
        ",",
        ":",
    ]
)


@given(
    st.binary(max_size=40)
    | st.lists(parts | st.text(max_size=3), max_size=8).map(lambda all_: "".join(all_).encode())
    | st.lists(parts, max_size=6).map(lambda all_: json.dumps(all_).encode())
)
def test_any_bytes_are_searched_or_refused(body: bytes) -> None:
    try:
        found = embedded_tokens.find(body, LIMIT)
    except SealyardError as error:
        assert isinstance(error, InvalidBody)  # noqa: PT017 - either outcome is lawful
        return
    assert sorted(found, key=lambda one: one.start) == found


@pytest.mark.no_cover
@given(documents(), st.lists(parts, max_size=3))
def test_what_comes_out_is_json_always(text: str, more: list[str]) -> None:
    body = f"[{text}, {json.dumps(more)}, {json.dumps([json.dumps(more)])}]"
    assert json.loads(replied(RULE, body))[0] == json.loads(text)


@pytest.mark.parametrize("escape", ["\\\\", '\\"', "\\u00e9", "\\n"])
def test_a_long_string_is_one_wherever_its_pieces_end(escape: str) -> None:
    one = sealed("hello")
    for at in range(PIECE_BYTES - 8, PIECE_BYTES + 2):
        text = f'["{"x" * at}{escape} {one}","{one}"]'.encode()
        found = embedded_tokens.find(text, LIMIT)
        assert [(each.end, each.quotes) for each in found] == [
            (len(text) - len(one) - len('","') - len('"]'), None),
            (len(text) - len('"]'), (1, 1)),
        ]
