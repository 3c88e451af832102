"""Who sends a request is known from verified credentials alone."""

from __future__ import annotations

import contextlib

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic.byte_budget import ByteBudget
from proxy.traffic.callers.callers import Callers
from tests.keys.builders import a_world

from ..ours import local, proxied
from ..wire import Origin, Peer, Response, connected, eventually, get, post, running, talk
from .issuers import a_caller, claims, signed, verifying

JSON = b"Content-Type: application/json"


def bearer(token: str) -> bytes:
    return b"Authorization: Bearer " + token.encode()


async def answered(
    *headers: bytes, callers: Callers | None = None
) -> tuple[Response, dict[str, object], Origin]:
    """Send a request; return the answer, what was logged, and the backend."""
    origin = Origin()
    async with running(origin), proxied(local(origin.port), callers=callers or verifying()) as ours:
        response = await talk(ours.port, get(b"/", *headers))
        return response, ours.ear.last, origin


async def test_a_verified_caller_is_in_the_log_line_and_its_token_goes_on() -> None:
    token = signed()
    response, told, origin = await answered(bearer(token))

    assert (response.status, told["caller"]) == (200, "doctor")
    assert [b"Bearer " + token.encode()] == origin.seen[0].values(b"authorization")


async def test_a_client_without_credentials_is_anyone() -> None:
    response, told, _ = await answered()

    assert (response.status, told["caller"]) == (200, None)


async def test_a_credential_that_does_not_hold_never_reaches_the_backend() -> None:
    response, told, origin = await answered(bearer(signed(claims(exp=1))))

    assert response.status == 401
    assert response.values(b"www-authenticate") == [b'Bearer error="invalid_token"']
    assert (told["error"], told["reason"]) == ("caller-unverified", "expired")
    assert origin.seen == []
    assert b"expired" not in response.body


async def test_a_tenant_is_read_from_a_verified_claim() -> None:
    item = Item(parse_selector("$.content"), "content", frozenset({"tenant", "field"}))
    names = Names(tenant=parse_source("caller:org"))
    rule = Rule("seal", (parse_pattern("POST /seal"),), names, request=(Block(encrypt=(item,)),))
    origin = Origin()
    async with (
        running(origin),
        proxied(
            local(origin.port),
            rule_table=RuleTable((rule,), pass_unmatched=False),
            keys=a_world().sessions,
            callers=verifying(a_caller(wanted=())),
        ) as ours,
    ):
        sent = b'{"content":"hello"}'
        known = await talk(ours.port, post(sent, JSON, bearer(signed()), target=b"/seal"))
        nobody = await talk(ours.port, post(sent, JSON, target=b"/seal"))

    assert (known.status, nobody.status) == (200, 400)
    assert b"hello" not in origin.seen[0].body


async def test_callers_behind_one_address_have_shares_of_their_own() -> None:
    budget = ByteBudget(1 << 30)

    async def silent(peer: Peer, _: Origin) -> None:
        await peer.request()
        await peer.reader.read()

    async with (
        running(Origin(silent)) as origin,
        proxied(local(origin.port), callers=verifying(), budget=budget) as ours,
        contextlib.AsyncExitStack() as stack,
    ):
        for who in (bearer(signed(claims(sub="a"))), bearer(signed(claims(sub="b"))), b"X-No: one"):
            client = await stack.enter_async_context(connected(ours.port))
            client.send(post(b"x" * 100_000, who))
        await eventually(lambda: len(budget._clients) == 3)
        told = sorted(one.split("\n")[-1] for one in budget._clients)
        assert told == ["127.0.0.1", "a", "b"]
