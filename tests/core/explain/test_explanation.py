from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context
from proxy.core.crypto.token import ASSUMED_KEK_ID, Form
from proxy.core.errors import (
    MissingValue,
    OpenFailed,
    RejectedByRule,
    SealyardError,
    UnfitValue,
    UnsupportedBody,
)
from proxy.core.explain.describe import describe
from proxy.core.explain.dry_run import assumed_keys, with_trial_sealing
from proxy.core.explain.explanation import (
    Considered,
    ExplainedValue,
    Explanation,
    consider,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Item, Names, Rule, Verdict
from proxy.core.search.model import WordsIndex
from proxy.core.transform import plan_request, plan_response
from proxy.core.values.key_needs import NO_KEYS
from proxy.core.values.part_streams import PartStream
from proxy.core.values.streams import Content
from tests.core.explained import explain_request, explain_response
from tests.factories import (
    KEK_ID,
    NOW,
    SCOPE,
    Message,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    send,
    sent,
)

CANARY = "CANARY-4111"
BY_CONST = Names(parse_source("const:clinic"), parse_source("const:c1"))
CONTENT = Context(SCOPE, field="content")
TOKEN = a_session().seal(b"hello", CONTENT).decode()


def explained(message: Message, *rules: Rule) -> Explanation:
    book = RuleTable(rules, pass_unmatched=True)
    return explain_request(book, message.head, canonical(message.head.path), message.body)[0]


def answered(rule: Rule, body: str, status: int = 200) -> Explanation:
    message = a_message()
    book = RuleTable((rule,), pass_unmatched=True)
    path = canonical(message.head.path)
    exchange = explain_request(book, message.head, path, message.body)[1]
    assert exchange is not None
    return explain_response(exchange, a_response(status), body.encode())


@pytest.mark.parametrize(
    ("pattern", "request_", "because"),
    [
        ("POST /a", "POST /a", None),
        ("POST /a", "GET /a", "GET is not POST"),
        ("GET /a", "POST /a", "POST is not GET, HEAD"),
        ("/a/b", "GET /a", "the path ends before `b`"),
        ("/a/*", "GET /a", "the path ends before `*`"),
        ("/a/{x}", "GET /a/", "`` is not `*`"),
        ("/a", "GET /b", "`b` is not `a`"),
        ("/a", "GET /a/b", "the path goes on after `/a`"),
        ("/a/**", "GET /a/b", None),
        ("WS /a", "GET /a", "it is for WebSockets"),
    ],
)
def test_a_rule_that_does_not_match_says_why(
    pattern: str, request_: str, because: str | None
) -> None:
    method, path = request_.split(" ")
    book = RuleTable((a_rule(pattern),), pass_unmatched=True)
    assert consider(book, method, canonical(path)) == (Considered("rule", because),)


def test_a_rule_for_requests_does_not_take_handshakes() -> None:
    book = RuleTable((a_rule("/a"), a_rule("WS /a", name="ws")), pass_unmatched=True)
    assert consider(book, "GET", canonical("/a"), websocket=True) == (
        Considered("rule", "it is not for WebSockets"),
        Considered("ws", None),
    )


def test_every_pattern_of_a_rule_says_why_once() -> None:
    book = RuleTable((a_rule("/a", "GET /a", "/c"),), pass_unmatched=True)
    assert consider(book, "GET", canonical("/b"))[0].because == "`b` is not `a`; `b` is not `c`"


def test_rules_after_the_one_that_matches_are_not_considered() -> None:
    book = RuleTable((a_rule("/a", name="1"), a_rule("/a", name="2")), pass_unmatched=True)
    assert [one.rule for one in consider(book, "GET", canonical("/a"))] == ["1"]


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("value", [f'"{CANARY}"', "4111", '{"a":[4111]}'])
def test_a_value_is_foretold_and_masked(form: Form, value: str) -> None:
    body = f'{{"content": {value} , "n":1.10}}'
    rule = a_rule(request=a_block(encrypt=[an_item("$.content", form=form)]), names=BY_CONST)
    told = explained(a_message(body), rule)
    assert told.outgoing is not None
    assert b"4111" not in told.outgoing
    length = len(json.loads(sent(rule, a_message(body)))["content"])
    if form == "jwe":  # three characters more of the id are four of the token
        assert (len(KEK_ID), len(ASSUMED_KEK_ID)) == (2, 5)
        length += 4
    start = body.index(value)
    assert told.values == (
        ExplainedValue(
            "sealed", "content", start, start + len(value), CONTENT, length, quoted=True
        ),
    )
    masked = json.loads(told.outgoing)
    assert masked == {"content": f"<content sealed, {length} characters>", "n": 1.1}
    assert (told.rule, told.refusal) == ("rule", None)


def test_the_tags_of_an_indexed_value_are_foretold() -> None:
    def told(item: Item) -> ExplainedValue:
        rule = a_rule(request=a_block(encrypt=[item]), names=BY_CONST)
        (value,) = explained(a_message('{"content":"Penicillin allergy"}'), rule).values
        return value

    item = an_item("$.content")
    alone = told(item)
    behind = told(replace(item, index=WordsIndex()))
    beside = told(replace(item, index=WordsIndex(), tags_member="words"))

    assert alone.characters is not None
    assert behind.characters == alone.characters + len("~") + 2 * len("abcde~")
    assert behind.note == "its tags behind it"
    assert (beside.characters, beside.note) == (alone.characters, "its tags in `words` beside it")


def test_the_length_of_an_equal_value_is_foretold() -> None:
    item = an_item("$.content", form="equal", bind=("tenant", "field"))
    rule = a_rule(request=a_block(encrypt=[item]), names=BY_CONST)
    (told,) = explained(a_message('{"content":"4111"}'), rule).values
    assert told.characters == len(
        json.loads(sent(rule, a_message('{"content":"4111"}')))["content"]
    )


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"CANARY-4111"])
def test_the_length_of_base64_is_foretold(data: bytes) -> None:
    rule = a_rule(request=a_block(encrypt=[an_item("$.content", form="base64")]), names=BY_CONST)
    body = json.dumps({"content": b64encode(data).decode()})
    told = explained(a_message(body), rule)
    length = len(json.loads(sent(rule, a_message(body)))["content"])
    assert told.outgoing is not None
    assert b"Q0FOQVJZ" not in told.outgoing
    assert (
        abs((told.values[0].characters or 0) - length) <= 8
    )  # three characters of the id of the KEK, in base64 twice


