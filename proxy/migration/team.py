"""Several processes that treat the parts of one run.

They are forked, so the keyring is opened once and no key passes through a pipe: positions and
counts alone do. A worker that has written a batch says so and waits. The run keeps the position,
holds all workers to one rate, and lets it go on. Where the run has been killed, its workers write
nothing more: the batch that they are at is undone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn, Self

from ..core.errors import MigrationFailed, SealyardError
from ..telemetry.logs import code_location
from .engine import Reached, RowRange
from .worker import Order, Worker


class Team:
    """Workers of one order. They begin before anything is opened, and are waited for at the end."""

    def __init__(self, order: Order, workers: int) -> None:
        """Fork them."""
        self.size = workers
        self._pids: dict[Connection, int] = {}
        run = os.getpid()
        for _ in range(workers):
            ours, theirs = Pipe()
            pid = os.fork()
            if not pid:
                for one in (ours, *self._pids):  # or no worker would see that the run has ended
                    one.close()
                _become(replace(order, look=partial(_require_run, run)), theirs)
            theirs.close()
            self._pids[ours] = pid

    def __enter__(self) -> Self:
        """Return the team."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let each worker end with the batch that it is at."""
        for one in self._pids:
            one.close()
        for pid in self._pids.values():
            os.waitpid(pid, 0)

    def treat(
        self, parts: Sequence[RowRange], states: Sequence[str | None], reached: Reached
    ) -> None:
        """Treat what is left of parts; `states` has for each table what `begin_proof` returned.

        What a worker that was killed leaves is given to another. Raises MigrationFailed where all
        were killed, or one cannot go on.
        """
        left = deque(part for part in parts if not part.done)
        busy: dict[Connection, RowRange] = {}
        while left or busy:
            for worker in self._pids.keys() - busy.keys():
                if left:
                    part = busy[worker] = left.popleft()
                    _tell(worker, {"part": part.to_json(), "state": states[part.table]})
            if not busy:
                raise MigrationFailed("workers-killed", detail="run it again to go on")
            ready = wait(list(busy))
            for worker in [one for one in busy if one in ready]:
                heard = _heard(worker)
                if heard is None:
                    left.appendleft(busy.pop(worker))
                    os.waitpid(self._pids.pop(worker), 0)
                    continue
                if "failed" in heard:
                    raise MigrationFailed(heard["failed"], detail=heard["detail"])
                part, now = busy[worker], RowRange.from_json(heard["part"])
                part.after, part.done, part.tally = now.after, now.done, now.tally
                reached(part, heard["rows"])
                if part.done:
                    del busy[worker]
                else:
                    _tell(worker, {})


def _tell(worker: Connection, message: Mapping[str, Any]) -> None:
    with suppress(ConnectionError):  # `_heard` finds out
        worker.send_bytes(json.dumps(message).encode())


def _heard(worker: Connection) -> dict[str, Any] | None:
    """Return what a worker says; None where it has ended."""
    try:
        heard: dict[str, Any] = json.loads(worker.recv_bytes())
    except (EOFError, ConnectionError):
        return None
    return heard


def _require_run(pid: int) -> None:
    """Raise EOFError where the run, our parent, was killed: what has no state is not written."""
    if os.getppid() != pid:
        raise EOFError


def _become(order: Order, run: Connection) -> NoReturn:
    """Be a worker, and end without what this process would do at its own end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the run decides
    try:
        asyncio.run(_work(order, run))
    finally:
        os._exit(0)


async def _work(order: Order, run: Connection) -> None:
    """Treat the parts that are asked for, until the run has ended."""

    def reached(part: RowRange, rows: int) -> None:
        run.send_bytes(json.dumps({"part": part.to_json(), "rows": rows}).encode())
        run.recv_bytes()

    with closing(Worker(order)) as worker:
        while True:
            asked = json.loads(run.recv_bytes())
            part = RowRange.from_json(asked["part"])
            try:
                if order.verb == "verify":
                    worker.join(part.table, asked["state"])
                await worker.treat(part, reached)
                said = {"part": part.to_json(), "rows": 0}
            except (EOFError, ConnectionError):
                return
            except SealyardError as error:
                said = {"failed": error.reason, "detail": error.detail}
            except Exception as error:  # noqa: BLE001 - its text may hold values
                at = code_location.raised_at(error.__traceback__) or ""
                said = {"failed": code_location.name(error), "detail": at}
            run.send_bytes(json.dumps(said).encode())
