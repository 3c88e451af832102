"""A whole body that goes a way becomes what its plan makes of it, or is left to the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.crypto.context import KIND_BODY, Context, Scope
from proxy.core.errors import KeyUnavailable, SealyardError
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.policy import BODY_TOKEN_BYTES
from proxy.core.rules.model import Names, Part, Rule
from proxy.core.transform import PreparedWhole
from proxy.core.values.key_needs import Keys, Needs
from tests.core.transform.preparing import Changing, Preparing
from tests.core.transform.test_prepared import Warm, asked_for, by_way, generally, walking
from tests.factories import (
    NOW,
    Trip,
    a_block,
    a_message,
    a_response,
    a_rule,
    a_session,
    a_sid,
    an_item,
    keys_for,
)

NAMES: Final = Names(parse_source("const:clinic"), parse_source("header:x-room"))
SCOPE: Final = Scope("clinic", "c1")
JOSE: Final = b"application/jose"
BODY: Final = an_item("body", field="document")
BOUND: Final[tuple[Part, ...]] = ("tenant", "conversation", "field", "purpose")

RULE: Final = a_rule(request=a_block(encrypt=[BODY]), response=a_block(decrypt=[BODY]), names=NAMES)
BACK: Final = a_rule(request=a_block(decrypt=[BODY]), response=a_block(encrypt=[BODY]), names=NAMES)
TEXT: Final = an_item("text", field="document")
FROM_BODY: Final = Names(parse_source("const:clinic"), parse_source("$.room"))
RULES: Final[tuple[Rule, ...]] = (
    RULE,
    BACK,
    a_rule(
        request=a_block(encrypt=[replace(BODY, expires=3600, framed=True)]),
        response=replace(a_block(decrypt=[BODY]), keep_unopened=True),
        names=NAMES,
    ),
    a_rule(
        request=a_block(encrypt=[replace(BODY, max_chars=300, optional=True)]),
        response=replace(a_block(decrypt=[BODY]), permissive_until=NOW + 1),
        names=NAMES,
    ),
    a_rule(
        request=a_block(encrypt=[an_item("body", field="d", min_chars=1)], types=("text/*",)),
        response=replace(a_block(decrypt=[BODY]), escape="html"),
        names=NAMES,
    ),
    a_rule(
        request=replace(a_block(encrypt=[BODY]), already_sealed="seal"),
        response=a_block(decrypt=[an_item("body", field="d", bind=BOUND, purpose="p")]),
        names=NAMES,
    ),
    a_rule(
        request=a_block(encrypt=[BODY]),
        response=a_block(decrypt=[TEXT]),
        names=NAMES,
    ),
    a_rule(
        request=a_block(encrypt=[BODY, an_item("header:x-room")]),
        response=a_block(decrypt=[BODY, an_item("tokens", field="t")]),
        names=NAMES,
    ),
    a_rule(
        request=a_block(encrypt=[TEXT]),
        response=a_block(decrypt=[an_item("body", field="document", bind=())]),
        names=NAMES,
    ),
    a_rule(request=a_block(encrypt=[BODY]), response=a_block(decrypt=[BODY]), names=FROM_BODY),
    a_rule(
        request=a_block(encrypt=["$.content"]), response=a_block(encrypt=[BODY]), names=FROM_BODY
    ),
)


def a_token(
    text: bytes, cty: str | None = "text/plain", number: int = 0, exp: int | None = None
) -> bytes:
    """Return a body that was sealed whole."""
    context = Context(SCOPE, "document", kind=KIND_BODY)
    return a_session(SCOPE, sid=a_sid(number)).seal(text, context, cty=cty, exp=exp)


def forged(token: bytes) -> bytes:
    return token[:-1] + (b"A" if token[-1:] != b"A" else b"Q")


LONG_TYPE: Final = b"a/" + b"b" * 300
TYPES: Final = st.sampled_from(
    [
        b"text/plain",
        b"application/json",
        JOSE,
        b"application/vnd.sealyard.stream",
        b"text/html; charset=utf-8",
        b"text/event-stream",
        LONG_TYPE,
        b"nonsense",
        b"application/x-www-form-urlencoded",
        None,
    ]
)
EXTRA: Final[list[Headers]] = [
    (),
    ((b"Cache-Control", b"no-transform"), (b"X-Content-Type-Options", b"nosniff")),
    ((b"Content-Encoding", b"gzip"),),
    ((b"Content-Encoding", b"identity"),),
    ((b"Content-Digest", b"sha-256=:AAAA:"),),
    ((b"X-No", b"1"),),
    ((b"Refresh", b"1"),),
]
BODIES: Final = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b'{"room": "c1", "content": "c"}',
            a_token(b"hello"),
            a_token(b"hello", None),
            a_token(b"[1]", "json"),
            a_token(b"<p>", "text/html", 1),
            a_token(b"over", exp=int(NOW) - 3600),
            forged(a_token(b"hello")),
            a_token(b"hello") + b"\n",
            b"x" * BODY_TOKEN_BYTES,
            b"x" * (BODY_TOKEN_BYTES + 1),
        ]
    ),
)


@st.composite
def heads(draw: st.DrawFn) -> Headers:
    media, room = draw(TYPES), draw(st.sampled_from([b"c1", b"c1", b"c1", None]))
    typed: Headers = () if media is None else ((b"Content-Type", media),)
    named: Headers = () if room is None else ((b"X-Room", room),)
    return (*typed, *named, *draw(st.sampled_from(EXTRA)))


@settings(max_examples=800)
@given(st.sampled_from(RULES), heads(), heads(), BODIES, BODIES)
def test_a_body_goes_as_its_plan_goes(
    rule: Rule, asked: Headers, answered: Headers, body: bytes, back: bytes
) -> None:
    message = a_message(body, headers=asked)
    trip, other = walking(Trip((rule,), message)), Trip((rule,), message)
    keys = Warm()
    assert by_way(Preparing(keys).request(other.exchange), keys, body) in (
        None,
        generally(trip, body),
    )
    answer = a_response(headers=answered)
    try:
        treatment = treat_response(trip.exchange, answer)
    except SealyardError:
        return
    keys = Warm()
    way = Preparing(keys).response(other.exchange, treatment, answer)
    done = by_way(way, keys, back, trip.exchange.kept)
    if isinstance(treatment, ReadResponse):
        assert done in (None, generally(trip, back, (treatment, answer)))


def way_of(rule: Rule, media: bytes, keys: Warm, *, response: bool = False) -> Changing | None:
    """Return the way of bodies of a type."""
    headers: Headers = ((b"Content-Type", media), (b"X-Room", b"c1"))
    exchange = Trip((rule,), a_message(headers=headers)).exchange
    if not response:
        return Preparing(keys).request(exchange)
    answer = a_response(headers=headers)
    return Preparing(keys).response(exchange, treat_response(exchange, answer), answer)


USUAL: Final[list[tuple[Rule, bytes, bytes, str]]] = [
    (RULE, b"text/plain; charset=utf-8", b"hello", "application/jose"),
    (RULE, JOSE, a_token(b"hello", "text/plain"), "text/plain"),
    (RULE, JOSE, a_token(b"hello", None), ""),
    (BACK, JOSE, a_token(b"hello", "a/b"), "a/b"),
    (BACK, b"image/png", b"\x89PNG", "application/jose"),
]


@pytest.mark.parametrize(
    ("rule", "media", "body", "becomes"), USUAL, ids=map(str, range(len(USUAL)))
)
def test_usual_bodies_go_the_way(rule: Rule, media: bytes, body: bytes, becomes: str) -> None:
    way = way_of(rule, media, Warm(), response=(rule is RULE) == (media == JOSE))
    assert way is not None
    assert isinstance(way.prepared, PreparedWhole)
    changed = way.change(body, NOW)
    assert changed is not None
    assert changed.frame.media_type == becomes
    assert changed.frame.private == (becomes != "application/jose")


@pytest.mark.parametrize(
    "media", [JOSE, b"application/vnd.sealyard.stream", LONG_TYPE, b"nonsense"]
)
def test_what_may_be_sealed_already_or_has_no_type_goes_no_way(media: bytes) -> None:
    assert way_of(RULE, media, Warm()) is None


def test_a_form_that_may_name_another_method_is_not_opened_on_a_way() -> None:
    headers: Headers = ((b"Content-Type", JOSE), (b"X-Room", b"c1"))
    sealing = a_rule("PUT /api/messages", request=a_block(encrypt=["$.other"]), name="sealing")
    trip = Trip((BACK, sealing), a_message(headers=headers))
    assert trip.exchange.decision.overridable
    assert Preparing(Warm()).request(trip.exchange) is None


class Cold(Warm):
    """Keys that are not at hand, or lack what is asked for."""

    def __init__(self, keys: Keys | None) -> None:
        super().__init__()
        self.keys = keys

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return self.keys


class Blocked(Warm):
    """Keys that cannot be had."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        raise KeyUnavailable("audit-log-blocks")


