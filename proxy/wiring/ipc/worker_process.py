"""A worker as its supervisor sees it: a process and the channel to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...core.errors import WorkerGone
from ...keys.fleet.lineage import Accepted
from ..policy import MOST_UNTAKEN
from .channel import Channel, connect, error_from_json, pass_secrets

NOT_STARTED: Final = "not-started"
"""The reason of WorkerGone where a worker was asked whose start has failed."""
_PACKAGE: Final = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """The command line of workers: their number, log options, and older keyring (`Accepted`)."""

    log_format: str
    log_level: str
    workers: int
    accepted: Accepted | None = None
    log_processors: tuple[str, ...] = ()

    def arguments(self, channel: int, secrets: int | None) -> tuple[str, ...]:
        """Return the command line of one worker; `secrets` is the descriptor to read them from."""
        safe = ("-P",) if sys.flags.safe_path else ()
        accepted = self.accepted
        older = () if accepted is None else (f"{accepted.id}:{accepted.generation}",)
        more = () if secrets is None else ("--worker-secrets", str(secrets))
        return (
            *(sys.executable, *safe, "-m", _PACKAGE, "serve"),
            *("--log-format", self.log_format, "--log-level", self.log_level),
            *("--worker-channel", str(channel), *more),
            *(f"--accept-older={one}" for one in older),
            *(f"--log-processor={one}" for one in self.log_processors),
        )


class WorkerProcess:
    """A running worker. Its creator awaits `ended`.

    `heard_at` is when its last answer came, in monotonic seconds. `door_number` is its descriptor
    of the door: a socket pair through which it gets connections that others should have accepted,
    and says of each that it takes it, before it reads of it. Until then it is held here as well.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: Channel,
        door: socket.socket,
        door_number: int,
    ) -> None:
        self.process = process
        self._door = door
        self._untaken: deque[tuple[str, socket.socket]] = deque()
        self.door_number = door_number
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.heard_at = time.monotonic()
        self._cut = False
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read())
        loop.add_reader(door, self._took)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    @property
    def gone(self) -> bool:
        """Whether it has ended, so that it can do nothing any more."""
        return self._cut or self._reading.done()

    async def ask(self, what: str, seconds: float, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Return the worker's answer; raise the error that it met, or WorkerGone."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        self._waiting[number] = answer
        try:
            if self.gone:
                raise WorkerGone("worker-gone")
            async with asyncio.timeout(seconds):
                await self._channel.send({"id": number, "do": what, **arguments})
                return await answer
        except TimeoutError:
            raise WorkerGone("worker-gone") from None
        except ConnectionError:
            self._cut = True
            raise WorkerGone("worker-gone") from None
        finally:
            del self._waiting[number]

    async def ended(self) -> int:
        """Wait for the end of the process; return its status, negative for a signal."""
        status = await self.process.wait()
        self._reading.cancel()
        self._channel.close()
        if self._door.fileno() >= 0:
            while self._took():
                pass
            asyncio.get_running_loop().remove_reader(self._door)
            self._door.close()
        return status

    def hand_over(self, listener: str, sock: socket.socket) -> bool:
        """Pass it a connection; return whether it was passed, and is the caller's no more."""
        if len(self._untaken) >= MOST_UNTAKEN:
            return False
        try:
            socket.send_fds(self._door, [listener.encode()], [sock.fileno()])
        except OSError:  # it has ended, or takes no more
            return False
        self._untaken.append((listener, sock))
        return True

    def untaken(self) -> Sequence[tuple[str, socket.socket]]:
        """Return, once, what it was passed and had not taken when it ended: none of it is read."""
        left, self._untaken = self._untaken, deque()
        return left

    def _took(self) -> bool:
        """Hold what it has taken no more; return whether it has taken one."""
        try:
            said = self._door.recv(1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(self._door)
        elif self._untaken:
            self._untaken.popleft()[1].close()
        return bool(said)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    async def _read(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                self.heard_at = time.monotonic()
                answer = self._waiting.get(message["id"])
                if answer is None or answer.done():
                    continue
                if "error" in message:
                    answer.set_exception(error_from_json(message["error"]))
                else:
                    answer.set_result(message["result"])
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(WorkerGone("worker-gone"))


def _seen(answer: asyncio.Future[Any]) -> None:
    """Take note of an error that comes while the question is still being sent.

    Nobody awaits that answer, and asyncio would report its error as unhandled.
    """
    if not answer.cancelled():
        answer.exception()


async def spawn(command: WorkerCommand, descriptors: Sequence[int]) -> WorkerProcess:
    """Start a worker that inherits the descriptors; it waits for its first message."""
    secrets = pass_secrets()
    passed = () if secrets is None else (secrets,)
    ours, theirs = socket.socketpair()
    door, its_door = socket.socketpair(type=socket.SOCK_SEQPACKET)
    try:
        with theirs, its_door:
            number = its_door.fileno()
            process = await asyncio.create_subprocess_exec(
                *command.arguments(theirs.fileno(), secrets),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), number, *passed, *descriptors),
                # So that Ctrl-C in a terminal reaches only the supervisor, which then drains all.
                start_new_session=True,
            )
    finally:
        for one in passed:
            os.close(one)
    for end in (ours, door):
        end.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return WorkerProcess(process, await connect(ours), door, number)
