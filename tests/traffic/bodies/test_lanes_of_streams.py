"""E15: a stream comes to the same in whatever pieces, and on whatever connection it comes.

The same events or lines are answered on a connection that is new or was used before, at once or in
pieces, in chunks or with a Content-Length. They are refused for the same reason or pass as the same
bytes. In chunks, what goes on before a fault is the same as well; with a Content-Length of up to 64
KiB nothing does, and the status is 502. So it is for a record of more bytes than the rule takes,
but a body with a length is refused as a whole by then.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.limits import MEBIBYTE
from proxy.config.settings import UnixAddress
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.policy import RECORDS_WHOLE_BYTES
from proxy.core.rules.model import Batching, Block, Item, Names, Part, Rule
from proxy.core.values.key_needs import Needs
from tests.keys.builders import a_world
from tests.traffic.ours import Ours, local, proxied
from tests.traffic.wire import Origin, Peer, connected, eventually, get, running

CANARY: Final = "canary-2f77c0"
SCOPE: Final = Scope("t", "c")
NAMES: Final = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
TOKEN: Final = re.compile(rb"eyJ0eXAiOiJzeTEi[A-Za-z0-9_.-]+")
LINES: Final = frozenset({"message.failed", "message.handled", "message.refused"})
KINDS: Final = {"text/event-stream": ("data: ", "\n\n"), "application/x-ndjson": ("", "\n")}


def an_item(selector: str, *, optional: bool = False) -> Item:
    bind: frozenset[Part] = frozenset({"tenant", "conversation"})
    return Item(parse_selector(selector), "content", bind, optional=optional)


SEALS: Final = Block(encrypt=(an_item("$.content"),))
OPENS: Final = Block(decrypt=(an_item("$.content"),))
BLOCKS: Final = {
    "seals": SEALS,
    "seals-what-is-there": Block(encrypt=(an_item("$.content", optional=True),)),
    "seals-together": replace(SEALS, batch=Batching(None)),
    "rejects-sealed": replace(SEALS, already_sealed="reject"),
    "opens": OPENS,
    "opens-or-keeps": replace(OPENS, keep_unopened=True),
    "opens-tokens": Block(decrypt=(an_item("tokens"),)),
}
SHORTS: Final = (20, 60, 250)
BOOK: Final = RuleTable(
    tuple(
        Rule(path[1:], (parse_pattern(path),), NAMES, response=(block,), max_body=most)
        for name, block in BLOCKS.items()
        for path, most in ((f"/{name}", MEBIBYTE), *((f"/{name}-{one}", one) for one in SHORTS))
    ),
    pass_unmatched=True,
)


@dataclass(frozen=True)
class Arrival:
    """How an answer arrives: where it is cut, on which connection, and with a length or without."""

    cuts: tuple[int, ...] = ()
    warm: bool = True
    measured: bool = False

    def writes(self, kind: str, body: bytes) -> list[bytes]:
        """Return what the backend writes, one after the other; all at once where nothing is cut."""
        borders = [0, *sorted({one % (len(body) + 1) for one in self.cuts}), len(body)]
        pieces = [body[one:other] for one, other in pairwise(borders) if one < other]
        lines = [b"HTTP/1.1 200 OK", b"Content-Type: " + kind.encode()]
        lines += [] if self.warm else [b"Connection: close"]
        if self.measured:
            lines.append(b"Content-Length: %d" % len(body))
            last = b""
        else:
            lines.append(b"Transfer-Encoding: chunked")
            pieces = [b"%x\r\n%b\r\n" % (len(one), one) for one in pieces]
            last = b"0\r\n\r\n"
        head = b"\r\n".join([*lines, b"", b""])
        return [head, *pieces, last] if self.cuts else [b"".join([head, *pieces, last])]


@dataclass(frozen=True)
class Outcome:
    """What a client got, and what the log says of it; tokens by their length."""

    reason: str | None
    error: str | None
    status: int
    head: bytes
    body: bytes
    ended: bool


@dataclass
class Backend:
    """Answers with what it is told to, one write after the other."""

    writes: list[bytes] = field(default_factory=list)

    async def serve(self, peer: Peer, _: Origin) -> None:
        while True:
            seen = await peer.request()
            writes = [FREE] if seen.target == b"/free" else self.writes
            for number, one in enumerate(writes):
                if number:
                    await asyncio.sleep(0.001)  # so that it is read by itself
                peer.send(one)
            if b"Connection: close" in writes[0]:
                return


FREE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class World:
    """Two proxies in front of one backend: with connections that were used before, and without."""

    runner: asyncio.Runner
    backend: Backend
    tokens: list[str]
    warm: tuple[Ours, str]
    cold: tuple[Ours, str]

    def outcome(self, rule: str, kind: str, body: bytes, arrival: Arrival) -> Outcome:
        """Return what becomes of an answer that arrives in such a way."""
        return self.runner.run(self._outcome(rule, arrival.writes(kind, body), warm=arrival.warm))

    async def _outcome(self, rule: str, writes: list[bytes], *, warm: bool) -> Outcome:
        ours, path = self.warm if warm else self.cold
        self.backend.writes = writes
        if warm:
            await self._ask(ours, path, b"/free")
            await eventually(lambda: ours.upstream.pool.idle)
        assert bool(ours.upstream.pool.idle) is warm
        raw, line = await self._ask(ours, path, f"/{rule}".encode())
        head, _, rest = raw.partition(b"\r\n\r\n")
        body, ended = (rest, True) if b"chunked" not in head else unchunked(rest)
        status = int(head.split(b" ")[1])
        body = TOKEN.sub(lambda found: b"<%d>" % len(found[0]), body)
        return Outcome(line.get("reason"), line.get("error"), status, head, body, ended)

    async def _ask(self, ours: Ours, path: str, target: bytes) -> tuple[bytes, dict[str, Any]]:
        ours.ear.heard.clear()
        async with connected(path=path) as client:
            client.send(get(target))
            raw = await client.rest()
        await eventually(lambda: LINES & set(ours.ear.events))
        (line,) = (fields for event, fields in ours.ear.heard if event in LINES)
        return raw, line


def unchunked(rest: bytes) -> tuple[bytes, bool]:
    """Return what is in chunks, and whether they have an end."""
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if size == b"0":
            return body, True
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body, False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("lanes")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(_begin(stack, folder, runner))
        runner.run(stack.aclose())


async def _begin(stack: AsyncExitStack, folder: Path, runner: asyncio.Runner) -> World:
    backend, sessions = Backend(), a_world().sessions
    origin = await stack.enter_async_context(running(Origin(backend.serve)))
    fronts = []
    for name in ("warm", "cold"):
        path = str(folder / name)  # a socket that loses nothing when it is cut
        ours = await stack.enter_async_context(
            proxied(
                local(origin.port), listen=UnixAddress(Path(path)), rule_table=BOOK, keys=sessions
            )
        )
        fronts.append((ours, path))
    keys = await sessions.resolve(Needs({SCOPE: 2}))
    contexts = (Context(SCOPE), Context(SCOPE, field="other"))
    tokens = [keys.sealing[SCOPE].seal(CANARY.encode(), context).decode() for context in contexts]
    return World(runner, backend, tokens, *fronts)


def streams(kind: str, tokens: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Draw a stream of records, some with faults."""
    before, behind = KINDS[kind]
    values = st.sampled_from([CANARY, 7, None, *tokens, tokens[0][:-3]])
    records = st.one_of(
        st.builds(lambda one: json.dumps({"content": one}), values),
        st.builds(lambda one: json.dumps({"content": one, "n": 1}), values),
        st.sampled_from(['{"n":1}', "{", "[DONE]", "", '{"content":1,"content":2}']),
    ).map(lambda one: before + one + behind)
    if kind == "text/event-stream":
        others = ": ping\n", "id: 7\n\n", "retry: 9\n", "Data: x\n\n", "\n", "{}\n\n"
        records |= st.sampled_from(others)
    ends = st.sampled_from(["\n", "\n", "\r\n", "\r"] if before else ["\n", "\n", "\r\n"])
    some = st.tuples(st.lists(records, max_size=6), ends, st.booleans())
    return some.map(lambda drawn: _written(*drawn))


