from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.callers import VerifiedCaller
from proxy.core.compiled.rule_table import Decision
from proxy.core.crypto.joined_names import Joined, Name
from proxy.core.errors import (
    AmbiguousRequest,
    MethodNotAllowed,
    MissingValue,
    SealyardError,
    UnlistedName,
)
from proxy.core.expressions.sources import (
    FirstSource,
    JsonSource,
    ListSource,
    MembersSource,
    Source,
    parse_source,
)
from proxy.core.http.message import Headers, RequestHead
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Rule
from tests.factories import JSON_TYPE, Trip, a_block, a_message, a_rule


def an_exchange(
    query: str | None = None, headers: Headers = (), captures: dict[str, str] | None = None
) -> Exchange:
    head = RequestHead("GET", "/", query, headers)
    return Exchange(Decision(None, captures or {}), head)


def no_body(source: JsonSource) -> NoReturn:
    raise AssertionError(source)


def read(source: str | Source, exchange: Exchange) -> Name | None:
    parsed = parse_source(source) if isinstance(source, str) else source
    return exchange.read(parsed, no_body)


def a_jwt(claims: object) -> Headers:
    text = claims if isinstance(claims, str) else json.dumps(claims)
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=")
    return ((b"Authorization", b"Bearer e30." + payload + b".c2ln"),)


def test_names_are_read_from_their_places() -> None:
    exchange = an_exchange("t=a%20b&u=u", ((b"X-TENANT", b" clinic\t"),), {"id": "7"})
    assert read("path:id", exchange) == "7"
    assert read("query:t", exchange) == "a b"
    assert read("query:u", exchange) == "u"
    assert read("header:X-Tenant", exchange) == "clinic"
    assert read("const:fixed", exchange) == "fixed"


@pytest.mark.parametrize("source", ["path:id", "query:t", "header:x-tenant", "jwt-unverified:sub"])
def test_what_is_not_there_gives_nothing(source: str) -> None:
    assert read(source, an_exchange()) is None


def test_a_verified_claim_is_read_from_the_caller_alone() -> None:
    exchange = an_exchange(headers=a_jwt({"org": "evil"}), captures={"org": "lab"})
    assert read("caller:org", exchange) is None

    known = an_exchange(captures={"org": "lab"})
    claims: dict[str, str | tuple[str, ...]] = {"org": ("clinic", "lab"), "sub": "grace"}
    known.caller = VerifiedCaller("doctor", claims=claims, one_of="org")
    assert read("caller:org", known) == "lab"
    assert read("caller:sub", known) == "grace"
    assert read("caller:other", known) is None


def test_a_list_of_a_caller_names_nothing_that_the_path_does_not() -> None:
    for captures, one_of in (({"org": "evil"}, "org"), ({}, "org"), ({"org": "clinic"}, "")):
        exchange = an_exchange(captures=captures)
        exchange.caller = VerifiedCaller("doctor", claims={"org": ("clinic",)}, one_of=one_of)
        with pytest.raises(MissingValue, match="claim-is-a-list"):
            read("caller:org", exchange)


def test_a_name_is_looked_up_once() -> None:
    exchange = an_exchange("t=a")
    assert read("query:t", exchange) == read("query:t", exchange) == "a"
    exchange.head = RequestHead("GET", "/", "t=b", ())
    assert read("query:t", exchange) == "a"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("t=a&t=b", ()),
        ("t=a&t=a", ()),
        ("t=a&%74=b", ()),
        (None, ((b"x", b"a"), (b"X", b"a"))),
    ],
)
def test_a_name_that_stands_twice_is_ambiguous(query: str | None, headers: Headers) -> None:
    exchange = an_exchange(query, headers)
    with pytest.raises(AmbiguousRequest) as caught:
        read("query:t" if query else "header:x", exchange)
    assert caught.value.reason == "name-stands-twice"


def test_authorization_that_stands_twice_is_ambiguous() -> None:
    with pytest.raises(AmbiguousRequest):
        read("jwt-unverified:sub", an_exchange(headers=a_jwt({"sub": "a"}) + a_jwt({"sub": "b"})))


def test_two_claims_and_two_parameters_are_read_from_one_head() -> None:
    exchange = an_exchange("t=a&u=b", a_jwt({"sub": "alice", "org": "clinic"}))
    names = [
        read(one, exchange)
        for one in ("jwt-unverified:sub", "jwt-unverified:org", "query:t", "query:u")
    ]
    assert names == ["alice", "clinic", "a", "b"]


def test_a_query_that_is_not_utf_8_is_ambiguous() -> None:
    with pytest.raises(AmbiguousRequest) as caught:
        read("query:t", an_exchange("t=%ff"))
    assert caught.value.reason == "query-not-utf-8"


@pytest.mark.parametrize("source", ["header:x", "jwt-unverified:sub"])
def test_a_header_that_is_not_ascii_gives_no_name(source: str) -> None:
    headers = ((b"x", b"caf\xe9"), (b"authorization", b"Bearer \xff"))
    with pytest.raises(AmbiguousRequest) as caught:
        read(source, an_exchange(headers=headers))
    assert caught.value.reason == "name-not-ascii"


@pytest.mark.parametrize(
    ("claim", "expected"),
    [("alice", "alice"), (7, "7"), (-7, "-7"), (10**30, "1" + "0" * 30), (None, None)],
)
def test_a_claim_is_text_or_a_whole_number(claim: object, expected: str | None) -> None:
    assert expected == read("jwt-unverified:sub", an_exchange(headers=a_jwt({"sub": claim})))


