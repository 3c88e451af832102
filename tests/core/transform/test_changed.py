from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from proxy.core.crypto.aead import Parts
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, decode
from proxy.core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    MissingValue,
    OpenFailed,
    RejectedByRule,
    SealyardError,
    UnlistedName,
    UnsupportedBody,
    ValueTooLong,
)
from proxy.core.expressions.sources import ListSource, MembersSource, parse_source
from proxy.core.http.message import Headers, parse_media_type
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.policy import BODY_TOKEN_BYTES
from proxy.core.rules.model import Block, Item, Names, Rule, Verdict
from proxy.core.transform import apply, pass_request, pass_response, plan_request, plan_response
from proxy.core.values.key_needs import Keys
from proxy.core.values.table import splice
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Message,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    a_sid,
    an_item,
    forged,
    keys_for,
    replied,
    reply,
    send,
    sent,
)

CONTENT = Context(SCOPE, field="content")
BY_PATH = Names(parse_source("const:clinic"), parse_source("const:c1"))
JOSE: Headers = ((b"Content-Type", b"application/jose"),)
TEXT: Headers = ((b"Content-Type", b"text/plain"),)
FORMS = ("jwe", "short")


def encrypts(*items: str | Item, names: Names = BY_PATH, **changes: object) -> Rule:
    block = replace(a_block(encrypt=items), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule(request=block, names=names)


def decrypts(*items: str | Item, names: Names = BY_PATH, **changes: object) -> Rule:
    block = replace(a_block(decrypt=items), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule(request=block, names=names)


def answers(*items: str | Item, names: Names = BY_PATH, **changes: object) -> Rule:
    block = replace(a_block(decrypt=items), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule(response=block, names=names)


def sealed(text: bytes = b"hello", context: Context = CONTENT, **more: object) -> str:
    return a_session(context.scope).seal(text, context, **more).decode()  # type: ignore[arg-type]  # names of arguments


def refused(rule: Rule, message: Message, error: type[SealyardError]) -> SealyardError:
    with pytest.raises(error) as caught:
        send(rule, message)
    return caught.value


# --- sealing and opening -------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_string_is_sealed_as_its_text(form: Form) -> None:
    rule = encrypts(an_item("$.content", form=form))
    out = json.loads(sent(rule, a_message('{"content":"a\\u0062\\n\\"ü"}')))
    token = decode(out["content"].encode())
    assert token.cty is None
    assert a_session().open(token, CONTENT, NOW) == 'ab\n"ü'.encode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["1.10", "true", "[ ]", '{"b" :1}', "-0"])
def test_another_value_is_sealed_as_its_json_text(form: Form, value: str) -> None:
    rule = encrypts(an_item("$.content", form=form))
    out = json.loads(sent(rule, a_message(f'{{"content": {value} }}')))
    token = decode(out["content"].encode())
    assert token.cty == "json"
    assert a_session().open(token, CONTENT, NOW) == value.encode()


def test_an_empty_string_is_sealed() -> None:
    out = json.loads(sent(encrypts("$.content"), a_message('{"content":""}')))
    assert a_session().open(decode(out["content"].encode()), CONTENT, NOW) == b""


def test_a_response_is_opened_in_place() -> None:
    body = f'{{ "content" : "{sealed()}", "n": 1.10 }}'
    assert replied(answers("$.content"), body) == b'{ "content" : "hello", "n": 1.10 }'


def test_encrypt_and_decrypt_may_stand_together() -> None:
    block = a_block(encrypt=["$.content"], decrypt=["$.old"], plain=[])
    rule = a_rule(request=block, names=BY_PATH)
    token = sealed(b"was", Context(SCOPE, field="old"))
    out = json.loads(sent(rule, a_message(f'{{"old":"{token}","content":"x"}}')))
    assert out["old"] == "was"
    assert out["content"].startswith("eyJ0eXAiOiJzeTEi")


def test_what_is_applied_is_counted_and_proven() -> None:
    rule = decrypts("$.list.*")
    token = sealed(context=Context(SCOPE, field="list"))
    applied = send(rule, a_message(json.dumps({"list": [token, token]})))
    assert dict(applied.counts) == {"opened": 2}
    assert {one.scope: values for one, values in applied.proven.items()} == {SCOPE: 2}
    assert applied.tally() == {("list", "opened"): 2}
    assert applied.forwardable.frame.changed
    assert applied.forwardable.frame.media_type is None


def test_only_what_was_opened_is_told_as_opened() -> None:
    block = a_block(encrypt=["$.content"], decrypt=["$.old"], plain=[])
    token = sealed(b"was", Context(SCOPE, field="old"))
    message = a_message(f'{{"old":"{token}","content":"x"}}')
    assert send(a_rule(request=block, names=BY_PATH), message).tally() == {("old", "opened"): 1}
    assert send(encrypts("$.content"), a_message('{"content":"x"}')).tally() == {}


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("plain", "not-a-token"),
        ("eyJ0eXAiOiJzeTEi", "malformed-token"),
        (sealed(context=Context(SCOPE, field="subject")), "wrong-context"),
        (sealed(context=Context(Scope("other", "c1"), field="content")), "wrong-context"),
        (sealed(cty="text/plain"), "wrong-content-type"),
        (sealed(b"\xff"), "not-text"),
        (sealed(b"{", cty="json"), "not-json"),
        (sealed(exp=NOW - 61), "expired-token"),
        (forged(sealed()), "bad-tag"),
    ],
)
def test_what_does_not_open_is_refused_with_one_answer(token: str, reason: str) -> None:
    message = a_message(json.dumps({"content": token}))
    error = refused(decrypts("$.content"), message, OpenFailed)
    assert (reason, "open-failed", 400, "") == (
        error.reason,
        error.code,
        error.status,
        error.detail,
    )


