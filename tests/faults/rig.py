"""A proxy that can be made to fail at any one point, between a recording origin and a raw client.

Each wait of the request path really waits here, so that it can be thrown into: collaborators give
up their turn once where they would have gone on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import os
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsIndex, cast

from proxy.config.limits import Timeouts
from proxy.config.settings import Address, UnixAddress
from proxy.core.callers import VerifiedCaller
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId
from proxy.core.errors import TrafficError, Unopened
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_json_selector, parse_selector
from proxy.core.expressions.sources import AskSource, NameSource, parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule, Verdict
from proxy.core.values.key_needs import Attempt, Keys, Needs, Opening
from proxy.demo.screen import search
from proxy.keys.sessions.key_events import Beginning, KeyEvents
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.settings import SessionSettings
from proxy.traffic.byte_budget import ByteBudget, Hold, Holding
from proxy.traffic.callers.callers import Callers, CallerVerdict
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.http1.forwarding_headers import Peer as BrowserPeer
from proxy.traffic.http1.gate import RawRequest
from proxy.traffic.http1.problem import Problem
from proxy.traffic.interfaces import Answerer, RawConnection
from proxy.traffic.policy import MOST_RETRIES
from proxy.traffic.slices import Run, Slices, T
from proxy.traffic.upstream.connection import UpstreamConnection
from proxy.traffic.upstream.health import ANSWERS_PER_RETRY
from proxy.traffic.upstream.permits import Claim, Permit, Permits
from tests.factories import NOW, Ear
from tests.keys.builders import CountingStore, a_keyring, a_world
from tests.traffic.ours import Ours, local, proxied
from tests.traffic.wire import PATIENCE, Client, Peer, Response, connected

from .faults import Fault, driven

CANARY = "canary-7b1e <\N{LATIN SMALL LETTER E WITH ACUTE}>"
JSON = b"Content-Type: application/json"
BODY = json.dumps({"n": 1, "content": CANARY}).encode()
SCOPE = Scope("t", "c")
_LONG_ENOUGH = 0.6  # two ticks of the pool
CALM = Timeouts(linger=0.2, connect=2.0, response=2.0, stream=2.0, idle=60.0, tunnel=2.0)


def a_rulebook() -> RuleTable:
    """Return rules for sealing, opening, lists and refusal; the rest passes."""
    bind: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
    content = Item(parse_selector("$.content"), "content", bind)
    each = Item(parse_selector("$.items[*].content"), "content", bind)
    names = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
    whole = Item(parse_selector("body"), "body", bind)
    parts = tuple(Item(parse_selector(f"part:{one}"), one, bind) for one in ("note", "file"))
    store, receive = (Block(encrypt=(whole,)),), (Block(decrypt=(whole,)),)
    opening, sealing = (Block(decrypt=(content,)),), (Block(encrypt=(content,)),)
    rules = (
        Rule("seal", (parse_pattern("POST /seal"),), names, (Block(encrypt=(content,)),), opening),
        Rule("open", (parse_pattern("GET /open"),), names, response=opening),
        Rule("list", (parse_pattern("GET /list"),), names, response=(Block(decrypt=(each,)),)),
        Rule(
            "items",
            (parse_pattern("POST /list"),),
            names,
            (Block(encrypt=(each,)),),
            (Block(decrypt=(each,)),),
        ),
        Rule("form", (parse_pattern("POST /form"),), names, (Block(encrypt=parts),)),
        Rule("store", (parse_pattern("POST /store"),), names, store),
        Rule("receive", (parse_pattern("POST /receive"),), names, receive),
        Rule("fetch", (parse_pattern("GET /store"),), names, response=receive),
        Rule("sealed events", (parse_pattern("GET /events"),), names, response=sealing),
        Rule("opened events", (parse_pattern("GET /opened"),), names, response=opening),
        Rule("lines", (parse_pattern("POST /lines"),), names, (Block(encrypt=(content,)),)),
        Rule("closed", (parse_pattern("/closed"),), names, request=Verdict.REJECT),
        Rule("chat", (parse_pattern("WS /chat"),), names, (Block(encrypt=(content,)),), opening),
        Rule("heard", (parse_pattern("WS /overheard"),), names, sealing, opening, observes=True),
        Rule("take", (parse_pattern("POST /take"),), names, opening, opening),
        Rule("asked", (parse_pattern("POST /asked/{id}"),), _asked(), sealing, opening),
        Rule("tried", (parse_pattern("POST /tried"),), names, sealing, opening, observes=True),
    )
    return RuleTable(rules, pass_unmatched=True)


def _asked() -> Names:
    """Return names of which the backend tells the conversation."""
    path = ("/rooms/", NameSource("path", "id"))
    source = AskSource("GET /rooms/{id}", path, (), parse_json_selector("$.room"))
    return Names(tenant=parse_source("const:t"), conversation=source)


class WaitingCallers:
    """Verifies every request anew, and waits for the keys of an issuer."""

    def earned(self, raw: RawRequest, _: BrowserPeer) -> RawRequest:
        return raw

    def presented(self, *_: object) -> None:
        return None

    def known(self, _: None) -> None:
        return None

    async def verified(self, *_: object) -> CallerVerdict:
        await turn()
        return CallerVerdict(VerifiedCaller("nurse"), math.inf, math.inf)


class WaitingOpens:
    """Writes down what is opened, and waits for the disk."""

    def admit(self, _: VerifiedCaller | None) -> None: ...

    async def attempt(self, _: Opening) -> None:
        await turn()

    def over(self, _: str, *, delivered: bool) -> None: ...


class Tee(asyncio.StreamReader):
    """A reader that keeps a copy of every byte, whole messages or not."""

    def __init__(self, copy: bytearray) -> None:
        super().__init__()
        self._copy = copy

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        piece = bytes(data)
        self._copy += piece
        super().feed_data(piece)


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Recorder:
    """An origin that plays a script and records every byte."""

    script: Script
    bytes: bytearray = field(default_factory=bytearray)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
                while True:
                    await self.script(Peer(reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, path: Path | None) -> AsyncIterator[Address]:
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(Tee(self.bytes), self.play)

        if path is None:
            server = await loop.create_server(connection, "127.0.0.1", 0)
            address: Address = local(server.sockets[0].getsockname()[1])
        else:
            server = await loop.create_unix_server(connection, str(path))
            address = UnixAddress(path)
        try:
            yield address
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def turn() -> None:
    """Let others go first, once."""
    await asyncio.sleep(0)


class WaitingHold(Hold):
    """Memory that comes a turn later."""

    async def reach(self, size: int, *, answer: bool = False, passes: bool = False) -> None:
        await turn()
        await super().reach(size, answer=answer, passes=passes)

    async def works_at(self, body: bytes, *, limit: int, coded: bool, answer: bool = False) -> None:
        await turn()
        await super().works_at(body, limit=limit, coded=coded, answer=answer)

    async def reads(self, size: int, *, answer: bool = False) -> None:
        await turn()
        await super().reads(size, answer=answer)


class WaitingBudget(ByteBudget):
    """Where each message waits for its memory."""

    def of(self, request: Holding, client: str) -> Hold:
        if request.held is None:
            request.held = WaitingHold(self, client)
        return request.held


class WaitingWitness(KeyEvents):
    """Key events that others come before, as a disk makes it wait."""

    async def begins(self, one: Beginning) -> None:
        await turn()
        await super().begins(one)


class EndedLease:
    """A lease that is to be obtained before anything is sealed."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def obtain(self) -> None:
        await turn()
        self._sessions.sealing_until = math.inf