@pytest.mark.parametrize("claim", [True, False, ["a"], {"a": 1}, 1.0, 1e300])
def test_a_claim_of_another_kind_is_no_name(claim: object) -> None:
    with pytest.raises(MissingValue) as caught:
        read("jwt-unverified:sub", an_exchange(headers=a_jwt({"sub": claim})))
    assert caught.value.reason == "claim-not-text"


@pytest.mark.parametrize(
    "credentials",
    [
        b"",
        b"Bearer",
        b"Bearer x",
        b"Bearer a.b",
        b"Bearer a.b.c.d",
        b"Bearer a.!!!.c",
        b"Bearer a.e30=.c",
        b"Bearer a.bm90IGpzb24.c",
        b"Bearer a.WzFd.c",
        b"Basic a.eyJzdWIiOiJhIn0.c",
        b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    ],
)
def test_credentials_that_are_no_jwt_give_no_claim(credentials: bytes) -> None:
    assert (
        read("jwt-unverified:sub", an_exchange(headers=((b"Authorization", credentials),))) is None
    )


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"sub":' + "9" * 5000 + "}", "\ufeff{}"])
def test_a_payload_that_cannot_be_read_gives_no_claim(payload: str) -> None:
    assert read("jwt-unverified:sub", an_exchange(headers=a_jwt(payload))) is None


def test_the_scheme_is_read_in_any_case() -> None:
    (name, value), *_ = a_jwt({"sub": "a"})
    headers = ((name.lower(), value.replace(b"Bearer ", b"bEARER  ")),)
    assert read("jwt-unverified:sub", an_exchange(headers=headers)) == "a"


def test_a_body_is_read_by_who_has_it() -> None:
    source = parse_source("$.a")
    assert an_exchange().read(source, lambda one: f"read {one == source}") == "read True"


A, B, NOTHING = parse_source("const:a"), parse_source("const:b"), parse_source("path:none")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ListSource((A, B)), Joined("list", ["a", "b"])),
        (ListSource((B, A)), Joined("list", ["b", "a"])),
        (ListSource((A, NOTHING)), None),
        (MembersSource((A, B)), Joined("members", ["a", "b"])),
        (MembersSource((B, A)), Joined("members", ["a", "b"])),
        (MembersSource((NOTHING, A)), None),
        (FirstSource((NOTHING, B, A)), "b"),
        (FirstSource((NOTHING,)), None),
        (
            ListSource((FirstSource((NOTHING, A)), MembersSource((B, A)))),
            Joined("list", ["a", Joined("members", ["a", "b"])]),
        ),
    ],
)
def test_sources_combine(source: Source, expected: str | None) -> None:
    assert expected == read(source, an_exchange())


@given(st.text(), st.text("abt=&%;+0f", max_size=20), st.binary(max_size=30))
def test_any_head_gives_names_or_is_refused(claims: str, query: str, header: bytes) -> None:
    headers: Any = (*a_jwt(claims.encode(errors="ignore").decode()), (b"x", header))
    for source in ("jwt-unverified:sub", "query:t", "header:x"):
        try:
            read(source, an_exchange(query, headers))
        except SealyardError as error:
            assert error.status == 400  # noqa: PT017 - either outcome is lawful


SEALS = a_rule(request=a_block(encrypt=["$.content"], plain=["$.to"]))


def exchange_of(
    rule: Rule, method: str = "POST", query: str = "", headers: Headers = JSON_TYPE
) -> Exchange:
    target = f"/api/messages?{query}" if query else "/api/messages"
    return Trip((rule,), a_message(method=method, target=target, headers=headers)).exchange


@pytest.mark.parametrize("query", ["content=a", "Content=a", "a=1&content", "conversationId=c2"])
def test_no_name_of_a_rule_passes_with_another_method(query: str) -> None:
    exchange = exchange_of(SEALS, "PUT", query)
    with pytest.raises(MethodNotAllowed, match="other-method") as caught:
        exchange.refuse_unclear()
    assert caught.value.allow == "POST"


def test_no_body_passes_with_another_method() -> None:
    exchange = exchange_of(SEALS, "PUT", "page=1&to=a")
    exchange.refuse_unclear()
    with pytest.raises(MethodNotAllowed, match="other-method") as caught:
        exchange.refuse_body()
    assert caught.value.allow == "POST"
    exchange_of(SEALS).refuse_body()
    an_exchange().refuse_body()


def test_requests_of_a_rule_that_reads_answers_alone_have_no_body() -> None:
    opens = a_rule("GET /api/messages", response=a_block(decrypt=["$.content"]))
    constant = replace(opens.names, conversation=parse_source("const:c1"))
    opens = replace(opens, names=constant)
    exchange_of(opens, "GET").refuse_body()
    closed = exchange_of(replace(opens, query=frozenset()), "GET")
    closed.refuse_unclear()
    with pytest.raises(UnlistedName, match="unlisted-body"):
        closed.refuse_body()


def test_a_closed_rule_lists_its_headers() -> None:
    block = replace(a_block(encrypt=["$.content"], plain=[]), headers=frozenset({b"x-note"}))
    closed = a_rule(request=block)
    exchange_of(closed, headers=(*JSON_TYPE, (b"X-Note", b"a"))).refuse_unclear()
    for name in (b"X-Notes", b"X_Note", b"X-Text"):
        exchange = exchange_of(closed, headers=(*JSON_TYPE, (name, b"a")))
        with pytest.raises(UnlistedName, match="unlisted-header"):
            exchange.refuse_unclear()
        exchange_of(SEALS, headers=(*JSON_TYPE, (name, b"a"))).refuse_unclear()