@pytest.mark.parametrize("bad", range(3))
def test_the_values_behind_one_that_does_not_open_are_tried_all_the_same(
    bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bytes] = []
    usual = Session.open_each

    def noted(
        self: Session, tokens: Sequence[Parts], context: Context, now: float, refusal: str | None
    ) -> tuple[Sequence[bytes | None], str]:
        tried.extend(iv for _, iv, _ in tokens)
        return usual(self, tokens, context, now, refusal)

    monkeypatch.setattr(Session, "open_each", noted)
    context = Context(SCOPE, field="list")
    tokens = [sealed(context=context) for _ in range(3)]
    tokens[bad] = sealed()
    message = a_message(json.dumps({"list": tokens}))
    assert refused(decrypts("$.list.*"), message, OpenFailed).reason == "wrong-context"
    assert len(set(tried)) == 3


def test_a_token_under_an_unknown_key_is_refused() -> None:
    trip = Trip((decrypts("$.content"),), a_message(json.dumps({"content": sealed()})))
    plan = plan_request(trip.exchange, trip.message.body)
    with pytest.raises(OpenFailed) as caught:
        apply(plan, Keys({}, {}), NOW)
    assert caught.value.reason == "unknown-key"


def test_an_answer_whose_request_has_an_empty_name_opens_nothing() -> None:
    names = Names(parse_source("header:x-tenant"), parse_source("const:c1"))
    made = a_rule(response=a_block(decrypt=["$.content"]), names=names)
    trip = Trip((made,), a_message(headers=(*JSON_TYPE, (b"X-Tenant", b""))))
    body = json.dumps({"content": sealed()}).encode()
    head = a_response(headers=JSON_TYPE)
    treatment = treat_response(trip.exchange, head, length=len(body))
    assert isinstance(treatment, ReadResponse)
    with pytest.raises(MissingValue) as caught:
        plan_response(trip.exchange, treatment.block, head, body)
    assert caught.value.reason == "empty-name"


def test_a_list_of_tokens_under_an_unknown_key_is_refused() -> None:
    trip = Trip((decrypts("$.list.*"),), a_message(json.dumps({"list": [sealed(), sealed()]})))
    plan = plan_request(trip.exchange, trip.message.body)
    with pytest.raises(OpenFailed) as caught:
        apply(plan, Keys({}, {}), NOW)
    assert caught.value.reason == "unknown-key"


@pytest.mark.parametrize("keep", [True, False])
def test_which_tokens_did_not_open_is_told(*, keep: bool) -> None:
    wrong = sealed(context=Context(SCOPE, field="another"))
    body = json.dumps({"content": [sealed(), wrong, "plain"]})
    rule = answers("$.content.*", keep_unopened=keep)
    if keep:
        unopened = reply(rule, body).unopened
    else:
        with pytest.raises(OpenFailed) as caught:
            reply(rule, body)
        unopened = caught.value.unopened
    reasons = [(one.reason, one.sid) for one in unopened]
    assert reasons == [("wrong-context", a_sid())]


def test_a_token_that_no_name_binds_is_told_as_well() -> None:
    names = replace(BY_PATH, conversation=parse_source("$.conversationId"))
    block = a_block(decrypt=["tokens"], names=names)
    applied = reply(a_rule(response=block), json.dumps({"content": sealed()}))
    assert [one.reason for one in applied.unopened] == ["missing-name"]


def test_what_opens_is_told_of_by_nothing() -> None:
    item = replace(an_item("$.content.*"), field="content")
    applied = reply(answers(item), json.dumps({"content": [sealed()]}))
    assert (dict(applied.counts), applied.unopened) == ({"opened": 1}, ())


@pytest.mark.parametrize("decoy", [a_session(), a_session(sid=a_sid(1))], ids=["its-own", "other"])
def test_a_decoy_opens_nothing_and_its_refusal_is_the_reason(decoy: Session) -> None:
    trip = Trip((decrypts("$.content"),), a_message(json.dumps({"content": sealed()})))
    plan = plan_request(trip.exchange, trip.message.body)
    (need,) = plan.needs.opens
    with pytest.raises(OpenFailed) as caught:
        apply(plan, Keys({}, {}, {need: decoy}, {need: "revoked-session"}), NOW)
    assert caught.value.reason == "revoked-session"


def test_what_only_a_decoy_would_open_is_sealed_again() -> None:
    rule = encrypts("$.content", already_sealed="keep")
    trip = Trip((rule,), a_message(json.dumps({"conversationId": "c1", "content": sealed()})))
    plan = plan_request(trip.exchange, trip.message.body)
    (need,) = plan.needs.opens
    keys = Keys(keys_for(plan.needs).sealing, {}, {need: a_session()}, {need: "unknown-key"})
    assert dict(apply(plan, keys, NOW).counts) == {"sealed": 1}


def test_the_needs_name_every_session_once() -> None:
    block = a_block(encrypt=["$.list.*"], decrypt=["$.content"])
    rule = a_rule(request=block, names=BY_PATH)
    token = sealed()
    trip = Trip((rule,), a_message(json.dumps({"list": [1, 2, 3], "content": token})))
    needs = plan_request(trip.exchange, trip.message.body).needs
    assert needs.seals == {SCOPE: 3}
    assert needs.opens == {(SCOPE, decode(token.encode()).key_id)}


def test_a_number_is_no_token() -> None:
    error = refused(decrypts("$.content"), a_message('{"content":7}'), OpenFailed)
    assert error.reason == "not-a-token"


def test_an_escaped_token_is_a_token() -> None:
    body = '{"content":"\\u0065' + sealed()[1:] + '"}'
    assert sent(decrypts("$.content"), a_message(body)) == b'{"content":"hello"}'