class WaitingKeys:
    """Sessions that are cold for each request, and asked while others hold what they need.

    One that `asks` first asks how the conversation stands, as it is done for end-to-end rules. Each
    message also names `made_up` sessions that the store does not have, as many as may be held. If
    `leased`, they seal under a lease that has ended.
    """

    def __init__(
        self,
        *,
        busy: bool = False,
        scopes: int = 1,
        shared: bool = False,
        asks: bool = False,
        made_up: int = 0,
        leased: bool = False,
    ) -> None:
        self._keyring = a_keyring()
        self._leased = leased
        self._busy = busy
        self._asks = asks
        self._shared = shared
        self._more = {Scope("t", f"more{number}"): 1 for number in range(1, scopes)}
        self._holders: set[asyncio.Task[None]] = set()
        self._settings = SessionSettings(max_scopes=made_up) if made_up else None
        self._made_up = frozenset(
            (SCOPE, KeyId(NOW.to_bytes(4) + number.to_bytes(8))) for number in range(made_up)
        )
        self.sessions = self._cold()

    def _cold(self) -> Sessions:
        sessions = self._without_lease()
        if self._leased:
            lease: Any = EndedLease(sessions)
            sessions.lease, sessions.sealing_until = lease, 0.0
        return sessions

    def _without_lease(self) -> Sessions:
        world = a_world(keyring=self._keyring)
        store = CountingStore(world.time, shared=self._shared)
        key_events = WaitingWitness(Ear(), None, self._keyring.record_key, clock=world.time)
        return a_world(
            keyring=self._keyring, store=store, key_events=key_events, settings=self._settings
        ).sessions

    def forget(self) -> None:
        """Begin as a new process does."""
        self.sessions = self._cold()

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return None

    async def resolve(self, needs: Needs) -> Keys:
        await turn()
        if self._busy and (needs.seals or self._shared):
            # By hand, since a call of the sessions' own would be a point of the request's way.
            lock = self.sessions._locks.setdefault(SCOPE, asyncio.Lock())
            await lock.acquire()
            task = asyncio.get_running_loop().create_task(self._hold(lock))
            self._holders.add(task)
            task.add_done_callback(self._holders.discard)
        if self._asks:
            await self.sessions.ask(SCOPE)
        opens = needs.opens | self._made_up
        return await self.sessions.resolve(Needs({**needs.seals, **self._more}, opens))

    async def _hold(self, lock: asyncio.Lock) -> None:
        for _ in range(3):
            await turn()
        lock.release()

    def remember(self, sessions: Mapping[Session, int]) -> None:
        self.sessions.remember(sessions)

    @property
    def shut(self) -> set[tuple[str, str]]:
        return self.sessions.shut

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        return self.sessions.refused(unopened, attempt)


