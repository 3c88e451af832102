"""Who gets what: values, masks, tokens and nothing, told apart by callers in the engine alone."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.callers import VerifiedCaller
from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.compiled.views import reader
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import KIND_BODY, KIND_STREAM, Context
from proxy.core.errors import (
    AmbiguousRequest,
    CallerMayNotOpen,
    CallerMayNotSeal,
    MaskedValue,
    OpenFailed,
    PurposeMissing,
    SealyardError,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.records.sse import SSE
from proxy.core.http.message import Headers, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.exchange import Exchange, Messages
from proxy.core.planning.multipart_stream import FormFlow
from proxy.core.planning.plan import Plan, PlannedFlow
from proxy.core.planning.treatment import ReadResponse, StreamRecords, as_it_arrives, treat_response
from proxy.core.rules.audience import CallerAudience, Mask, Shown
from proxy.core.rules.model import Behaviour, Block, Item, Names, Rule, Verdict
from proxy.core.transform import (
    Applied,
    Changed,
    Prepared,
    apply,
    begin_stream,
    pass_request,
    pass_response,
    plan_flowing_request,
    plan_flowing_response,
    plan_message,
    prepare_messages,
    prepare_records,
    prepare_request,
    prepare_response,
)
from proxy.core.values.left_out import left_out
from proxy.core.values.masks import BULLET, clusters, masked
from proxy.core.values.table import splice
from tests.core.transform.test_prepared import Warm
from tests.factories import (
    JSON_TYPE,
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    keys_for,
    streamed,
)

LAST_FOUR = Mask(last=4)
CANARY: Final = "4111-canary-1234"
HIDDEN: Final = BULLET * 12 + "1234"
EACH: Final[Mapping[str, Shown]] = {
    "doctor": "value",
    "billing": LAST_FOUR,
    "clerk": "token",
    "student": "absent",
    "guest": "refuse",
}
CALLERS: Final = tuple(EACH)
EVERYBODY: Final = CallerAudience(tuple(EACH.items()))
NAMES: Final = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
CONTENT: Final = an_item("$.*.content")
PURPOSE: Final = "x-purpose-of-use"


def seen(item: Item | str, audience: CallerAudience = EVERYBODY) -> Item:
    item = an_item(item) if isinstance(item, str) else item
    return replace(item, audience=audience)


def listening(
    *opened: Item | Block, request: Behaviour | Block = Verdict.PASS, match: str = "/x"
) -> Rule:
    blocks = tuple(one if isinstance(one, Block) else a_block(decrypt=[one]) for one in opened)
    made = a_rule(match, request=request, response=blocks, names=NAMES)
    return replace(
        made,
        callers=CALLERS,
        deciding=(b"Authorization",),
        purposes=frozenset({"treatment", "billing"}),
    )


def sealed(
    text: str | bytes, field: str = "content", *, cty: str | None = None, kind: str | None = None
) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return a_session().seal(raw, Context(SCOPE, field, kind=kind), cty=cty).decode()


def asked(
    rule: Rule,
    caller: str | None,
    *,
    method: str = "GET",
    target: str = "/x",
    body: str = "",
    headers: Headers = (),
    expires: float | None = None,
) -> Trip:
    headers = (*JSON_TYPE, *headers) if body else headers
    made = Trip((rule,), a_message(body, method=method, target=target, headers=headers))
    made.exchange.caller = None if caller is None else VerifiedCaller(caller, expires=expires)
    return made


def answered(
    rule: Rule, caller: str | None, body: str | bytes, head: ResponseHead | None = None
) -> Applied:
    trip = asked(rule, caller)
    pass_request(trip.exchange)
    applied = trip.response(body, head)
    assert applied is not None
    return applied


def got(rule: Rule, caller: str | None, body: str | bytes, head: ResponseHead | None = None) -> str:
    return (answered(rule, caller, body, head).forwardable.body or b"").decode()


# --- the matrix ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A format of answers: its rule, an answer with a value, and what is read of it again."""

    opened: Item | Block
    head: ResponseHead
    write: Callable[[str], str]
    read: Callable[[str], object]
    field: str = "content"
    kind: str | None = None
    cty: str | None = None
    nothing: object = ""


def typed(media: str) -> ResponseHead:
    return a_response(headers=((b"Content-Type", media.encode()),))


def part(body: str) -> str:
    return body.split("\r\n\r\n", 1)[1].rsplit("\r\n--b--", 1)[0]


def multipart(token: str) -> str:
    head = 'Content-Disposition: form-data; name="content"'
    return f"--b\r\n{head}\r\n\r\n{token}\r\n--b--\r\n"