# --- missing and optional ------------------------------------------------------------------------

NOT_THERE = ["{}", '{"content":null}', "[]", "7", ""]


@pytest.mark.parametrize("rule", [encrypts("$.content"), decrypts("$.content")])
@pytest.mark.parametrize("body", NOT_THERE)
def test_a_value_that_a_request_needs_must_be_there(rule: Rule, body: str) -> None:
    error = refused(rule, a_message(body), MissingValue)
    assert (error.status, error.detail) == (400, "content: a value is needed.")


@pytest.mark.parametrize(
    "rule", [encrypts("optional $.content"), decrypts("optional $.content"), answers("$.content")]
)
@pytest.mark.parametrize("body", NOT_THERE)
def test_an_optional_value_may_be_missing_and_an_answers_always(rule: Rule, body: str) -> None:
    if body == "[]" and any(one.encrypt for one in rule.blocks):
        refused(rule, a_message(body), ForbiddenValue)  # a list around what the rule seals
        return
    trip = Trip((rule,), a_message(body))
    applied = trip.request() if trip.exchange.decision.reads_request else trip.response(body)
    assert applied is not None
    assert applied.forwardable.body == body.encode()
    assert not applied.forwardable.frame.changed


@pytest.mark.parametrize(
    ("body", "seals"),
    [
        ('{"list":[{"c":"x"},{"c":"y"}]}', 2),
        ('{"list":[]}', None),
        ('{"list":[{"c":"x"},{}]}', None),
        ('{"list":[{"c":"x"},{"c":null}]}', None),
        ('{"list":[{"c":"x"},7]}', None),
        ('{"list":null}', None),
        ("{}", None),
    ],
)
def test_each_element_must_have_its_value(body: str, seals: int | None) -> None:
    if seals is None:
        refused(encrypts("$.list.*.c"), a_message(body), MissingValue)
    else:
        assert send(encrypts("$.list.*.c"), a_message(body)).counts["sealed"] == seals
    applied = send(encrypts("optional $.list.*.c"), a_message(body))
    assert applied.counts.get("sealed", 0) == body.count('"c":"')


def test_a_value_that_a_response_needs_must_be_there() -> None:
    rule = a_rule(response=a_block(encrypt=["$.content"]), names=BY_PATH)
    with pytest.raises(MissingValue) as caught:
        reply(rule, "{}")
    assert caught.value.response_status == 502


@pytest.mark.parametrize("rule", [encrypts("$.content"), decrypts("optional $.content")])
@pytest.mark.parametrize(
    "body",
    [
        '{"Content":1}',
        '{"content":"x","CONTENT":1}',
        '{"content\\u0000":"x"}',
        '{"content":"x","Content\\u0000y":1}',
    ],
)
def test_a_case_variant_is_refused(rule: Rule, body: str) -> None:
    assert refused(rule, a_message(body), ForbiddenValue).reason == "name-variant"


def test_a_case_variant_passes_where_the_rule_allows_it() -> None:
    rule = encrypts("$.content", case_variants_allowed=True)
    assert b'"Content":1' in sent(rule, a_message('{"content":"x","Content":1}'))


def test_a_case_variant_in_a_response_is_left() -> None:
    assert replied(answers("$.content"), '{"Content":1}') == b'{"Content":1}'


def test_a_selected_member_that_stands_twice_is_refused() -> None:
    refused(encrypts("$.content"), a_message('{"content":1,"content":2}'), InvalidBody)


def test_spans_that_overlap_are_refused() -> None:
    rule = encrypts("$.a", "$.a.b")
    error = refused(rule, a_message('{"a":{"b":1}}'), InvalidBody)
    assert error.reason == "spans-overlap"
    with pytest.raises(InvalidBody):
        splice(b"abc", [(0, 2, b""), (1, 3, b"")])


# --- permissive, kept, already sealed ------------------------------------------------------------


def test_old_plaintext_passes_until_its_date() -> None:
    rule = answers("$.content", permissive_until=NOW + 1)
    applied = reply(rule, '{"content":"old"}')
    assert applied.forwardable.body == b'{"content":"old"}'
    assert applied.forwardable.frame.added_headers == ((b"Sealyard-Plain", b"1"),)
    assert dict(applied.counts) == {"plain": 1}
    late = replace(rule, response=(replace(rule.response[0], permissive_until=NOW),))  # type: ignore[index]  # a tuple
    with pytest.raises(OpenFailed):
        reply(late, '{"content":"old"}')


def test_old_plaintext_in_a_request_passes_without_a_mark() -> None:
    rule = decrypts("$.content", permissive_until=NOW + 1)
    applied = send(rule, a_message('{"content":7}'))
    assert (applied.forwardable.frame.added_headers, dict(applied.counts)) == ((), {"plain": 1})


@pytest.mark.parametrize("broken", ["eyJ0eXAiOiJzeTEi", "sy1.", sealed()[:-1], forged(sealed())])
def test_a_broken_token_never_passes_for_old_plaintext(broken: str) -> None:
    rule = decrypts("$.content", permissive_until=NOW + 1)
    refused(rule, a_message(json.dumps({"content": broken})), OpenFailed)


@pytest.mark.parametrize(
    "value", ["plain", 7, "sy1.", sealed(context=Context(SCOPE)), sealed(b"\xff")]
)
def test_what_does_not_open_is_kept_where_the_rule_says_so(value: object) -> None:
    body = json.dumps({"content": value})
    applied = reply(answers("$.content", keep_unopened=True), body)
    assert applied.forwardable.body == body.encode()
    assert applied.forwardable.frame.added_headers == ((b"Sealyard-Kept", b"1"),)
    assert dict(applied.counts) == {"kept": 1}


