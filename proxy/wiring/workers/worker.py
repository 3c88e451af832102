"""A worker: a process that carries traffic and obeys its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Mapping
from typing import Any, Final

from ...core.errors import InternalError, SealyardError, WorkerGone
from ...keys.fleet.lineage import Accepted
from ...keys.operations.verb import Call
from ...keys.operations.verbs import VERBS
from ...telemetry.logs import code_location
from ...telemetry.reporter import MessageReporter
from ...traffic.downstream.sockets import Sockets
from ...traffic.policy import LEAST_PAUSE_SECONDS
from ..ipc.channel import Channel, connect, error_to_json, secrets_from_json
from ..ipc.worker_process import NOT_STARTED
from ..policy import NAME_BYTES, ORPHAN_GRACE_SECONDS
from ..reload.config_files import Source
from ..reload.reload import Prepared
from ..sidecar.sidecar import Sidecar, build, counting


async def work(
    descriptor: int,
    reporter: MessageReporter,
    *,
    environ: Mapping[str, str],
    accepted: Accepted | None = None,
) -> bool:
    """Carry traffic until stopped; return whether nothing was cut off.

    `accepted` is an older keyring to accept although a later one is known.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal's: the supervisor decides
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    channel = await connect(socket.socket(fileno=descriptor))
    worker = _Worker(channel, reporter, environ, accepted)
    try:
        return await worker.run(stop)
    finally:
        channel.close()


_UNREAD: Final = frozenset({"start", "drain"})
"""Calls during which no other one is read, and that wait for none: messages have a time to end in,
which a key service that hangs must not use up."""