FORMATS: Final[dict[str, Format]] = {
    "member": Format(
        seen(CONTENT),
        a_response(),
        lambda token: json.dumps([{"id": 1, "content": token, "z": 2}]),
        lambda body: json.loads(body)[0].get("content"),
        nothing=None,
    ),
    "element": Format(
        seen(an_item("$.list.*", field="content")),
        a_response(),
        lambda token: json.dumps({"list": [token, token]}),
        lambda body: json.loads(body)["list"][1],
        nothing=None,
    ),
    "anywhere": Format(
        seen(an_item("$..content")),
        a_response(),
        lambda token: json.dumps({"a": {"b": [{"content": token}]}}),
        lambda body: json.loads(body)["a"]["b"][0].get("content"),
        nothing=None,
    ),
    "text of JSON": Format(
        seen(an_item("$.args json:$.content", field="content")),
        a_response(),
        lambda token: json.dumps({"args": json.dumps({"content": token})}),
        lambda body: json.loads(json.loads(body)["args"]).get("content"),
        nothing=None,
    ),
    "tokens": Format(
        replace(
            a_block(decrypt=[seen(an_item("tokens", bind={"tenant", "conversation"}))]),
            types=("text/*",),
        ),
        typed("text/plain"),
        lambda token: f"say {token}!",
        lambda body: body.removeprefix("say ").removesuffix("!"),
        field="",
    ),
    "form": Format(
        seen(an_item("form:content", field="content")),
        typed("application/x-www-form-urlencoded"),
        lambda token: f"id=1&content={quote(token)}",
        lambda body: parse_qs(body, keep_blank_values=True)["content"][0],
    ),
    "part": Format(
        seen(an_item("part:content", field="content")),
        typed("multipart/form-data; boundary=b"),
        multipart,
        part,
    ),
    "lines": Format(
        seen(an_item("$.content")),
        typed("application/x-ndjson"),
        lambda token: json.dumps({"content": token}) + "\n",
        lambda body: json.loads(body).get("content"),
        nothing=None,
    ),
    "events": Format(
        seen(an_item("$.content")),
        typed("text/event-stream"),
        lambda token: f"data: {json.dumps({'content': token})}\n\n",
        lambda body: json.loads(body.removeprefix("data: ")).get("content"),
        nothing=None,
    ),
    "text": Format(
        replace(a_block(decrypt=[seen(an_item("text", field="content"))]), types=("text/*",)),
        typed("text/plain"),
        lambda token: token,
        lambda body: body,
    ),
    "header": Format(
        seen(an_item("header:x-note", field="content")),
        a_response(),
        lambda _: "{}",
        lambda body: body,
    ),
}
OUTCOMES: Final = {
    "doctor": ("opened", CANARY),
    "billing": ("masked", HIDDEN),
    "clerk": ("token", None),
    "student": ("absent", None),
}


@pytest.mark.parametrize("caller", OUTCOMES)
@pytest.mark.parametrize("name", FORMATS)
def test_each_caller_gets_its_own_in_each_format(name: str, caller: str) -> None:
    one = FORMATS[name]
    context = Context(SCOPE, one.field or None)
    token = a_session().seal(CANARY.encode(), context).decode()
    head = one.head
    if name == "header":
        head = a_response(headers=(*JSON_TYPE, (b"X-Note", token.encode())))
    applied = answered(listening(one.opened), caller, one.write(token), head)

    outcome, expected = OUTCOMES[caller]
    body = (applied.forwardable.body or b"").decode()
    found = one.read(body)
    if name == "header":
        raw = applied.forwardable.head.headers[1][1]
        found = raw.decode()
    if caller == "clerk":
        expected = token
    assert found == (one.nothing if caller == "student" else expected)
    assert (CANARY in body) <= (caller == "doctor")
    count = 2 if name == "element" else 1
    item = one.opened.decrypt[0] if isinstance(one.opened, Block) else one.opened
    assert applied.shown == {(item.field, outcome): count}
    assert applied.counts == {outcome: count}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("caller", [None, "guest", "nobody-known"])
def test_who_is_refused_is_refused_by_the_head_of_the_request(
    name: str, caller: str | None
) -> None:
    rule = listening(FORMATS[name].opened)
    if caller == "nobody-known":
        rule = replace(rule, callers=(*CALLERS, caller))
    with pytest.raises(CallerMayNotOpen):
        pass_request(asked(rule, caller).exchange)


# --- by the head of the request -----------------------------------------------------------------

PAN: Final = seen("$.card", CallerAudience((("billing", "value"),), LAST_FOUR, PURPOSE))


def stated(*purposes: str) -> Headers:
    return tuple((b"X-Purpose-Of-Use", one.encode()) for one in purposes)


def test_a_rule_may_ask_for_a_purpose_of_use() -> None:
    rule = listening(PAN)
    exchange = asked(rule, "billing", headers=stated("billing")).exchange
    pass_request(exchange)
    assert exchange.purpose_of_use == "billing"
    assert exchange.decision.varies == (b"Authorization",)
    for headers in ((), stated("Billing"), stated("fishing"), stated("")):
        with pytest.raises(PurposeMissing) as caught:
            pass_request(asked(rule, "billing", headers=headers).exchange)
        assert PURPOSE in caught.value.detail
    with pytest.raises(AmbiguousRequest):
        pass_request(asked(rule, "billing", headers=stated("billing", "billing")).exchange)


def test_whoever_opens_nothing_needs_no_purpose() -> None:
    absent = seen("$.card", CallerAudience((("billing", "absent"),), "token", PURPOSE))
    exchange = asked(listening(absent), "doctor").exchange
    pass_request(exchange)
    assert exchange.purpose_of_use is None
    assert asked(a_rule("/x"), None).exchange.purpose_of_use is None


def test_a_rule_may_take_the_messages_of_some_callers_alone() -> None:
    block = replace(a_block(encrypt=["$.content"]), callers=frozenset({"doctor"}))
    rule = listening(request=block, match="POST /x")
    body = '{"content":"hello"}'
    applied = asked(rule, "doctor", method="POST", body=body).request()
    assert applied.counts == {"sealed": 1}
    assert not applied.shown
    for caller in (None, "billing"):
        with pytest.raises(CallerMayNotSeal):
            asked(rule, caller, method="POST", body=body).request()


def test_jobs_of_whoever_holds_the_keyring_get_values() -> None:
    trip = asked(listening(seen(CONTENT)), None)
    trip.exchange.decision = trip.exchange._decided.seen_by("")
    applied = trip.response(json.dumps([{"content": sealed(CANARY)}]))
    assert applied is not None
    assert applied.forwardable.body == json.dumps([{"content": CANARY}]).encode()


def test_callers_that_get_the_same_share_a_rule() -> None:
    rule = listening(seen(CONTENT, CallerAudience((("doctor", "value"), ("clerk", "value")))))
    views = RuleTable((rule,), pass_unmatched=True).rules[0].views
    found = {name: views[name] for name in (*CALLERS, "anyone")}
    assert found["doctor"] is found["clerk"]
    assert found["billing"] is found["guest"] is found["anyone"]
    assert found["doctor"] is not found["guest"]


