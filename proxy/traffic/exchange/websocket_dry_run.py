"""WebSockets that pass as they are while their rule is tried on each message."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from ...core.errors import TrafficError
from ...core.explain.dry_run import DryRunResult, refused, try_out
from ...core.http.message import ResponseHead
from ...core.planning.exchange import Exchange, Messages
from ...core.transform import pass_handshake, plan_message
from ..http1.problem import deliberate
from ..message_record import MessageRecord
from ..policy import COPIES_OF_SOCKET_SECONDS, TRIED_BYTES
from ..websocket.closing import TOO_BIG, Breach
from ..websocket.deflate import Inflater
from ..websocket.frames import BINARY, TEXT
from ..websocket.handshake import deflates
from ..websocket.reader import Arrived, MessageReader
from .admission import AdmittedExchange
from .dry_run import UNOBSERVED, format_with_names, opening_keys, raised_exchange
from .steps import Steps

_DATA: Final = frozenset({TEXT, BINARY})


class TeeSocket:
    """Finds out what a rule in mode `observe` would have done to the messages of one WebSocket.

    Messages wait to be tried in their order, up to a mebibyte of them together. What a rule would
    have refused goes on all the same, and so does the dry run of what follows.
    """

    __slots__ = ("_ended", "_named", "_record", "_size", "_steps", "_waiting", "_woken", "ears")

    def __init__(
        self, steps: Steps, tried: Exchange, record: MessageRecord, head: ResponseHead
    ) -> None:
        """Begin with the response that agrees to the WebSocket; `ears` hear what passes."""
        self._steps = steps
        self._record = record
        self._waiting: deque[tuple[Messages, Arrived]] = deque()
        self._size = 0
        self._woken = asyncio.Event()
        self._ended = False
        limit = min(TRIED_BYTES, steps.body_limit(tried.decision))
        deflate = deflates(head)
        up, down = steps.messages(tried, "request"), steps.messages(tried, "response")
        self.ears = (
            _Ear(self, up, _reader(limit, masked=True, deflate=deflate)),
            _Ear(self, down, _reader(limit, masked=False, deflate=deflate)),
        )
        self._named = format_with_names(tried.decision.rule)
        self._try_handshake(tried)

    async def run(self) -> None:
        """Try what is heard, until `end` has been called and nothing waits."""
        while not self._ended or self._waiting:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                messages, arrived = self._waiting[0]
                await self._try(messages, arrived)
                self._waiting.popleft()
                self._size -= len(arrived.payload)

    def end(self) -> None:
        """Learn that nothing more will be heard."""
        self._ended = True
        self._woken.set()

    def give_up(self) -> None:
        """Report that what waits was not observed, once for each direction."""
        left = {id(messages): messages for messages, _ in self._waiting}
        for messages in left.values():
            self.report(messages, refused(UNOBSERVED))

    def take(self, messages: Messages, arrived: Arrived) -> None:
        """Let a message wait to be tried.

        Raises:
            Breach: Too much waits already.
        """
        if self._size + len(arrived.payload) > TRIED_BYTES:
            raise Breach(TOO_BIG, UNOBSERVED)
        self._size += len(arrived.payload)
        self._waiting.append((messages, arrived))
        self._woken.set()

    def report(self, messages: Messages, result: DryRunResult, operations: str = "") -> None:
        """Report what the rule would have done to a message."""
        self._steps.ladder.tried_message(self._record, messages.direction, result, operations)

    def _try_handshake(self, tried: Exchange) -> None:
        try:
            pass_handshake(tried)
        except TrafficError as error:
            self.report(self.ears[0].messages, refused(error.reason))

    async def _try(self, messages: Messages, arrived: Arrived) -> None:
        try:
            binary = arrived.opcode == BINARY
            plan = plan_message(messages, arrived.payload, binary=binary)
            keys = await opening_keys(self._steps.keys, plan)
            result = try_out(plan, keys, self._steps.clock())
        except Exception as error:  # noqa: BLE001 - a dry run must not fail the message
            result = refused(deliberate(error).reason)
        named = self._named if messages.direction == "request" else None
        self.report(messages, result, "" if named is None else named.names(arrived.payload))


def tee_socket(
    steps: Steps, admitted: AdmittedExchange, record: MessageRecord, head: ResponseHead
) -> TeeSocket | None:
    """Return what tries the messages of a WebSocket; None where no rule observes them.

    Where its rule would refuse the handshake, that is reported and nothing is tried.
    """
    if admitted.exchange.decision.observes is None:
        return None
    tried, reason = raised_exchange(admitted)
    if tried is None:
        steps.ladder.tried_message(record, "request", refused(reason), "")
        return None
    return TeeSocket(steps, tried, record, head)


@contextlib.asynccontextmanager
async def overhearing(
    socket: TeeSocket | None, *, longer: float = COPIES_OF_SOCKET_SECONDS
) -> AsyncIterator[None]:
    """Try what is heard beside what is done here, and up to so many seconds longer.

    That is so for a client that has gone as well. A task that is cancelled once more ends at once.
    """
    if socket is None:
        yield
        return
    trials = asyncio.get_running_loop().create_task(socket.run())
    try:
        yield
    finally:
        socket.end()
        try:
            await asyncio.wait({trials}, timeout=longer)
        finally:
            if not trials.done():
                trials.cancel()
                socket.give_up()


class _Ear:
    """Hears one direction, up to a message that is too long or a breach of the protocol."""

    __slots__ = ("_deaf", "_reader", "_socket", "messages")

    def __init__(self, socket: TeeSocket, messages: Messages, reader: MessageReader) -> None:
        self._socket = socket
        self._reader = reader
        self.messages = messages
        self._deaf = not messages.compiled_blocks

    def __call__(self, data: bytes) -> None:
        """Hear bytes that have been passed on."""
        if self._deaf:
            return
        try:
            self._reader.put(data)
            while (arrived := self._reader.next()) is not None:
                if arrived.opcode in _DATA:
                    self._socket.take(self.messages, arrived)
        except Breach as breach:
            reason = UNOBSERVED if breach.code == TOO_BIG else f"websocket-{breach.reason}"
            self._go_deaf(reason)
        except Exception as error:  # noqa: BLE001 - what passes must not fail with who overhears it
            self._go_deaf(deliberate(error).reason)

    def _go_deaf(self, reason: str) -> None:
        self._deaf = True
        self._socket.report(self.messages, refused(reason))


def _reader(limit: int, *, masked: bool, deflate: bool) -> MessageReader:
    # The peers have agreed by themselves, so a message may point into those before.
    return MessageReader(masked=masked, limit=limit, deflate=deflate, inflater=Inflater())