def test_a_token_whose_names_are_missing_is_kept_or_refused() -> None:
    own = Names(conversation=parse_source("$.conversationId"))
    body = json.dumps({"content": sealed()})
    with pytest.raises(MissingValue):
        reply(answers("$.content", names=own), body)
    names = replace(own, tenant=parse_source("const:clinic"))
    keeping = a_block(decrypt=["$.content"], names=names)
    applied = reply(a_rule(response=replace(keeping, keep_unopened=True)), body)
    assert dict(applied.counts) == {"kept": 1}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_sealed_already_is_sealed_again(form: Form) -> None:
    rule = encrypts("$.content")
    body = json.dumps({"content": sealed(form=form)})
    assert replied(answers("$.content"), sent(rule, a_message(body))) == body.encode()


def test_what_is_sealed_already_is_kept_only_if_it_opens_here() -> None:
    rule = encrypts("$.content", already_sealed="keep")
    body = json.dumps({"content": sealed()})
    applied = send(rule, a_message(body))
    assert (applied.forwardable.body, dict(applied.counts)) == (
        body.encode(),
        {"already_sealed": 1},
    )
    for other in (sealed(context=Context(SCOPE)), forged(sealed()), "sy1.", "plain"):
        assert send(rule, a_message(json.dumps({"content": other}))).counts["sealed"] == 1


def test_what_is_sealed_under_an_unknown_key_is_sealed_again() -> None:
    rule = encrypts("$.content", already_sealed="keep")
    trip = Trip((rule,), a_message(json.dumps({"content": sealed()})))
    plan = plan_request(trip.exchange, trip.message.body)
    keys = Keys(keys_for(plan.needs).sealing, {})
    assert apply(plan, keys, NOW).counts["sealed"] == 1


def test_what_is_sealed_already_is_rejected_where_the_rule_says_so() -> None:
    rule = encrypts("$.content", already_sealed="reject")
    message = a_message(json.dumps({"content": sealed()}))
    assert refused(rule, message, ForbiddenValue).reason == "already-sealed"
    assert send(rule, a_message('{"content":"plain"}')).counts["sealed"] == 1


# --- lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "fits"), [("jwe", 59), ("short", 129)])
def test_a_value_too_long_is_refused_with_what_would_fit(form: Form, fits: int) -> None:
    rule = encrypts(an_item("$.subject", field="content", form=form, max_chars=255))
    error = refused(rule, a_message(json.dumps({"subject": "s" * 200})), ValueTooLong)
    assert error.status == 422
    assert error.detail == f"content: at most {fits} bytes of UTF-8 fit into 255 sealed characters."
    out = json.loads(sent(rule, a_message(json.dumps({"subject": "s" * fits}))))
    assert len(out["subject"]) <= 255
    refused(rule, a_message(json.dumps({"subject": "s" * (fits + 1)})), ValueTooLong)


# --- whole bodies --------------------------------------------------------------------------------

BODY = a_block(encrypt=["body"]), a_block(decrypt=["body"])


@pytest.mark.parametrize(
    ("given", "back"),
    [
        (b"text/html; charset=latin1", "text/html; charset=latin1"),
        (b"Image/PNG", "image/png"),
        (b'a/b; c="d"', "a/b; c=d"),
    ],
)
def test_a_body_comes_back_with_its_media_type(given: bytes, back: str) -> None:
    rule = a_rule(request=BODY[0], response=BODY[1], names=BY_PATH)
    out = send(rule, a_message(b"<\xff>", headers=((b"Content-Type", given),))).forwardable
    assert out.frame.media_type == "application/jose"
    assert out.body is not None
    answer = reply(a_rule(response=BODY[1], names=BY_PATH), out.body, a_response(headers=JOSE))
    assert (answer.forwardable.body, answer.forwardable.frame.media_type) == (b"<\xff>", back)


def test_a_body_without_a_type_comes_back_without_one() -> None:
    out = sent(a_rule(request=BODY[0], names=BY_PATH), a_message(b"x", headers=()))
    answer = reply(a_rule(response=BODY[1], names=BY_PATH), out, a_response(headers=JOSE))
    assert (answer.forwardable.body, answer.forwardable.frame.media_type) == (b"x", "")


def test_a_body_and_a_field_never_stand_for_each_other() -> None:
    unbound = [an_item("body", bind=["tenant", "conversation"])]
    as_body = sent(encrypts(*unbound), a_message(b"x", headers=TEXT))
    item = an_item("$.content", bind=["tenant", "conversation"])
    message = a_message(json.dumps({"content": as_body.decode()}))
    assert refused(decrypts(item), message, OpenFailed).reason == "wrong-context"
    as_field = sealed(context=Context(SCOPE))
    error = refused(decrypts(*unbound), a_message(as_field, headers=JOSE), OpenFailed)
    assert error.reason == "wrong-context"


@pytest.mark.parametrize("size", [BODY_TOKEN_BYTES, BODY_TOKEN_BYTES + 1])
def test_a_body_up_to_64_kib_is_sealed_as_a_token_and_a_longer_one_as_a_frame(size: int) -> None:
    message = a_message(b"x" * size, headers=TEXT)
    forwardable = send(encrypts("body"), message).forwardable
    as_token = forwardable.frame.media_type == "application/jose"
    assert as_token == (size <= BODY_TOKEN_BYTES)
    assert forwardable.body is not None
    assert forwardable.body.startswith(b"eyJ0eXAiOiJzeTEi" if as_token else b"SYST")