def test_what_is_not_base64_is_refused_as_it_would_be() -> None:
    rule = a_rule(request=a_block(encrypt=[an_item("$.content", form="base64")]), names=BY_CONST)
    told = explained(a_message('{"content": "no base64!"}'), rule)
    assert isinstance(told.refusal, UnfitValue)


def test_a_token_to_be_opened_is_told() -> None:
    rule = a_rule(request=a_block(decrypt=["$.content"]), names=BY_CONST)
    told = explained(a_message(json.dumps({"content": TOKEN})), rule)
    (value,) = told.values
    assert (value.action, value.field, value.characters, value.note) == (
        "opened",
        "content",
        None,
        "",
    )
    assert told.outgoing == b'{"content": "<content opened>"}'


def test_what_is_no_token_is_refused_with_its_reason() -> None:
    rule = a_rule(request=a_block(decrypt=["$.content"]), names=BY_CONST)
    (value,) = explained(a_message('{"content":"x"}'), rule).values
    assert (value.action, value.note) == ("refused", "not-a-token")


def test_what_is_no_token_passes_masked_while_the_rule_is_permissive() -> None:
    block = replace(a_block(decrypt=["$.content"]), permissive_until=NOW + 1)
    told = explained(a_message('{"content":"CANARY"}'), a_rule(request=block, names=BY_CONST))
    (value,) = told.values
    assert (value.action, value.note) == ("plain", "not-a-token")
    assert told.outgoing == b'{"content":"<value plain>"}'