def test_without_a_view_nothing_opens() -> None:
    """A rule of a listener with callers that is asked before anybody is known."""
    rule = listening(seen(CONTENT))
    assert all(one.shown == "refuse" for block in rule.blocks for one in block.decrypt)
    trip = asked(rule, "guest")
    with pytest.raises(CallerMayNotOpen):
        trip.response(json.dumps([{"content": sealed(CANARY)}]))


# --- what was never sealed, does not open, or is no text ------------------------------------------


def passing(item: Item, **changes: object) -> Rule:
    return listening(replace(a_block(decrypt=[item]), **changes))  # type: ignore[arg-type]  # names of fields


PLAIN: Final = json.dumps([{"id": 1, "content": CANARY}])
MALFORMED: Final = json.dumps([{"id": 1, "content": f"sy1.{CANARY}"}])


@pytest.mark.parametrize("caller", ["billing", "clerk", "student"])
def test_a_plain_value_is_left_out_for_whoever_gets_no_values(caller: str) -> None:
    for changes in ({"permissive_until": NOW + 60}, {"keep_unopened": True}):
        rule = passing(seen(CONTENT), **changes)
        for body in (PLAIN, MALFORMED):
            if body is MALFORMED and "permissive_until" in changes and caller != "student":
                continue
            assert got(rule, caller, body) == '[{"id": 1}]'
    assert got(passing(seen(CONTENT), permissive_until=NOW + 60), "doctor", PLAIN) == PLAIN


@pytest.mark.parametrize("caller", ["billing", "clerk"])
def test_a_plain_value_is_refused_in_mode_enforce(caller: str) -> None:
    for body in (PLAIN, MALFORMED):
        with pytest.raises(OpenFailed):
            answered(passing(seen(CONTENT)), caller, body)


def test_a_token_that_does_not_open_stays_a_token() -> None:
    foreign = json.dumps([{"content": sealed(CANARY, "other")}])
    rule = passing(seen(CONTENT), keep_unopened=True)
    for caller in ("doctor", "billing", "clerk"):
        assert got(rule, caller, foreign) == foreign
    assert got(rule, "student", foreign) == "[{}]"


@pytest.mark.parametrize("raw", [b"17", b'{"a":"b"}', b"true"])
def test_a_mask_never_covers_what_is_no_text(raw: bytes) -> None:
    body = json.dumps([{"content": sealed(raw, cty="json")}])
    rule = listening(seen(CONTENT))
    assert json.loads(got(rule, "doctor", body)) == [{"content": json.loads(raw)}]
    with pytest.raises(CallerMayNotOpen) as caught:
        answered(rule, "billing", body)
    assert caught.value.reason == "no-text"
    assert got(rule, "student", body) == "[{}]"


def test_bytes_have_no_mask() -> None:
    body = json.dumps([{"content": sealed(b"\xff\xfe")}])
    for rule in (listening(seen(CONTENT)), listening(seen("tokens"))):
        with pytest.raises(CallerMayNotOpen):
            answered(rule, "billing", body)


def test_a_token_cut_in_a_text_is_cut_for_all() -> None:
    item = seen(an_item("tokens", bind={"tenant", "conversation"}))
    rule = listening(replace(a_block(decrypt=[item]), types=("text/*",)))
    whole = a_session().seal(b"x", Context(SCOPE)).decode()
    body = f"say {whole[:-8]}…"
    for caller in ("doctor", "clerk", "billing"):
        assert got(rule, caller, body, typed("text/plain")) == "say [sealed]…"


# --- whole bodies ---------------------------------------------------------------------------------

FILE: Final = listening(replace(a_block(decrypt=[seen("body")]), types=("*/*",)))
JOSE: Final = typed("application/jose")


def a_stream(text: str) -> bytes:
    context = Context(SCOPE, "body", kind=KIND_STREAM)
    head, sealer = sealed_stream.begin(a_session(), context, "text/plain", None)
    return head + sealer.update(text.encode()) + sealer.finish()


def test_a_whole_body_is_left_out_or_stays() -> None:
    token = sealed(CANARY, "body", cty="text/plain", kind=KIND_BODY)
    whole = answered(FILE, "doctor", token, JOSE).forwardable
    assert (whole.body, whole.frame.media_type) == (CANARY.encode(), "text/plain")
    kept = answered(FILE, "clerk", token, JOSE).forwardable
    assert (kept.body, kept.frame.media_type) == (token.encode(), None)
    gone = answered(FILE, "student", token, JOSE).forwardable
    assert (gone.body, gone.frame.media_type) == (b"", "")
    with pytest.raises(CallerMayNotOpen):
        answered(FILE, "billing", token, JOSE)


def test_a_sealed_stream_is_left_out_or_stays() -> None:
    stream, head = a_stream(CANARY), typed(sealed_stream.MEDIA_TYPE)
    assert got(FILE, "doctor", stream, head) == CANARY
    kept = answered(FILE, "clerk", stream, head)
    assert (kept.forwardable.body, kept.shown) == (stream, {("body", "token"): 1})
    gone = answered(FILE, "student", stream, head)
    assert (gone.forwardable.body, gone.shown) == (b"", {("body", "absent"): 1})
    with pytest.raises(CallerMayNotOpen):
        answered(FILE, "billing", stream, head)
    with pytest.raises(OpenFailed):
        answered(FILE, "clerk", b"no stream", head)


@pytest.mark.parametrize("caller", ["clerk", "student"])
def test_what_says_to_be_a_stream_and_is_none_is_left_out(caller: str) -> None:
    """It may be the value, that was never sealed."""
    (block,) = FILE.blocks_of("response")
    lax = replace(FILE, response=(replace(block, keep_unopened=True),))
    for body in (CANARY.encode(), sealed_stream.MAGIC + CANARY.encode()):
        gone = answered(lax, caller, body, typed(sealed_stream.MEDIA_TYPE))
        assert (gone.forwardable.body, gone.shown) == (b"", {("body", "absent"): 1})


