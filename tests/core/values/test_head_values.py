"""Values in the head: sealed and opened in place, nothing else of the head changes."""

from __future__ import annotations

import email.charset
import email.header
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import (
    ForbiddenValue,
    InvalidBody,
    InvalidExpression,
    MissingValue,
    OpenFailed,
    SealyardError,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.block_choice import choose_bodiless, choose_response
from proxy.core.planning.record_stream import streamed_response
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.transform import Applied, apply, pass_response, plan_bodiless
from tests.core.explained import explain_request
from tests.factories import (
    JSON_TYPE,
    NOW,
    Trip,
    a_block,
    a_message,
    a_rule,
    a_session,
    an_item,
    keys_for,
    reply,
    send,
)

NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
PREFIX = "eyJ0eXAiOiJzeTEi"


def a_head_item(written: str) -> Item:
    selector = written.removeprefix("optional ")
    field = selector.rpartition(":")[2].removeprefix("$.")
    return an_item(selector, field=field, optional=written != selector)


def a_head_rule(encrypt: Sequence[str] = (), decrypt: Sequence[str] = ()) -> Rule:
    block = a_block(
        encrypt=[a_head_item(one) for one in encrypt], decrypt=[a_head_item(one) for one in decrypt]
    )
    return a_rule("/a", request=block, names=NAMES)


def through(rule: Rule, query: str | None = None, headers: Headers = (), body: str = "") -> Applied:
    target = "/a" if query is None else f"/a?{query}"
    method = "POST" if body else "GET"
    return send(rule, a_message(body, method=method, target=target, headers=headers))


def head_of(applied: Applied) -> RequestHead:
    head = applied.forwardable.head
    assert isinstance(head, RequestHead)
    return head


def query_of(applied: Applied) -> str:
    query = head_of(applied).query
    assert query is not None
    return query


def a_token(text: str | bytes, field: str = "q", cty: str | None = None) -> str:
    data = text.encode() if isinstance(text, str) else text
    return a_session().seal(data, Context(Scope("clinic", "c1"), field), cty=cty).decode()


SEAL_QUERY, OPEN_QUERY = a_head_rule(encrypt=["query:q"]), a_head_rule(decrypt=["query:q"])
SEAL_TITLE, OPEN_TITLE = (
    a_head_rule(encrypt=["header:title"]),
    a_head_rule(decrypt=["header:title"]),
)

texts = st.text(st.characters(codec="utf-8"), max_size=12)
pieces = st.lists(st.sampled_from(["a=%7e+", "b", "", "c==&", "d=%zz", "~=;x"]), max_size=3)


@given(pieces, texts, pieces)
def test_h1_a_parameter_comes_back_and_no_other_byte_of_the_query_changes(
    before: list[str], value: str, after: list[str]
) -> None:
    query = "&".join([*before, f"q={quote(value, safe='')}", *after])
    start, end = len("&".join([*before, "q="])), len("&".join(["", *after])) if after else 0

    applied = through(SEAL_QUERY, query)

    sealed = query_of(applied)
    assert query[:start] == sealed[:start]
    assert query[len(query) - end :] == sealed[len(sealed) - end :]
    assert sealed[start:].startswith(PREFIX)
    assert query == query_of(through(OPEN_QUERY, sealed))
    assert applied.forwardable.frame.changed
    assert applied.counts == {"sealed": 1}


@given(
    # Nothing that is encoded (H8).
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="?'"),
        max_size=12,
    )
)
def test_h3_a_header_comes_back_and_no_other_header_changes(value: str) -> None:
    value = value.strip(" \t")
    headers = ((b"A", b"1"), (b"tItLe", b" " + value.encode() + b"\t"), (b"X-Title", b"2"))

    sealed = head_of(through(SEAL_TITLE, headers=headers)).headers
    opened = head_of(through(OPEN_TITLE, headers=sealed)).headers

    assert sealed[0] == headers[0]
    assert sealed[2] == headers[2]
    assert sealed[1][0] == b"tItLe"
    assert sealed[1][1].strip().startswith(PREFIX.encode())
    assert headers[1][1].strip(b" \t") == opened[1][1].strip(b" \t")
    assert headers[2:] == opened[2:]