class _Worker:
    def __init__(
        self,
        channel: Channel,
        reporter: MessageReporter,
        environ: Mapping[str, str],
        accepted: Accepted | None,
    ) -> None:
        self._accepted = accepted
        self._channel = channel
        self._reporter = reporter
        self._environ = environ
        self._sidecar: Sidecar | None = None
        self._given: dict[str, Sockets] = {}
        self._door: socket.socket | None = None
        self._prepared: Prepared | None = None
        self._finished: bool | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # first come, first served

    async def run(self, stop: asyncio.Event) -> bool:
        """Serve the supervisor until it drains this worker or is gone."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._answer_all())
            stopping = group.create_task(stop.wait())
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
            asking.cancel()
            stopping.cancel()
        if self._finished is None and self._sidecar is not None:
            self._shut_door()
            return await self._sidecar.drain(ORPHAN_GRACE_SECONDS)
        return bool(self._finished)

    async def _answer_all(self) -> None:
        while self._finished is None:
            message = await self._channel.receive()
            if message is None:
                return
            if message["do"] in _UNREAD:
                await self._answer(message)
                continue
            beside = _runs_beside(message)
            answering = self._answer(message) if beside else self._answer_in_turn(message)
            task = asyncio.get_running_loop().create_task(answering)
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer_in_turn(self, message: dict[str, Any]) -> None:
        async with self._turn:
            await self._answer(message)

    async def _answer(self, message: dict[str, Any]) -> None:
        reply = await self._reply(message)
        with contextlib.suppress(ConnectionError):
            await self._channel.send({"id": message["id"], **reply})

    async def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": await self._do(message)}
        except SealyardError as error:
            return {"error": error_to_json(error)}
        except Exception as error:  # noqa: BLE001 - only the name of its class may leave
            known = error.strerror if isinstance(error, OSError) else None
            return {"error": error_to_json(InternalError(known or code_location.name(error)))}

    async def _do(self, message: dict[str, Any]) -> Any:  # noqa: ANN401 - anything that JSON holds
        what = message["do"]
        if what == "start":
            return await self._start(message)
        sidecar = self._sidecar
        if sidecar is None:
            raise WorkerGone(NOT_STARTED)
        if what == "facts":
            return (await sidecar.facts()).to_json()
        if what == "look":
            return await sidecar.look()
        if what == "run":
            return (await sidecar.operations.run(Call.from_json(message["call"]))).to_json()
        if what == "drain":
            self._shut_door()
            self._finished = await sidecar.drain(message["grace"])
            return self._finished
        return await self._change(what, message, sidecar)

    async def _start(self, message: dict[str, Any]) -> None:
        secrets_from_json(message["secrets"])
        read = Source.handed_over(message["source"])
        if not self._given:  # it is asked again where no root opened the keyring
            self._given = {
                name: tuple(socket.socket(fileno=number) for number in numbers)
                for name, numbers in message["sockets"].items()
            }
            self._door = socket.socket(fileno=message["door"])
            self._door.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        reporter = counting(read.loaded.settings, self._reporter)
        sidecar = await build(
            read.loaded,
            reporter,
            environ=self._environ,
            given=self._given,
            check_store=message["check_store"],
            accepted=self._accepted,
            processes=message["processes"],
        )
        if sidecar.keys.lease is not None:
            sidecar.keys.lease.be(bytes.fromhex(message["process"]))
        await sidecar.start()
        self._sidecar = sidecar
        self._watch_door(sidecar)

    def _watch_door(self, sidecar: Sidecar) -> None:
        if self._door is not None:
            asyncio.get_running_loop().add_reader(self._door, self._take, self._door, sidecar)

    def _take(self, door: socket.socket, sidecar: Sidecar) -> bool:
        """Serve a connection that the supervisor has accepted; return whether there was one.

        Without a descriptor for it, it stays where it is: the kernel would drop it, which resets
        it. The supervisor soon hands over no more, and answers what is left when this one ends.
        """
        loop = asyncio.get_running_loop()
        try:
            door.dup().close()
        except OSError:
            loop.remove_reader(door)
            loop.call_later(LEAST_PAUSE_SECONDS, self._watch_door, sidecar)
            return False
        try:
            name, found, _, _ = socket.recv_fds(door, NAME_BYTES, 1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            name, found = b"", []
        told = False
        if name:
            # Before anything is read of it: what was not taken is handed to another worker in the
            # end, which must not begin in the middle of a request.
            with contextlib.suppress(OSError):
                told = bool(door.send(b"t"))
        if not told:  # the supervisor is gone
            loop.remove_reader(door)
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
        for number in found:  # none where another thread has taken the last descriptor
            sock = socket.socket(fileno=number)
            if told:
                sidecar.lanes[name.decode()].listener.take(sock)
            else:
                sock.close()
        return told

    def _shut_door(self) -> None:
        """Take what is there, and nothing more."""
        door, self._door = self._door, None
        if door is None:
            return
        while self._sidecar is not None and self._take(door, self._sidecar):
            pass
        asyncio.get_running_loop().remove_reader(door)
        door.close()

    async def _change(self, what: str, message: dict[str, Any], sidecar: Sidecar) -> None:
        if what == "beat":  # the answer is the sign of life
            return
        if what == "hear":
            sidecar.keys.end_to_end.changed(None)
            return
        if what == "bury":
            if sidecar.keys.lease is not None:
                await sidecar.keys.lease.bury(set(map(bytes.fromhex, message["processes"])))
            return
        if what == "shut":
            sidecar.keys.shut((listener, rule) for listener, rule in message["rules"])
            return
        if what == "lessen":
            secrets_from_json(message["secrets"])
            await sidecar.lessen()
            return
        prepared, self._prepared = self._prepared, None
        if what == "prepare":
            secrets_from_json(message["secrets"])
            read = Source.handed_over(message["source"])
            self._prepared = await sidecar.prepare(read)
        elif prepared is not None and what == "apply":
            await prepared.apply()
        elif prepared is not None and what == "discard":
            await prepared.discard()


def _runs_beside(message: dict[str, Any]) -> bool:
    """Whether a call runs beside others: it may take seconds, or show while others do that."""
    if message["do"] == "run":
        return VERBS[message["call"]["verb"]].reach != "all"
    return message["do"] in {"facts", "bury", "beat"}