def test_a_stream_in_a_part_is_left_out_or_stays() -> None:
    context = Context(SCOPE, "content", kind=KIND_STREAM)
    head, sealer = sealed_stream.begin(a_session(), context, "text/plain", None)
    stream = head + sealer.update(CANARY.encode()) + sealer.finish()
    named = b'Content-Disposition: form-data; name="content"'
    typing = f"Content-Type: {sealed_stream.MEDIA_TYPE}".encode()
    body = b"\r\n".join((b"--of+parts", named, typing, b"", stream, b"--of+parts--", b""))
    rule, form = (
        listening(seen(an_item("part:content", field="content"))),
        typed('multipart/form-data; boundary="of+parts"'),
    )

    def read(caller: str) -> bytes:
        whole = answered(rule, caller, body, form).forwardable.body or b""
        return whole.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--of+parts--", 1)[0]

    assert read("doctor") == CANARY.encode()
    assert read("clerk") == stream
    assert read("student") == b""
    with pytest.raises(CallerMayNotOpen):
        read("billing")


# --- streams and WebSockets -----------------------------------------------------------------------


def test_each_message_of_a_websocket_is_decided_again() -> None:
    rule = listening(seen("$.content"), match="WS /x")
    body = json.dumps({"content": sealed(CANARY)}).encode()

    def told(caller: str, now: float) -> bytes | None:
        trip = asked(rule, caller, expires=NOW + 60)
        trip.exchange.decision = (
            RuleTable((rule,), pass_unmatched=True)
            .decide("GET", canonical("/x"), websocket=True)
            .seen_by(caller)
        )
        messages = Messages(trip.exchange, "response")
        plan = plan_message(messages, body)
        done = apply(plan, keys_for(plan.needs), now).forwardable.body
        way = prepare_messages(messages, binary=False)
        assert (way is not None) == (caller == "doctor")
        return done

    assert told("doctor", NOW) == json.dumps({"content": CANARY}).encode()
    assert told("student", NOW) == b"{}"
    for caller in ("doctor", "student"):
        with pytest.raises(CallerMayNotOpen) as caught:
            told(caller, NOW + 60)
        assert caught.value.reason == "caller-expired"


def test_each_piece_of_a_stream_is_decided_again() -> None:
    head = typed("text/event-stream")
    record = f"data: {json.dumps({'content': sealed(CANARY)})}\n\n".encode()

    def flow(caller: str, expires: float) -> bytes:
        trip = asked(listening(seen("$.content")), caller, expires=expires)
        treated = treat_response(trip.exchange, head)
        assert isinstance(treated, ReadResponse)
        treatment = as_it_arrives(treated, head, None, 1 << 20)
        assert isinstance(treatment, StreamRecords)
        message = begin_stream(trip.exchange, treatment.block, head, treatment.kind, 1 << 20)
        assert message.frame.for_caller
        assert isinstance(message.flow, PlannedFlow)
        return b"".join(streamed(message.flow.feed(record)))

    assert CANARY.encode() in flow("doctor", NOW + 1)
    assert flow("student", NOW + 1) == b"data: {}\n\n"
    with pytest.raises(CallerMayNotOpen):
        flow("doctor", NOW)


# --- what is left out -----------------------------------------------------------------------------

names = st.sampled_from(["content", "a", "é\\", 'q"uote', "content ", "x:y", "{,", "\\\\"])
_leaves = st.just("SECRET") | st.integers(0, 9) | st.sampled_from(["", "x", "[,]", '"'])
trees: st.SearchStrategy[object] = st.deferred(
    lambda: _leaves | st.lists(trees, max_size=4) | st.dictionaries(names, trees, max_size=4)
)
_DROPPED: Final = object()


def without(tree: object, *, inside: bool = False) -> object:
    if tree == "SECRET":
        return _DROPPED if inside else None
    if isinstance(tree, list):
        return [without(one) for one in tree]
    if isinstance(tree, dict):
        left = {name: without(one, inside=True) for name, one in tree.items()}
        return {name: one for name, one in left.items() if one is not _DROPPED}
    return tree