@pytest.mark.parametrize("control", ["\r\nX-Admin: 1", "\n", "\r", "\0", "\x1f", "\x7f", "a\tb"])
def test_h5_what_opens_with_control_characters_never_reaches_a_header(control: str) -> None:
    headers = ((b"Title", a_token(f"a{control}", "title").encode()),)

    with pytest.raises(OpenFailed) as caught:
        through(OPEN_TITLE, headers=headers)

    assert caught.value.reason == "control-in-header"


def test_what_opens_with_control_characters_is_spelled_in_a_query() -> None:
    token = a_token("a\r\n\0 &=#é")

    opened = query_of(through(OPEN_QUERY, f"q={token}"))

    assert opened == "q=a%0D%0A%00%20%26%3D%23%C3%A9"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("q=1&q=2", InvalidBody),
        ("q=1&%71=2", InvalidBody),
        ("q=1&q[]=2", ForbiddenValue),
        ("q=1&+q=2", ForbiddenValue),
        ("q=1&Q=2", ForbiddenValue),
        ("Q=2", ForbiddenValue),
        ("q=1;q=2", ForbiddenValue),
        ("q=1&%2571=2", ForbiddenValue),
        ("q=%zz", InvalidBody),
        ("q=%ff", InvalidBody),
        ("q", MissingValue),
        ("a=1", MissingValue),
        ("", MissingValue),
        (None, MissingValue),
    ],
)
@pytest.mark.parametrize("rule", [SEAL_QUERY, OPEN_QUERY])
def test_h2_a_query_that_backends_could_read_otherwise_is_refused(
    rule: Rule, query: str | None, error: type[SealyardError]
) -> None:
    with pytest.raises(error):
        through(rule, query)


def test_case_variants_of_a_parameter_pass_where_the_rule_allows_them() -> None:
    assert isinstance(SEAL_QUERY.request, tuple)
    block = replace(SEAL_QUERY.request[0], case_variants_allowed=True)

    sealed = query_of(through(replace(SEAL_QUERY, request=(block,)), "q=1&Q=2"))

    assert sealed.endswith("&Q=2")


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (((b"Title", b"1"), (b"title", b"2")), InvalidBody),
        (((b"Title", b"\xff"),), InvalidBody),
        ((), MissingValue),
        (((b"X-Title", b"1"),), MissingValue),
    ],
)
@pytest.mark.parametrize("rule", [SEAL_TITLE, OPEN_TITLE])
def test_h4_a_header_that_cannot_be_told_is_refused(
    rule: Rule, headers: Headers, error: type[SealyardError]
) -> None:
    with pytest.raises(error):
        through(rule, headers=headers)


def test_a_header_with_an_underscore_for_its_dash_is_refused() -> None:
    rule = a_head_rule(encrypt=["header:x-title"])

    with pytest.raises(ForbiddenValue):
        through(rule, headers=((b"X-Title", b"1"), (b"X_Title", b"2")))
    with pytest.raises(ForbiddenValue):
        through(rule, headers=((b"X_TITLE", b"2"),))


def test_what_is_optional_may_be_missing() -> None:
    rule = a_head_rule(encrypt=["optional query:q", "optional header:title"])

    applied = through(rule, "a=1", ((b"A", b"1"),))

    assert head_of(applied).query == "a=1"
    assert not applied.forwardable.frame.changed


@pytest.mark.parametrize("value", ["", "plain", PREFIX, a_token("x", "other")])
def test_what_does_not_open_is_refused(value: str) -> None:
    with pytest.raises(OpenFailed):
        through(OPEN_QUERY, f"q={value}")
    with pytest.raises(OpenFailed):
        through(OPEN_TITLE, headers=((b"Title", value.encode()),))


def test_sealed_json_opens_as_its_text() -> None:
    assert query_of(through(OPEN_QUERY, f"q={a_token('[1]', cty='json')}")) == "q=%5B1%5D"