@pytest.mark.parametrize("selector", ["body", "text"])
def test_a_body_above_64_kib_is_refused_where_it_must_be_a_token(selector: str) -> None:
    item = replace(an_item(selector), framed=selector == "text")
    message = a_message(b"x" * (BODY_TOKEN_BYTES + 1), headers=TEXT)
    error = refused(encrypts(item), message, BodyTooLarge)
    assert (error.status, error.reason) == (413, "body-above-token")


@pytest.mark.parametrize("media", [b'a/b; c="d e"', b"a/" + b"b" * 126])
def test_a_media_type_that_a_token_cannot_hold_is_refused(media: bytes) -> None:
    message = a_message(b"x", headers=((b"content-type", media),))
    error = refused(encrypts("body"), message, UnsupportedBody)
    assert error.reason == "content-type-not-sealable"


def test_a_sealed_body_is_kept_if_it_opens_here() -> None:
    rule = encrypts("body", already_sealed="keep")
    once = sent(rule, a_message(b"x", headers=TEXT))
    applied = send(rule, a_message(once, headers=JOSE))
    assert (applied.forwardable.body, applied.forwardable.frame.media_type) == (once, None)
    # Under another type it is text that happens to look like a token.
    assert send(rule, a_message(once, headers=TEXT)).counts["sealed"] == 1
    assert send(rule, a_message(once, headers=())).counts["sealed"] == 1


def test_text_is_sealed_and_opened_as_one_value_of_its_type() -> None:
    out = send(encrypts("text"), a_message("grüße", headers=TEXT))
    assert out.forwardable.frame.media_type is None
    body = out.forwardable.body
    assert body is not None
    back = send(decrypts("text"), a_message(body, headers=TEXT)).forwardable
    assert (back.body, back.frame.media_type) == ("grüße".encode(), None)


def test_sealed_text_is_kept_if_it_opens_here() -> None:
    rule = encrypts("text", already_sealed="keep")
    once = sent(rule, a_message("x", headers=TEXT))
    assert sent(rule, a_message(once, headers=TEXT)) == once


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"\xff", TEXT, InvalidBody),
        (b"x", ((b"content-type", b"text/plain; charset=latin1"),), UnsupportedBody),
        (b"\xff", (), InvalidBody),
    ],
)
def test_text_is_utf_8(body: bytes, headers: Headers, error: type[SealyardError]) -> None:
    refused(encrypts("text"), a_message(body, headers=headers), error)


@pytest.mark.parametrize("selector", ["body", "text"])
@pytest.mark.parametrize("cty", ["json", None, "text/plain"])
def test_a_whole_body_opens_only_as_what_it_was_sealed(selector: str, cty: str | None) -> None:
    context = Context(SCOPE, field=selector, kind="body" if selector == "body" else None)
    token = a_session().seal(b"1", context, cty=cty)
    message = a_message(token, headers=JOSE if selector == "body" else TEXT)
    if cty == "json" or (selector == "text" and cty is not None):
        error = refused(decrypts(selector), message, OpenFailed)
        assert error.reason == "wrong-content-type"
    else:
        assert sent(decrypts(selector), message) == b"1"


@pytest.mark.parametrize("selector", ["body", "text"])
def test_an_empty_body_is_missing_unless_optional(selector: str) -> None:
    for rule in (encrypts(selector), decrypts(selector)):
        assert refused(rule, a_message(b"", headers=JOSE), MissingValue).reason == "missing-body"
    for rule in (encrypts(an_item(selector, optional=True)), decrypts(f"optional {selector}")):
        assert sent(rule, a_message(b"", headers=JOSE)) == b""
    assert replied(answers(selector), b"", a_response(headers=JOSE)) == b""


def test_tokens_in_an_empty_body_are_none() -> None:
    item = an_item("tokens", bind=["tenant"])
    assert replied(answers(item), b"") == b""


def test_more_tokens_than_the_rule_allows_are_refused() -> None:
    item = an_item("tokens", bind=["tenant", "conversation"])
    body = json.dumps([sealed(context=Context(SCOPE))] * 3)
    assert json.loads(replied(answers(item, max_tokens=3), body)) == ["hello"] * 3
    with pytest.raises(InvalidBody) as caught:
        reply(answers(item, max_tokens=2), body)
    assert caught.value.reason == "too-many-tokens"


def test_the_placeholder_is_the_rules() -> None:
    item = an_item("tokens", bind=["tenant", "conversation"])
    body = json.dumps([sealed(context=Context(SCOPE))[:-1]])
    assert replied(answers(item, placeholder='"?"'), body) == b'["\\"?\\""]'


# --- which block ---------------------------------------------------------------------------------


def test_the_first_block_that_fits_is_taken() -> None:
    rule = a_rule(
        request=(a_block(encrypt=["$.content"]), a_block(encrypt=["body"], types=("text/*",))),
        names=BY_PATH,
    )
    assert send(rule, a_message('{"content":1}')).forwardable.frame.media_type is None
    assert (
        send(rule, a_message("x", headers=TEXT)).forwardable.frame.media_type == "application/jose"
    )
    refused(rule, a_message("x", headers=((b"content-type", b"a/b"),)), UnsupportedBody)


