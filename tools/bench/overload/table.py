"""`./dev overload --table`: what is served at 0.7 to 5 times the capacity, by kind and by quota.

Each row is a kind of message and a part of one processor: a whole one, or a quota of 50, 30 or
25 %. Its capacity is measured first, then each load is a cell of its own, some seconds long.
HAProxy with a priority class by rate and Envoy with its overload manager pass messages on, on a
whole processor and with 25 %, in the same run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from .. import load
from ..cells import say
from ..peers import Peer
from ..running import Running, a_backend, started
from ..works import Work, a_message, a_text
from .proxies import Proxy
from .quota import limited
from .record import Delivered, Phases

TIMES: Final = (0.7, 1.0, 1.5, 3.0, 5.0)
SHARES: Final = (1.0, 0.5, 0.3, 0.25)
CELL_SECONDS: Final = 20.0
QUICK_SECONDS: Final = 3.0
_OF_PEERS: Final = (1.0, 0.25)
_CALM_SECONDS: Final = 1.0
_AFTER_SECONDS: Final = 1.0
_ROWS: Final = 50
_AT_A_TIME: Final = (4, 64)
"""Requests under way while a capacity is measured: at least, and at most."""
_LONGEST_SECONDS: Final = 0.01
"""So long each of them may take: more at a time would only wait."""
_CAPACITY_SECONDS: Final = 3
_OFFERED: Final = 0.95
Overload = Callable[[Proxy, Running, Work, float, float, Phases], Delivered]
"""Asks a proxy for a multiple of its capacity."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one proxy delivered of a kind of message, at a multiple of its capacity.

    `share` is its part of a processor, and `by` how that was kept.
    """

    kind: str
    share: float
    by: str
    times: float
    found: Delivered

    @property
    def row(self) -> str:
        """The name of its proxy."""
        return f"{self.found.proxy}, {self.found.limits}"


def _form(number: int) -> Work:
    values = {f"f{one}": a_text(32) for one in range(number)}
    body = json.dumps({"conversationId": "c-1", "fields": values}).encode()
    return Work("form", f"{number:,} fields", "sealed", "/api/forms", body)


def works() -> list[Work]:
    """Return the kinds of messages: short ones, of many fields, of a list, and such as pass."""
    rows = [{"content": a_text(60)} for _ in range(_ROWS)]
    listed = json.dumps({"conversationId": "c-1", "items": rows}).encode()
    return [
        Work("send", "short", "sealed", "/api/messages", a_message(60)),
        _form(200),
        _form(1_000),
        Work("list", f"a list of {_ROWS}", "sealed", "/api/lists", listed),
        Work("pass", "passing", "passed", "/plain", a_message(1024)),
    ]


def cells(  # noqa: PLR0913 - what a table consists of, most by name
    proxies: Sequence[Proxy],
    overload: Overload,
    *,
    seconds: float,
    kinds: Sequence[str],
    shares: Sequence[float],
    kept: Sequence[Cell] = (),
) -> Iterator[Cell]:
    """Measure, and yield cell by cell; only `kinds` and `shares`, unless they are empty.

    Those that are `kept` already are not measured again, and their rows keep their capacity.
    """
    for proxy in proxies:
        seals = "seal" in proxy.peer.works
        for work in works():
            if (kinds and work.title not in kinds) or not (seals or work.shape == "passed"):
                continue
            for share in SHARES if seals else _OF_PEERS:
                if not shares or share in shares:
                    row = {
                        one.times: one
                        for one in kept
                        if (one.row, one.kind, one.share) == (proxy.name, work.title, share)
                    }
                    yield from row.values()
                    if len(row) < len(TIMES):
                        yield from _row(proxy, work, share, overload, seconds, row)


def _row(  # noqa: PLR0913, PLR0917 - what a row consists of
    proxy: Proxy,
    work: Work,
    share: float,
    overload: Overload,
    seconds: float,
    row: dict[float, Cell],
) -> Iterator[Cell]:
    """Measure what a row lacks."""
    capacity = next((one.found.capacity for one in row.values()), 0)
    try:
        if not capacity:
            with _loaded(proxy.unlimited or proxy.peer, share) as (running, _):
                capacity = capacity_of(running, work, _CAPACITY_SECONDS)
    except load.LoadFailed as error:  # it refuses at its capacity, as where others work here
        say(f"no row: {error}")
        return
    phases = Phases(_CALM_SECONDS, seconds, _AFTER_SECONDS)
    with _loaded(proxy.peer, share) as (running, by):
        for times in (one for one in TIMES if one not in row):
            found = overload(proxy, running, work, capacity, times, phases)
            yield Cell(work.title, share, by, times, found)


@contextmanager
def _loaded(peer: Peer, share: float) -> Iterator[tuple[Running, str]]:
    """Run a peer with its part of a processor before a fast backend; yield how that is kept."""
    with (
        a_backend("tools.bench.overload.backend", "0", "0") as backend,
        started(peer, backend) as running,
        limited(running.pid, share) as by,
    ):
        yield running, by


def capacity_of(running: Running, work: Work, seconds: int) -> float:
    """Return how many messages a second are answered if as many are under way as are worked at."""
    few, many = _AT_A_TIME
    load.run(running, work, few, 1)
    rate = load.run(running, work, few, seconds).per_second
    at_once = min(many, round(rate * _LONGEST_SECONDS))
    if at_once <= few:
        return rate
    try:
        return max(rate, load.run(running, work, at_once, seconds).per_second)
    except load.LoadFailed:  # it refuses what is more
        return rate


def to_json(found: Sequence[Cell]) -> list[dict[str, object]]:
    """Return cells as a record has them."""
    return [asdict(one) for one in found]


def from_json(cells: Sequence[dict[str, Any]]) -> list[Cell]:
    """Return what `to_json` has made a record of."""
    return [Cell(**{**one, "found": Delivered(**one["found"])}) for one in cells]


def render(found: Sequence[Cell]) -> str:
    """Return a table with a row for each proxy, kind and quota, and a column for each load."""
    rows: dict[tuple[str, str, float, str], list[Cell]] = {}
    for one in found:
        key = one.row, one.kind, one.share, one.by
        rows.setdefault(key, []).append(one)
    times = " | ".join(f"{one:g} times" for one in TIMES)
    lines = [
        f"| proxy | messages | processor | capacity | {times} |",
        "|---|---|---|--:|" + "--:|" * len(TIMES),
    ]
    for (proxy, kind, share, by), row in rows.items():
        each = [
            f"{one.found.of_capacity:.0%}, {one.found.polite:.0%}, {one.found.served_p99:.0f} ms,"
            f" {one.found.probe_p99:.0f} ms{_short_of(one)}"
            for one in row
        ]
        part = "whole" if share == 1 else f"{share:.0%} ({by})"
        lines.append(
            f"| {proxy} | {kind} | {part} | {row[0].found.capacity:.0f} /s | {' | '.join(each)} |"
        )
    return "\n".join(lines)


def _short_of(cell: Cell) -> str:
    """Say how much was offered where this machine could not ask so fast."""
    offered = cell.found.offered / cell.found.capacity
    return "" if offered >= _OFFERED * cell.times else f" (offered {offered:.1f} times)"


def run(found: Iterator[Cell], keep: Callable[[list[Cell]], None]) -> list[Cell]:
    """Say and `keep` each cell as it comes; print the table in the end."""
    kept = []
    for one in found:
        kept.append(one)
        keep(kept)
        say(f"{one.kind}, {one.share:.0%}, {one.times:g} times: {one.found.of_capacity:.0%} served")
    sys.stdout.write(
        "In each cell: served within a second of the capacity, of the polite client; p99 of what"
        f" was served; p99 of the probes.\n\n{render(kept)}\n"
    )
    return kept
