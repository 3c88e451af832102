"""Values of which the backend would have refused the plaintext: no string, or too short a one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context
from proxy.core.crypto.token import decode
from proxy.core.errors import SealyardError, UnfitValue
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.rules.conditions import Condition, text_value
from proxy.core.rules.model import Block, Rule
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Message,
    a_block,
    a_message,
    a_rule,
    a_session,
    an_item,
    replied,
    send,
    sent,
    with_block,
)

FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
NDJSON = ((b"Content-Type", b"application/x-ndjson"),)
SSE = ((b"Content-Type", b"text/event-stream"),)
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
TEXT = ((b"Content-Type", b"text/plain"),)
NO_STRINGS = ("12", "1.0", "true", "false", "[]", '["a long text"]', "{}", '{"a":"long text"}')


def rule(selector: str = "$.content", min_chars: int = 0, **changes: object) -> Rule:
    block = a_block(encrypt=[an_item(selector, min_chars=min_chars, field="content")])
    made = a_rule("POST /api/messages", request=block)
    return with_block(made, **changes) if changes else made


def said(content: str, **members: str) -> str:
    """Return a message whose content is this JSON text."""
    return f'{{"conversationId":"c1","content":{content}}}'


def a_part(content: str, more: str = "") -> str:
    head = f'Content-Disposition: form-data; name="content"{more}'
    return f"--of-parts\r\n{head}\r\n\r\n{content}\r\n--of-parts--\r\n"


def a_file(name: str) -> str:
    return a_part("", f'; filename="{name}"')


def refusal(rule: Rule, message: Message) -> UnfitValue:
    with pytest.raises(UnfitValue) as caught:
        send(rule, message)
    assert (caught.value.status, caught.value.code) == (422, "unfit-value")
    assert caught.value.detail.startswith("content: ")
    return caught.value


@pytest.mark.parametrize("value", NO_STRINGS)
def test_what_is_no_string_is_refused(value: str) -> None:
    error = refusal(rule(), a_message(said(value)))
    assert (error.reason, error.detail) == ("not-a-string", "content: a string is needed.")


@pytest.mark.parametrize("value", NO_STRINGS)
def test_in_a_list_it_is_refused_as_well(value: str) -> None:
    body = f'{{"conversationId":"c1","messages":[{{"content":"fine"}},{{"content":{value}}}]}}'
    refusal(rule("$.messages.*.content"), a_message(body))


@pytest.mark.parametrize("value", NO_STRINGS)
@pytest.mark.parametrize("selector", ["$..content", "$['content']"])
def test_whatever_finds_it(value: str, selector: str) -> None:
    refusal(rule(selector), a_message(said(value)))


def test_any_string_will_do_where_no_length_is_asked_for() -> None:
    for text in ("", "a", "😀", 'quo"te'):
        assert b"eyJ0" in sent(rule(), a_message(said(json.dumps(text))))


@pytest.mark.parametrize("ascii_only", [True, False])
@given(text=st.text(max_size=12), least=st.integers(1, 8))
def test_characters_are_code_points(ascii_only: bool, text: str, least: int) -> None:  # noqa: FBT001 - a parameter
    body = a_message(said(json.dumps(text, ensure_ascii=ascii_only)))
    if len(text) >= least:
        sent(rule(min_chars=least), body)
    else:
        error = refusal(rule(min_chars=least), body)
        assert error.reason == "too-few-characters"
        assert error.detail == f"content: at least {least} characters are needed."


def test_what_has_the_text_of_a_token_counts_as_that_text() -> None:
    token = a_session().seal(b"", Context(SCOPE, field="content")).decode()
    assert b"eyJ0" in sent(rule(min_chars=150), a_message(said(f'"{token}"')))


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize(
    ("plaintext", "cty", "reason"),
    [
        (b"ab", None, "too-few-characters"),
        ("äö".encode(), None, "too-few-characters"),
        (b"\xff\xfe\xfd\xfc", None, "not-a-string"),
        (b"[1, 2, 3]", "json", "not-a-string"),
        (b"abc", None, None),
    ],
)
def test_of_a_token_that_is_kept_the_opened_text_counts(
    form: str, plaintext: bytes, cty: str | None, reason: str | None
) -> None:
    context = Context(SCOPE, field="content")
    token = a_session().seal(plaintext, context, cty=cty, form=form).decode()  # type: ignore[arg-type]  # one of the two
    message = a_message(said(f'"{token}"'))
    keeping = rule(min_chars=3, already_sealed="keep")
    if reason is None:
        assert token.encode() in sent(keeping, message)
    else:
        assert refusal(keeping, message).reason == reason


def test_a_token_that_is_not_kept_counts_as_a_text() -> None:
    token = a_session().seal(b"a", Context(SCOPE, field="another")).decode()
    changed = sent(rule(min_chars=3, already_sealed="keep"), a_message(said(f'"{token}"')))
    assert token.encode() not in changed


# Python's white space, JavaScript's and Java's: some backend trims each.
WHITE = [one for one in map(chr, range(0x3001)) if one.isspace() or one <= " "] + ["\ufeff"]


def checked(**settings: bool) -> Rule:
    item = replace(an_item("$.content", min_chars=0), **settings)  # type: ignore[arg-type] # switches
    return a_rule("POST /api/messages", request=a_block(encrypt=[item]))


@pytest.mark.parametrize("text", ["", "".join(WHITE), *WHITE])
def test_what_is_blank_to_some_backend_is_refused(text: str) -> None:
    message = a_message(said(json.dumps(text)))
    error = refusal(checked(not_blank=True), message)

    assert (error.reason, error.detail) == ("blank", "content: more than white space is needed.")
    sent(checked(), message)


def test_what_is_not_blank_is_sealed_as_it_is() -> None:
    assert opened(sent(checked(not_blank=True), a_message(said('" a "')))) == b" a "


@pytest.mark.parametrize("white", WHITE)
def test_what_is_trimmed_is_sealed_without_white_space_at_its_ends(white: str) -> None:
    text = f"{white}{white}a{white}b{white}"
    body = sent(checked(trim=True), a_message(said(json.dumps(text))))

    assert opened(body) == f"a{white}b".encode()


def test_what_is_trimmed_counts_as_it_is_then() -> None:
    least = replace(an_item("$.content", min_chars=2), trim=True)
    made = a_rule("POST /api/messages", request=a_block(encrypt=[least]))

    assert refusal(made, a_message(said('"  a  "'))).reason == "too-few-characters"


def test_a_token_that_is_kept_is_no_blank_and_stays_as_it_is() -> None:
    context = Context(SCOPE, field="content")
    blank, spaced = (a_session().seal(text, context).decode() for text in (b" \t", b" a "))
    keeping = with_block(checked(not_blank=True, trim=True), already_sealed="keep")

    assert refusal(keeping, a_message(said(f'"{blank}"'))).reason == "blank"
    assert spaced.encode() in sent(keeping, a_message(said(f'"{spaced}"')))


def opened(body: bytes) -> bytes:
    token = decode(json.loads(body)["content"].encode())
    return a_session().open(token, Context(SCOPE, field="content"), NOW)


@pytest.mark.parametrize(
    ("selector", "headers", "short", "long"),
    [
        ("form:content", FORM, "content=%C3%A4", "content=%C3%A4bc"),
        (
            "$.content",
            NDJSON,
            '{"conversationId":"c1","content":"abc"}\n{"conversationId":"c1","content":"ab"}\n',
            '{"conversationId":"c1","content":"abc"}\n{"conversationId":"c1","content":"abd"}\n',
        ),
        (
            "$.content",
            SSE,
            'data: {"conversationId":"c1","content":"ä\\u0062"}\n\n',
            'data: {"conversationId":"c1","content":"äbc"}\n\n',
        ),
        ("text", TEXT, "ä", "äbc"),
        (
            "part:content",
            PARTS,
            a_part("ab"),
            a_part("abc"),
        ),
        (
            "filename:content",
            PARTS,
            a_file("ab"),
            a_file("abc"),
        ),
    ],
)
def test_every_kind_of_body_is_asked(
    selector: str, headers: Headers, short: str, long: str
) -> None:
    bound = an_item(selector, min_chars=3, field="content", bind=["tenant", "field"])
    block = replace(a_block(encrypt=[bound]), format="sse" if headers == SSE else None)
    made = a_rule("POST /api/messages", request=block)
    sent(made, a_message(long, headers=headers))
    assert refusal(made, a_message(short, headers=headers)).reason == "too-few-characters"


@pytest.mark.parametrize("selector", ["query:content", "header:content"])
def test_values_of_the_head_are_asked(selector: str) -> None:
    bound = an_item(selector, min_chars=3, field="content", bind=["tenant", "field"])
    made = a_rule("POST /api/messages", request=a_block(encrypt=[bound]))

    def with_value(text: str) -> Message:
        return a_message(
            "{}",
            target=f"/api/messages?content={text}" if "query" in selector else "/api/messages",
            headers=JSON_TYPE if "query" in selector else (*JSON_TYPE, (b"content", text.encode())),
        )

    send(made, with_value("abc"))
    assert refusal(made, with_value("ab")).reason == "too-few-characters"


@pytest.mark.parametrize("size", [3, 100_000])
def test_a_file_is_no_string(size: int) -> None:
    bound = an_item("part:content", min_chars=0, bind=["tenant", "field"], field="content")
    made = a_rule("POST /api/messages", request=a_block(encrypt=[bound]))
    body = (
        '--of-parts\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n'
        f"Content-Type: image/png\r\n\r\n{'a' * size}\r\n--of-parts--\r\n"
    )
    assert refusal(made, a_message(body, headers=PARTS)).reason == "not-a-string"


def test_of_a_response_it_is_the_fault_of_the_backend() -> None:
    made = a_rule(
        "POST /api/messages", response=a_block(encrypt=[an_item("$.content", min_chars=1)])
    )
    with pytest.raises(UnfitValue) as caught:
        replied(made, said('""'))
    assert caught.value.response_status == 502


@pytest.mark.parametrize("content", ["12", '"ab"'])
def test_explain_tells_it(content: str) -> None:
    book = RuleTable((rule(min_chars=3),), pass_unmatched=True)
    message = a_message(said(content))
    told, _ = explain_request(book, message.head, canonical(message.head.path), message.body)
    assert isinstance(told.refusal, UnfitValue)


def test_explain_tells_it_of_records_with_blocks_of_their_own_and_of_heads() -> None:
    when = (Condition(parse_json_selector("$.a"), frozenset({text_value("x")})),)
    asks = a_block(encrypt=[an_item("$.content", min_chars=3)])
    own = a_rule("POST /api/messages", request=(replace(asks, when=when), asks))
    record = '{"conversationId":"c1","a":"%s","content":"ab"}'
    titled = an_item("header:content", min_chars=3, field="content", bind=["tenant", "field"])
    head = a_rule("POST /api/messages", request=a_block(encrypt=[titled]))
    for made, message in (
        (own, a_message(record % "x" + "\n" + record % "y", headers=NDJSON)),
        (own, a_message(record % "y", headers=NDJSON)),
        (head, a_message("{}", headers=(*JSON_TYPE, (b"content", b"ab")))),
    ):
        book = RuleTable((made,), pass_unmatched=True)
        told, _ = explain_request(book, message.head, canonical(message.head.path), message.body)
        assert isinstance(told.refusal, UnfitValue)


def test_what_explain_cannot_know_it_does_not_refuse() -> None:
    """A token that may be kept is opened with keys, which nobody explains with."""
    book = RuleTable((rule(min_chars=3, already_sealed="keep"),), pass_unmatched=True)
    token = a_session().seal(b"abc", Context(SCOPE, field="content")).decode()
    message = a_message(said(f'"{token}"'))
    told, _ = explain_request(book, message.head, canonical(message.head.path), message.body)
    assert told.refusal is None


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_passes_is_a_sealed_string(value: object) -> None:
    """Whatever the JSON type, what reaches the backend is the token of a string or nothing."""
    message = a_message(said(json.dumps(value)))
    try:
        body = json.loads(sent(rule(min_chars=1), message))
    except SealyardError:
        assert not isinstance(value, str) or not value
        return
    token = decode(body["content"].encode())
    assert a_session().open(token, Context(SCOPE, field="content"), NOW) == str(value).encode()
    assert isinstance(value, str)
    assert token.cty is None


def test_two_blocks_in_one_rule_ask_each_for_its_own() -> None:
    blocks: tuple[Block, ...] = (
        a_block(encrypt=[an_item("$.content", min_chars=3)], types=("application/json",)),
        a_block(encrypt=[an_item("$.content")], types=("application/x-ndjson",)),
    )
    made = a_rule("POST /api/messages", request=blocks)
    refusal(made, a_message(said("12")))
    assert b"eyJ0" in sent(made, a_message(said("12"), headers=NDJSON))