@given(trees, st.sampled_from([{}, {"indent": 1}, {"indent": "\t", "ensure_ascii": False}]))
def test_members_are_left_out_and_elements_become_null(
    tree: object, spelled: dict[str, Any]
) -> None:
    text = json.dumps(tree, **spelled).encode()
    places = [one.span() for one in re.finditer(rb'"SECRET"', text)]
    new = splice(text, left_out(text, places)) if places else text
    assert json.loads(new) == without(tree)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data: {"a":1,\ndata: "content":"S"}', 'data: {"a":1,\ndata: "content":null}'),
        ('data: {"content":\ndata: "S"}', 'data: {"content":\ndata: null}'),
        ('data: {"content":"S"\ndata: ,"a":1}', 'data: {"content":null\ndata: ,"a":1}'),
        ('x:"S"', "x:null"),
        ('":"S"', '":null'),
        ('{"a":"S","b":"S"}', "{}"),
        ('{"x":0,"a":"S","b":"S"}', '{"x":0}'),
        ('{"a":"S","b":"S","x":0}', '{"x":0}'),
        ('{"a\\"b":"S","x":0}', '{"x":0}'),
    ],
)
def test_what_is_no_plain_member_becomes_null(text: str, expected: str) -> None:
    raw = text.encode()
    spans = left_out(raw, [one.span() for one in re.finditer(rb'"S"', raw)])
    assert splice(raw, spans).decode() == expected


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "text", "expected"),
    [
        (Mask(6, 4), "4111111111111234", f"411111{BULLET * 6}1234"),
        (Mask(6, 4), "4111111234", BULLET * 10),
        (Mask(6, 4), "", ""),
        (Mask(last=4, length=8), "4111111111111234", f"{BULLET * 8}1234"),
        (Mask(last=4, length=8), "1234", BULLET * 8),
        (Mask(length=3), "anything", BULLET * 3),
        (Mask(), "abc", BULLET * 3),
        (Mask(email=True), "ada@clinic.example", f"a{BULLET * 3}@clinic.example"),
        (Mask(email=True), "a@clinic.example", f"{BULLET * 3}@clinic.example"),
        (Mask(email=True), "no address", BULLET * 3),
        (Mask(email=True), "@clinic.example", BULLET * 3),
        (Mask(email=True), "ada@", BULLET * 3),
        (Mask(email=True), "ada@klinik.müller.example", f"a{BULLET * 3}@klinik.müller.example"),
        (Mask(email=True), "ask the ward @ night, the code is 4711", BULLET * 3),
        (Mask(email=True), "the code is @4711", BULLET * 3),
        (Mask(email=True), "the code is @47.11", BULLET * 3),
        (Mask(email=True), "ada@ward.clinic: positive", BULLET * 3),
        (Mask(email=True), f"ada@{'long.' * 60}example", BULLET * 3),
        (Mask(email=True), f"x@{'e' * 64}.eyJhbGciOiJub25lIn0", BULLET * 3),
        (Mask(email=True), f"x@a.{'e' * 64}", BULLET * 3),
        (Mask(first=1), "👩‍👩‍👧‍👦 family", f"👩‍👩‍👧‍👦{BULLET * 7}"),
        (Mask(last=1), "flags 🇩🇪🇫🇷", f"{BULLET * 7}🇫🇷"),
        (Mask(last=1), "cafe\u0301", f"{BULLET * 3}e\u0301"),
        (Mask(last=1), "한글각", f"{BULLET * 2}각"),
        (Mask(last=1), "wave 👋🏽", f"{BULLET * 5}👋🏽"),
    ],
)
def test_a_mask_keeps_whole_signs_and_no_more_than_it_says(
    mask: Mask, text: str, expected: str
) -> None:
    assert masked(mask, text) == expected


@given(st.text(max_size=40), st.integers(0, 6), st.integers(0, 6), st.none() | st.integers(1, 9))
def test_a_mask_never_shows_a_whole_text(
    text: str, first: int, last: int, length: int | None
) -> None:
    found = clusters(text)
    assert "".join(found) == text
    hidden = masked(Mask(first, last, length), text)
    assert not text or BULLET in hidden
    kept = hidden.replace(BULLET, "")
    assert len(clusters(kept)) <= max(first + last, 1) * 2
    if length is not None:
        assert hidden.count(BULLET) >= min(length, 1)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("\r\n", 1),
        ("\n\u0301", 2),
        ("a\u200db", 2),
        ("\u1112\u1161\u11ab", 1),
        ("\uac00\u11a8", 1),
        ("\u1100\uac00", 1),
        ("\uac00\uac00", 2),
        ("\U0001f1e9", 1),
        ("\u2764\ufe0f", 1),
    ],
)
def test_clusters_are_those_of_the_standard(text: str, count: int) -> None:
    assert len(clusters(text)) == count


@pytest.mark.timing
def test_a_sign_of_very_many_characters_takes_the_time_of_its_length() -> None:
    def took(marks: int) -> float:
        began = time.thread_time()
        assert len(clusters("a" + "\u0301" * marks)) == 1
        return time.thread_time() - began

    took(1000)
    # Ten times the marks: what copied the sign for each mark took 112 times as long.
    assert took(400_000) < 40 * min(took(40_000) for _ in range(3))


@given(st.text("aé漢\uac00\n", min_size=1, max_size=9), st.text("aé漢\uac00\n", max_size=9))
def test_a_sign_of_several_characters_joins_nothing_beside_it(before: str, behind: str) -> None:
    sign = "\U0001f469\u200d\U0001f467"
    assert clusters(f"{before}{sign}{behind}") == [*before, sign, *behind]


# --- what comes back ------------------------------------------------------------------------------

READS: Final = listening(seen("$.content"), match="GET /x")
WRITES: Final = listening(
    request=a_block(encrypt=["optional $.content"]), match="PUT,PATCH,POST /x"
)


def back(
    caller: str | None,
    method: str,
    body: str,
    *,
    headers: Headers = (),
    target: str = "/x",
    rules: tuple[Rule, ...] = (READS, replace(WRITES, name="writes")),
) -> bytes:
    message = a_message(body, method=method, target=target, headers=(*JSON_TYPE, *headers))
    trip = Trip(rules, message)
    trip.exchange.caller = None if caller is None else VerifiedCaller(caller)
    return trip.request().forwardable.body or b""


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@pytest.mark.parametrize("caller", OUTCOMES)
def test_what_was_read_and_comes_back_unchanged_is_stored_as_it_was_or_refused(
    caller: str, method: str
) -> None:
    stored = json.dumps({"content": sealed(CANARY), "x": 1})
    read = got(READS, caller, stored)
    try:
        written = json.loads(back(caller, method, read))
    except MaskedValue:
        assert caller != "doctor"
        return
    if caller == "doctor":
        assert got(READS, "doctor", json.dumps(written)) == json.dumps({"content": CANARY, "x": 1})
    elif "content" in written:
        assert written == json.loads(stored)
    else:
        assert (caller, method) in {("student", "PATCH"), ("student", "POST")}
    assert method != "PUT" or caller == "doctor"


def test_a_mask_that_comes_back_is_refused_for_all() -> None:
    for caller in (*CALLERS, None):
        for text in (HIDDEN, "\\u2022", "x\u2022"):
            with pytest.raises(MaskedValue) as caught:
                back(caller, "POST", f'{{"content":"{text}"}}')
            assert CANARY not in str(caught.value)
    assert b"eyJ0" in back(None, "POST", '{"content":"typed in anew"}')
    with pytest.raises(MaskedValue):
        back("doctor", "POST", '{"content":{"a":"\\u2022"}}')


