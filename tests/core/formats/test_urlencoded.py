"""Forms: values come back, nothing else changes, and no spelling of a name gets past its rule."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MissingValue,
    OpenFailed,
    SealyardError,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats import urlencoded
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.rules.model import Names, Rule
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    reply,
    send,
    sent,
)

FORM_TYPE = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
SEAL = a_rule(request=a_block(encrypt=["form:card"]), names=NAMES)
OPEN = a_rule(request=a_block(decrypt=["form:card"]), names=NAMES)
TOKENS = a_rule(
    request=a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation"])]), names=NAMES
)
CANARY = "4111-CANARY"


def through(
    rule: Rule, body: bytes | str, headers: Headers = FORM_TYPE, target: str = "/api/messages"
) -> bytes:
    return sent(rule, a_message(body, headers=headers, target=target))


def token_of(value: str, *, cty: str | None = None, field: str | None = None) -> str:
    context = Context(Scope("clinic", "c1"), field)
    return a_session().seal(value.encode(), context, cty=cty).decode()


texts = st.text(st.characters(codec="utf-8"), max_size=12)
# Names that are in no reading the selected one.
others = st.from_regex(r"[abxyz0-9_~*%-]{1,6}", fullmatch=True).filter(lambda one: "%" not in one)
raw_values = st.text(st.sampled_from("ab+*~.-_=%!$'(),:@/?é\t\x00\x7f"), max_size=8).map(
    lambda text: text.encode()
)
raw_pairs = st.one_of(
    st.tuples(others.map(str.encode), raw_values).map(b"=".join),
    others.map(str.encode),
    st.just(b""),
)


@given(st.lists(raw_pairs, max_size=4), texts, st.lists(raw_pairs, max_size=4))
def test_g1_a_value_comes_back_and_no_other_byte_changes(
    before: list[bytes], value: str, after: list[bytes]
) -> None:
    pair = b"card=" + urlencoded.encode(value.encode())
    body = b"&".join([*before, pair, *after])

    sealed = through(SEAL, body)

    start, end = len(b"&".join([*before, b"card="])), len(b"&".join([b"", *after])) if after else 0
    assert body[:start] == sealed[:start]
    assert body[len(body) - end :] == sealed[len(sealed) - end :]
    token = sealed[start : len(sealed) - end]
    assert token.startswith(b"eyJ0eXAiOiJzeTEi")
    assert not set(token) & set(b"&=+%;")
    assert body == through(OPEN, sealed)


@given(texts)
def test_a_value_is_spelled_as_browsers_spell_it(value: str) -> None:
    spelled = urlencoded.encode(value.encode())

    assert [("a", value)] == parse_qsl("a=" + spelled.decode("ascii"), keep_blank_values=True)
    assert value.encode() == urlencoded.decode(spelled)
    assert not set(spelled.decode()) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._+%"
    )


@given(st.binary(max_size=20))
def test_every_byte_that_a_value_reads_as_has_its_place(value: bytes) -> None:
    spelled = quote_plus(value, safe="!").encode()

    places = urlencoded.places(spelled)

    assert len(value) + 1 == len(places)
    for at, byte in enumerate(value):
        assert bytes((byte,)) == form_bytes(spelled[places[at] : places[at + 1]])


def form_bytes(spelled: bytes) -> bytes:
    return unquote_to_bytes(spelled.replace(b"+", b" "))


@pytest.mark.parametrize("spelled", ["card", "%63ard", "c%61r%64", "%63%61%72%64"])
def test_a_name_is_found_in_each_spelling_that_means_it(spelled: str) -> None:
    sealed = through(SEAL, f"a=1&{spelled}={CANARY}&b=2").decode()

    assert sealed.startswith(f"a=1&{spelled}=eyJ")
    assert sealed.endswith("&b=2")
    assert CANARY not in sealed


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("card=1&card=4111", InvalidBody),
        ("card=1&%63ard=4111", InvalidBody),
        ("card&card=4111", InvalidBody),
        ("card=4111&card", InvalidBody),
        ("card=1&Card=4111", ForbiddenValue),
        ("CARD=4111", ForbiddenValue),
        ("card=1&c%41rd=4111", ForbiddenValue),
        ("card=1&card[]=4111", ForbiddenValue),
        ("card=1&card%5B%5D=4111", ForbiddenValue),
        ("card=1&card[0]=4111", ForbiddenValue),
        ("card=1&card[number]=4111", ForbiddenValue),
        ("card=1&[card]=4111", ForbiddenValue),
        ("card=1&card]=4111", ForbiddenValue),
        ("card=1&+card=4111", ForbiddenValue),
        ("card=1&%20card=4111", ForbiddenValue),
        ("card=1&card+=4111", ForbiddenValue),
        ("card=1&card%09=4111", ForbiddenValue),
        ("card=1&card%00x=4111", ForbiddenValue),
        ("card=1&%EF%BB%BFcard=4111", ForbiddenValue),
        ("\ufeffcard=4111", ForbiddenValue),
        ("?card=4111&card=1", ForbiddenValue),
        ("card=1&%3Fcard=4111", ForbiddenValue),
        ("\ufeff?card=4111", ForbiddenValue),
        ("card=1&%2563ard=4111", ForbiddenValue),
        ("card=1&%252563ard=4111", ForbiddenValue),
        ("card=1&%2525252563ard=4111", ForbiddenValue),
        ("card=1&%u0063ard=4111", ForbiddenValue),
        ("card=1&%EF%BD%83ard=4111", ForbiddenValue),
        ("card=1&x=1;card=4111", ForbiddenValue),
        ("card=1;card=4111", ForbiddenValue),
        ("card=1&x;Card=4111", ForbiddenValue),
        ("card=1&x=;;c%61rd[]=4111", ForbiddenValue),
        ("card=1&;card=4111", ForbiddenValue),
        ("card=1&c%FFrd=4111", InvalidBody),
        ("card=1&%c1%a3ard=4111", InvalidBody),
        ("card=%zz", InvalidBody),
        ("card=4111%", InvalidBody),
        ("card=%u0034111", InvalidBody),
        ("card=%FF", InvalidBody),
        ("card=\udc80", InvalidBody),
        ("car=4111", MissingValue),
        ("card", MissingValue),
        ("", MissingValue),
        ('{"card":"4111"}', UnsupportedBody),
        ("x=1" + "&" * 10_000, BodyTooLarge),
        ("card=1" + ";" * 10_000, BodyTooLarge),
    ],
)
def test_g2_g3_g5_g6_g7_what_backends_could_read_otherwise_is_refused(
    body: str, error: type[SealyardError]
) -> None:
    with pytest.raises(error):
        through(SEAL, body.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "target",
    ["?card=4111", "?x=1&c%61rd[]=4111", "?CARD=1", "?x=1;card=4111", "?card", "?%EF%BD%83ard=1"],
)
@pytest.mark.parametrize("rule", [SEAL, OPEN])
def test_g4_a_selected_name_stands_in_no_query(rule: Rule, target: str) -> None:
    with pytest.raises(ForbiddenValue) as caught:
        through(rule, "card=1", target=f"/api/messages{target}")

    assert caught.value.reason == "name-in-query"


def test_other_names_may_stand_in_the_query() -> None:
    assert through(SEAL, "card=1", target="/api/messages?cards=1&x").startswith(b"card=eyJ")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        JSON_TYPE,
        ((b"Content-Type", b"text/plain"),),
        ((b"Content-Type", b"multipart/form-data; boundary=x"),),
        ((b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-7"),),
        FORM_TYPE + FORM_TYPE,
    ],
)
def test_a_form_is_read_as_one_only_where_it_says_so(headers: Headers) -> None:
    with pytest.raises(UnsupportedBody):
        through(SEAL, "card=4111", headers)


def test_a_json_block_takes_no_form() -> None:
    with pytest.raises(UnsupportedBody):
        through(a_rule(request=a_block(encrypt=["$.card"]), names=NAMES), "card=4111")


def test_a_charset_of_utf_8_changes_nothing() -> None:
    typed = ((b"Content-Type", b"Application/X-WWW-Form-Urlencoded;charset=UTF-8"),)

    assert CANARY.encode() not in through(SEAL, f"card={CANARY}", typed)


def test_a_rule_may_say_that_another_type_is_a_form() -> None:
    rule = a_rule(request=a_block(encrypt=["form:card"], types=("text/plain",)), names=NAMES)

    assert through(rule, "card=4111", ((b"Content-Type", b"text/plain"),)).startswith(b"card=eyJ")


def test_a_route_takes_the_block_for_the_kind_of_body() -> None:
    blocks = (a_block(encrypt=["form:card"]), a_block(encrypt=["$.card"]))
    rule = a_rule(request=blocks, names=NAMES)

    assert through(rule, "card=4111").startswith(b"card=eyJ")
    assert through(rule, '{"card":"4111"}', JSON_TYPE).startswith(b'{"card":"eyJ')


def test_nested_names_are_names_like_others() -> None:
    rule = a_rule(request=a_block(encrypt=["form:user[card]"]), names=NAMES)

    sealed = through(rule, f"user[name]=a&user%5Bcard%5D={CANARY}&user=b")

    assert sealed.startswith(b"user[name]=a&user%5Bcard%5D=eyJ")
    for name in ("user.card", "user[card][]", "user_card", "user[Card]"):
        with pytest.raises(ForbiddenValue):
            through(rule, f"user[card]=1&{name}={CANARY}")


def test_case_variants_pass_where_the_rule_allows_them() -> None:
    block = replace(a_block(encrypt=["form:card"]), case_variants_allowed=True)
    rule = a_rule(request=block, names=NAMES)

    assert through(rule, "card=1&Card=2").endswith(b"&Card=2")
    with pytest.raises(ForbiddenValue):
        through(rule, "card=1&card[]=2")
    with pytest.raises(ForbiddenValue):
        through(rule, "card=1&x;Card=2")


@pytest.mark.parametrize("body", ["", "a=1", "card", "a=1&card&b"])
def test_an_optional_value_may_be_missing(body: str) -> None:
    rule = a_rule(request=a_block(encrypt=["optional form:card"]), names=NAMES)

    assert body.encode() == through(rule, body)


def test_an_empty_value_is_sealed() -> None:
    sealed = through(SEAL, "card=&x")

    assert sealed.startswith(b"card=eyJ")
    assert through(OPEN, sealed) == b"card=&x"


def test_json_and_form_cannot_stand_in_one_block() -> None:
    rule = a_rule(request=a_block(encrypt=["form:card", "$.card"]), names=NAMES)

    with pytest.raises(InvalidExpression):
        RuleTable((rule,), pass_unmatched=True)


@pytest.mark.parametrize("value", ["4111", "", "%zz", "eyJ0eXAiOiJzeTEi", "x" + "eyJ0eXAiOiJzeTEi"])
def test_what_is_not_a_token_does_not_open(value: str) -> None:
    with pytest.raises((OpenFailed, InvalidBody)):
        through(OPEN, f"card={value}")


def test_a_token_of_another_field_does_not_open() -> None:
    with pytest.raises(OpenFailed):
        through(OPEN, f"card={token_of('x', field='name')}")


def test_a_token_opens_in_any_spelling() -> None:
    token = token_of("a b&c=d\r\n\0é", field="form:card")
    spelled = "".join(f"%{byte:02x}" for byte in token.encode())

    assert through(OPEN, f"card={spelled}") == b"card=a+b%26c%3Dd%0D%0A%00%C3%A9"


def test_sealed_json_opens_as_its_text() -> None:
    token = token_of("[1, 2]", cty="json", field="form:card")

    assert through(OPEN, f"card={token}") == b"card=%5B1%2C+2%5D"


def test_what_is_sealed_already_is_sealed_again() -> None:
    once = through(SEAL, "card=4111")
    twice = through(SEAL, once)

    assert once != twice
    assert once == through(OPEN, twice)


def test_a_response_opens_and_its_variants_stay() -> None:
    block = a_block(decrypt=["form:card"])
    rule = a_rule("GET /x", request=a_block(encrypt=["form:card"]), response=block, names=NAMES)
    rule = replace(rule, patterns=SEAL.patterns)
    token = token_of("4111", field="form:card")

    trip = form_reply(rule, f"card={token}&card[]=x")

    assert trip == b"card=4111&card[]=x"


def form_reply(rule: Rule, body: str) -> bytes:
    trip = Trip((rule,), a_message("card=1", headers=FORM_TYPE))
    trip.request()
    applied = trip.response(body, a_response(headers=FORM_TYPE))
    assert applied is not None
    assert applied.forwardable.body is not None
    return applied.forwardable.body


# --- tokens anywhere in values --------------------------------------------------------------------

parts = st.lists(
    st.one_of(st.text(st.sampled_from("x 7&=+%;é世\0\n"), max_size=4), st.just(None)), max_size=5
)


@given(st.lists(st.tuples(others, parts), max_size=4))
def test_g8_tokens_open_wherever_they_stand_in_values(
    pairs: list[tuple[str, list[str | None]]],
) -> None:
    opened = [
        (name, "".join("(s&t)" if one is None else one for one in text)) for name, text in pairs
    ]
    token = f"({token_of('s&t')})"
    sealed = [
        (name, "".join(token if one is None else one for one in text)) for name, text in pairs
    ]

    result = through(TOKENS, urlencode(sealed)).decode()

    assert opened == parse_qsl(result, keep_blank_values=True)


def test_tokens_leave_every_other_byte() -> None:
    token = token_of("é")
    body = f"a=%7e~+%20&b=(%28{token}%29)&&c&%61={token}&d=%zz{token}&e=%ff{token}"

    opened = through(TOKENS, body).decode()

    assert opened == f"a=%7e~+%20&b=(%28%C3%A9%29)&&c&%61=%C3%A9&d=%zz{token}&e=%ff{token}"


def test_tokens_open_in_json_in_a_value() -> None:
    text, value = token_of('say "hi"'), token_of("[1]", cty="json")
    payload = f'{{"text":"Re: {text}","n":{{"v":"{value}"}}}}'

    result = through(TOKENS, urlencode({"payload": payload})).decode()

    assert parse_qsl(result) == [("payload", '{"text":"Re: say \\"hi\\"","n":{"v":[1]}}')]


def test_a_value_that_only_begins_like_json_is_a_text() -> None:
    token = token_of("x")
    values = {"a": f"[{token}", "b": f"{{NaN {token}}}", "c": "[" * 200 + f'"{token}"' + "]" * 200}

    result = through(TOKENS, urlencode(values)).decode()

    assert [value for _, value in parse_qsl(result)] == [
        "[x",
        "{NaN x}",
        "[" * 200 + '"x"' + "]" * 200,
    ]


def test_cut_tokens_become_the_placeholder() -> None:
    cut = token_of("x")[:60]

    assert through(TOKENS, f"a=({cut})") == b"a=(%5Bsealed%5D)"


def test_tokens_that_do_not_open_stay() -> None:
    foreign = a_session(Scope("other", "c1")).seal(b"x", Context(Scope("other", "c1"))).decode()

    assert through(TOKENS, f"a={foreign}") == f"a={foreign}".encode()


def test_what_looks_like_a_token_and_is_none_stays() -> None:
    for text in ("sy1." + "B" * 58, f"eyJ0eXAiOiJzeTEi..{'A' * 16}.A.{'A' * 22}"):
        assert through(TOKENS, f"a={text}") == f"a={text}".encode()


def test_a_form_holds_no_more_tokens_than_the_rule_allows() -> None:
    block = a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation"])])
    rule = a_rule(request=replace(block, max_tokens=2), names=NAMES)
    token = token_of("x")

    assert through(rule, f"a={token}&b={token}") == b"a=x&b=x"
    for body in (f"a={token}&b={token}&c={token}", f"a={token}+{token}+{token}"):
        with pytest.raises(InvalidBody):
            through(rule, body)


def test_tokens_open_beside_a_pair_that_is_sealed() -> None:
    tokens = an_item("tokens", bind=["tenant", "conversation"])
    rule = a_rule(request=a_block(encrypt=["form:card"], decrypt=[tokens]), names=NAMES)

    opened = through(rule, f"card=4111&b={token_of('x')}")

    assert opened.startswith(b"card=eyJ")
    assert opened.endswith(b"&b=x")


def test_tokens_still_open_in_json_and_in_json_alone_by_another_type() -> None:
    assert through(TOKENS, f'["{token_of("x")}"]', JSON_TYPE) == b'["x"]'
    with pytest.raises(UnsupportedBody):
        through(TOKENS, token_of("x"), ((b"Content-Type", b"text/plain"),))


def test_tokens_open_in_the_kind_of_body_that_the_rest_of_a_block_reads() -> None:
    tokens = an_item("tokens", bind=["tenant", "conversation"])
    plain = ((b"Content-Type", b"text/plain"),)
    block = a_block(encrypt=["form:card"], decrypt=[tokens], types=("text/plain",))

    assert through(a_rule(request=block, names=NAMES), f"card=&a={token_of('&')}", plain).endswith(
        b"&a=%26"
    )
    block = a_block(decrypt=[tokens], types=("text/plain",))
    assert through(a_rule(request=block, names=NAMES), f'["{token_of("&")}"]', plain) == b'["&"]'


def test_a_form_is_explained_with_its_values_masked() -> None:
    tokens = an_item("tokens", bind=["tenant", "conversation"])
    rule = a_rule(request=a_block(encrypt=["form:card"], decrypt=[tokens]), names=NAMES)
    body = f"card={CANARY}&b=%28{token_of('x')}".encode()
    message = a_message(body, headers=FORM_TYPE)

    told, _ = explain_request(
        RuleTable((rule,), pass_unmatched=True), message.head, canonical("/api/messages"), body
    )

    assert told.outgoing is not None
    assert told.outgoing.startswith(b"card=<form:card sealed, ")
    assert told.outgoing.endswith(b"&b=%28<token opened>")
    assert [one.action for one in told.values] == ["sealed", "opened"]


def test_a_changed_form_tells_those_behind_not_to_recode_it() -> None:
    assert send(SEAL, a_message("card=1", headers=FORM_TYPE)).forwardable.frame.added_headers


def test_a_reply_in_json_is_none_of_a_form() -> None:
    tokens = a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation"])])
    token = token_of("x")

    answer = reply(a_rule(response=tokens, names=NAMES), f'["{token}"]')

    assert answer.forwardable.body == b'["x"]'
