"""Frames on the wire: rules that make and open them, a backend that keeps what it gets, damages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.config.settings import Address
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.values.key_needs import Needs
from tests.keys.builders import World, a_world

from .ours import ANY_PORT, Ours, local, proxied
from .wire import Origin, Peer, Response, Seen, connected, running

CANARY = b"canary-f7a3e1"
FRAME = b"Content-Type: application/vnd.sealyard.stream"
PNG = b"Content-Type: image/png"
SCOPE = Scope("t", "c")
BODY_CONTEXT = Context(SCOPE, field="body", kind="stream")
SEALED_CHUNK = CHUNK_BYTES + 16
BIND: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
BODY = Item(parse_selector("body"), "body", BIND)
TITLE = Item(parse_selector("header:X-Title"), "title", BIND)
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))


def a_text(size: int) -> bytes:
    """Return a text that is nowhere like itself, with the canary at both ends of it."""
    numbers = b"".join(b"%08d" % at for at in range(size // 8 + 1))
    return CANARY + numbers[: max(size - 2 * len(CANARY), 0)] + CANARY


def a_rulebook() -> RuleTable:
    """Return rules for either role, for a title beside the body, and for what must be kept."""
    seal, unseal = Block(encrypt=(BODY,)), Block(decrypt=(BODY,))
    kept = Block(decrypt=(BODY,), keep_unopened=True)
    titled = Block(encrypt=(BODY, TITLE))
    strict = Block(encrypt=(BODY,), already_sealed="reject")
    rules = (
        Rule("store", (parse_pattern("POST /store"),), NAMES, (seal,)),
        Rule("fetch", (parse_pattern("GET /store"),), NAMES, response=(unseal,)),
        Rule("receive", (parse_pattern("POST /receive"),), NAMES, (unseal,)),
        Rule("answer", (parse_pattern("GET /receive"),), NAMES, response=(seal,)),
        Rule("titled", (parse_pattern("POST /titled"),), NAMES, (titled,)),
        Rule("kept", (parse_pattern("GET /kept"),), NAMES, response=(kept,)),
        Rule("strict", (parse_pattern("POST /strict"),), NAMES, (strict,)),
    )
    return RuleTable(rules, pass_unmatched=False)


async def sealed(
    world: World, body: bytes, media_type: str = "image/png", context: Context = BODY_CONTEXT
) -> bytes:
    """Return the frame of a body, under the keys of a world."""
    keys = await world.sessions.resolve(Needs({context.scope: 1}))
    head, sealer = sealed_stream.begin(keys.sealing[context.scope], context, media_type)
    return head + sealer.update(body) + sealer.finish()


async def opened(world: World, data: bytes, context: Context = BODY_CONTEXT) -> tuple[bytes, str]:
    """Return what a frame holds, and the type of it."""
    head = sealed_stream.read_head(data)
    assert head is not None
    wanted = (context.scope, head.token.key_id)
    keys = await world.sessions.resolve(Needs({}, frozenset({wanted})))
    plaintext = keys.opening[wanted].open(head.token, context, world.time.now)
    stream = sealed_stream.read_stream(plaintext)
    opener = sealed_stream.opener(head, stream, context)
    return opener.update(data[len(head.raw) :]) + opener.finish(), stream.media_type


@dataclass
class Backend(Origin):
    """Keeps what has come of each body, also of those that never ended."""

    parts: list[bytearray] = field(default_factory=list)

    @property
    def got(self) -> bytes:
        """All bytes of bodies."""
        return b"".join(bytes(one) for one in self.parts)


async def keeping(peer: Peer, origin: Origin) -> None:
    """Keep each body as it comes; note the request and answer only once it is whole."""
    assert isinstance(origin, Backend)
    while True:
        seen = Seen(await peer.head(), b"")
        part = bytearray()
        origin.parts.append(part)
        if lengths := seen.values(b"content-length"):
            missing = int(lengths[0])
            while missing and (data := await peer.reader.read(min(missing, 65536))):
                part += data
                missing -= len(data)
            if missing:
                return
        elif seen.values(b"transfer-encoding"):
            async for data in peer.chunks():
                part += data
        seen.body = bytes(part)
        origin.seen.append(seen)
        peer.send(origin.reply)
        with contextlib.suppress(ConnectionError):
            await peer.writer.drain()


@dataclass
class FrameWorld:
    """A proxy with keys, and the backend behind it."""

    ours: Ours
    backend: Backend
    world: World

    async def talk(self, data: bytes) -> Response:
        """Send a request, and return all that comes until the connection ends."""
        async with connected(self.ours.port) as client:
            client.send(data)
            return Response(await client.rest())


@contextlib.asynccontextmanager
async def a_frame_world(
    *,
    limits: TrafficLimits | None = None,
    timeouts: Timeouts | None = None,
    listen: Address = ANY_PORT,
) -> AsyncIterator[FrameWorld]:
    """Run a proxy with the rules of this module between a client and a backend."""
    backend, world = Backend(keeping), a_world()
    async with (
        running(backend),
        proxied(
            local(backend.port),
            listen=listen,
            rule_table=a_rulebook(),
            keys=world.sessions,
            limits=limits,
            timeouts=timeouts,
        ) as ours,
    ):
        yield FrameWorld(ours, backend, world)


def chunked(data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Return a body in chunks, cut at these places."""
    places = [0, *sorted({one for one in cuts if 0 < one < len(data)}), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces if one) + b"0\r\n\r\n"


def a_request(target: bytes, body: bytes, *lines: bytes, in_chunks: bool = False) -> bytes:
    """Return a POST that ends its connection."""
    framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(body)
    head = (b"POST %b HTTP/1.1" % target, b"Host: h", b"Connection: close", framing, *lines)
    return b"\r\n".join([*head, b"", b""]) + (chunked(body) if in_chunks else body)


def an_answer(body: bytes, *lines: bytes, in_chunks: bool = False) -> bytes:
    """Return a response of the backend."""
    framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(body)
    head = (b"HTTP/1.1 200 OK", framing, *lines)
    return b"\r\n".join([*head, b"", b""]) + (chunked(body) if in_chunks else body)


def damages(data: bytes, other: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a frame in every way in which it must not open; `other` is one of as many bytes."""
    first = len(data) - len(data) % SEALED_CHUNK
    head = sealed_stream.read_head(data)
    assert head is not None
    first = len(head.raw) + 56
    second, third = first + SEALED_CHUNK, first + 2 * SEALED_CHUNK
    for at in (1, 5, 40, first - 1, first, first + 1, second, second + 9, third, len(data) - 1):
        yield f"cut at {at}", data[:at]
    yield "chunks moved", data[:first] + data[second:third] + data[first:second] + data[third:]
    yield "a chunk twice", data[:second] + data[first:second] + data[second:]
    yield "a chunk missing", data[:first] + data[second:]
    yield "an end too early", data[:second] + data[-(len(data) - first) % SEALED_CHUNK or -16 :]
    yield "spliced", data[:second] + other[second:]
    yield "two of them", data + other
    yield "a byte behind", data + b"x"
    yield "the other's head", other[: len(head.raw)] + data[len(head.raw) :]
    for at in (len(head.raw), first - 40, first, second + 7, len(data) - 1):
        yield f"a bit at {at}", data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


async def settled(world: FrameWorld) -> None:
    """Wait until no client is there and no connection to the backend is borrowed."""
    pool = world.ours.upstream.pool
    async with asyncio.timeout(5):
        while (  # noqa: ASYNC110 - there is no event to wait for
            world.ours.listener.connections or pool.size != pool.idle
        ):
            await asyncio.sleep(0.005)
