"""Requests that a proxy sends for many clients: each goes out, and counts, as its client's own."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names
from proxy.traffic.http1.forwarding_headers import trusting
from proxy.traffic.upstream.permits import Claim, Permit, Permits
from tests.traffic.ours import PASSING

from .both_ways import Way, a_way, nothing_is_prepared, taken_at_once
from .test_repeated_heads import _conversations
from .test_same_bytes import a_rulebook

_CLIENTS = [b"192.0.2.7", b"127.0.0.1", b"203.0.113.9, 127.0.0.1", b"unknown", b"2001:db8::7"]
_CHAINS = re.compile(rb"\r\nx-forwarded-for: ([^\r]*)", re.IGNORECASE)


def _trust(way: Way, *, trusted: bool) -> Way:
    answerer: Any = way.ours.listener.answerer
    networks = (ip_network("127.0.0.0/8"),) if trusted else ()
    answerer.steps.forwarding_headers._trusts = trusting(networks)
    return way


@contextlib.contextmanager
def _claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the clients for which permits are asked."""
    clients: list[str] = []
    take = Permits.take_at_once

    def taking(self: Permits, claim: Claim) -> Permit | None:
        clients.append(claim.client)
        return take(self, claim)

    with monkeypatch.context() as patched:
        patched.setattr(Permits, "take_at_once", taking)
        yield clients


def _sent_for(messages: list[bytes], number: int) -> Iterator[bytes]:
    """Yield requests for one client after the other, and now and then with other lines."""
    for turn, message in enumerate(messages):
        start, _, rest = message.partition(b"\r\n")
        client = _CLIENTS[(turn // 2 + number) % len(_CLIENTS)]
        lines = [
            b"x-Forwarded-FOR: " + client,
            b"Authorization: Bearer %d-of-%b" % (turn // 3, client),
            b"Traceparent: %d" % turn,
            b"User-Agent: " + client,
            b"X-Real-IP: " + client,
        ]
        yield b"\r\n".join([start, *lines[: 5 - turn % 7 // 6], rest])


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("rules", [a_rulebook(), PASSING])
async def test_each_request_is_that_of_its_client(
    rules: RuleTable, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    conversations = list(_conversations())[:25]
    async with a_way(rules) as known, a_way(rules) as anew:
        _trust(known, trusted=trusted)
        _trust(anew, trusted=trusted)
        with taken_at_once(monkeypatch) as taken:
            for number, some in enumerate(conversations):
                messages = [*_sent_for(some, number)]
                with _claims(monkeypatch) as clients:
                    remembered = await known.send_in_turn(messages, monkeypatch)
                with nothing_is_prepared(monkeypatch), _claims(monkeypatch) as expected:
                    assert remembered == await anew.send_in_turn(messages, monkeypatch)
                assert set(clients) == set(expected)
                assert len(set(clients)) > 1 or not trusted or len(expected) < 3
                chains = _CHAINS.findall(remembered.forwarded)
                assert all(one.endswith(b"127.0.0.1") for one in chains)
                assert trusted or set(chains) <= {b"127.0.0.1"}
                assert trusted or b"real-ip" not in remembered.forwarded.lower()
    if rules is not PASSING:
        assert sum("sealed" in one.counts for one in taken) > 25
        assert sum("opened" in one.counts for one in taken) > 25


@pytest.mark.parametrize("turns", [3, 70])
async def test_any_number_of_clients_goes_a_way(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"content": "c"}'
    start = b"POST /c/1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    text = start + b"%bContent-Length: %d\r\n\r\n%b"
    sent = [b"10.%d.2.%d" % (turn // 200, turn % 200) for turn in [*range(turns), *range(turns)]]
    messages = [text % (b"X-Forwarded-For: %b\r\n" % one, len(body), body) for one in sent]
    async with a_way(a_rulebook()) as way:
        _trust(way, trusted=True)
        with taken_at_once(monkeypatch) as taken, _claims(monkeypatch) as clients:
            remembered = await way.send_in_turn(messages, monkeypatch)
    assert _CHAINS.findall(remembered.forwarded) == [one + b", 127.0.0.1" for one in sent]
    assert [one.encode() for one in clients] == sent
    assert sum("sealed" in one.counts for one in taken) == len(sent)
    assert b'"content": "c"' not in remembered.forwarded


def _bearer(user: str) -> bytes:
    parts = (json.dumps(one).encode() for one in ({"alg": "none"}, {"sub": user}, {}))
    return b".".join(base64.urlsafe_b64encode(one).rstrip(b"=") for one in parts)


async def test_a_conversation_named_by_a_token_is_that_of_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("jwt-unverified:sub"))
    each = tuple(replace(one.rule, names=names) for one in a_rulebook().rules)
    rules = RuleTable(each, pass_unmatched=True)
    users = [*"aabbaacdefghijkaabbaakk"]
    body = b'{"content": "c"}'
    start = b"POST /c/1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    text = start + b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
    messages = [text % (_bearer(user), len(body), body) for user in users]
    async with a_way(rules) as known, a_way(rules) as anew:
        with taken_at_once(monkeypatch) as taken:
            remembered = await known.send_in_turn(messages, monkeypatch)
        with nothing_is_prepared(monkeypatch):
            assert remembered == await anew.send_in_turn(messages, monkeypatch)
    tokens = re.findall(rb'{"content": "([^"]*)"}', remembered.forwarded)
    assert dict(zip(users, tokens, strict=True)).items() == {*zip(users, tokens, strict=True)}
    assert len(set(tokens)) == len(set(users))
    assert sum("sealed" in one.counts for one in taken) > 5
