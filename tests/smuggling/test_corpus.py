"""Nothing that must be refused gets through, and nobody sees another request than the log tells.

Each row is sent whole, byte by byte, and in two pieces: cut where a line or a name begins or ends,
and in the long form at every offset.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable

import h11
import pytest

from proxy.core.http.path import canonical
from proxy.traffic.turns import LoopLag
from tests.smuggling.corpus import Row, rows
from tests.smuggling.must_refuse import VALID_BEFORE, WAIVED, must_refuse
from tests.smuggling.parsers import Read, as_logged, by_h11
from tests.smuggling.sending import Lane, Outcome, byte_by_byte, cut_at, lane

PARTS = 8
STRIDE = 41
BORDER = re.compile(rb"[\r\n:]")
REFUSED = frozenset(row.id for row in must_refuse())


def part(number: int) -> tuple[Row, ...]:
    """Return one of the shares into which the rows are dealt, for workers to take."""
    return rows()[number::PARTS]


def borders(raw: bytes) -> Iterable[int]:
    """Return where to cut: beside what ends a line or a name, and in between here and there."""
    beside = {at for found in BORDER.finditer(raw) for at in found.span()}
    return sorted({*beside, *range(1, len(raw), STRIDE)} - {0, len(raw)})


def check(row: Row, outcome: Outcome) -> None:
    """Assert what holds for every row, however it is sent."""
    told = tuple((as_logged(read.method), len(read.body)) for read in outcome.requests)
    assert outcome.logged == told, row
    assert len(outcome.statuses) >= len(outcome.requests), row
    if row.id in REFUSED:
        assert len(outcome.requests) == VALID_BEFORE.get(row.id, 0), row
        assert not outcome.statuses or outcome.statuses[-1] >= 400, row


async def send(row: Row, lane: Lane) -> Outcome:
    outcome = await lane.send([row.raw])
    check(row, outcome)
    return outcome


def same(one: Outcome, other: Outcome) -> bool:
    """Tell whether two outcomes are one; only the log's word for a fault may differ."""
    return (one.statuses, one.requests, one.logged) == (
        other.statuses,
        other.requests,
        other.logged,
    )


@pytest.mark.parametrize("number", range(PARTS))
async def test_bytes_sent_one_by_one_fare_as_they_do_together(number: int) -> None:
    async with lane() as through:
        for row in part(number):
            whole = await send(row, through)
            assert same(whole, await through.send(byte_by_byte(row.raw))), row


class NoTime(LoopLag):
    """A loop that has no time for any request."""

    def refuses(self, client: str) -> bool:
        return True


@pytest.mark.parametrize("number", range(PARTS))
async def test_without_time_for_a_request_nothing_behind_its_head_is_one(number: int) -> None:
    async with lane() as at_leisure, lane(lag=NoTime()) as through:
        for row in part(number):
            usual = await send(row, at_leisure)
            hurried = await through.send([row.raw])
            assert hurried.requests == (), row
            # What the reader refuses, it refuses alike.
            assert hurried.statuses in {(), (503,), usual.statuses[:1]}, row


@pytest.mark.parametrize("number", range(PARTS))
async def test_bytes_cut_in_two_fare_as_they_do_together(number: int) -> None:
    async with lane() as through:
        for row in part(number):
            whole = await send(row, through)
            for at in borders(row.raw):
                assert same(whole, await through.send(cut_at(row.raw, at))), (row, at)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(PARTS))
async def test_bytes_may_be_cut_anywhere(number: int) -> None:
    async with lane() as through:
        for row in part(number):
            whole = await send(row, through)
            for at in range(1, len(row.raw)):
                assert same(whole, await through.send(cut_at(row.raw, at))), (row, at)


def as_forwarded(read: Read) -> Read:
    """Return a client's request with the target that an origin shall see for it."""
    target = read.target.decode()
    if not target.startswith("/"):
        rest = re.sub(r"\A[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE)
        target = rest if rest.startswith("/") else "/" + rest
    path, mark, query = target.partition("?")
    return read._replace(target=(canonical(path).text + mark + query).encode())


async def test_an_origin_sees_what_a_strict_parser_sees_in_the_bytes_of_the_client() -> None:
    compared = 0
    async with lane() as through:
        for row in rows():
            outcome = await send(row, through)
            if not outcome.requests:
                continue
            with contextlib.suppress(h11.RemoteProtocolError):
                # Behind a request that ends the connection a parser without state reads on.
                seen = [as_forwarded(read) for read in by_h11(row.raw).requests]
                assert seen[: len(outcome.requests)] == list(outcome.requests), row
                compared += 1
    assert compared >= 100


def test_the_tables_hold_only_rows_that_are_there() -> None:
    ids = {row.id for row in rows()}
    assert ids >= WAIVED.keys() | VALID_BEFORE.keys()
    assert len(REFUSED) >= 250


async def test_what_is_waived_does_get_through() -> None:
    async with lane() as through:
        for row in rows():
            if row.id in WAIVED:
                assert (await through.send([row.raw])).requests, row


async def test_most_of_what_is_sound_gets_through() -> None:
    """A proxy that refuses everything would pass the other tests."""
    counts: Counter[tuple[str, bool]] = Counter()
    async with lane() as through:
        for row in rows():
            outcome = await send(row, through)
            counts[row.expect, bool(outcome.requests)] += 1
    assert counts["accept", True] >= 60