def test_several_values_of_head_and_body_are_sealed_at_once() -> None:
    rule = a_head_rule(encrypt=["query:q", "query:r", "header:title", "header:tags", "$.content"])
    rule = replace(rule, names=replace(NAMES, conversation=parse_source("$.conversationId")))
    body = '{"conversationId":"c1","content":"CANARY"}'
    headers = (*JSON_TYPE, (b"Title", b"CANARY"), (b"Tags", b"CANARY"))

    applied = through(rule, "q=CANARY&x=1&r=CANARY", headers, body)

    head = head_of(applied)
    assert applied.forwardable.body is not None
    assert "CANARY" not in f"{head}{applied.forwardable.body!r}"
    assert applied.counts == {"sealed": 5}
    assert [name for name, _ in parse_qsl(head.query or "")] == ["q", "x", "r"]


def test_a_body_beside_a_selected_header_passes_as_it_is() -> None:
    headers = ((b"Title", b"1"), (b"Content-Type", b"text/plain"))

    applied = through(SEAL_TITLE, None, headers, "any \0 body")

    assert applied.forwardable.body == b"any \0 body"


def test_a_failed_value_leaves_nothing_to_forward() -> None:
    rule = a_head_rule(decrypt=["query:q"], encrypt=["header:title"])

    with pytest.raises(OpenFailed):
        through(rule, "q=plain", ((b"Title", b"1"),))


def test_h7_values_of_the_head_stand_in_a_request_s_only_block() -> None:
    query, json = a_block(encrypt=["query:q"]), a_block(encrypt=["$.a"])

    for rule in (
        a_rule("/a", request=(json, query), names=NAMES),
        a_rule("/a", response=(a_block(decrypt=["header:title"]), json), names=NAMES),
        a_rule("/a", response=query, names=NAMES),
    ):
        with pytest.raises(InvalidExpression):
            RuleTable((rule,), pass_unmatched=True)


def test_values_of_the_head_are_explained_with_their_place() -> None:
    rule = a_head_rule(encrypt=["query:q", "header:title"])
    message = a_message("", method="GET", target="/a?q=CANARY", headers=((b"Title", b"CANARY"),))

    told, _ = explain_request(
        RuleTable((rule,), pass_unmatched=True), message.head, canonical("/a"), b""
    )

    assert [(one.place, one.start, one.end) for one in told.values] == [
        ("query", 2, 8),
        ("header", 0, 6),
    ]
    assert told.outgoing == b""


# --- responses -----------------------------------------------------------------------------------


def a_reply_rule(encrypt: Sequence[str] = (), decrypt: Sequence[str] = ()) -> Rule:
    block = a_block(
        encrypt=[a_head_item(one) for one in encrypt], decrypt=[a_head_item(one) for one in decrypt]
    )
    return a_rule(response=block, names=NAMES)


SEAL_REPLY, OPEN_REPLY = (
    a_reply_rule(encrypt=["header:title"]),
    a_reply_rule(decrypt=["header:title"]),
)


def replied_headers(rule: Rule, headers: Headers, *, bodiless: bool = False) -> Headers:
    return answered(rule, headers, bodiless=bodiless).forwardable.head.headers


def answered(rule: Rule, headers: Headers, *, bodiless: bool = False) -> Applied:
    head = ResponseHead(204 if bodiless else 200, b"", headers)
    if not bodiless:
        return reply(rule, b"a body", head)
    exchange = Trip((rule,), a_message()).exchange
    compiled = choose_bodiless(exchange, head)
    assert compiled is not None
    plan = plan_bodiless(exchange, compiled, head)
    return apply(plan, keys_for(plan.needs), NOW)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12), st.booleans())