class WaitingSlices(Slices):
    """Lets each message wait for its turn, and before each step, as those do that are long.

    No step is cut by time, so that every run of a scene has the same waits.
    """

    __slots__ = ()

    @contextlib.asynccontextmanager
    async def turn(self, *, long: bool, answer: bool = False) -> AsyncIterator[Run]:
        async def waiting(work: Callable[..., T], *args: object, **named: object) -> T:
            await turn()
            return await run(work, *args, **named)

        await turn()
        async with super().turn(long=False) as run:
            yield waiting


class WaitingPermits(Permits):
    """Lets each message wait in the queue for a permit, however many there are."""

    __slots__ = ()

    async def take(self, claim: Claim) -> Permit:
        await turn()
        return await super().take(claim)


class _Waits:
    """On a connection, makes every write wait."""

    __slots__ = ()

    async def drain(self) -> None:
        await turn()
        await super().drain()  # type: ignore[misc]  # the connection's


class WaitingUpstreamConnection(_Waits, UpstreamConnection):
    __slots__ = ()


class WaitingClientConnection(_Waits, ClientConnection):
    __slots__ = ()


class WaitingRequest:
    """A request whose switch to another protocol takes a turn."""

    def __init__(self, request: Any) -> None:  # noqa: ANN401 - any Request
        request._link.__class__ = WaitingClientConnection
        self._request = request

    def __getattr__(self, name: str) -> object:
        return getattr(self._request, name)

    @property
    def held(self) -> Hold | None:
        held: Hold | None = self._request.held
        return held

    @held.setter
    def held(self, hold: Hold | None) -> None:
        self._request.held = hold

    async def switch(self, head: bytes) -> RawConnection:
        await turn()
        connection: RawConnection = await self._request.switch(head)
        return connection


