"""Bodies that flow through the rules: the same at any split, and whole or not at all."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from proxy.core.errors import (
    DigestMismatch,
    ForbiddenValue,
    InvalidBody,
    KeyUnavailable,
    MissingValue,
    OpenFailed,
    UnsupportedBody,
)
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.plan import Plan, PlannedFlow
from proxy.core.planning.treatment import ReadResponse, StreamBody, as_it_arrives
from proxy.core.policy import BODY_TOKEN_BYTES
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.transform import (
    Applied,
    Forwardable,
    apply,
    plan_flowing_request,
    plan_flowing_response,
    plan_request,
)
from proxy.core.values.streams import Flow, SealFlow
from tests.factories import (
    NOW,
    SCOPE,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    an_item,
    flowing_request,
    keys_for,
    reply,
    send,
)

BY_PATH = Names(parse_source("const:clinic"), parse_source("const:c1"))
BODY = Context(SCOPE, field="body", kind="stream")
TEXT: Headers = ((b"Content-Type", b"text/plain"),)
JOSE: Headers = ((b"Content-Type", b"application/jose"),)
FRAME: Headers = ((b"Content-Type", sealed_stream.MEDIA_TYPE.encode()),)
LONG = 5 * CHUNK_BYTES
LIMIT = 1 << 24


def encrypts(*items: str | Item, **changes: object) -> Rule:
    block = replace(a_block(encrypt=items or ["body"]), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule(request=block, names=BY_PATH)


def decrypts(*items: str | Item, **changes: object) -> Rule:
    block = replace(a_block(decrypt=items or ["body"]), **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule(request=block, names=BY_PATH)


def framed(text: bytes, media_type: str = "text/plain", context: Context = BODY) -> bytes:
    head, sealer = sealed_stream.begin(a_session(context.scope), context, media_type)
    return head + sealer.update(text) + sealer.finish()


def planned(rule: Rule, beginning: bytes, headers: Headers, length: int | None = None) -> Plan:
    trip = Trip((rule,), a_message(b"", headers=headers))
    compiled = flowing_request(trip.exchange, length, LIMIT)
    assert compiled is not None
    assert StreamBody(compiled).suffices(beginning)
    return plan_flowing_request(trip.exchange, compiled, beginning, LIMIT)


def flowing(rule: Rule, beginning: bytes, headers: Headers) -> Applied:
    plan = planned(rule, beginning, headers)
    return apply(plan, keys_for(plan.needs), NOW)


def flow_of(forwardable: Forwardable) -> Flow:
    assert forwardable.flow is not None
    assert not isinstance(forwardable.flow, PlannedFlow)
    return forwardable.flow


def through(flow: Flow, data: bytes, cuts: Sequence[int] = ()) -> bytes:
    places = [0, *sorted(one % (len(data) + 1) for one in cuts), len(data)]
    pieces = [flow.feed(data[start:end]) for start, end in pairwise(places)]
    return b"".join([*pieces, flow.end()])


def opened(forwardable: Forwardable, sealed: bytes) -> Forwardable:
    assert forwardable.frame.media_type == sealed_stream.MEDIA_TYPE
    return send(decrypts(), a_message(sealed, headers=FRAME)).forwardable


@given(size=st.integers(1, LONG), cuts=st.lists(st.integers(0, 2**20), max_size=6))
def test_a_body_is_sealed_and_opened_at_any_split(size: int, cuts: list[int]) -> None:
    text = bytes(at % 251 for at in range(size))
    sealing = flowing(encrypts(), text[:1], TEXT).forwardable
    flow = flow_of(sealing)
    assert (sealing.body, sealing.frame.changed, flow.holds_head) == (None, True, False)
    length = flow.length(size)
    sealed = through(flow_of(sealing), text, cuts)
    assert len(sealed) == length

    opening = flowing(decrypts(), sealed, FRAME).forwardable
    flow = flow_of(opening)
    assert flow.holds_head
    assert (opening.body, opening.frame.media_type) == (None, "text/plain")
    assert (flow.length(len(sealed)), flow.length(None)) == (size, None)
    assert through(flow_of(opening), sealed, cuts) == text
    assert opened(sealing, sealed).body == text


@pytest.mark.no_cover
@given(cut=st.integers(0, LONG), cuts=st.lists(st.integers(0, 2**20), max_size=3))
def test_what_is_cut_never_ends(cut: int, cuts: list[int]) -> None:
    text = bytes(at % 251 for at in range(LONG - 500))
    sealed = framed(text)
    flow = flow_of(flowing(decrypts(), sealed, FRAME).forwardable)
    with pytest.raises(OpenFailed):
        through(flow, sealed[: min(cut, len(sealed) - 1)], cuts)


def test_the_length_of_no_frame_is_refused_before_anything_flows() -> None:
    sealed = framed(b"x" * 100)
    flow = flow_of(flowing(decrypts(), sealed, FRAME).forwardable)
    head = sealed_stream.read_head(sealed)
    assert head is not None
    for wrong in (0, len(head.raw) + 56, len(head.raw) + 56 + 15):
        with pytest.raises(OpenFailed):
            flow.length(wrong)
    assert flow.length(len(head.raw) + 56 + 16) == 0


def test_an_empty_body_of_a_frame_flows_as_one() -> None:
    sealed = framed(b"", media_type="")
    forwardable = flowing(decrypts(), sealed, FRAME).forwardable
    assert (through(flow_of(forwardable), sealed), forwardable.frame.media_type) == (b"", "")
    head, sealer = sealed_stream.begin(a_session(), BODY, "")
    sealing = flowing(encrypts(), b"x", ()).forwardable
    assert flow_of(sealing).end().startswith(b"SYST")
    assert head
    assert sealer


@pytest.mark.parametrize(
    ("rule", "headers", "length", "expected"),
    [
        (encrypts(), TEXT, None, True),
        (encrypts(), TEXT, BODY_TOKEN_BYTES + 1, True),
        (encrypts(), TEXT, BODY_TOKEN_BYTES, False),
        (encrypts(), (*TEXT, (b"Content-Encoding", b"gzip")), None, False),
        (encrypts(replace(an_item("body"), framed=False)), TEXT, None, False),
        (encrypts("text"), TEXT, None, False),
        (encrypts(), JOSE, None, True),
        (encrypts(already_sealed="keep"), JOSE, None, False),
        (encrypts(already_sealed="reject"), FRAME, None, False),
        (encrypts(already_sealed="keep"), TEXT, None, True),
        (encrypts("body", "header:x-title"), TEXT, None, True),
        (decrypts(), FRAME, None, True),
        (decrypts(), FRAME, BODY_TOKEN_BYTES, False),
        (decrypts(), JOSE, None, False),
        (decrypts(types=("*/*",)), TEXT, None, False),
        (decrypts(), TEXT, None, False),
        (encrypts(names=Names(tenant=parse_source("$.t"))), TEXT, None, False),
    ],
)
def test_a_body_flows_where_it_is_a_frame_and_nothing_else_is_read_from_it(
    rule: Rule, headers: Headers, length: int | None, *, expected: bool
) -> None:
    trip = Trip((rule,), a_message(b"", headers=headers))
    assert (flowing_request(trip.exchange, length, LIMIT) is not None) == expected


def test_what_no_rule_reads_has_no_block_that_flows() -> None:
    assert flowing_request(Trip((), a_message(b"")).exchange, None, LIMIT) is None


def test_a_block_that_opens_needs_the_head_of_a_frame_to_begin() -> None:
    (block,) = Trip((decrypts(),), a_message(b"")).exchange.decision.compiled_rule.request  # type: ignore[union-attr]  # a rule
    sealed = framed(b"x")
    head = sealed_stream.read_head(sealed)
    assert head is not None
    assert not StreamBody(block).suffices(b"")
    assert not StreamBody(block).suffices(head.raw[:-1])
    assert StreamBody(block).suffices(head.raw)
    assert StreamBody(block).suffices(b"no frame")


def test_what_does_not_flow_gets_no_plan_for_it() -> None:
    trip = Trip((encrypts("text"),), a_message(b"", headers=TEXT))
    (block,) = trip.exchange.decision.compiled_rule.request  # type: ignore[union-attr]  # a rule
    with pytest.raises(TypeError, match="does not flow"):
        plan_flowing_request(trip.exchange, block, b"x", LIMIT)
    trip = Trip((encrypts(),), a_message(b"", headers=TEXT))
    (block,) = trip.exchange.decision.compiled_rule.request  # type: ignore[union-attr]  # a rule
    with pytest.raises(TypeError, match="does not flow"):
        plan_flowing_request(trip.exchange, block, b"", LIMIT)


@pytest.mark.parametrize("beginning", [b"SYST", b"no frame at all", b"SYST\x02"])
def test_what_is_no_frame_does_not_open(beginning: bytes) -> None:
    trip = Trip((decrypts(),), a_message(b"", headers=FRAME))
    compiled = flowing_request(trip.exchange, None, LIMIT)
    assert compiled is not None
    plan = plan_flowing_request(trip.exchange, compiled, beginning, LIMIT)
    with pytest.raises(OpenFailed):
        apply(plan, keys_for(plan.needs), NOW)


def test_a_failed_value_in_the_head_is_told_beside_a_failed_frame() -> None:
    headers = (*FRAME, (b"X-Title", b"no token"))
    plan = planned(decrypts("body", "header:x-title"), framed(b"x"), headers)
    with pytest.raises(OpenFailed) as caught:
        apply(plan, keys_for(plan.needs), NOW)
    assert caught.value.reason == "not-a-token"
    other = framed(b"x", context=replace_field("other"))
    plan = planned(decrypts("body", "header:x-title"), other, headers)
    with pytest.raises(OpenFailed) as caught:
        apply(plan, keys_for(plan.needs), NOW)
    assert caught.value.reason == "not-a-token"


def replace_field(field: str) -> Context:
    return BODY._replace(field=field)


def test_a_frame_for_another_context_does_not_open() -> None:
    plan = planned(decrypts(), framed(b"x", context=replace_field("other")), FRAME)
    with pytest.raises(OpenFailed):
        apply(plan, keys_for(plan.needs), NOW)


@pytest.mark.parametrize("right", [True, False])
def test_a_body_that_flows_ends_only_if_it_fits_its_digest(*, right: bool) -> None:
    text = b"x" * LONG
    digest = b64encode(hashlib.sha256(text if right else b"y").digest())
    headers = (*TEXT, (b"Content-Digest", b"sha-256=:%b:" % digest))
    flow = flow_of(flowing(encrypts(), text[:10], headers).forwardable)
    assert not flow.holds_head
    assert flow.length(None) is None
    if right:
        assert opened_text(through(flow, text)) == text
    else:
        with pytest.raises(DigestMismatch):
            through(flow, text)


def opened_text(sealed: bytes) -> bytes | None:
    return send(decrypts(), a_message(sealed, headers=FRAME)).forwardable.body


def answering(block: Block) -> tuple[Rule, Trip]:
    rule = a_rule(response=block, names=BY_PATH)
    return rule, Trip((rule,), a_message())


def test_a_response_is_sealed_while_it_passes() -> None:
    _, trip = answering(a_block(encrypt=["body"]))
    head = a_response(headers=TEXT)
    compiled = choose_response(trip.exchange, head)
    assert compiled is not None
    arriving = as_it_arrives(ReadResponse(compiled), head, None, LIMIT)
    assert arriving == StreamBody(compiled)
    plan = plan_flowing_response(trip.exchange, compiled, head, b"x", LIMIT)
    forwardable = apply(plan, keys_for(plan.needs), NOW).forwardable
    assert (b"X-Content-Type-Options", b"nosniff") in forwardable.frame.added_headers
    assert opened_text(through(flow_of(forwardable), b"xyz")) == b"xyz"


@pytest.mark.parametrize("whole", [True, False])
def test_a_frame_that_does_not_open_is_kept_where_the_block_says_so(*, whole: bool) -> None:
    block = replace(a_block(decrypt=["body"]), keep_unopened=True)
    rule, trip = answering(block)
    head = a_response(headers=FRAME)
    sealed = framed(b"x", context=replace_field("other"))
    if whole:
        forwardable = reply(rule, sealed, head).forwardable
        assert forwardable.body == sealed
    else:
        compiled = choose_response(trip.exchange, head)
        assert compiled is not None
        plan = plan_flowing_response(trip.exchange, compiled, head, sealed, LIMIT)
        forwardable = apply(plan, keys_for(plan.needs), NOW).forwardable
        assert forwardable.body is None
    assert (forwardable.flow, forwardable.frame.changed, forwardable.frame.media_type) == (
        None,
        False,
        None,
    )
    assert (b"Sealyard-Kept", b"1") in forwardable.frame.added_headers


def test_a_frame_whose_names_are_missing_is_kept_or_refused_as_any_token() -> None:
    names = Names(tenant=parse_source("const:clinic"), conversation=parse_source("header:x-c"))
    sealed = framed(b"x")
    block = a_block(decrypt=["body"])
    kept = reply(
        a_rule(response=replace(block, keep_unopened=True), names=names),
        sealed,
        a_response(headers=FRAME),
    )
    assert kept.counts == {"kept": 1}
    with pytest.raises(MissingValue):
        reply(a_rule(response=block, names=names), sealed, a_response(headers=FRAME))


def test_a_body_of_unknown_length_becomes_a_frame_also_where_it_is_held() -> None:
    trip = Trip((encrypts(),), a_message(b"short", headers=TEXT))
    plan = plan_request(trip.exchange, b"short", measured=False)
    forwardable = apply(plan, keys_for(plan.needs), NOW).forwardable
    assert forwardable.frame.media_type == sealed_stream.MEDIA_TYPE
    assert forwardable.body is not None
    assert opened_text(forwardable.body) == b"short"


@pytest.mark.parametrize("size", [10, LONG])
def test_what_is_sealed_already_is_kept_if_all_of_it_opens(size: int) -> None:
    rule = encrypts(already_sealed="keep")
    sealed = framed(b"x" * size)
    message = a_message(sealed, headers=FRAME)
    trip = Trip((rule,), message)
    plan = plan_request(trip.exchange, sealed, measured=False)
    applied = apply(plan, keys_for(plan.needs), NOW)
    assert (applied.forwardable.body, applied.counts) == (sealed, {"already_sealed": 1})
    assert len(applied.proven) == 1
    for damaged in (sealed[:-1], framed(b"x", context=replace_field("other")), b"SYST", sealed[1:]):
        trip = Trip((rule,), a_message(damaged, headers=FRAME))
        plan = plan_request(trip.exchange, damaged, measured=False)
        assert apply(plan, keys_for(plan.needs), NOW).counts == {"sealed": 1}


def test_a_long_token_is_kept_or_refused_as_a_short_one() -> None:
    context = Context(SCOPE, field="body", kind="body")
    token = a_session().seal(b"x" * BODY_TOKEN_BYTES, context, cty="text/plain")
    message = a_message(token, headers=JOSE)
    assert send(encrypts(already_sealed="keep"), message).forwardable.body == token
    with pytest.raises(ForbiddenValue):
        send(encrypts(already_sealed="reject"), message)
    text = a_message(b"x" * LONG, headers=JOSE)
    assert send(encrypts(already_sealed="keep"), text).counts == {"sealed": 1}
    assert send(encrypts(), message).counts == {"sealed": 1}


def test_two_changes_of_all_of_a_body_are_refused() -> None:
    both = replace(a_block(encrypt=["body"], decrypt=["body"]), types=("*/*",))
    with pytest.raises(InvalidBody):
        send(a_rule(request=both, names=BY_PATH), a_message(b"x" * LONG, headers=TEXT))
    with pytest.raises(InvalidBody):
        send(a_rule(request=both, names=BY_PATH), a_message(framed(b"x" * LONG), headers=FRAME))


def test_a_type_that_nobody_can_seal_is_refused_before_the_body_flows() -> None:
    headers = ((b"Content-Type", b'a/b; c="d e"'),)
    with pytest.raises(UnsupportedBody):
        planned(encrypts(), b"x", headers)


def test_a_stream_whose_session_is_revoked_while_it_flows_ends_without_another_byte() -> None:
    stands = True
    head, sealer = sealed_stream.begin(a_session(), BODY, "text/plain", None)
    flow = SealFlow(head, sealer, lambda: stands)
    assert flow.feed(b"x" * 10).startswith(head)
    stands = False
    with pytest.raises(KeyUnavailable, match="revoked-meanwhile"):
        flow.feed(b"x" * CHUNK_BYTES)
    with pytest.raises(KeyUnavailable, match="revoked-meanwhile"):
        flow.end()
