"""`expires`: how long a sealed value opens, and what it costs to say so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import KIND_STREAM, Context
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import decode
from proxy.core.errors import InvalidExpression, OpenFailed, ValueTooLong
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.http.path import canonical
from proxy.core.policy import BODY_TOKEN_BYTES, EXPIRY_SKEW_SECONDS
from proxy.core.rules.model import Names, Rule
from proxy.core.transform import apply, plan_flowing_request
from proxy.core.values.outcomes import expiry
from tests.core.explained import explain_request
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
    flowing_request,
    keys_for,
    sent,
)

MINUTE, HOUR, DAY = 60, 3600, 86400
NAMES = Names(tenant=parse_source("const:clinic"), conversation=parse_source("const:c1"))
PARTS = ((b"Content-Type", b"multipart/form-data; boundary=of-parts"),)
TEXT = ((b"Content-Type", b"text/plain"),)


def sealing(selector: str = "$.content", expires: int | None = 30 * DAY, **changes: object) -> Rule:
    item = replace(an_item(selector, field="content"), expires=expires, **changes)  # type: ignore[arg-type]  # names of fields
    return a_rule("POST /api/messages", request=a_block(encrypt=[item]), names=NAMES)


def opening(selector: str = "$.content", *, keep: bool = False) -> Rule:
    block = replace(a_block(decrypt=[an_item(selector, field="content")]), keep_unopened=keep)
    return a_rule("POST /api/messages", request=block, names=NAMES)


def sealed(made: Rule, body: str, headers: Headers = JSON_TYPE, now: float = NOW) -> bytes:
    return sent(made, a_message(body, headers=headers), now=now)


def token_in(body: bytes) -> bytes:
    return str(json.loads(body)["content"]).encode()


@given(
    now=st.floats(0, 4e9),
    expires=st.integers(1, 3650 * DAY),
)
def test_a_value_lives_as_long_as_said_and_little_longer(now: float, expires: int) -> None:
    late = expiry(now, expires) - now - expires
    assert 0 <= late <= max(expires / 100, 1) + 1


@given(expires=st.integers(1, 3650 * DAY), now=st.integers(0, 10**9))
def test_time_never_shortens_a_life(expires: int, now: int) -> None:
    assert expiry(now, expires) <= expiry(now + 1, expires)
    assert expiry(now + 0.5, expires) <= expiry(now + 1, expires)


def test_what_is_sealed_says_when_it_ends() -> None:
    token = decode(token_in(sealed(sealing(), '{"content":"a"}')))
    assert token.exp is not None
    assert 30 * DAY <= token.exp - NOW <= 30.3 * DAY
    assert decode(token_in(sealed(sealing(expires=None), '{"content":"a"}'))).exp is None


def test_values_of_no_json_say_it_as_well() -> None:
    bodies = {
        "form:content": ("content=a", ((b"Content-Type", b"application/x-www-form-urlencoded"),)),
        "text": ("a", TEXT),
        "body": ("a", TEXT),
    }
    for selector, (body, headers) in bodies.items():
        out = sealed(sealing(selector), body, headers).removeprefix(b"content=")
        assert decode(out).exp == expiry(NOW, 30 * DAY)


@pytest.mark.parametrize("keep", [False, True])
def test_it_opens_until_then_and_never_after(keep: bool) -> None:  # noqa: FBT001 - a parameter
    body = sealed(sealing(expires=HOUR), '{"content":"a"}').decode()
    end = expiry(NOW, HOUR) + EXPIRY_SKEW_SECONDS
    assert sealed(opening(keep=keep), body, now=end) == b'{"content":"a"}'
    if keep:
        assert sealed(opening(keep=keep), body, now=end + 1) == body.encode()
        return
    with pytest.raises(OpenFailed) as caught:
        sealed(opening(), body, now=end + 1)
    assert (caught.value.code, caught.value.reason) == ("open-failed", "expired-token")


def test_old_plaintext_may_pass_where_what_has_ended_does_not() -> None:
    """The time of transition lets plaintext through, and no token that does not open."""
    body = sealed(sealing(expires=HOUR), '{"content":"a"}').decode()
    made = a_rule(
        "POST /api/messages",
        request=replace(
            a_block(decrypt=[an_item("$.content")]), permissive_until=float(NOW + 90 * DAY)
        ),
        names=NAMES,
    )
    assert sealed(made, '{"content":"a"}') == b'{"content":"a"}'
    with pytest.raises(OpenFailed):
        sealed(made, body, now=NOW + DAY)


def test_a_token_that_is_kept_keeps_its_end() -> None:
    body = sealed(sealing(expires=HOUR), '{"content":"a"}').decode()
    made = sealing(expires=30 * DAY)
    assert isinstance(made.request, tuple)
    keeping = replace(made, request=(replace(made.request[0], already_sealed="keep"),))
    assert sealed(keeping, body, now=NOW + MINUTE) == body.encode()


def test_max_chars_counts_the_end() -> None:
    plain = len(token_in(sealed(sealing(expires=None), '{"content":"a"}')))
    ending = len(token_in(sealed(sealing(), '{"content":"a"}')))
    assert ending > plain
    assert token_in(sealed(sealing(max_chars=ending), '{"content":"a"}'))
    with pytest.raises(ValueTooLong):
        sealed(sealing(max_chars=ending - 1), '{"content":"a"}')


def test_explain_counts_it_as_well() -> None:
    def longer(lengths: list[int]) -> int:
        return lengths[1] - lengths[0]

    message = a_message('{"content":"a"}')
    told: list[int] = []
    for made in (sealing(expires=None), sealing()):
        book = RuleTable((made,), pass_unmatched=True)
        one, _ = explain_request(book, message.head, canonical("/api/messages"), message.body)
        told.append(one.values[0].characters or 0)
    bodies = [sealed(sealing(expires=end), '{"content":"a"}') for end in (None, 30 * DAY)]
    assert longer(told) == longer([len(token_in(body)) for body in bodies])


def test_the_short_form_has_no_place_for_it() -> None:
    item = replace(an_item("$.content", form="short"), expires=HOUR)
    with pytest.raises(InvalidExpression, match="short form"):
        CompiledBlock(a_block(encrypt=[item]), NAMES, "request")


def test_a_frame_begins_until_then_and_never_after() -> None:
    body = "a" * (BODY_TOKEN_BYTES + 1)
    out = sealed(sealing("body", expires=HOUR), body, TEXT)
    head = sealed_stream.read_head(out)
    assert head is not None
    assert head.token.exp == expiry(NOW, HOUR)
    framed = ((b"Content-Type", sealed_stream.MEDIA_TYPE.encode()),)
    made = opening("body")
    end = expiry(NOW, HOUR) + EXPIRY_SKEW_SECONDS
    message = a_message("", headers=framed)
    message = replace(message, body=out)
    assert sent(made, message, now=end) == body.encode()
    with pytest.raises(OpenFailed, match="expired-token"):
        sent(made, message, now=end + 1)


def test_a_frame_that_flows_ends_as_well() -> None:
    trip = Trip((sealing("body", expires=HOUR),), a_message("a", headers=TEXT))
    compiled = flowing_request(trip.exchange, None, BODY_TOKEN_BYTES)
    assert compiled is not None
    plan = plan_flowing_request(trip.exchange, compiled, b"a", BODY_TOKEN_BYTES)
    applied = apply(plan, keys_for(plan.needs), NOW)
    flow = applied.forwardable.flow
    assert flow is not None
    head = sealed_stream.read_head(flow.feed(b"a"))  # type: ignore[arg-type]  # bytes of a frame
    assert head is not None
    assert head.token.exp == expiry(NOW, HOUR)


def test_a_file_in_a_form_ends_as_well() -> None:
    for size in (3, BODY_TOKEN_BYTES + 1):
        content = "a" * size
        body = (
            '--of-parts\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n'
            f"Content-Type: image/png\r\n\r\n{content}\r\n--of-parts--\r\n"
        )
        out = sealed(sealing("part:content", expires=HOUR), body, PARTS)
        made = opening("part:content")
        end = expiry(NOW, HOUR) + EXPIRY_SKEW_SECONDS
        message = replace(a_message("", headers=PARTS), body=out)
        assert content.encode() in sent(made, message, now=end)
        with pytest.raises(OpenFailed, match="expired-token"):
            sent(made, message, now=end + 1)


def test_a_response_ends_as_well() -> None:
    item = replace(an_item("$.content"), expires=HOUR)
    made = a_rule("POST /api/messages", response=a_block(encrypt=[item]), names=NAMES)
    trip = Trip((made,), a_message())
    applied = trip.response('{"content":"a"}', a_response())
    assert applied is not None
    assert applied.forwardable.body is not None
    assert decode(token_in(applied.forwardable.body)).exp == expiry(NOW, HOUR)


@pytest.mark.parametrize(("expires", "most"), [(30 * DAY, 2), (DAY, 5), (HOUR, 29)])
def test_heads_are_made_seldom(expires: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand seconds with a value each: the head of a token is made once for each step."""
    made: list[int | None] = []
    usual = Session._new_header

    def counted(self: Session, context: Context, cty: str | None, exp: int | None) -> bytes:
        made.append(exp)
        return usual(self, context, cty, exp)

    monkeypatch.setattr(Session, "_new_header", counted)
    session = a_session()
    context = Context(SCOPE, field="content")
    for second in range(1000):
        token = session.seal(b"a", context, exp=expiry(NOW + second, expires))
        assert decode(token).exp == expiry(NOW + second, expires)
    assert len(made) <= most


def test_nobody_asks_for_an_end_where_it_has_no_place() -> None:
    with pytest.raises(ValueError, match="no place for an end"):
        a_session().seal(b"a", Context(SCOPE), form="short", exp=NOW)


def test_a_head_is_not_taken_for_one_with_another_end() -> None:
    session = a_session()
    context = Context(SCOPE, field="content", kind=None)
    ends = [None, NOW + 5, None, NOW + 6, NOW + 5, None]
    assert [decode(session.seal(b"a", context, exp=end)).exp for end in ends] == ends
    stream = Context(SCOPE, kind=KIND_STREAM)
    assert decode(session.seal(b"a", stream, cty="json", exp=NOW)).exp == NOW
    assert decode(session.seal(b"a", stream, cty="json")).exp is None
