"""Messages whose heads vary in what no rule reads: each value arrives as it was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import proxy.core
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Names
from proxy.traffic.http1.fast_heads import VARYING, VARYING_IN_REQUESTS

from .both_ways import Echo, a_way, nothing_is_fast, taken_at_once
from .test_repeated_heads import _conversations
from .test_same_bytes import a_rulebook


class _Varied(Echo):
    """An echo whose heads have more lines, one after the other."""

    varying: Iterator[bytes]

    def reply(self, body: bytes) -> bytes:
        status, line, rest = super().reply(body).partition(b"\r\n")
        return status + line + next(self.varying) + rest


def _vary(echo: Echo, turns: int) -> None:
    echo.__class__ = _Varied
    assert isinstance(echo, _Varied)
    echo.varying = _varying(turns)


def _varying(turns: int) -> Iterator[bytes]:
    """Yield lines that differ in what no rule reads, and now and then in more than that."""
    for turn in range(turns):
        yield b"\r\n".join(
            [
                b"dATE: Sun, 01 Nov 2026 00:00:%02d GMT" % (turn // 3 % 60),
                b"X-Request-Id: %d" % turn,
                b'Last-Modified: "%d"' % (turn // 4),
                b"X-Request-Id: %d-again" % (turn // 2),
                b"Server: %d" % (turn // 20),
                b"",
            ]
        )


async def test_what_varies_in_the_heads_of_answers_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversations = list(_conversations())[:20]
    turns = sum(map(len, conversations))
    async with a_way(a_rulebook()) as known, a_way(a_rulebook()) as anew:
        _vary(known.echo, turns)
        _vary(anew.echo, turns)
        with taken_at_once(monkeypatch) as taken:
            for messages in conversations:
                remembered = await known.send_in_turn(messages, monkeypatch)
                with nothing_is_fast(monkeypatch):
                    assert remembered == await anew.send_in_turn(messages, monkeypatch)
                answer = remembered.answer
                numbers = [int(one) for one in re.findall(rb"X-Request-Id: (\d+)\r", answer)]
                assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
                dates = re.findall(rb"dATE: Sun, 01 Nov 2026 00:00:(\d\d) GMT", answer)
                assert dates == [b"%02d" % (number // 3 % 60) for number in numbers]
    assert sum("opened" in one.counts for one in taken) > 20


def _asked(messages: list[bytes], number: int) -> Iterator[bytes]:
    """Yield requests whose ids differ, and whose other lines come again."""
    for turn, message in enumerate(messages):
        start, _, rest = message.partition(b"\r\n")
        lines = [
            b"traceparent: 00-%032x-%016x-01" % (number, turn),
            b"X-REQUEST-ID: %d" % (turn // 2 + number),
            b"Baggage: a=b, c=%d" % (turn // 4),
        ]
        kept = lines[: 3 - turn % 5 // 4] if turn < 11 else [lines[1], b"x-request-id: again"]
        yield b"\r\n".join([start, kept[0], *kept[1:], rest])


def _ids(data: bytes) -> list[bytes]:
    return re.findall(rb"(?:traceparent|X-REQUEST-ID|Baggage): [^\r]*", data)


async def test_what_varies_in_the_heads_of_requests_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversations = list(_conversations())[:30]
    async with a_way(a_rulebook()) as known, a_way(a_rulebook()) as anew:
        with taken_at_once(monkeypatch) as taken:
            for number, some in enumerate(conversations):
                messages = [*_asked(some, number)]
                remembered = await known.send_in_turn(messages, monkeypatch)
                with nothing_is_fast(monkeypatch):
                    assert remembered == await anew.send_in_turn(messages, monkeypatch)
                assert set(_ids(remembered.forwarded)) <= set(_ids(b"".join(messages)))
    assert sum("sealed" in one.counts for one in taken) > 30
    assert sum("opened" in one.counts for one in taken) > 30


def _by_header(name: str) -> RuleTable:
    """Return rules whose conversations are named by a header."""
    names = Names(tenant=parse_source("const:t"), conversation=parse_source(f"header:{name}"))
    rules = [replace(one.rule, names=names) for one in a_rulebook().rules]
    return RuleTable(tuple(rules), pass_unmatched=True)


@pytest.mark.parametrize("name", ["x-request-id", "traceparent"])
async def test_a_conversation_named_by_what_varies_is_that_of_each_message(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [b"a", b"b", b"a", b"a", b"a, b", b"b", b"b"]
    start = b"POST /c/1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    body = b'{"content": "c"}'
    messages = [
        start + b"%b: %b\r\nContent-Length: %d\r\n\r\n%b" % (name.encode(), one, len(body), body)
        for one in values
    ]
    async with a_way(_by_header(name)) as known, a_way(_by_header(name)) as anew:
        remembered = await known.send_in_turn(messages, monkeypatch)
        with nothing_is_fast(monkeypatch):
            assert remembered == await anew.send_in_turn(messages, monkeypatch)
    tokens = re.findall(rb'{"content": "([^"]*)"}', remembered.forwarded)
    named = [one for one in values if one != b"a, b"]
    assert len(tokens) == len(named)
    assert {one: tokens[named.index(one)] for one in named} == dict(zip(named, tokens, strict=True))
    assert len(set(tokens)) == 2


COOKIES: tuple[bytes, ...] = (
    b"a=1",
    b"a=2; theme=dark",
    b"content=x",
    b"a=3",
    b"room=c",
    b"room=other",
    b"ROOM=c",
    b"r%6Fom=other",
    b"a=4",
    b"room=c; room=other",
    b"room[x]=c",
    b"__proto__=c",
    b"a=5; access_token=x",
    b"a=6",
)


@pytest.mark.parametrize("conversation", ["$.room", "path:id", "query:room", "header:x-room"])
@pytest.mark.parametrize("first", range(0, len(COOKIES), 3))
async def test_each_cookie_is_compared_whatever_is_known_of_the_head(
    first: int, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(tenant=parse_source("const:t"), conversation=parse_source(conversation))
    rules = RuleTable(
        tuple(replace(one.rule, names=names) for one in a_rulebook().rules), pass_unmatched=True
    )
    body = b'{"content": "c", "room": "c"}'
    head = (
        b"POST /c/1?room=c HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-Room: c\r\n"
        b"Referer: https://h/%d\r\nCookie: %b\r\nContent-Length: %d\r\n\r\n%b"
    )
    cookies = [*COOKIES[first:], *COOKIES[:first], *COOKIES]
    messages = [head % (at, one, len(body), body) for at, one in enumerate(cookies)]
    for message in messages:  # a refusal may end the connection
        async with a_way(rules) as known, a_way(rules) as anew:
            usual = head % (0, b"a=0", len(body), body)
            some = [usual, usual, message]
            remembered = await known.send_in_turn(some, monkeypatch)
            with nothing_is_fast(monkeypatch):
                assert remembered == await anew.send_in_turn(some, monkeypatch)
    async with a_way(rules) as known, a_way(rules) as anew:
        remembered = await known.send_in_turn(messages, monkeypatch)
        with nothing_is_fast(monkeypatch):
            assert remembered == await anew.send_in_turn(messages, monkeypatch)


@pytest.mark.parametrize("name", sorted(VARYING | VARYING_IN_REQUESTS))
def test_nothing_in_the_core_reads_what_varies(name: bytes) -> None:
    core = Path(proxy.core.__file__).parent
    quoted = f'"{name.decode()}"'
    assert not [one for one in core.rglob("*.py") if quoted in one.read_text().lower()]