@pytest.mark.parametrize("response", [False, True])
def test_keys_that_cannot_be_had_are_left_to_the_plan(*, response: bool) -> None:
    way = way_of(RULE, JOSE if response else b"a/b", Blocked(), response=response)
    assert way is not None
    assert way.change(a_token(b"hello") if response else b"hello", NOW) is None


@pytest.mark.parametrize("response", [False, True])
@pytest.mark.parametrize("keys", [None, Keys({}, {})])
def test_without_its_key_a_body_goes_no_way(keys: Keys | None, *, response: bool) -> None:
    if keys is not None and not response:
        return  # whoever seals has the key that was asked for
    way = way_of(RULE, JOSE if response else b"a/b", Cold(keys), response=response)
    assert way is not None
    assert way.change(a_token(b"hello") if response else b"hello", NOW) is None


@pytest.mark.parametrize("token", [forged(a_token(b"hello")), a_token(b"[1]", "json")])
def test_what_does_not_open_as_a_body_is_left_to_the_plan(token: bytes) -> None:
    way = way_of(RULE, JOSE, Warm(), response=True)
    assert way is not None
    assert way.change(token, NOW) is None


def test_each_message_has_the_type_that_was_sealed_with_it() -> None:
    way = way_of(RULE, JOSE, Warm(), response=True)
    assert way is not None
    done = [way.change(a_token(b"a", f"a/b{number}"), NOW) for number in range(40)]
    frames = {one.frame for one in done if one is not None}
    assert len(frames) == 40
    again = way.change(a_token(b"a", "a/b0"), NOW)
    assert again is not None
    assert again.frame.media_type == "a/b0"
    types = [one.frame.media_type for one in done if one is not None]
    assert types == [f"a/b{number}" for number in range(40)]


def test_keys_are_asked_for_as_a_plan_asks() -> None:
    keys = Warm()
    way = way_of(RULE, b"a/b", keys)
    assert way is not None
    assert way.change(b"hello", NOW) is not None
    assert way.change(b"x" * (BODY_TOKEN_BYTES + 1), NOW) is None
    assert [asked_for(one) for one in keys.needs] == [({SCOPE: 1}, frozenset())]
    assert keys_for(keys.needs[0]).sealing[SCOPE] is not None