def test_tokens_found_anywhere_are_told() -> None:
    rule = a_rule(
        response=a_block(decrypt=[an_item("tokens", bind=["tenant", "conversation"])]),
        names=BY_CONST,
    )
    told = answered(rule, json.dumps([TOKEN, TOKEN[:-1]]))
    assert [(one.field, one.note) for one in told.values] == [("token", ""), ("token", "cut")]
    assert told.outgoing is not None
    assert TOKEN[:20].encode() not in told.outgoing


def test_a_request_that_no_rule_reads_is_told_as_it_is() -> None:
    told = explained(a_message("{}"), a_rule())
    assert (told.rule, told.values, told.outgoing, told.refusal) == ("rule", (), b"{}", None)
    told = explained(a_message("{}"))
    assert (told.rule, told.considered, told.outgoing) == (None, (), b"{}")


def test_a_request_in_which_nothing_changes_is_told_as_it_is() -> None:
    rule = a_rule(request=a_block(encrypt=["optional $.content"]), names=BY_CONST)
    assert explained(a_message('{"a": 1}'), rule).outgoing == b'{"a": 1}'


@pytest.mark.parametrize(
    ("rule", "body", "error"),
    [
        (a_rule(request=Verdict.REJECT), "{}", RejectedByRule),
        (a_rule(request=a_block(encrypt=["$.content"])), "{}", MissingValue),
        (a_rule(request=a_block(encrypt=["body"], types=("a/b",))), "x", UnsupportedBody),
    ],
)
def test_a_refusal_is_told(rule: Rule, body: str, error: type[SealyardError]) -> None:
    told = explained(a_message(body), rule)
    assert type(told.refusal) is error
    assert (told.rule, told.outgoing, told.values) == ("rule", None, ())


def test_a_refusal_without_a_rule_names_none() -> None:
    message = a_message()
    book = RuleTable((a_rule("/else"),), pass_unmatched=False)
    told, exchange = explain_request(book, message.head, canonical("/api/messages"), b"")
    assert (told.rule, exchange) == (None, None)
    assert isinstance(told.refusal, RejectedByRule)


def test_an_answer_is_told_as_the_request_is() -> None:
    rule = a_rule(response=a_block(decrypt=["$.content"], statuses=((200, 200),)), names=BY_CONST)
    assert len(answered(rule, json.dumps({"content": TOKEN})).values) == 1
    assert answered(rule, "{}", 404).outgoing == b"{}"
    refused = answered(rule, "{")
    assert refused.refusal is not None
    assert refused.refusal.reason == "not-json"


def test_a_token_whose_name_is_missing_says_so() -> None:
    names = Names(parse_source("const:clinic"), parse_source("$.cid"))
    block = a_block(decrypt=[an_item("tokens", bind=["conversation"])], names=names)
    told = answered(a_rule(response=block), json.dumps({"a": TOKEN}))
    assert [value.note for value in told.values] == ["a name that binds it is missing"]


def test_a_body_that_becomes_a_frame_and_one_that_is_one_are_told() -> None:
    names = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
    sealing = a_rule(request=a_block(encrypt=["body"]), names=names)
    opening = a_rule(request=a_block(decrypt=["body"]), names=names)
    text = a_message(b"x" * 100_000, headers=((b"Content-Type", b"text/plain"),))

    (value,) = explained(text, sealing).values
    assert (value.action, value.field, value.context.kind) == (
        "sealed",
        "body",
        "stream",
    )
    assert explained(text, sealing).outgoing == b"<body sealed>"

    headers = ((b"Content-Type", b"application/vnd.sealyard.stream"),)
    (value,) = explained(a_message(b"SYST", headers=headers), opening).values
    assert (value.action, value.note) == ("refused", "malformed-frame")
    sealed = send(sealing, text).forwardable.body
    assert sealed is not None
    (value,) = explained(a_message(sealed, headers=headers), opening).values
    assert (value.action, value.field, value.note) == ("refused", "body", "needs-keys")