@dataclass
class FaultyAnswerer:
    """The handler, with a fault on its way."""

    handler: Any
    fault: Fault = field(default_factory=Fault)

    def handle(self, request: Any) -> Awaitable[None]:  # noqa: ANN401 - any Request
        return driven(self.handler.handle(WaitingRequest(request)), self.fault)

    def reject(self, error: TrafficError) -> Problem:
        problem: Problem = self.handler.reject(error)
        return problem


@dataclass(frozen=True)
class Outcome:
    """All that the client got."""

    raw: bytes
    reset: bool

    @property
    def status(self) -> int:
        return Response(self.raw).status

    @property
    def whole(self) -> bool:
        """Whether it looks like a complete response."""
        head, end, body = self.raw.partition(b"\r\n\r\n")
        if not end:
            return False
        response = Response(head)
        if lengths := response.values(b"content-length"):
            return len(body) == int(lengths[0])
        if response.values(b"transfer-encoding"):
            return body.endswith(b"0\r\n\r\n")
        return not self.reset


Say = Callable[[Client], Awaitable[bytes | None]]
"""What a client sends; it may return what it has read of the last response."""


@dataclass
class Rig:
    """One kind of exchange, and the proxy that it goes through."""

    ours: Ours
    origin: Recorder
    keys: WaitingKeys
    answerer: FaultyAnswerer
    say: Say
    lost: int = 0

    async def exchange(self) -> Outcome:
        """Do one exchange from the first byte to the end of the connection."""
        async with connected(self.ours.port) as client:
            data = bytearray()
            try:
                async with asyncio.timeout(PATIENCE):
                    data += await self.say(client) or b""
                    while part := await client.reader.read(65536):
                        data += part
            except ConnectionError:
                return Outcome(bytes(data), reset=True)
            return Outcome(bytes(data), reset=False)

    async def with_fault(self, fault: Fault) -> Outcome:
        """Do one exchange in which the fault happens, and wait until all is quiet again."""
        self.answerer.fault = fault
        self.keys.forget()
        # Retries have a budget, which many exchanges that each need one would use up.
        self.ours.upstream.permits.health._saved_answers = MOST_RETRIES * ANSWERS_PER_RETRY
        self.origin.bytes.clear()
        self.ours.ear.heard.clear()
        try:
            with fault.watching():
                outcome = await self.exchange()
                await self.quiet()
        finally:
            self.answerer.fault = Fault()
        return outcome

    async def quiet(self) -> None:
        """Wait until nothing is under way: no client, no borrowed connection, no permit.

        A connection or permit that nobody gives back is left in `lost`; the connection's place is
        made free again.
        """
        pool, permits = self.ours.upstream.pool, self.ours.upstream.permits
        async with asyncio.timeout(PATIENCE):
            while self.ours.listener.connections:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)
        if pool.size != pool.idle or permits.in_use:
            # An exception may hold the frames that it came through, in a cycle.
            self.answerer.fault.forget()
            gc.collect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONG_ENOUGH):
                while pool.size != pool.idle or permits.in_use:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
        self.lost = pool.size - pool.idle + permits.in_use
        for connection in tuple(pool._busy):
            pool.drop(connection)
        pool._making = 0

    def leaks(self) -> list[tuple[str, str]]:
        """Return where the canary stands that must stand nowhere."""
        told = repr(self.ours.ear.heard).encode()
        return search(CANARY, {"origin": bytes(self.origin.bytes), "log": told})


async def tokens_for(keys: WaitingKeys, count: int) -> list[str]:
    """Return tokens of the canary that `keys` open."""
    one = (await keys.sessions.resolve(Needs({SCOPE: 1}))).sealing[SCOPE]
    context = Context(SCOPE, field="content")
    return [one.seal(CANARY.encode(), context).decode() for _ in range(count)]