@pytest.mark.parametrize(
    ("block", "media", "fits"),
    [
        (a_block(encrypt=["$.a"]), b"application/json", True),
        (a_block(encrypt=["$.a"]), b"application/x+json", True),
        (a_block(encrypt=["$.a"]), b"text/plain", False),
        (a_block(encrypt=["$.a"]), None, False),
        (a_block(encrypt=["$.a"], types=("text/plain",)), b"text/plain", True),
        (a_block(encrypt=["$.a"], types=("text/*", "a/b")), b"text/html", True),
        (a_block(encrypt=["$.a"], types=("*/*",)), b"x/y", True),
        (a_block(encrypt=["$.a"], types=("*/*",)), None, False),
        (a_block(encrypt=["$.a"], types=("text/*",)), b"textual/html", False),
        (a_block(plain=["$.a"]), b"text/plain", False),
        (a_block(names=Names(tenant=parse_source("$.a"))), b"text/plain", False),
        (a_block(decrypt=["tokens"]), b"text/plain", False),
        (a_block(decrypt=["body"]), b"application/jose", True),
        (a_block(decrypt=["body"]), b"text/plain", False),
        (a_block(decrypt=["body"]), None, False),
        (a_block(encrypt=["body"]), None, True),
        (a_block(encrypt=["text"]), b"a/b", True),
        (a_block(decrypt=["text"]), b"a/b", True),
        (a_block(), None, True),
    ],
)
def test_a_block_takes_the_types_that_it_names_or_reads(
    block: Block,
    media: bytes | None,
    fits: bool,  # noqa: FBT001 - a table
) -> None:
    headers = ((b"Content-Type", media),) if media is not None else ()
    trip = Trip((a_rule(response=replace(block, encrypt=()), names=BY_PATH),), a_message())
    if block.encrypt:
        trip = Trip((a_rule(response=block, names=BY_PATH),), a_message())
        if not fits:
            with pytest.raises(UnsupportedBody) as caught:
                choose_response(trip.exchange, a_response(headers=headers))
            assert caught.value.response_status == 502
            return
    assert fits == (choose_response(trip.exchange, a_response(headers=headers)) is not None)


@pytest.mark.parametrize(
    ("block", "status", "fits"),
    [
        (a_block(decrypt=["$.a"]), 200, True),
        (a_block(decrypt=["$.a"]), 304, True),
        (a_block(decrypt=["$.a"]), 500, False),
        (a_block(encrypt=["$.a"]), 500, True),
        (a_block(decrypt=["tokens"]), 200, True),
        (a_block(decrypt=["tokens"]), 299, True),
        (a_block(decrypt=["tokens"]), 300, False),
        (a_block(decrypt=["tokens"], statuses=((400, 499),)), 404, True),
        (a_block(decrypt=["$.a"], statuses=((200, 200), (404, 404))), 404, True),
        (a_block(decrypt=["$.a"], statuses=((200, 200),)), 201, False),
        (a_block(encrypt=["$.a"], statuses=((200, 200),)), 201, False),
    ],
)
def test_a_block_takes_the_statuses_that_it_names(block: Block, status: int, fits: bool) -> None:  # noqa: FBT001 - a table
    trip = Trip((a_rule(response=block, names=BY_PATH),), a_message())
    assert fits == (choose_response(trip.exchange, a_response(status)) is not None)


def test_a_response_without_a_rule_passes_unread() -> None:
    trip = Trip((encrypts("$.content"),), a_message('{"content":1}'))
    assert trip.response("{}") is None
    passed = pass_response(trip.exchange, a_response(), bodiless=False)
    assert (passed.body, passed.frame.changed, passed.frame.ruled) == (None, False, False)


@pytest.mark.parametrize("coding", [b"gzip, gzip", b"foo", b"br, identity, br", b"compress"])
def test_a_body_in_a_coding_that_nobody_knows_is_refused(coding: bytes) -> None:
    headers = (*JSON_TYPE, (b"Content-Encoding", coding))
    error = refused(encrypts("$.content"), a_message(headers=headers), UnsupportedBody)
    assert (error.status, error.reason) == (415, "content-encoding")
    with pytest.raises(UnsupportedBody) as caught:
        reply(answers("$.content"), "{}", a_response(headers=headers))
    assert caught.value.response_status == 502


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b" x-gzip", b"identity, gzip"])
def test_a_coded_body_is_decoded_and_sealed(coding: bytes) -> None:
    headers = (*JSON_TYPE, (b"Content-Encoding", coding))
    body = b'{"conversationId":"c1","content":"hello", "n":1.10}'

    coded = send(
        encrypts("$.content"), Message(a_message(headers=headers).head, gzip.compress(body))
    )
    plain = send(encrypts("$.content"), a_message(body))

    assert coded.forwardable.frame.decoded
    assert coded.forwardable.body is not None
    assert coded.forwardable.body.startswith(b'{"conversationId":"c1","content":"eyJ')
    assert plain.forwardable.body is not None
    assert len(coded.forwardable.body) == len(plain.forwardable.body)


def test_a_coded_body_without_a_value_to_change_is_decoded_all_the_same() -> None:
    headers = (*JSON_TYPE, (b"Content-Encoding", b"gzip"))
    body = b'{"conversationId":"c1"}'

    sent = send(
        encrypts("optional $.content"),
        Message(a_message(headers=headers).head, gzip.compress(body)),
    )

    assert (sent.forwardable.body, sent.forwardable.frame.changed) == (body, True)
    assert sent.forwardable.frame.media_type is None


def test_a_body_that_unfolds_too_far_is_refused() -> None:
    headers = (*JSON_TYPE, (b"Content-Encoding", b"gzip"))
    message = Message(a_message(headers=headers).head, gzip.compress(b" " * 1000))
    trip = Trip((encrypts("$.content"),), message)

    with pytest.raises(BodyTooLarge):
        plan_request(trip.exchange, message.body, 999)