def test_a_token_that_comes_back_stays_only_where_it_opens() -> None:
    mine, foreign = sealed(CANARY), sealed(CANARY, "other")
    assert (
        back(None, "POST", json.dumps({"content": mine})) == json.dumps({"content": mine}).encode()
    )
    with pytest.raises(MaskedValue) as caught:
        back(None, "POST", json.dumps({"content": foreign}))
    assert caught.value.reason == "token-comes-back"


def test_what_a_caller_does_not_see_it_does_not_replace() -> None:
    for caller in ("billing", "clerk", "student"):
        for target, headers in (
            ("/x?_method=PUT", ()),
            ("/x?%5Fmethod=put", ()),
            ("/x", ((b"X-HTTP-Method-Override", b"PUT"),)),
            ("/x", ((b"X_HTTP_Method_Override", b"PUT"),)),
            ("/x", ((b"X-Method", b"PUT"),)),
        ):
            with pytest.raises(MaskedValue):
                back(caller, "POST", '{"x":1}', target=target, headers=headers)
        with pytest.raises(MaskedValue):
            back(caller, "PUT", '{"x":1}')
        with pytest.raises(MaskedValue):
            back(caller, "PATCH", '{"content":"blind"}')
        assert back(caller, "PATCH", '{"x":1}') == b'{"x":1}'
        assert b"eyJ0" in back(caller, "POST", '{"content":"new"}')
    for caller in ("doctor", "guest"):
        assert b"eyJ0" in back(caller, "PUT", '{"content":"new"}')


def test_a_patch_that_is_a_list_may_name_what_is_not_seen() -> None:
    each = listening(request=a_block(encrypt=["optional $..content"]), match="PATCH /x")
    rules = (READS, replace(each, name="writes"))
    for patch in ("[]", ' [{"op":"replace","path":"/content","value":"blind"}]'):
        with pytest.raises(MaskedValue):
            back("student", "PATCH", patch, rules=rules)
        assert back("doctor", "PATCH", patch, rules=rules)
    assert back("student", "PATCH", '{"x":[1]}', rules=rules)


def test_a_form_does_not_ask_for_a_method_that_replaces_what_is_not_seen() -> None:
    form = replace(
        a_block(encrypt=[an_item("form:content", field="content")]),
        types=("application/x-www-form-urlencoded",),
    )
    rules = (READS, replace(listening(request=form, match="POST,PUT /x"), name="writes"))
    headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)

    def sent(caller: str, body: str) -> bytes | None:
        made = a_message(body, method="POST", target="/x", headers=headers)
        trip = Trip(rules, made)
        trip.exchange.caller = VerifiedCaller(caller)
        return trip.request().forwardable.body

    for name in ("_method", "%5fmethod"):
        with pytest.raises(AmbiguousRequest, match="method-override"):
            sent("student", f"content=new&{name}=PUT")
        assert sent("doctor", f"content=new&{name}=PUT") is not None
    assert sent("student", "content=new") is not None


def test_messages_of_a_websocket_do_not_change_what_is_not_seen() -> None:
    live = listening(
        seen("$.content"), request=a_block(encrypt=["optional $.content"]), match="WS /x"
    )
    table = RuleTable((live,), pass_unmatched=True)

    def told(caller: str, body: bytes) -> Plan:
        exchange = Exchange(
            table.decide("GET", canonical("/x"), websocket=True), asked(live, caller).exchange.head
        )
        exchange.caller = VerifiedCaller(caller)
        messages = Messages(exchange, "request")
        assert (prepare_messages(messages, binary=False) is None) == (caller != "doctor")
        return plan_message(messages, body)

    for caller in ("billing", "clerk", "student"):
        with pytest.raises(MaskedValue):
            told(caller, b'{"content":"blind"}')
        assert not told(caller, b'{"x":[1]}').needs.seals
    assert told("doctor", b'{"content":"seen"}').needs.seals


def test_a_second_credential_is_refused_wherever_callers_stand() -> None:
    bearer = (b"Authorization", b"Bearer one")
    rule = listening(seen("$.content"), match="GET /x")
    lax = replace(rule, response=(replace(rule.blocks[0], elsewhere_allowed=True),))
    cookie = (b"Cookie", b"jwt=two")
    for target, headers in (
        ("/x?access_token=two", (bearer,)),
        ("/x?access_token=two", ()),
        ("/x?%61ccess_token=two", (bearer,)),
        ("/x", (bearer, cookie)),
    ):
        with pytest.raises(AmbiguousRequest, match="second-credential"):
            asked(rule, "doctor", target=target, headers=headers).exchange.refuse_unclear()
        asked(lax, "doctor", target=target, headers=headers).exchange.refuse_unclear()
    for target, headers in (("/x?access_token=one&a=b", (bearer,)), ("/x", (cookie,))):
        asked(rule, "doctor", target=target, headers=headers).exchange.refuse_unclear()


def test_tokens_of_any_field_stand_for_all_fields() -> None:
    reads = listening(seen(an_item("tokens", field="tokens")), match="GET /x")
    with pytest.raises(MaskedValue):
        back(None, "POST", f'{{"content":"{HIDDEN}"}}', rules=(reads, WRITES))


def test_a_member_named_tokens_stands_for_itself_alone() -> None:
    reads = listening(seen(an_item("$.tokens")), match="GET /x")
    back(None, "POST", f'{{"content":"{HIDDEN}"}}', rules=(reads, WRITES))


def test_what_is_sealed_unlisted_may_be_of_any_field() -> None:
    block = a_block(plain=[], others="seal")
    writes = listening(request=block, match="POST /x")
    with pytest.raises(MaskedValue):
        back(None, "POST", f'{{"other":"{HIDDEN}"}}', rules=(READS, writes))