async def frame_for(keys: WaitingKeys) -> bytes:
    """Return a frame of three chunks that `keys` open, with the canary at both ends."""
    one = (await keys.sessions.resolve(Needs({SCOPE: 1}))).sealing[SCOPE]
    head, sealer = sealed_stream.begin(
        one, Context(SCOPE, field="body", kind="stream"), "text/plain"
    )
    text = CANARY.encode()
    return (
        head + sealer.update(text + bytes(2 * sealed_stream.CHUNK_BYTES) + text) + sealer.finish()
    )


@dataclass(frozen=True)
class Setup:
    """One kind of exchange: how the origin answers, what the client sends, and the keys between.

    `holds` tells after all exchanges whether what the scene promises was so.
    """

    script: Script
    say: Say
    keys: WaitingKeys = field(default_factory=WaitingKeys)
    over_socket: bool = False
    callers: WaitingCallers | None = None
    opens: WaitingOpens | None = None
    holds: Callable[[], bool] = lambda: True


@contextlib.asynccontextmanager
async def rigged(setup: Setup, folder: Path) -> AsyncIterator[Rig]:
    """Run a proxy in front of an origin, both made to wait wherever they can."""
    gc.freeze()  # each look for a leak would walk all that pytest holds
    origin = Recorder(setup.script)
    keys, socket = setup.keys, folder / "origin.sock" if setup.over_socket else None
    rules, slices, budget = a_rulebook(), WaitingSlices(), WaitingBudget()
    async with (
        origin.running(socket) as address,
        proxied(
            address,
            rule_table=rules,
            keys=keys,
            timeouts=CALM,
            slices=slices,
            budget=budget,
            callers=cast("Callers | None", setup.callers),
            opens=setup.opens,
        ) as ours,
    ):
        listener: Any = ours.listener
        answerer = FaultyAnswerer(listener.answerer)
        faulty: Answerer = answerer  # type: ignore[assignment] # it hands on another awaitable
        listener.answerer = faulty
        _make_writes_wait(ours)
        for permits in (ours.upstream.permits, ours.upstream.long_requests):
            permits.__class__ = WaitingPermits
        with _tasks_through(answerer):
            yield Rig(ours, origin, keys, answerer, setup.say)
    assert (budget.used, budget.watched) == (0, {})
    assert setup.holds()


def _make_writes_wait(ours: Ours) -> None:
    pool = ours.upstream.pool
    connect = pool._connect

    async def waiting() -> UpstreamConnection:
        connection = await connect()
        connection.__class__ = WaitingUpstreamConnection
        return connection

    pool._connect = waiting


def _of_a_request(coroutine: Any) -> bool:  # noqa: ANN401 - any coroutine
    """Tell whether a task is a part of a request's way that is not reached by `handle`."""
    return getattr(coroutine, "__name__", "") in {"_send_rest", "_obtain", "_outcome", "_connected"}


@contextlib.contextmanager
def _tasks_through(answerer: FaultyAnswerer) -> Iterator[None]:
    """Let the fault also reach the tasks that a request starts: its upload, and its look-ups."""
    loop = asyncio.get_running_loop()

    def task(
        loop: asyncio.AbstractEventLoop,
        coroutine: Any,  # noqa: ANN401 - asyncio's signature
        **options: Any,  # noqa: ANN401 - as above
    ) -> asyncio.Task[Any]:
        if not _of_a_request(coroutine):
            return asyncio.Task(coroutine, loop=loop, **options)
        made = asyncio.Task(driven(coroutine, answerer.fault), loop=loop, **options)
        # A task that is cancelled before it begins never gets to its coroutine.
        made.add_done_callback(lambda _: coroutine.close())
        return made

    loop.set_task_factory(task)
    try:
        yield
    finally:
        loop.set_task_factory(None)


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is wanted