def test_a_token_that_has_expired_does_not_open_in_a_trial_without_keys() -> None:
    rule = a_rule(request=a_block(decrypt=["$.content"]), names=BY_CONST)
    old = a_session().seal(b"hello", CONTENT, exp=NOW - 61).decode()
    told = explained(a_message(json.dumps({"content": old})), rule)
    assert [(one.action, one.note) for one in told.values] == [("refused", "expired-token")]
    assert isinstance(told.refusal, OpenFailed)


@pytest.mark.parametrize(
    ("decrypt", "media_type", "field"),
    [
        ("$.content", "application/json", "content"),
        ("tokens", "application/json", "token"),
        ("tokens", "text/html", "token"),
    ],
)
def test_a_token_that_stays_says_why_it_did_not_open(
    decrypt: str, media_type: str, field: str
) -> None:
    block = replace(a_block(decrypt=[decrypt], types=(media_type,)), keep_unopened=True)
    message = a_message()
    book = RuleTable((a_rule(response=block, names=BY_CONST),), pass_unmatched=True)
    exchange = Exchange(book.decide("POST", canonical(message.head.path)), message.head)
    head = a_response(headers=((b"Content-Type", media_type.encode()),))
    body = json.dumps({"content": TOKEN}).encode()
    treatment = treat_response(exchange, head, length=len(body))
    assert isinstance(treatment, ReadResponse)
    values = describe(plan_response(exchange, treatment.block, head, body), NO_KEYS, NOW).values

    assert [(one.action, one.field, one.note) for one in values] == [("kept", field, "unknown-key")]


def test_a_stream_that_may_stay_is_told_as_it_is() -> None:
    names = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
    block = replace(a_block(decrypt=["body"]), keep_unopened=True)
    headers = ((b"Content-Type", b"application/vnd.sealyard.stream"),)
    rule = a_rule(request=block, names=names)
    told = explained(a_message(b"SYST", headers=headers), rule)
    assert [one.action for one in told.values] == ["kept"]
    assert told.outgoing == b"SYST"


def test_what_is_sealed_within_a_string_is_told_where_it_lies() -> None:
    rule = a_rule(request=a_block(encrypt=["$.data json:$.note"]), names=BY_CONST)
    text = json.dumps({"data": json.dumps({"note": CANARY})})
    told = explained(a_message(text), rule)
    (value,) = told.values
    assert (value.action, value.field) == ("sealed", "note")
    assert CANARY in text[value.start : value.end]
    assert told.outgoing is not None
    assert CANARY.encode() not in told.outgoing


def test_masks_of_places_that_overlap_are_shown_once() -> None:
    rule = a_rule(request=a_block(encrypt=["$.a", "$.a.b"]), names=BY_CONST)
    message = a_message(f'{{"a":{{"b":"{CANARY}"}}}}')
    compiled = RuleTable((rule,), pass_unmatched=True)
    exchange = Exchange(compiled.decide("POST", canonical("/api/messages")), message.head)
    plan = plan_request(exchange, message.body)
    keys = with_trial_sealing(assumed_keys(plan.needs), plan.needs, NOW)
    described = describe(plan, keys, NOW)
    assert CANARY.encode() not in described.outgoing
    assert len(described.values) == 2


def test_a_part_that_still_comes_is_told_as_what_it_becomes() -> None:
    rule = a_rule(request=a_block(encrypt=["part:file"]), names=BY_CONST)
    content = CANARY * 7000
    body = (
        '--of-parts\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        f"{content}\r\n--of-parts--\r\n"
    )
    kind = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
    message = a_message(body, headers=kind)
    compiled = RuleTable((rule,), pass_unmatched=True)
    exchange = Exchange(compiled.decide("POST", canonical("/api/messages")), message.head)
    plan = plan_request(exchange, message.body)
    (stream,) = (one for one in plan.values.what if isinstance(one, PartStream))
    stream.rest = Content()
    keys = with_trial_sealing(assumed_keys(plan.needs), plan.needs, NOW)
    described = describe(plan, keys, NOW)
    assert [(one.action, one.note) for one in described.values] == [("sealed", "as a stream")]
    assert CANARY.encode() not in described.outgoing
