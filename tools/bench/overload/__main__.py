"""`./dev overload [SECONDS]`: ask proxies for three times what they or their backend can do.

The long form takes two minutes for each proxy; 20 seconds show that it works.
docs/explanation/overload.md explains what is measured, and `--write` writes its figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import http.client
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from ..cells import say
from ..peers import sealyard
from ..running import DidNotStart, Running, a_backend, leave_a_core, started
from ..works import Work, a_message, a_text
from . import table
from .clients import Asked, Plan
from .page import write_page, write_table
from .proxies import Proxy, absent_from_table, for_table, proxies
from .record import Delivered, Phases, Record, delivered

LONG_SECONDS: Final = 120
AFTER_SECONDS: Final = 6.0
_SLOTS, _SLOT_SECONDS = 20, 0.1
_TIMES: Final = 3.0
TABLE: Final = (
    "measure 0.7 to 5 times the capacity by kind of message and by quota, in cells of 20 s"
)
_FIELDS: Final = (200, 1_000)
"""The second is worked at in slices, as any message of many values."""
_PROBE_SECONDS: Final = 0.1
_SPARE_SECONDS: Final = 60
_CAPACITY_SECONDS: Final = 4
_UNFINISHED: Final = Path("build", "overload-table.json")
"""The cells of a table up to now."""


def main() -> int:
    """Measure, print, and write if asked to."""
    options = _options()
    leave_a_core()
    if options.table:
        return _table(options)
    phases = Phases(min(5.0, options.seconds / 4), options.seconds, AFTER_SECONDS)
    wanted = [one.casefold() for one in options.proxy] or [""]
    chosen = [one for one in proxies() if any(name in one.name.casefold() for name in wanted)]
    if not chosen:
        say("no proxy is so named: " + "; ".join(one.name for one in proxies()))
        return 2
    record = Record(_about(options.seconds), [], [])
    try:
        if options.scenario != "processor":
            record.backend.extend(_by_the_backend(one, phases) for one in chosen)
        if options.scenario != "backend":
            sealing = [one for one in chosen if "seal" in one.peer.works]
            record.processor.extend(
                _by_the_processor(one, phases, fields) for one in sealing for fields in _FIELDS
            )
    except DidNotStart as error:
        say(f"DidNotStart: {error}")
        return 1
    if options.record:
        record.write(options.record)
    if options.write:
        write_page(record)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev overload", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=float(LONG_SECONDS))
    parser.add_argument(
        "--write", action="store_true", help="write docs/explanation/overload.md and its record"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument(
        "--proxy", action="append", default=[], metavar="NAME", help="only proxies so named"
    )
    parser.add_argument("--table", action="store_true", help=TABLE)
    parser.add_argument(
        "--quick", action="store_true", help="cells of the table of 3 s, to see that it works"
    )
    parser.add_argument(
        "--resume", action="store_true", help="measure only what a table that was ended lacks"
    )
    parser.add_argument(
        "--kind", action="append", default=[], help="only these rows of the table, as `short`"
    )
    parser.add_argument(
        "--share", action="append", default=[], type=float, help="only these, as 1 or 0.25"
    )
    parser.add_argument("--scenario", choices=("backend", "processor"))
    options = parser.parse_args()
    if options.write and (options.proxy or options.scenario):
        parser.error("only a whole run is written")
    if options.table:
        if options.write and (options.quick or options.kind or options.share):
            parser.error("only a whole table is written")
    elif options.write and options.seconds < LONG_SECONDS:
        parser.error(f"a run that is written takes {LONG_SECONDS} s for each proxy")
    return options


def _table(options: argparse.Namespace) -> int:
    chosen = [
        one
        for one in for_table()
        if not options.proxy
        or any(name.casefold() in one.name.casefold() for name in options.proxy)
    ]
    absent = [] if options.proxy else absent_from_table()
    if absent:
        say("; ".join(absent))
        if options.write:
            return 2
    seconds = table.QUICK_SECONDS if options.quick else table.CELL_SECONDS
    about = _about(seconds)
    kept = _kept(about) if options.resume else []

    def keep(found: list[table.Cell]) -> None:
        _UNFINISHED.parent.mkdir(exist_ok=True)
        every = [*found, *(one for one in kept if one not in found)]
        _UNFINISHED.write_text(json.dumps({"about": about, "cells": table.to_json(every)}))

    try:
        found = table.run(
            table.cells(
                chosen,
                _overload,
                seconds=seconds,
                kinds=options.kind,
                shares=options.share,
                kept=kept,
            ),
            keep,
        )
    except DidNotStart as error:
        say(f"DidNotStart: {error}")
        return 1
    record = {"about": about, "cells": table.to_json(found)}
    if options.record:
        options.record.write_text(json.dumps(record, indent=1) + "\n")
    if options.write:
        write_table(record)
    return 0


def _kept(about: dict[str, str]) -> list[table.Cell]:
    """Return the cells of a table that was ended, if they are of this code and this long."""
    if not _UNFINISHED.exists():
        return []
    record = json.loads(_UNFINISHED.read_text())
    if any(record["about"][one] != about[one] for one in ("commit", "seconds", "system")):
        say("what is kept is of other code, or of cells of another length: all is measured")
        return []
    about |= {"date": record["about"]["date"], "load": record["about"]["load"]}
    return table.from_json(record["cells"])


def _by_the_backend(proxy: Proxy, phases: Phases) -> Delivered:
    """Overload a backend that answers 20 requests at a time, each after 100 ms."""
    module = ("tools.bench.overload.backend", str(_SLOTS), str(_SLOT_SECONDS))
    with a_backend(*module) as backend, started(proxy.peer, backend) as running:
        work = Work("seal", "", "sealed", "/api/messages", a_message(1024))
        return _overload(proxy, running, work, _SLOTS / _SLOT_SECONDS, _TIMES, phases)


def _by_the_processor(proxy: Proxy, phases: Phases, fields: int) -> Delivered:
    """Overload the proxy itself, by messages of so many fields, before a fast backend."""
    values = {f"f{number}": a_text(32) for number in range(fields)}
    body = json.dumps({"conversationId": "c-1", "fields": values}).encode()
    work = Work("form", "", "sealed", "/api/forms", body)
    module = ("tools.bench.overload.backend", "0", "0")
    with a_backend(*module) as backend, started(proxy.peer, backend) as running:
        capacity = table.capacity_of(running, work, _CAPACITY_SECONDS)
        found = _overload(proxy, running, work, capacity, _TIMES, phases)
        return replace(found, limits=f"{found.limits}, {fields:,} fields")


def _overload(  # noqa: PLR0913, PLR0917 - what one cell consists of
    proxy: Proxy, running: Running, work: Work, capacity: float, times: float, phases: Phases
) -> Delivered:
    rates = (capacity / 2, capacity * times, capacity / 2)
    seconds = (phases.calm, phases.storm, phases.after)
    plan = Plan(running.port, _request(work), list(zip(rates, seconds, strict=True)))
    path = running.log.with_name("plan.json")
    path.write_text(json.dumps(asdict(plan)))
    probes = _Probes(proxy, began=phases.calm, seconds=phases.storm)
    with probes:
        done = subprocess.run(
            [sys.executable, "-m", "tools.bench.overload.clients", str(path)],
            capture_output=True,
            check=False,
            timeout=sum(seconds) + _SPARE_SECONDS,
        )
    if done.returncode:
        raise DidNotStart(f"the clients ended:\n{done.stderr.decode()[-1000:]}")
    found = delivered(
        [Asked(*one) for one in json.loads(done.stdout)],
        proxy=proxy.peer.name,
        limits=proxy.limits,
        capacity=capacity,
        phases=phases,
        probed=probes.seconds,
    )
    say(json.dumps(asdict(found)))
    return found


def _request(work: Work) -> str:
    head = (
        f"{work.method} {work.path} HTTP/1.1\r\nHost: api.example\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(work.body)}\r\n\r\n"
    )
    return head + work.body.decode()


class _Probes:
    """Asks a proxy's probes in turn from another thread while it is overloaded."""

    def __init__(self, proxy: Proxy, *, began: float, seconds: float) -> None:
        self.seconds: list[float] = []
        self._proxy = proxy
        self._window = (time.monotonic() + began, time.monotonic() + began + seconds)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        count = 0
        begins, ends = self._window
        time.sleep(max(0.0, begins - time.monotonic()))
        while self._proxy.probes and time.monotonic() < ends:
            path = self._proxy.probes[count % len(self._proxy.probes)]
            self.seconds.append(_timed(functools.partial(self._ask, path)))
            count += 1
            time.sleep(_PROBE_SECONDS)

    def _ask(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.probed, timeout=5)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(1)  # an unanswered probe shows as one of a second or more
        finally:
            connection.close()


def _timed(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _about(seconds: float) -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "commit": commit,
        "seconds": f"{seconds:g}",
        "times": f"{_TIMES:g}",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "sealyard": sealyard.version(),
    }


if __name__ == "__main__":
    sys.exit(main())