def test_a_body_that_flows_is_not_changed_by_whoever_does_not_see_it() -> None:
    whole = replace(a_block(encrypt=["body"]), types=("*/*",))
    reads = listening(replace(a_block(decrypt=[seen("body")]), types=("*/*",)), match="GET /x")
    writes = replace(listening(request=whole, match="PATCH /x"), name="writes")
    with pytest.raises(MaskedValue):
        back("student", "PATCH", "{}", rules=(reads, writes))
    trip = Trip((reads, writes), a_message("{}", method="PATCH", target="/x"))
    trip.exchange.caller = VerifiedCaller("student")
    with pytest.raises(MaskedValue):
        plan_flowing_request(trip.exchange, fitted(trip), b"x", 1 << 20)


def fitted(trip: Trip) -> CompiledBlock:
    rule = trip.exchange.decision.compiled_rule
    assert rule is not None
    return rule.request[0]


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", OUTCOMES)
def test_every_answer_of_such_a_rule_is_for_its_caller_alone(caller: str) -> None:
    rule = listening(seen(CONTENT))
    cached = (*JSON_TYPE, (b"Cache-Control", b"public, max-age=60"), (b"ETag", b'"1"'))
    heads = []
    body = json.dumps([{"content": sealed(CANARY)}])
    heads.append(answered(rule, caller, body, a_response(headers=cached)).forwardable)
    exchange = asked(rule, caller).exchange
    heads += [
        pass_response(exchange, a_response(404, cached), bodiless=False, unread=True),
        pass_response(exchange, a_response(204, cached), bodiless=True),
    ]
    for one in heads:
        added = dict(one.frame.added_headers)
        assert added[b"Cache-Control"] == b"private, no-store"
        assert added[b"Vary"] == b"Authorization"
        assert one.frame.for_caller
        assert one.frame.private
    assert pass_request(exchange).frame.for_caller


def test_the_native_path_gives_callers_the_same() -> None:
    rule = listening(seen(CONTENT))
    body = json.dumps([{"content": sealed(CANARY)}, {"content": sealed("x")}]).encode()
    for caller in OUTCOMES:
        exchange = asked(rule, caller).exchange
        head = a_response()
        way = prepare_response(exchange, treat_response(exchange, head), head)
        if caller != "doctor":
            assert way is None
            continue
        assert isinstance(way, Prepared)
        changed = way.change(body, Warm(), NOW)
        assert isinstance(changed, Changed)
        planned = answered(rule, caller, body)
        assert changed.body == planned.forwardable.body
        assert changed.shown == planned.shown == {("content", "opened"): 2}
        frames = changed.frame, planned.forwardable.frame
        assert len({(one.for_caller, one.added_headers, one.private) for one in frames}) == 1


# --- edges ----------------------------------------------------------------------------------------


def test_the_caller_is_found_that_gets_most() -> None:
    assert reader(a_rule("/x")) is None
    assert reader(listening(seen("$.content"))) == "doctor"
    masks = CallerAudience((("clerk", LAST_FOUR),))
    assert reader(listening(seen("$.content", masks))) == "clerk"
    rule = listening(replace(seen("$.content"), audience=None), request=Block(callers=frozenset()))
    assert reader(rule) == "anyone"


def test_who_gets_what_is_told_in_words() -> None:
    told = "doctor value, billing mask, clerk token, student absent, guest refuse, others refuse"
    assert str(EVERYBODY) == told


def test_values_for_clients_without_a_credential_are_written_out() -> None:
    everybody = CallerAudience((), "value")
    assert (everybody.to("anyone"), everybody.to("doctor")) == ("refuse", "value")
    assert CallerAudience((("anyone", "value"),)).to("anyone") == "value"
    assert CallerAudience((), "absent").to("anyone") == "absent"


def test_a_name_that_no_caller_has_is_anyones() -> None:
    rule = listening(seen(CONTENT, CallerAudience((("doctor", "value"), ("anyone", "token")))))
    body = json.dumps([{"content": sealed(CANARY)}])
    assert got(rule, "nobody", body) == got(rule, None, body) == body


def test_items_of_all_are_opened_for_all() -> None:
    item = replace(seen(CONTENT), audience=None, shown=None)
    assert CANARY in got(listening(item), None, json.dumps([{"content": sealed(CANARY)}]))


def test_a_part_that_flows_is_left_out_or_stays() -> None:
    context = Context(SCOPE, "content", kind=KIND_STREAM)
    head, sealer = sealed_stream.begin(a_session(), context, "text/plain", None)
    stream = head + sealer.update(CANARY.encode() * 20_000) + sealer.finish()
    named = b'Content-Disposition: form-data; name="content"'
    length = b"Content-Length: %d" % len(stream)
    typing = f"Content-Type: {sealed_stream.MEDIA_TYPE}".encode()
    body = b"\r\n".join((b"--of+parts", named, typing, length, b"", stream, b"--of+parts--", b""))
    rule, form = (
        listening(seen(an_item("part:content", field="content"))),
        typed('multipart/form-data; boundary="of+parts"'),
    )

    def read(caller: str) -> bytes:
        trip = asked(rule, caller)
        block = fitted_answer(trip, form)
        plan = plan_flowing_response(trip.exchange, block, form, body[:40], 1 << 20)
        applied = apply(plan, keys_for(plan.needs), NOW)
        assert applied.forwardable.frame.for_caller
        flow = applied.forwardable.flow
        assert isinstance(flow, FormFlow)
        out = [
            _stepped(one)
            for at in range(0, len(body), 4096)
            for one in flow.feed(body[at : at + 4096])
        ]
        out += [_stepped(one) for one in flow.end()]
        return b"".join(out)

    assert read("doctor").count(CANARY.encode()) == 20_000
    assert read("clerk") == body
    gone = read("student")
    assert b"Content-Length: 0\r\n\r\n\r\n--of+parts--" in gone
    with pytest.raises(CallerMayNotOpen):
        read("billing")


def _stepped(step: object) -> bytes:
    if isinstance(step, bytes):
        return step
    assert isinstance(step, Plan)
    return apply(step, keys_for(step.needs), NOW).forwardable.body or b""


