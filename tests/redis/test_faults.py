"""Redis through a proxy that resets, cuts, delays, doubles and spoils its replies.

No answer is a 500 and none is wrong, the process goes on, and it listens again within two seconds.
`./dev chaos faults` spoils a thousand replies in each way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config.settings import RedisSettings, TcpAddress
from proxy.keys.stores import Offer, Store, StoreFailed, open_store
from proxy.keys.stores.redis import check, replies
from tests.servers import free_port
from tools.chaos import faults
from tools.chaos.sealyard import MODES, Mode

from .fault_proxy import KINDS, RESETS, FaultProxy, Kind
from .server import Server, needs_redis, trusting, write_tls

pytestmark = needs_redis

SHORT = 40
LONG = 1_000


@pytest.mark.parametrize(
    ("topology", "family", "mode"),
    [
        ("alone", "resets", "durable"),
        ("alone", "malformed", "ephemeral"),
        ("tls", "resets", "ephemeral"),
        ("cluster", "malformed", "ephemeral"),
    ],
)
async def test_spoilt_replies_break_no_promise(
    topology: str, family: str, mode: Mode, tmp_path: Path
) -> None:
    outcome = await faults.run(topology, family, mode, SHORT, tmp_path)
    assert sum(outcome.faults.values()) >= SHORT
    assert outcome.broken(mode) == [], outcome


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", faults.FAMILIES)
@pytest.mark.parametrize("topology", faults.TOPOLOGIES)
async def test_a_thousand_spoilt_replies_break_no_promise(
    topology: str,
    family: str,
    mode: Mode,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    outcome = await faults.run(topology, family, mode, LONG, tmp_path)
    record_property(f"spoilt replies ({family})", f"{sum(outcome.faults.values())} replies")
    record_property("answers", f"{sum(outcome.statuses.values())} answers")
    record_property("listener back after", f"{outcome.back_seconds:.1f} s")
    assert sum(outcome.faults.values()) >= LONG
    assert outcome.broken(mode) == [], outcome


# --- one store, one proxy -------------------------------------------------------------------------


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.port).running() as proxy:
        yield proxy


@asynccontextmanager
async def a_store(proxy: FaultProxy) -> AsyncIterator[Store]:
    store = open_store("redis", options=RedisSettings(TcpAddress("127.0.0.1", proxy.port)))
    try:
        yield store
    finally:
        await store.close()


def offer(number: int) -> Offer:
    """Return an offer that no other conversation makes."""
    name = f"n{number}"
    return Offer(name, f"record of {name}".encode(), 60_000, "s1", 60_000)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("kind", KINDS)
async def test_no_conversation_gets_the_answer_of_another(proxy: FaultProxy, kind: Kind) -> None:
    async with a_store(proxy) as store:
        for number in range(8):
            await store.get_or_create(offer(number))
        proxy.kinds, proxy.share, proxy.delay_seconds = (kind,), 0.3, 0.1
        answered = failed = 0
        for _ in range(6):
            asked = (store.get_or_create(offer(number)) for number in range(8))
            for number, held in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
                assert not isinstance(held, BaseException) or isinstance(held, StoreFailed)
                if isinstance(held, StoreFailed):
                    failed += 1
                # Only a bit that was turned in the record itself shows there; its MAC tells.
                elif kind == "flip":
                    answered += 1
                else:
                    answered += 1
                    assert held.record == offer(number).record
        assert answered > failed
        assert proxy.counts[kind]


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02])
async def test_a_cancelled_command_leaves_no_answer_to_the_next(
    proxy: FaultProxy, seconds: float
) -> None:
    proxy.kinds, proxy.delay_seconds = ["delay"], 0.03
    async with a_store(proxy) as store:
        await store.get_or_create(offer(0))
        for number in range(1, 12):
            proxy.share = 1.0
            asked = asyncio.get_running_loop().create_task(store.get_or_create(offer(number)))
            await asyncio.sleep(seconds)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            proxy.share = 0.0
            assert (await store.get_or_create(offer(0))).record == offer(0).record


async def test_a_broken_connection_costs_no_question(proxy: FaultProxy) -> None:
    """Ephemeral sessions have nothing else to turn to, so the question is asked once more."""
    async with a_store(proxy) as store:
        for number in range(20):
            await store.get_or_create(offer(number))
            await asyncio.to_thread(proxy.reset_all)
        await store.get_or_create(offer(0))
        proxy.kinds, proxy.share = RESETS, 1.0
        for number in range(20):
            proxy.limit = proxy.faults + 1
            assert (await store.get_or_create(offer(number))).record == offer(number).record


@pytest.mark.timing
@pytest.mark.parametrize("kind", KINDS)
async def test_who_listens_is_back_soon_and_asks_for_what_it_missed(
    proxy: FaultProxy, server: Server, kind: Kind
) -> None:
    heard: list[str | None] = []
    async with a_store(proxy) as store:
        other = open_store("redis", options=server.settings)
        await store.open(heard.append)
        await until(lambda: store.subscribed)
        for round_ in range(3):
            heard.clear()
            proxy.kinds, proxy.share, proxy.limit = (kind,), 1.0, proxy.faults + 1
            await other.revoke("n", b"first %d" % round_, 1, seen=(await seen(other)))
            await until(lambda: proxy.faults == proxy.limit)
            proxy.share = 0.0
            if kind in RESETS:
                await asyncio.to_thread(proxy.reset_all)
            began = time.monotonic()
            await other.revoke("n", b"again %d" % round_, 1, seen=(await seen(other)))
            # It hears of it, or, having been away, that any conversation may have changed.
            await until(lambda: store.subscribed and {None, "n"} & {*heard})
            assert time.monotonic() - began < 2.0
        await other.close()


async def seen(store: Store) -> bytes | None:
    return (await store.find("n", ())).revocation


async def until(law: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not law():  # type: ignore[operator]  # noqa: ASYNC110 - a function; a thread sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True>"),
        AttributeError("'NoneType' object has no attribute 'write'"),
        asyncio.CancelledError(),
        asyncio.InvalidStateError(),
        asyncio.IncompleteReadError(b"", 1),
        ConnectionResetError(),
        RecursionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_that_a_library_raises_ends_the_listener_or_a_message(
    server: Server, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Event loops and libraries raise these when a transport is gone; uvloop a RuntimeError."""
    heard: list[str | None] = []
    store = open_store("redis", options=server.settings)
    await store.open(heard.append)
    await until(lambda: store.subscribed)
    read = replies.of_script

    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr(replies, "of_script", raising)
    monkeypatch.setattr(replies, "notice", raising)
    with pytest.raises(StoreFailed):
        await store.get_or_create(offer(1))
    server.command("PUBLISH", "sealyard:v1:changed", "n")
    await until(lambda: not store.subscribed)
    monkeypatch.undo()
    assert replies.of_script is read
    await until(lambda: store.subscribed)
    assert heard == [None, None]
    assert (await store.get_or_create(offer(1))).record == offer(1).record
    await store.close()


# --- at the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", ["reset at once", "reset later", "closed", "nothing there"])
async def test_a_start_that_is_cut_off_is_one_that_may_pass(
    tmp_path: Path, kind: str, *, tls: bool
) -> None:
    """So that `rediss://` starts where `redis://` does."""
    write_tls(tmp_path, "127.0.0.1")
    server = Server(tmp_path, tls=tmp_path if tls else None)
    server.start()
    proxy = FaultProxy(server.port, raw=tls, spoiled=(), share=1.0)
    proxy.kinds = ["close"] if kind == "closed" else ["reset", "cut"]
    proxy.cut_off = kind == "reset at once"
    port = free_port() if kind == "nothing there" else proxy.port
    settings = trusting(RedisSettings(TcpAddress("127.0.0.1", port)), tmp_path if tls else None)
    try:
        with proxy.running():
            for _ in range(5):
                found = await check.examined(settings, {}, "durable", clock=time.time, seconds=2.0)
                assert [(one.verdict, one.passing) for one in found] == [("failed", True)], found
    finally:
        server.kill()