def _written(records: list[str], end: str, whole: bool) -> bytes:  # noqa: FBT001 - drawn
    text = "".join(records)
    return (text if whole else text.rstrip("\n")).replace("\n", end).encode()


ARRIVALS: Final = st.builds(
    Arrival, st.lists(st.integers(0, 4000), min_size=1, max_size=8).map(tuple), st.booleans()
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_stream_comes_to_the_same_however_it_comes(world: World, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(sorted(BLOCKS)), label="rule")
    kind = data.draw(st.sampled_from(sorted(KINDS)), label="type")
    body = data.draw(streams(kind, world.tokens), label="body")
    in_pieces = data.draw(ARRIVALS, label="in pieces")

    told = world.outcome(rule, kind, body, Arrival(warm=False))

    assert told.ended is (told.reason is None)
    assert told.status == 200
    for arrival in (Arrival(), in_pieces):
        assert world.outcome(rule, kind, body, arrival) == told
    for arrival in (Arrival(measured=True), replace(in_pieces, measured=True)):
        outcome = world.outcome(rule, kind, body, arrival)
        assert (outcome.reason, outcome.error) == (told.reason, told.error)
        if told.reason is None:
            assert (outcome.status, outcome.body) == (told.status, told.body)
        else:
            assert outcome.status == 502
            assert CANARY.encode() not in outcome.body


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_stream_is_cut_before_the_same_long_record_however_it_comes(
    world: World, data: st.DataObject
) -> None:
    rule = data.draw(st.sampled_from(sorted(BLOCKS)), label="rule")
    most = data.draw(st.sampled_from(SHORTS), label="most")
    kind = data.draw(st.sampled_from(sorted(KINDS)), label="type")
    body = data.draw(streams(kind, world.tokens), label="body")
    in_pieces = data.draw(ARRIVALS, label="in pieces")

    told = world.outcome(f"{rule}-{most}", kind, body, Arrival(warm=False))

    assert told.ended is (told.reason is None)
    for arrival in (Arrival(), in_pieces):
        assert world.outcome(f"{rule}-{most}", kind, body, arrival) == told
    if told.reason == "record":
        measured = world.outcome(f"{rule}-{most}", kind, body, Arrival(measured=True))
        assert (measured.reason, measured.status) == ("response-length", 502)


def test_above_64_kib_it_is_a_stream_although_all_of_it_has_come(world: World) -> None:
    padding = ": " + "x" * RECORDS_WHOLE_BYTES
    body = f'data: {{"content":"{CANARY}"}}\n\n{padding}\n\ndata: {{}}\n\n'.encode()

    in_chunks = world.outcome("seals", "text/event-stream", body, Arrival(cuts=(7, 90), warm=False))
    at_once = world.outcome("seals", "text/event-stream", body, Arrival(measured=True))

    assert (in_chunks.reason, in_chunks.status, in_chunks.ended) == ("missing-value", 200, False)
    assert in_chunks.body.endswith(b"xx\n\n")
    assert CANARY.encode() not in in_chunks.body
    assert at_once == in_chunks