def fitted_answer(trip: Trip, head: ResponseHead) -> CompiledBlock:
    block = choose_response(trip.exchange, head)
    assert block is not None
    return block


@pytest.mark.parametrize("caller", ["doctor", "student", "clerk"])
def test_a_body_that_flows_is_given_to_each_caller(caller: str) -> None:
    stream, head = a_stream(CANARY), typed(sealed_stream.MEDIA_TYPE)
    trip = asked(FILE, caller)
    plan = plan_flowing_response(trip.exchange, fitted_answer(trip, head), head, stream, 1 << 20)
    message = apply(plan, keys_for(plan.needs), NOW).forwardable
    if caller == "clerk":
        assert (message.body, message.flow) == (None, None)
        return
    flow = message.flow
    assert flow is not None
    assert not isinstance(flow, PlannedFlow)
    assert flow.holds_head == (caller == "doctor")
    out = flow.feed(stream) + flow.end()
    assert out == (CANARY.encode() if caller == "doctor" else b"")
    assert flow.length(len(stream)) == len(out)


def test_prepared_answers_tell_only_of_what_is_there_and_has_an_audience() -> None:
    block = a_block(decrypt=[seen("$.content"), seen("$.more"), an_item("$.open_to_all")])
    head = a_response()
    body = json.dumps({"content": sealed(CANARY), "open_to_all": sealed("x", "open_to_all")})
    exchange = asked(listening(block), "doctor").exchange
    way = prepare_response(exchange, treat_response(exchange, head), head)
    assert isinstance(way, Prepared)
    changed = way.change(body.encode(), Warm(), NOW)
    assert isinstance(changed, Changed)
    assert changed.shown == {("content", "opened"): 1}
    assert changed.counts == {"opened": 2}


def test_prepared_records_end_with_the_credential() -> None:
    head = typed("text/event-stream")
    record = f"data: {json.dumps({'content': sealed(CANARY)})}\n\n".encode()
    trip = asked(listening(seen("$.content")), "doctor", expires=NOW + 1)
    block = fitted_answer(trip, head)
    way = prepare_records(trip.exchange, block, head, SSE.kind)
    assert way is not None
    changed = way.change(record * 2, Warm(), NOW)
    assert changed is not None
    assert changed.shown == {("content", "opened"): 2}
    assert way.change(record, Warm(), NOW + 1) is None


def test_prepared_messages_end_with_the_credential() -> None:
    rule = listening(seen("$.content"), match="WS /x")
    table = RuleTable((rule,), pass_unmatched=True)
    trip = asked(rule, "doctor")
    exchange = Exchange(table.decide("GET", canonical("/x"), websocket=True), trip.exchange.head)
    exchange.caller = VerifiedCaller("doctor", expires=NOW + 1)
    way = prepare_messages(Messages(exchange, "response"), binary=False)
    assert way is not None
    body = json.dumps({"content": sealed(CANARY)}).encode()
    changed = way.change(body, Warm(), NOW)
    assert changed is not None
    assert changed.shown == {("content", "opened"): 1}
    assert way.change(body, Warm(), NOW + 1) is None


def test_a_patch_is_planned_for_whoever_does_not_see_its_field() -> None:
    for caller, prepared in (("doctor", True), ("student", False)):
        trip = Trip(
            (READS, replace(WRITES, name="writes")),
            a_message('{"content":"x"}', method="PATCH", target="/x"),
        )
        trip.exchange.caller = VerifiedCaller(caller)
        assert (prepare_request(trip.exchange) is not None) == prepared


def test_a_value_with_two_readings_stays_a_token_or_is_left_out() -> None:
    twins = json.dumps({"content": sealed(CANARY), "Content": "x"})
    rule = listening(seen("$.content"))
    for caller in ("doctor", "billing", "clerk"):
        assert got(rule, caller, twins) == twins
    assert json.loads(got(rule, "student", twins)) == {"Content": "x"}


shown_to = st.sampled_from([*EACH.values(), Mask(first=2), Mask(length=3), Mask(email=True)])


@given(
    st.sampled_from(sorted(FORMATS)),
    st.dictionaries(st.sampled_from([*CALLERS, "anyone"]), shown_to),
    shown_to,
    st.sampled_from([None, *CALLERS]),
    st.booleans(),
)
def test_a_value_is_seen_by_whom_its_rule_gives_it_and_by_nobody_else(
    name: str,
    each: dict[str, Shown],
    otherwise: Shown,
    caller: str | None,
    kept: bool,  # noqa: FBT001 - as drawn
) -> None:
    """Whatever the rule says, a value that was sealed, or was not, reaches its readers alone."""
    audience = CallerAudience(tuple(each.items()), otherwise)
    form, written = FORMATS[name], audience.to(caller or "anyone")
    opened = form.opened
    block = opened if isinstance(opened, Block) else a_block(decrypt=[opened])
    items = tuple(replace(one, audience=audience, shown=None) for one in block.decrypt)
    rule = listening(replace(block, decrypt=items, keep_unopened=kept))
    token = a_session().seal(CANARY.encode(), Context(SCOPE, form.field or None)).decode()
    for text in (token, CANARY):
        if text == CANARY and name in {"tokens", "header"}:
            continue  # what is no token is not looked for there
        head = form.head
        if name == "header":
            head = a_response(headers=(*JSON_TYPE, (b"X-Note", token.encode())))
        applied = None
        with contextlib.suppress(SealyardError):
            applied = answered(rule, caller, form.write(text), head)
        if applied is None:
            assert written == "refuse" or text == CANARY
            continue
        message = applied.forwardable
        gone_on = repr((message.body, message.head, message.frame.added_headers))
        assert written != "refuse"
        reads = written == "value"
        assert (CANARY in gone_on) == (reads and (text == token or kept))
        assert message.frame.for_caller
        assert applied.shown