@pytest.mark.parametrize("charset", [b"utf-16", b"latin1", b"utf-7"])
def test_json_in_another_charset_is_refused(charset: bytes) -> None:
    headers = ((b"content-type", b"application/json; charset=" + charset),)
    error = refused(encrypts("$.content"), a_message(headers=headers), UnsupportedBody)
    assert error.reason == "charset"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (JSON_TYPE + TEXT, "content-type-stands-twice"),
        (((b"content-type", b"json"),), "content-type-malformed"),
        *(
            (((b"content-type", one),), "content-type-malformed")
            for one in (
                b"application/json; x=urlencoded",
                b"application/json; x=Multipart",
                b"application/json; boundary=form-data",
                b"application/x-www-form-urlencoded+json",
                b"multipart/form-data+json; boundary=x",
                b"multipart/form-data; boundary=urlencoded",
                b"application/x-www-form-urlencoded; x=multipart/form-data",
            )
        ),
    ],
)
def test_a_content_type_that_says_nothing_is_refused(headers: Headers, reason: str) -> None:
    error = refused(encrypts("$.content"), a_message(headers=headers), UnsupportedBody)
    assert reason == error.reason


def test_a_boundary_may_have_any_word_of_its_own_kind() -> None:
    for written in (
        b"multipart/form-data; boundary=multipart-form-data",
        b"application/x-www-form-urlencoded; charset=utf-8",
        b"multipart/mixed; boundary=x",
    ):
        assert parse_media_type(written) is not None


# --- names ---------------------------------------------------------------------------------------

OF_BODY = Names(parse_source("const:clinic"), parse_source("$.conversationId"))


def opens(out: bytes, context: Context, *path: str | int) -> bool:
    value = json.loads(out)
    for step in path:
        value = value[step]
    session = a_session(context.scope)
    session.open(decode(value.encode()), context, NOW)
    return True


@pytest.mark.parametrize(
    ("spelled", "name"), [('"c1"', "c1"), ("7", "7"), ("-7", "-7"), ('"\\u0063"', "c")]
)
def test_a_conversation_is_text_or_a_whole_number(spelled: str, name: str) -> None:
    body = f'{{"conversationId":{spelled},"content":"x"}}'
    out = sent(encrypts("$.content", names=OF_BODY), a_message(body))
    assert opens(out, Context(Scope("clinic", name), field="content"), "content")


@pytest.mark.parametrize("spelled", ["1.0", "1e3", "-0", "true", "[]", "{}", "1.5"])
def test_a_conversation_of_another_kind_is_refused(spelled: str) -> None:
    body = f'{{"conversationId":{spelled},"content":"x"}}'
    error = refused(encrypts("$.content", names=OF_BODY), a_message(body), MissingValue)
    assert error.reason == "name-not-text"


@pytest.mark.parametrize("body", ['{"content":"x"}', '{"conversationId":null,"content":"x"}'])
def test_a_missing_conversation_is_an_error_where_a_value_needs_it(body: str) -> None:
    error = refused(encrypts("$.content", names=OF_BODY), a_message(body), MissingValue)
    assert error.reason == "missing-conversation"
    assert error.detail == "The conversation of the message is missing."
    rule = encrypts("optional $.subject", names=OF_BODY)
    assert sent(rule, a_message(body)) == body.encode()


def test_a_part_without_a_source_is_missing() -> None:
    item = an_item("$.content", bind=["tenant", "message"])
    error = refused(encrypts(item), a_message('{"content":1}'), MissingValue)
    assert error.reason == "missing-message"


def test_message_and_purpose_are_bound_where_asked_for() -> None:
    item = an_item(
        "$.content", bind=["tenant", "conversation", "field", "message", "purpose"], purpose="p"
    )
    names = replace(BY_PATH, message=parse_source("$.id"))
    out = sent(encrypts(item, names=names), a_message('{"id":"m","content":"x"}'))
    assert opens(out, Context(SCOPE, "content", "m", "p"), "content")


def test_an_element_is_bound_to_its_own_conversation() -> None:
    names = Names(conversation=parse_source("$.entry.*.cid"))
    item = an_item("$.entry.*.c", bind=["conversation"])
    body = '{"entry":[{"cid":"one","c":"x"},{"c":"y","cid":"two"}]}'
    out = sent(encrypts(item, names=names), a_message(body))
    assert opens(out, Context(Scope(None, "one")), "entry", 0, "c")
    assert opens(out, Context(Scope(None, "two")), "entry", 1, "c")
    body = '{"entry":[{"cid":"one","c":"x"},{"c":"y"}]}'
    refused(encrypts(item, names=names), a_message(body), MissingValue)


def test_an_element_is_bound_to_its_members_name() -> None:
    names = Names(conversation=parse_source("$.rooms.*~"))
    item = an_item("$.rooms.*.c", bind=["conversation"])
    body = '{"rooms":{"one":{"c":"x"},"t\\u0077o":{"c":"y"}}}'
    out = sent(encrypts(item, names=names), a_message(body))
    assert opens(out, Context(Scope(None, "one")), "rooms", "one", "c")
    assert opens(out, Context(Scope(None, "two")), "rooms", "two", "c")


def test_many_values_of_a_source_are_joined_where_it_shares_no_element() -> None:
    names = Names(conversation=parse_source("$.to.*"))
    item = an_item("$.content", bind=["conversation"])
    out = sent(encrypts(item, names=names), a_message('{"to":["a","bc"],"content":"x"}'))
    assert opens(out, Context(Scope(None, Joined("list", ["a", "bc"]))), "content")
    message = a_message('{"to":[],"content":"x"}')
    refused(encrypts(item, names=names), message, MissingValue)


def test_deep_sources_share_no_element() -> None:
    names = Names(conversation=parse_source("$..cid"))
    item = an_item("$..c", bind=["conversation"])
    body = '[{"cid":"a","c":"x"},{"cid":"b","c":"y"}]'
    out = sent(encrypts(item, names=names), a_message(body))
    assert opens(out, Context(Scope(None, Joined("list", ["a", "b"]))), 1, "c")


