"""D6, D7, D10: what a changed message gains."""

from __future__ import annotations

import pytest

from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.rules.model import Names
from proxy.core.transform import pass_response
from proxy.core.transform.added_headers import added_to_request, added_to_response, vary
from tests.factories import Trip, a_block, a_message, a_response, a_rule, an_item

NO_STORE = (b"Cache-Control", b"private, no-store")
NO_TRANSFORM = (b"Cache-Control", b"no-transform")
NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


def response(*headers: tuple[bytes, bytes]) -> ResponseHead:
    return ResponseHead(200, b"OK", headers)


def test_nobody_may_recode_what_was_sealed() -> None:
    head = RequestHead("POST", "/", None, ())
    told = RequestHead("POST", "/", None, ((b"cache-control", b"max-age=0, No-Transform"),))

    assert added_to_request(head, {"sealed": 1}) == (NO_TRANSFORM,)
    assert added_to_request(head, {"opened": 1}) == added_to_request(told, {"sealed": 1}) == ()
    assert added_to_response(response(), {"sealed": 1}, (), opaque=False) == (NO_TRANSFORM,)


@pytest.mark.parametrize(
    ("said", "marks"),
    [
        ((), (NO_STORE,)),
        (((b"Cache-Control", b"public, max-age=60"),), (NO_STORE,)),
        (((b"Cache-Control", b'private="X"'),), (NO_STORE,)),
        (((b"Cache-Control", b"max-age=1"), (b"cache-control", b"No-Store")), (NO_STORE,)),
        (
            ((b"Cache-Control", b"max-age=1, private"),),
            ((b"Cache-Control", b"private, max-age=1"),),
        ),
    ],
)
def test_no_cache_holds_what_was_opened(said: Headers, marks: Headers) -> None:
    assert added_to_response(response(*said), {"opened": 2}, (), opaque=False) == marks


def test_what_is_opened_here_and_sealed_there_is_not_recoded_either() -> None:
    both = added_to_response(response(), {"opened": 1, "sealed": 1}, (), opaque=False)

    assert both == ((b"Cache-Control", b"private, no-store, no-transform"),)


@pytest.mark.parametrize(
    ("action", "said", "left"),
    [
        ("decrypt", ((b"Cache-Control", b"public, max-age=9"),), (NO_STORE,)),
        ("decrypt", ((b"Cache-Control", b"private"),), ((b"Cache-Control", b"private"),)),
        ("decrypt", (), ()),
        ("encrypt", ((b"Cache-Control", b"public"),), ()),
    ],
)
def test_a_head_alone_says_no_more_to_caches_than_what_it_is_of(
    action: str, said: Headers, left: Headers
) -> None:
    block = a_block(decrypt=["$.a"]) if action == "decrypt" else a_block(encrypt=["$.a"])
    trip = Trip((a_rule(response=block),), a_message())

    bare = pass_response(trip.exchange, ResponseHead(304, b"", said), bodiless=True)

    assert bare.frame.added_headers == left
    assert bare.frame.private == (action == "decrypt")


def test_nobody_guesses_the_type_of_what_was_sealed_whole() -> None:
    told = response((b"x-content-type-options", b"nosniff"), NO_TRANSFORM)

    assert NOSNIFF in added_to_response(response(), {"sealed": 1}, (), opaque=True)
    assert added_to_response(told, {"sealed": 1}, (), opaque=True) == ()


def test_what_was_left_as_it_was_is_told() -> None:
    assert added_to_response(response(), {"kept": 2, "plain": 1}, (), opaque=False) == (
        (b"Sealyard-Kept", b"2"),
        (b"Sealyard-Plain", b"1"),
    )


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ((), b"Authorization, X-Team"),
        (((b"Vary", b"Accept, authorization"),), b"X-Team"),
        (((b"Vary", b"X-Team"), (b"vary", b"Authorization")), None),
        (((b"Vary", b"*"),), None),
    ],
)
def test_a_response_says_what_it_depends_on(said: Headers, added: bytes | None) -> None:
    expected = () if added is None else ((b"Vary", added),)

    assert vary(response(*said), (b"Authorization", b"X-Team")) == expected
    assert vary(response(*said), ()) == ()


def test_the_headers_that_bind_a_response_are_those_of_its_names() -> None:
    names = Names(parse_source("jwt-unverified:org"), parse_source("header:x-conversation"))
    read = a_rule(response=a_block(decrypt=["$.a"]), names=names)
    unread = a_rule(
        response=a_block(decrypt=[an_item("$.a", bind=frozenset({"tenant"}))]), names=names
    )
    headers: Headers = ((b"Content-Type", b"application/json"),)

    trips = [Trip((rule,), a_message(headers=headers)) for rule in (read, unread)]

    assert [trip.exchange.decision.varies for trip in trips] == [
        (b"Authorization", b"X-Conversation"),
        (b"Authorization",),
    ]


def test_a_response_without_a_body_depends_on_the_same() -> None:
    names = Names(parse_source("header:x-tenant"), parse_source("const:c"))
    trip = Trip((a_rule(response=a_block(decrypt=["$.a"]), names=names),), a_message())

    bare = pass_response(trip.exchange, a_response(304), bodiless=True)

    assert bare.frame.added_headers == ((b"Vary", b"X-Tenant"),)