def test_a_header_of_a_response_comes_back_and_no_other_byte_changes(
    value: str,
    bodiless: bool,  # noqa: FBT001 - drawn
) -> None:
    headers = ((b"A", b"1"), (b"tItLe", b" " + value.strip().encode()), (b"X-Title", b"2"))

    sealed = replied_headers(SEAL_REPLY, headers, bodiless=bodiless)

    assert (headers[0], headers[2]) == (sealed[0], sealed[2])
    assert sealed[1][1].strip().startswith(PREFIX.encode())
    assert headers[1][1].strip(b" ") == (
        replied_headers(OPEN_REPLY, sealed, bodiless=bodiless)[1][1].strip(b" ")
    )
    came = answered(SEAL_REPLY, headers, bodiless=bodiless).forwardable
    assert came.body == (b"" if bodiless else b"a body")
    assert came.frame.changed


@pytest.mark.parametrize("control", ["\r\nX-Admin: 1", "\n", "\r", "\0", "\x7f"])
def test_what_opens_with_control_characters_reaches_no_header_of_a_response(
    control: str,
) -> None:
    headers = ((b"Title", a_token(f"a{control}", "title").encode()),)
    keeping = replace(OPEN_REPLY, response=(replace(_only(OPEN_REPLY), keep_unopened=True),))

    for bodiless in (False, True):
        with pytest.raises(OpenFailed):
            answered(OPEN_REPLY, headers, bodiless=bodiless)
        kept = answered(keeping, headers, bodiless=bodiless)
        assert headers == kept.forwardable.head.headers
        assert kept.counts == {"kept": 1}


def _only(rule: Rule) -> Block:
    assert isinstance(rule.response, tuple)
    return rule.response[0]


def test_a_header_that_a_response_lacks_is_missing_only_where_there_is_a_body_to_seal_beside() -> (
    None
):
    with pytest.raises(MissingValue):
        answered(SEAL_REPLY, ())
    assert answered(SEAL_REPLY, (), bodiless=True).counts == {}
    assert answered(OPEN_REPLY, ()).counts == {}
    assert answered(OPEN_REPLY, (), bodiless=True).counts == {}


@pytest.mark.parametrize("name", [b"Title", b"X_Title"])
def test_a_header_of_a_response_that_stands_twice_is_refused(name: bytes) -> None:
    rule = a_reply_rule(encrypt=["header:x-title"])
    headers = ((b"X-Title", b"1"), (b"X-Title" if name == b"Title" else name, b"2"))

    with pytest.raises((InvalidBody, ForbiddenValue)):
        answered(rule, headers)


def test_a_response_without_a_body_whose_head_a_rule_reads_never_passes_unread() -> None:
    head = ResponseHead(204, b"", ())
    exchange = Trip((SEAL_REPLY,), a_message()).exchange

    with pytest.raises(TypeError):
        pass_response(exchange, head, bodiless=True)
    other = Trip((a_reply_rule(encrypt=["$.a"]),), a_message()).exchange
    assert choose_bodiless(other, head) is None
    unmatched = Trip((SEAL_REPLY,), a_message(target="/other")).exchange
    assert choose_bodiless(unmatched, head) is None


def test_what_has_values_in_its_head_does_not_pass_record_by_record() -> None:
    headers = ((b"Content-Type", b"application/x-ndjson"),)
    title = [an_item("header:title", field="title")]
    both = a_block(encrypt=[an_item("$.a"), *title])
    rule = a_rule(response=replace(both, types=("*/*",)), names=NAMES)
    compiled = choose_response(Trip((rule,), a_message()).exchange, ResponseHead(200, b"", headers))

    assert compiled is not None
    assert streamed_response(compiled, ResponseHead(200, b"", headers), length=None) is None


@pytest.mark.parametrize(
    "value",
    [b"=?UTF-8?B?Y2Fmw6k=?=", b"=?iso-8859-1?q?caf=E9?=", b"UTF-8''caf%C3%A9", b"caf\xc3\xa9"],
)
def test_h8_an_encoded_header_is_sealed_as_its_text(value: bytes) -> None:
    sealed = head_of(through(SEAL_TITLE, headers=((b"Title", value),))).headers

    ((_, opened),) = head_of(through(OPEN_TITLE, headers=sealed)).headers
    assert opened.decode() == "caf\u00e9"


TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(
    TITLES.filter(
        lambda text: text.strip() == text != "" and "=?" not in text and text.isprintable()
    ),
    st.sampled_from([email.charset.QP, email.charset.BASE64]),
    st.integers(40, 400),
)
def test_h8_whatever_a_client_encodes_it_reads_again(text: str, how: int, line: int) -> None:
    words = email.charset.Charset("utf-8")
    words.header_encoding = how
    sent = email.header.Header(text, words, maxlinelen=line).encode(linesep="").encode()

    sealed = head_of(through(SEAL_TITLE, headers=((b"Title", sent),))).headers

    ((_, token),) = sealed
    assert token.startswith((b"eyJ", b"sy1."))
    ((_, opened),) = head_of(through(OPEN_TITLE, headers=sealed)).headers
    # A client has headers in Latin-1 (http.client), and reads UTF-8 there.
    assert opened.decode("latin-1").encode("latin-1").decode() == text
    again = head_of(through(SEAL_TITLE, headers=((b"Title", opened),))).headers
    assert head_of(through(OPEN_TITLE, headers=again)).headers == ((b"Title", opened),)


@pytest.mark.parametrize("value", [b"=?utf-8?q?=ff?=", b"=?koi8-r?q?a?=", b"UTF-8''%zz"])
def test_h8_a_header_with_two_readings_is_not_sealed(value: bytes) -> None:
    with pytest.raises(InvalidBody):
        through(SEAL_TITLE, headers=((b"Title", value),))
    with pytest.raises(OpenFailed):
        through(OPEN_TITLE, headers=((b"Title", value),))


def test_h8_a_token_in_an_encoded_word_opens() -> None:
    token = a_token("text", "title")
    spelled = b"=?utf-8?q?" + token.replace("_", "=5F").encode() + b"?="

    assert head_of(through(OPEN_TITLE, headers=((b"Title", spelled),))).headers == (
        (b"Title", b"text"),
    )


def a_download(*, keep: bool = False) -> Rule:
    item = an_item("header:content-disposition", field="name")
    block = replace(a_block(decrypt=[item]), keep_unopened=keep)
    return a_rule(response=block, names=NAMES)


def a_disposition(rule: Rule, value: str) -> bytes:
    """Return the Content-Disposition of an answer after its rule."""
    headers = ((b"X", b"1"), (b"Content-Disposition", value.encode()), (b"Y", b"2"))
    got = replied_headers(rule, headers)
    assert [name for name, _ in got] == [b"X", b"Content-Disposition", b"Y"]
    return got[1][1]


@pytest.mark.parametrize(
    "written",
    [
        'attachment; filename="{}"; a=b',
        "attachment; filename={}; a=b",
        "attachment; a=b; filename*=UTF-8''{}",
        "attachment; filename=\"{0}\"; a=b; filename*=utf-8''{0}",
    ],
)
def test_h9_a_sealed_filename_is_opened_in_its_disposition(written: str) -> None:
    token = a_token("scan \u00e9/1.pdf", "name")

    opened = a_disposition(a_download(), written.format(token))

    name = b"; filename=\"scan __1.pdf\"; filename*=UTF-8''scan%20%C3%A9_1.pdf"
    assert opened.replace(name, b"") == b"attachment; a=b"


@pytest.mark.parametrize(
    "written",
    [
        "attachment",
        'attachment; filename="old.pdf"',
        'attachment; filename="x-{}"',
        'attachment; filename="{}"; filename=b',
        "attachment; filename=\"{}\"; filename*=UTF-8''b",
    ],
)
def test_h9_other_filenames_stay(written: str) -> None:
    value = written.format(a_token("scan", "name"))

    assert a_disposition(a_download(), value) == value.encode()


@pytest.mark.parametrize(
    ("name", "field"), [("a\r\nSet-Cookie: b", "name"), ("a", "other"), (b"\xff", "name")]
)
def test_h9_a_filename_that_does_not_open_is_refused_or_kept(name: str | bytes, field: str) -> None:
    value = f'attachment; filename="{a_token(name, field)}"'

    with pytest.raises(OpenFailed):
        a_disposition(a_download(), value)
    assert a_disposition(a_download(keep=True), value) == value.encode()
