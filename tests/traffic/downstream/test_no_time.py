"""Requests and connections that the processor has no time for are answered, and cost little."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.process.processor_time import ProcessorTime
from proxy.traffic.downstream.connections import PerAddress
from proxy.traffic.policy import (
    BUSY_SECONDS,
    LEAST_LOOKED_AT,
    LOOKED_AT,
    NEWCOMERS,
    STANDING_SECONDS,
    TURN_SECONDS,
)
from proxy.traffic.turns import LoopLag
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, connected, get, post, running, talk

KEPT = b"%b / HTTP/1.1\r\nHost: h\r\n%b\r\n"


class Scarce(LoopLag):
    """A loop with time for so many requests, and, if `saturated`, for so many connections."""

    def __init__(self, requests: int = 0, connections: int | None = None) -> None:
        super().__init__()
        self.requests = requests
        self.connections = connections
        self.asked: list[str] = []

    def refuses(self, client: str) -> bool:
        self.asked.append(client)
        self.requests -= 1
        return self.requests < 0

    def holds_back(self) -> int:
        return 0 if self.connections is None else LEAST_LOOKED_AT

    def lets_in(self, *, crowded: bool) -> bool:
        assert self.connections is not None
        self.connections -= 1
        return self.connections >= 0


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_request_is_answered_behind_its_head_and_its_connection_ends(
    method: bytes,
) -> None:
    lag = Scarce(requests=1)
    async with running(Origin()) as origin, proxied(local(origin.port), lag=lag) as ours:
        async with connected(ours.port) as client:
            client.send(KEPT % (b"GET", b""))
            assert (await client.response()).status == 200
            client.send(KEPT % (method, b"") + get(b"/smuggled"))
            away = await client.rest()
        counts = ours.listener.refusals.counts

    head, _, body = away.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nConnection: close\r\n" in head
    assert b"\r\nRetry-After: 1\r\n" in head
    assert b"\r\nSealyard-Error: busy\r\n" in head
    assert bool(body) is (method == b"GET")
    assert b"HTTP/1.1" not in body
    assert counts == {"loop-lag": 1}
    assert len(origin.seen) == 1
    assert lag.asked == ["127.0.0.1"] * 2


async def test_a_body_that_is_still_sent_does_not_lose_the_answer() -> None:
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), lag=Scarce()) as ours,
        connected(ours.port) as client,
    ):
        client.send(post(b"x" * 3_000_000, b"Expect: 100-continue"))
        assert (await client.response()).status == 503
    assert origin.seen == []


async def test_what_is_no_head_is_refused_as_ever() -> None:
    lag = Scarce()
    async with running(Origin()) as origin, proxied(local(origin.port), lag=lag) as ours:
        assert (await talk(ours.port, b"GET / HTTP/1.1 \r\n\r\n")).status == 400
    assert lag.asked == []


async def test_behind_a_trusted_proxy_the_client_is_whom_it_names() -> None:
    lag, trusted = Scarce(), (ip_network("127.0.0.1"),)
    async with (
        running(Origin()) as origin,
        proxied(local(origin.port), lag=lag, trusted_proxies=trusted) as ours,
        connected(ours.port) as client,
    ):
        for name in (b"192.0.2.1", b"192.0.2.2"):
            client.send(KEPT % (b"GET", b"X-Forwarded-For: %b\r\n" % name))
            found = await client.response()
            # Here the gate has found where the request ends, so its connection stays.
            assert (found.status, found.values(b"connection")) == (503, [])
    assert lag.asked == ["192.0.2.1", "192.0.2.2"]


async def test_connections_for_which_there_is_no_time_are_answered_and_counted() -> None:
    lag = Scarce(requests=100, connections=2)
    async with running(Origin()) as origin, proxied(local(origin.port), lag=lag) as ours:
        found = [await talk(ours.port, post(b"x" * 5000)) for _ in range(5)]
        counts = dict(ours.listener.refusals.counts)
        lag.connections = None
        last = await talk(ours.port, get())
    assert [one.status for one in found] == [200, 200, 503, 503, 503]
    assert found[-1].values(b"retry-after") == [b"1"]
    assert counts == {"loop-lag": 3}
    assert last.status == 200


def test_a_client_with_its_even_part_of_all_connections_has_more_than_others() -> None:
    counts = PerAddress()
    for address in [*["flood"] * 8, "polite", "other"]:
        assert counts.admits(address, 10)
    assert [counts.more_than_others(one) for one in ("flood", "polite", "new")] == [
        True,
        False,
        False,
    ]
    for _ in range(7):
        counts.lost("flood")
    counts.lost("nobody")
    assert not counts.more_than_others("flood")


def test_with_a_quarter_of_a_processor_a_quarter_of_the_connections_is_looked_at() -> None:
    now, ran = [0.0], [0.0]
    lag = LoopLag(lambda _: None, clock=lambda: now[0], cpu=lambda: ran[0])
    for _ in range(3):
        lag.refuses("a")
        now[0] += BUSY_SECONDS
        ran[0] += BUSY_SECONDS / 4
        lag._processor._waited -= BUSY_SECONDS * 3 / 4  # the kernel made it wait
        lag._turned = BUSY_SECONDS  # in turns with requests
        lag._long_at = now[0]
        found = lag.holds_back()
    assert found == LOOKED_AT / 4


async def test_newcomers_get_a_quarter_of_the_turns_while_all_time_is_used() -> None:
    now, ends = [0.0], list[Callable[[], None]]()
    lag = LoopLag(ends.append, clock=lambda: now[0], cpu=lambda: now[0])

    def turn(requests: int) -> None:
        """Begin so many requests, which take all time up to the next look."""
        for _ in range(requests):
            lag.refuses("a")
        now[0] += BUSY_SECONDS
        ends.pop()()

    turn(1)
    assert not lag.holds_back()  # the first interval begins here
    turn(100)
    assert lag.holds_back() == LOOKED_AT
    assert sum(lag.lets_in(crowded=False) for _ in range(100)) == 100 * NEWCOMERS
    assert sum(lag.lets_in(crowded=True) for _ in range(100)) == 3
    now[0] += BUSY_SECONDS  # other threads were busy, and nobody has asked
    assert not lag.holds_back()


async def test_where_all_time_is_used_in_short_turns_nobody_waits_and_all_come_in() -> None:
    now, ends = [0.0], list[Callable[[], None]]()
    lag = LoopLag(ends.append, clock=lambda: now[0], cpu=lambda: now[0])

    def turns(seconds: float, each: float) -> list[int]:
        """Spend so much time in turns of `each`, and return how many are looked at behind them."""
        found = []
        for _ in range(round(seconds / each)):
            lag.refuses("a")
            now[0] += each
            ends.pop()()
            found.append(lag.holds_back())
        return found

    assert not any(turns(3, TURN_SECONDS / 2))
    assert turns(0.2, TURN_SECONDS)[-1]
    # Held back, newcomers make no long turns: after a while it is tried without.
    held = turns(3, TURN_SECONDS / 10)
    assert held[: round(0.8 * STANDING_SECONDS / (TURN_SECONDS / 10))].count(0) == 0
    assert not any(held[round(1.2 * STANDING_SECONDS / (TURN_SECONDS / 10)) :])


def test_after_an_idle_time_a_turn_is_not_long_before_others_are() -> None:
    now, ran, ends = [0.0], [0.0], list[Callable[[], None]]()
    lag = LoopLag(ends.append, clock=lambda: now[0], cpu=lambda: ran[0])
    lag._processor = ProcessorTime(cpu=lambda: ran[0], schedstat=Path("nowhere"), quota=1)
    for each in (0.001, 0.001, TURN_SECONDS / 2):  # the last is a burst
        lag.refuses("a")
        now[0] += 1 if each < 0.01 else each
        ran[0] += each
        ends.pop()()
    for _ in range(3):
        now[0] += BUSY_SECONDS
        ran[0] += BUSY_SECONDS
        lag._turned = BUSY_SECONDS
        assert not lag.holds_back()