def test_members_are_one_name_in_either_order() -> None:
    item = an_item("$.content", bind=["conversation"])
    source = MembersSource((parse_source("$.from"), parse_source("$.to")))
    rule = encrypts(item, names=Names(conversation=source))
    context = Context(Scope(None, Joined("members", ["a", "b"])))
    for body in ('{"from":"a","to":"b","content":1}', '{"to":"a","from":"b","content":1}'):
        assert opens(sent(rule, a_message(body)), context, "content")


def test_the_names_of_a_request_are_kept_for_its_answer() -> None:
    source = ListSource((parse_source("$.conversationId"), parse_source("query:t")))
    names = Names(conversation=source)
    item = an_item("$.content", bind=["conversation", "field"])
    rule = a_rule(response=a_block(decrypt=[item]), names=names)
    scope = Scope(None, Joined("list", ["c1", "q"]))
    trip = Trip((rule,), a_message(target="/api/messages?t=q"))
    asked = trip.request()
    assert (asked.forwardable.body, asked.forwardable.frame.changed) == (trip.message.body, False)
    answer = trip.response(json.dumps({"content": sealed(context=Context(scope, "content"))}))
    assert answer is not None
    assert answer.forwardable.body == b'{"content": "hello"}'


def test_a_block_reads_its_own_names_from_its_own_message() -> None:
    own = Names(conversation=parse_source("$.cid"))
    block = a_block(decrypt=["$.content"], names=own)
    rule = a_rule(request=a_block(encrypt=["$.content"]), response=block, names=OF_BODY)
    context = Context(Scope("clinic", "c9"), field="content")
    body = json.dumps({"cid": "c9", "content": sealed(context=context)})
    assert json.loads(replied(rule, body))["content"] == "hello"


def test_a_request_that_is_no_json_has_no_names_of_its_body() -> None:
    rule = encrypts(an_item("text", bind=["conversation"]), names=OF_BODY)
    error = refused(rule, a_message("x", headers=TEXT), MissingValue)
    assert error.reason == "missing-conversation"
    json_body = a_message('{"conversationId":"c1"}')
    assert sent(rule, json_body).startswith(b"eyJ0eXAiOiJzeTEi")


# --- what passes unread --------------------------------------------------------------------------


def test_a_request_that_no_rule_reads_has_no_plan() -> None:
    trip = Trip((a_rule(),), a_message())
    with pytest.raises(TypeError, match="has no plan"):
        plan_request(trip.exchange, b"")
    with pytest.raises(TypeError, match="has no plan"):
        plan_request(Trip((), a_message()).exchange, b"")


def test_a_request_that_no_rule_reads_passes() -> None:
    trip = Trip((), a_message())
    passed = pass_request(trip.exchange)
    assert (passed.head, passed.body, passed.frame.ruled) == (trip.message.head, None, False)
    trip = Trip((answers("$.content"),), a_message())
    assert pass_request(trip.exchange).frame.ruled


def test_a_response_that_a_rule_reads_cannot_pass_unread() -> None:
    trip = Trip((answers("$.content"),), a_message())
    with pytest.raises(TypeError, match="cannot pass unread"):
        pass_response(trip.exchange, a_response(), bodiless=False)
    assert pass_response(trip.exchange, a_response(204), bodiless=True).frame.ruled


def test_a_response_that_its_rule_leaves_passes() -> None:
    trip = Trip((answers("$.content"),), a_message())
    passed = pass_response(trip.exchange, a_response(headers=TEXT), bodiless=False)
    assert (passed.body, passed.frame.ruled) == (None, False)


def test_a_rule_can_reject_every_response() -> None:
    trip = Trip((a_rule(response=Verdict.REJECT),), a_message())
    with pytest.raises(RejectedByRule):
        pass_response(trip.exchange, a_response(), bodiless=True)
    with pytest.raises(RejectedByRule):
        choose_response(trip.exchange, a_response())


def test_a_type_that_nobody_can_tell_fits_no_block_that_opens() -> None:
    head = a_response(headers=((b"content-type", b"no type"),))
    trip = Trip((a_rule(response=a_block(decrypt=[an_item("$.a")])),), a_message())
    assert choose_response(trip.exchange, head) is None
    sealing = Trip((a_rule(response=a_block(encrypt=[an_item("$.a")])),), a_message())
    with pytest.raises(UnsupportedBody):
        choose_response(sealing.exchange, head)


def test_a_body_that_a_missing_name_binds_is_kept_only_where_the_rule_says_so() -> None:
    names = Names(conversation=parse_source("header:x-conversation"))
    item = an_item("body", bind=["conversation"])
    token = a_session(Scope(conversation="c")).seal(b"x", Context(Scope(conversation="c")))
    head = a_response(headers=((b"content-type", b"application/jose"),))
    keeping = replace(a_block(decrypt=[item]), keep_unopened=True)
    kept = a_rule(response=keeping, names=names)
    assert replied(kept, token, head) == token
    with pytest.raises(MissingValue):
        replied(a_rule(response=a_block(decrypt=[item]), names=names), token, head)


def test_without_a_body_the_query_is_closed_if_any_block_is() -> None:
    plain = replace(a_block(), types=("text/plain",))
    searching = a_block(plain=["$.id"])
    trip = Trip(
        (a_rule(request=(plain, searching)),), a_message(b"", target="/api/messages?content=x")
    )
    with pytest.raises(UnlistedName):
        plan_request(trip.exchange, b"")


def test_a_response_to_a_request_without_a_rule_passes() -> None:
    trip = Trip((), a_message())
    assert trip.exchange.decision.compiled_rule is None
    passed = pass_response(trip.exchange, a_response(), bodiless=False)
    assert (passed.body, passed.frame.changed, passed.frame.ruled, passed.frame.added_headers) == (
        None,
        False,
        False,
        (),
    )
