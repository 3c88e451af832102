"""Whether a message is changed at once or planned: every byte is the same.

The corpora of smuggling and of JSON, combined and altered heads; both sides and the log compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.config.ladder_settings import LadderSettings
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule, Verdict
from proxy.telemetry.per_second import PerSecond
from proxy.traffic.exchange.copies import Copies
from tests.smuggling.corpus import rows

from .both_ways import a_way, nothing_is_prepared, taken_at_once

SUITE = Path(__file__).parent.parent / "vectors" / "json-suite" / "test_parsing"


def a_rulebook() -> RuleTable:
    """Return rules that seal and open, seal anywhere, open alone, and refuse; the rest passes."""
    bind: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
    content = Item(parse_selector("$.content"), "content", bind)
    anywhere = Item(parse_selector("$..content"), "content", bind, optional=True)
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("path:id"))
    opening = (Block(decrypt=(content,)),)
    both = (Block(encrypt=(content,)),)
    rules = (
        Rule("seal", (parse_pattern("POST /c/{id}"),), names, both, opening),
        Rule("loose", (parse_pattern("PUT /c/{id}"),), names, (Block(encrypt=(anywhere,)),)),
        Rule("open", (parse_pattern("GET /c/{id}"),), names, response=opening),
        Rule("closed", (parse_pattern("DELETE /c/{id}"),), names, request=Verdict.REJECT),
    )
    return RuleTable(rules, pass_unmatched=True)


def _post(body: bytes, *lines: bytes, line: bytes = b"POST /c/1 HTTP/1.1") -> bytes:
    length = b"Content-Length: %d" % len(body)
    json = b"Content-Type: application/json"
    return b"\r\n".join([line, b"Host: h", json, length, *lines, b"", body])


def _json() -> Iterator[bytes]:
    for file in sorted(SUITE.iterdir()):
        text = file.read_bytes()
        yield _post(text)
        yield _post(b'{"content": ' + text + b"}")
        yield _post(b'{"x": ' + text + b', "content": "c"}', line=b"PUT /c/1 HTTP/1.1")


_LINES = (
    b"X-A: b",
    b"x-a:  b",
    b"Cookie: a=b; c=d",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: X-A",
    b"Accept-Encoding: gzip",
    b"Range: bytes=0-1",
    b'If-None-Match: W/"x"',
    b"Via: 1.1 a",
    b"X-Forwarded-For: 1.2.3.4",
    b"Expect: 100-continue",
    b"Expect: 200-ok",
    b"Content-Encoding: gzip",
    b"Content-Encoding: identity",
    b"Digest: sha-256=AA==",
    b"X-HTTP-Method-Override: PUT",
    b"TE: trailers",
    b"Upgrade: h2c",
    b"X_Y: z",
    b"X-E:",
    b"Authorization: Bearer a.b.c",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 3",
    b"Host: other",
    b"X-N: caf\xc3\xa9",
)
_BODIES = (
    b'{"content": "c"}',
    b'{"content": "' + b"long " * 2000 + b'"}',
    b'{"content": ["a", 1]}',
    b'{"content": null}',
    b'{"Content": "c"}',
    b'{"other": "c"}',
    b"{}",
    b"",
    b"[",
)
_STARTS = (
    b"POST /c/1 HTTP/1.1",
    b"PUT /c/%31 HTTP/1.1",
    b"GET /c/1?a=b HTTP/1.1",
    b"DELETE /c/1 HTTP/1.1",
    b"HEAD /c/1 HTTP/1.1",
    b"POST /other/../c/1 HTTP/1.1",
    b"POST /C/1 HTTP/1.1",
    b"POST /elsewhere HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"POST http://h/c/1 HTTP/1.1",
    b"POST /c/1 HTTP/1.0",
    b"PATCH /c/1%2f HTTP/1.1",
    b"TRACE / HTTP/1.1",
)


def _combined() -> Iterator[bytes]:
    """Yield one in five of all that a start, a line and a body make, some with a request behind."""
    every = itertools.product(_STARTS, (None, *_LINES), _BODIES)
    for number, (start, line, body) in enumerate(every):
        if number % 5 == 0:
            one = _post(body, *([line] if line else []), line=start)
            yield one + (_post(_BODIES[0]) if number % 7 == 0 else b"")


def _altered() -> Iterator[bytes]:
    """Yield a request in which one byte is missing, stands twice, or is another."""
    whole = _post(_BODIES[0], b"X-A: b", b"Cookie: c")
    for at in range(len(whole)):
        for put in (b"", whole[at : at + 1] * 2, b" ", b"\n", b"\xff", b"0"):
            yield whole[:at] + put + whole[at + 1 :]


def _smuggling() -> Iterator[bytes]:
    return (row.raw for row in rows())


INPUTS: dict[str, Callable[[], Iterator[bytes]]] = {
    "smuggling": _smuggling,
    "json": _json,
    "combined": _combined,
    "altered": _altered,
}


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
@pytest.mark.parametrize("name", INPUTS)
async def test_every_byte_is_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch, *, chunked: bool
) -> None:
    inputs = list(INPUTS[name]())
    async with a_way(a_rulebook(), chunked=chunked) as way:
        with taken_at_once(monkeypatch) as taken:
            plainly = [await way.send(data, monkeypatch) for data in inputs]
    async with a_way(a_rulebook(), chunked=chunked) as way:
        with nothing_is_prepared(monkeypatch):
            for data, before in zip(inputs, plainly, strict=True):
                assert await way.send(data, monkeypatch) == before, data
    assert taken or name == "smuggling"


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
async def test_what_is_copied_while_it_passes_is_the_same(
    monkeypatch: pytest.MonkeyPatch, *, chunked: bool
) -> None:
    inputs = list(_combined())
    copied: list[Copies] = []
    conclude = Copies.conclude

    async def concluded(self: Copies, *, cut: bool = False) -> None:
        copied.append(self)
        await conclude(self, cut=cut)

    monkeypatch.setattr(Copies, "conclude", concluded)
    monkeypatch.setattr(PerSecond, "takes", lambda _: True)
    async with a_way(a_rulebook(), chunked=chunked) as way:
        with nothing_is_prepared(monkeypatch):
            plainly = [await way.send(data, monkeypatch) for data in inputs]
    assert not copied
    looking = LadderSettings(finds_sensitive=True)
    async with a_way(a_rulebook(), chunked=chunked, ladder=looking) as way:
        with nothing_is_prepared(monkeypatch):
            for data, before in zip(inputs, plainly, strict=True):
                assert await way.send(data, monkeypatch) == before, data
    assert len(copied) >= len(inputs) // 30


async def test_a_body_too_long_for_its_rule_streams_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = Item(parse_selector("body"), "body", frozenset({"tenant", "conversation", "field"}))
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("path:id"))
    sealing = (Block(encrypt=(body,)),)
    rule = Rule("s", (parse_pattern("POST /c/{id}"),), names, response=sealing, max_body=1000)
    data = _post(b'"%b"' % (b"x" * 2000))

    rules = RuleTable((rule,), pass_unmatched=False)
    async with a_way(rules, chunked=True) as way:
        await way.send(data, monkeypatch)  # it leaves a connection to the upstream
        plainly = await way.send(data, monkeypatch)
    async with a_way(rules, chunked=True) as way:
        with nothing_is_prepared(monkeypatch):
            await way.send(data, monkeypatch)
            generally = await way.send(data, monkeypatch)

    assert plainly.told == generally.told
    assert plainly.forwarded == generally.forwarded
    assert _head_and_length(plainly.answer) == _head_and_length(generally.answer)
    assert plainly.answer.startswith(b"HTTP/1.1 200 ")
    assert b"x" * 10 not in plainly.answer


def _head_and_length(answer: bytes) -> tuple[bytes, int]:
    """Return what of a chunked answer is not chance: its pieces are, and so is a stream's key."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = 0
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        length += size
        rest = rest[size + 2 :]
    return head, length
