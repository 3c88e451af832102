"""Opening packages beside the messages: in threads, each of them once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.end_to_end import opening
from proxy.keys.end_to_end.identities import Identities
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import (
    TTL,
    Process,
    a_fleet,
    context,
    needs_of,
    reading,
    sealing,
)

SESSIONS = 60
TRIES = 3
WAIT_SECONDS = 5.0


@pytest.mark.timing
async def test_a_long_history_is_opened_without_holding_the_event_loop() -> None:
    """60 private operations of RSA take 100 ms and more; the loop goes on meanwhile."""
    (one,) = await a_fleet()
    tokens = []
    for _ in range(SESSIONS):
        tokens.append(decode(await one.seal(b"hello", "alice", ["bob"])))
        one.keys._sealing.clear()  # so that the next message begins another session
    needs = needs_of(reading("bob"), *tokens)
    ratios = []
    for _ in range(TRIES):
        one.keys._opening.clear()
        done = asyncio.Event()
        gaps = asyncio.get_running_loop().create_task(_longest_gap(done))
        began = time.perf_counter()
        keys = await one.keys.resolve(needs)
        took = time.perf_counter() - began
        done.set()
        ratios.append(await gaps / took)
        assert len(keys.opening) == SESSIONS
    assert min(ratios) < 0.5


async def _longest_gap(done: asyncio.Event) -> float:
    longest, last = 0.0, time.perf_counter()
    while not done.is_set():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def test_tokens_of_many_sessions_are_opened_in_one_plan() -> None:
    (one,) = await a_fleet()
    first = decode(await one.seal(b"first", "alice", ["bob"]))
    one.time.advance(TTL)
    second = decode(await one.seal(b"second", "alice", ["bob"]))
    scope = reading("bob")
    both = Needs({sealing("alice", ["bob"]): 1}, needs_of(scope, first, second).opens)
    keys = await one.keys.resolve(both)
    opened = [
        keys.opening[scope, token.key_id].open(token, _context(), one.time.now)
        for token in (first, second)
    ]
    assert opened == [b"first", b"second"]


def _context() -> Context:
    return context(reading("bob"))


# --- what changes while a package is being opened -------------------------------------------------


class Held:
    """Holds what a thread does, once it is armed, until it is released."""

    def __init__(self, of: Callable[..., Any]) -> None:
        self.armed = False
        self._of = of
        self._begun, self._released = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - passed on
        done = self._of(*arguments)
        if self.armed:
            self._begun.set()
            assert self._released.wait(WAIT_SECONDS)
        return done

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, WAIT_SECONDS)

    def release(self) -> None:
        self._released.set()


@pytest.fixture(params=["package", "private key"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Held:
    if request.param == "package":
        held = Held(opening._open_all)
        monkeypatch.setattr(opening, "_open_all", held)
    else:
        held = Held(Identities._open)
        monkeypatch.setattr(Identities, "_open", lambda *arguments: held(*arguments))  # noqa: PLW0108 - a function is given its self
    return held


async def outcomes(process: Process, sealed: bytes, held: Held, change: Any) -> list[object]:  # noqa: ANN401 - an awaitable of any kind
    """Return why a token was refused as `change` happened in between, and then once more."""
    held.armed = True
    tries = [asyncio.get_running_loop().create_task(process.open_for("bob", sealed))]
    await held.begun()
    await change
    held.release()
    await asyncio.wait(tries)
    tries.append(asyncio.get_running_loop().create_task(process.open_for("bob", sealed)))
    found = await asyncio.gather(*tries, return_exceptions=True)
    return [one.reason if isinstance(one, OpenFailed) else one for one in found]


async def test_a_key_that_is_revoked_meanwhile_opens_nothing(held: Held) -> None:
    one, other = await a_fleet(processes=2)
    sealed = await other.seal(b"hello", "alice", ["bob"])
    await one.session("alice", ["bob"])  # so that the participants are known
    found = await outcomes(one, sealed, held, other.revoke("bob", "bob-enc"))
    assert found == ["no-identity"] * 2


async def test_a_package_that_is_erased_meanwhile_does_not_come_back(held: Held) -> None:
    one, other = await a_fleet(processes=2)
    sealed = await other.seal(b"hello", "alice", ["bob"])
    desk = Desk(other.sessions)
    assert (
        await outcomes(one, sealed, held, desk.run("erase", Scope("clinic", "c1")))
        == ["no-package"] * 2
    )


async def test_an_identity_that_is_removed_meanwhile_does_not_come_back(held: Held) -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])

    async def removed() -> None:
        one.keys.replace_identities(())

    assert await outcomes(one, sealed, held, removed()) == ["no-identity"] * 2
