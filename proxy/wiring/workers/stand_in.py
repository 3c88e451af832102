"""What becomes of connections to a worker that does not accept them, because it hangs or is dead.

The kernel goes on to spread connections over the sockets of all workers. The supervisor holds the
same sockets: it accepts in the place of such a worker, and hands each connection to another one.
Where there is none, it answers 503 instead of letting clients wait.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from ...config.settings import ListenerSettings
from ...process import run_time
from ...process.policy import MOST_LINGERING
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ...traffic.downstream.acceptor import Refusals, Refused
from ..ipc.worker_process import WorkerProcess
from ..policy import ACCEPTED_AT_ONCE, SILENT_LOOKS
from .sockets import WorkerSockets

_REASON: Final = "workers"


class Silence:
    """Sees whether a worker hangs: it answers nothing, though it could run."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self._asked_at = float("-inf")
        self._before: run_time.RunTime | None = None
        self._looks = 0

    @property
    def lasts(self) -> bool:
        """Whether it was silent at as many looks in a row as make a silence."""
        return self._looks >= SILENT_LOOKS

    def look(self, now: float) -> bool:
        """Look once; return whether to ask it again for a sign of life.

        Looks are counted, not seconds: this process may have been held up as well.
        """
        if self.worker.heard_at >= self._asked_at:
            self._asked_at, self._looks, self._before = now, 0, None
            return True
        seen = run_time.of(self.worker.pid)
        still = seen is not None and seen.stands_still_since(self._before)
        self._looks = self._looks + 1 if still else 0
        self._before = seen
        return False


class StandIn:
    """Accepts connections in the place of workers that do not."""

    def __init__(
        self,
        sockets: WorkerSockets,
        listeners: Sequence[ListenerSettings],
        report: Callable[..., None],
        others: Callable[[], Sequence[WorkerProcess]],
    ) -> None:
        """`others` returns the workers that accept connections."""
        self._sockets = sockets
        self._settings = {one.name: one for one in listeners}
        self._refusals = {one.name: Refusals(one.name, report) for one in listeners}
        self._others = others
        self._covered: dict[int, list[socket.socket]] = {}
        self._lingering: set[Refused] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._turn = 0

    def cover(self, slot: int) -> None:
        """Accept what comes to the sockets of a slot, until `leave`."""
        if slot in self._covered:
            return
        loop = asyncio.get_running_loop()
        covered = self._covered[slot] = []
        try:
            for listener, opened in self._sockets.of(slot).items():
                for sock in opened:
                    covered.append(own := sock.dup())
                    loop.add_reader(own, self._accept, slot, listener, own)
        except OSError:  # no descriptor is left; it is tried again soon
            self.leave(slot)

    def leave(self, slot: int) -> None:
        """Accept nothing more from the sockets of a slot."""
        for sock in self._covered.pop(slot, ()):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def close(self) -> None:
        """Leave all slots, and drop the clients that still read a refusal."""
        for slot in tuple(self._covered):
            self.leave(slot)
        for task in self._answering:
            task.cancel()
        for refused in tuple(self._lingering):
            refused.abort()

    def count(self, samples: Samples) -> None:
        """Add the numbers of connections that were answered with 503."""
        for name, refusals in self._refusals.items():
            labels = (name, _REASON)
            samples.add(table.CLIENTS_REFUSED, refusals.counts[_REASON], labels=labels)

    def _accept(self, slot: int, listener: str, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # this one has left already
            except OSError:  # without a descriptor, the kernel would report the same one at once
                self.leave(slot)
                return
            self._serve(listener, sock)

    def take_back(self, worker: WorkerProcess) -> None:
        """Serve the connections that a worker was handed and had not taken when it ended."""
        for listener, sock in worker.untaken():
            self._serve(listener, sock)

    def _serve(self, listener: str, sock: socket.socket) -> None:
        if not self._handed_over(listener, sock):
            self._refuse(listener, sock)

    def _handed_over(self, listener: str, sock: socket.socket) -> bool:
        """Hand a connection to another worker, each in its turn; False where none takes it."""
        others = self._others()
        self._turn += 1
        first = self._turn % len(others) if others else 0
        return any(one.hand_over(listener, sock) for one in (*others[first:], *others[:first]))

    def _refuse(self, listener: str, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings[listener]
        self._refusals[listener].note(_REASON, loop.time())
        if settings.tls is not None:  # the keys of its certificate are in the workers
            sock.close()
            return
        sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        room = len(self._lingering) < MOST_LINGERING
        refused = Refused(_REASON, self._lingering, settings.timeouts.linger if room else 0)
        self._lingering.add(refused)
        task = loop.create_task(self._answer(refused, sock))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, refused: Refused, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: refused, sock)
        except BaseException as error:
            self._lingering.discard(refused)
            sock.close()
            if not isinstance(error, OSError):
                raise
