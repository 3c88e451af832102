"""Whether a message is changed at once or planned: every byte is the same.

The texts of the JSON suite under one head, which is known by the third of them.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.leaves import FORM
from proxy.core.rules.model import Block, Item, Names, Part, Rule

from .both_ways import a_way, no_head_is_known, nothing_is_fast, nothing_is_prepared, taken_at_once
from .test_same_bytes import SUITE

_BOUND: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
_PLAIN = (b'{"room": "r", "content": "c"}', b'{"room": "q", "content": "d"}')
_AT_ONCE = 40


def a_rulebook() -> RuleTable:
    """Return rules whose messages have ways: one value, many, and a name in the body."""
    content = Item(parse_selector("$.content"), "content", _BOUND)
    each = Item(parse_selector("$.list[*].content"), "content", _BOUND, optional=True)
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("path:id"))
    named = replace(names, conversation=parse_source("$.room"))
    sides = [
        ("one", names, content),
        ("many", names, each),
        ("named", named, content),
    ]
    rules = [
        Rule(
            name,
            (parse_pattern(f"POST /{name}/{{id}}"),),
            naming,
            (Block(encrypt=(item,)),),
            (Block(decrypt=(item,)),),
        )
        for name, naming, item in sides
    ]
    return RuleTable(tuple(rules), pass_unmatched=True)


def _post(target: str, body: bytes) -> bytes:
    head = f"POST {target} HTTP/1.1", "Host: h", "Content-Type: application/json"
    lines = "\r\n".join((*head, f"Content-Length: {len(body)}", "", ""))
    return lines.encode() + body


def _bodies() -> Iterator[bytes]:
    for file in sorted(SUITE.iterdir()):
        text = file.read_bytes()
        yield text
        yield b'{"room": "r", "content": ' + text + b"}"
        yield b'{"room": ' + text + b', "content": "c"}'
        yield (
            b'{"room": "r", "content": "c", "list": [{"content": "a"}, {"content": ' + text + b"}]}"
        )
        yield b'{"list": [' + text + b', {"content": "a"}], "room": "r", "content": "c"}'


def _conversations(target: str) -> Iterator[list[bytes]]:
    bodies = _bodies()
    while some := list(itertools.islice(bodies, _AT_ONCE)):
        yield [_post(target, body) for body in (*_PLAIN, *some, *_PLAIN)]


@pytest.mark.parametrize("target", ["/one/1", "/many/1", "/named/1", "/elsewhere"])
async def test_a_way_is_the_general_way(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conversations = list(_conversations(target))
    async with a_way(a_rulebook()) as way:
        with taken_at_once(monkeypatch) as taken:
            by_ways = [await way.send_in_turn(one, monkeypatch) for one in conversations]
    async with a_way(a_rulebook()) as way:
        with no_head_is_known(monkeypatch):
            for one, before in zip(conversations, by_ways, strict=True):
                assert await way.send_in_turn(one, monkeypatch) == before
    async with a_way(a_rulebook()) as way:
        with nothing_is_prepared(monkeypatch):
            for one, before in zip(conversations, by_ways, strict=True):
                assert await way.send_in_turn(one, monkeypatch) == before
    async with a_way(a_rulebook()) as way:
        with nothing_is_fast(monkeypatch):
            for one, before in zip(conversations, by_ways, strict=True):
                assert await way.send_in_turn(one, monkeypatch) == before
    if target in {"/one/1", "/named/1"}:
        for outcome in ("sealed", "opened"):
            assert sum(outcome in one.counts for one in taken) > len(conversations)


def _list(rows: int, size: int) -> bytes:
    one = '{"author": "a", "content": "%s", "tags": ["x", "y"]}' % ("c" * size)
    return f'{{"room": "r", "list": [{", ".join([one] * rows)}]}}'.encode()


LONG: list[tuple[bytes, int | None]] = [(_list(700, 1), 700), (_list(300, 100), 300)]
# The Python Finder leaves so many commas in so long a text to the walk.
LARGE: list[tuple[bytes, int | None]] = [
    (_list(2000, 20), 2000),
    (_list(20, 20_000), 20),
    (b'{"room": "r", "content": "%b"}' % (b"c" * 400_000), None),
]


@pytest.mark.parametrize("known", [True, False], ids=["known", "parsed"])
@pytest.mark.parametrize(
    ("body", "values"), LONG + (LARGE if FORM == "native" else []), ids=lambda one: len(str(one))
)
async def test_long_messages_go_their_way(
    body: bytes, values: int | None, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """In slices, where the listener and its parser have them, and to the same bytes."""
    target = "/one/1" if values is None else "/many/1"
    messages = [_post(target, body)] * 3
    async with a_way(a_rulebook()) as way:
        with nothing_is_prepared(monkeypatch):
            planned = await way.send_in_turn(messages, monkeypatch)
    async with a_way(a_rulebook()) as way:
        lane = contextlib.nullcontext() if known else nothing_is_fast(monkeypatch)
        with lane, taken_at_once(monkeypatch) as taken:
            assert await way.send_in_turn(messages, monkeypatch) == planned
    # The keys of the first message are not at hand.
    for outcome in ("sealed", "opened"):
        assert [one.counts[outcome] for one in taken if outcome in one.counts][-2:] == [
            values or 1
        ] * 2


async def test_a_length_is_never_read_from_another_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rule may name a conversation by any header, also by the one that differs."""
    content = Item(parse_selector("$.content"), "content", _BOUND)
    names = Names(
        tenant=parse_source("const:t"), conversation=parse_source("header:content-length")
    )
    seals, opens = (Block(encrypt=(content,)),), (Block(decrypt=(content,)),)
    rule = Rule("length", (parse_pattern("POST /a"),), names, seals, opens)
    bodies = [b'{"content": "%b"}' % (b"c" * size) for size in (1, 2, 1, 3, 1, 2, 2)]
    messages = [_post("/a", body) for body in bodies]
    rules = RuleTable((rule,), pass_unmatched=False)
    async with a_way(rules) as way:
        known = await way.send_in_turn(messages, monkeypatch)
    async with a_way(rules) as way:
        with nothing_is_fast(monkeypatch):
            assert await way.send_in_turn(messages, monkeypatch) == known
    assert known.forwarded.count(b'{"content": "eyJ') == len(bodies)
