"""Messages between a client and the upstream, each planned, and sent only as a Forwardable.

The two legs speak the protocol by themselves: frames are not passed on, messages and control frames
are, in their order. Each direction goes on as its bytes come; it waits for keys that are not at
hand, and lets others have their turn behind some dozen messages. Meanwhile its peer is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from ...config.limits import Timeouts
from ...config.policy import SMALL_BYTES
from ...core.errors import Busy, MalformedRequest, TrafficError, UpstreamFailed
from ...core.http.message import Direction
from ...core.planning.exchange import Messages
from ...core.planning.plan import Plan
from ...core.transform import Changed, PreparedMessages
from ..byte_budget import Hold
from ..http1.forwarding_headers import Forwarding
from ..http1.outgoing_heads import switching_head
from ..http1.problem import deliberate
from ..interfaces import Request, UpstreamResponse
from ..message_record import MessageRecord
from ..policy import COMPRESSED_AT_ONCE, LAST_MESSAGES_SECONDS
from ..slices import is_long, may_go_at_once
from ..websocket import handshake
from ..websocket.closing import BAD_GATEWAY, GOING_AWAY, Breach, Controls, code_of
from ..websocket.frames import BINARY, CLOSE, TEXT
from ..websocket.leg import Leg, MessageFrame
from ..websocket.reader import FRAGMENT, Arrived
from .admission import AdmittedExchange
from .steps import CLIENT_CLOSED, Steps

_DATA: Final = frozenset({TEXT, BINARY})
_AT_ONCE: Final = 64
"""So many messages or parts of one that came together pass in a row: some milliseconds."""


def asked_upward(admitted: AdmittedExchange, forwarding: Forwarding) -> Forwarding:
    """Return what changes in the handshake of a WebSocket whose messages a rule reads."""
    offer = handshake.agree(admitted.request.head.headers) is not None
    return handshake.upward(forwarding, offer=offer)


async def relay(  # noqa: PLR0913, PLR0917 - what the handler knows of one WebSocket
    steps: Steps,
    timeouts: Timeouts,
    request: Request,
    admitted: AdmittedExchange,
    response: UpstreamResponse,
    record: MessageRecord,
) -> None:
    """Relay the messages of a WebSocket that the upstream has accepted, each as its rule says."""
    exchange = admitted.exchange
    asked = admitted.request.head.headers
    agreed = handshake.agree(asked)
    accepted = handshake.accepted(asked, response.head, offered=agreed is not None)
    limit = steps.body_limit(exchange.decision)
    upstream = Leg(response.divert(), accepted, client=False, limit=limit)
    head = handshake.downward(response.head, agreed)
    client = Leg(await request.switch(switching_head(head)), agreed, client=True, limit=limit)
    ways = steps.messages(exchange, "request"), steps.messages(exchange, "response")
    joined = Relay(steps, record, client, upstream, ways, admitted.claim.client)
    await joined.run(idle=timeouts.tunnel, linger=timeouts.linger)
    if joined.abandoned:
        record.status = CLIENT_CLOSED


class Relay:
    """Joins the two legs until both have ended. Its record counts and tells of both directions.

    `name` is that of the client. `abandoned`: it has left before anybody sent a close frame;
    `active`: bytes came since it was last unset; `over`: no message passes any more.
    """

    __slots__ = (
        "_changed",
        "_client",
        "_controls",
        "_halves",
        "_lost",
        "abandoned",
        "active",
        "over",
        "record",
        "steps",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - two legs, and what is known of them
        self,
        steps: Steps,
        record: MessageRecord,
        client: Leg,
        upstream: Leg,
        directions: tuple[Messages, ...],
        name: str = "",
    ) -> None:
        self.steps = steps
        self.record = record
        self._client = client
        up, down = directions
        self._halves = (
            _Half(self, client, upstream, up, Hold(steps.budget, name)),
            _Half(self, upstream, client, down, Hold(steps.budget, name)),
        )
        self._controls = Controls(frozenset(one.direction for one in directions if one.seals))
        self.abandoned = False
        self._lost = False
        self.over = False
        self.active = False
        self._changed: asyncio.Future[None] | None = None

    async def run(self, *, idle: float, linger: float) -> None:
        """Pass messages until both peers have ended, or neither has sent any bytes for `idle`.

        Both are told to go then. Once they are, a message was refused or the upstream is gone,
        there are `linger` seconds for the last close frames; once the client is gone,
        LAST_MESSAGES_SECONDS at most, and none where it is lost. All times are in seconds.
        """
        loop = asyncio.get_running_loop()
        for half in self._halves:
            half.begin()
        try:
            while not self._lost and not all(half.source.gone for half in self._halves):
                self.active = False
                self._changed = loop.create_future()
                # asyncio.wait, since a timeout around the future would cancel it.
                patience = max(linger, 0.0) if self._ending else idle
                if self._client.gone:
                    patience = min(patience, LAST_MESSAGES_SECONDS)
                await asyncio.wait({self._changed}, timeout=patience)
                if self._changed.done() or (self.active and not self._ending):
                    continue
                if self._ending:
                    return
                self.leave()
        finally:
            self.over = True
            for half in self._halves:
                half.abandon()

    @property
    def _ending(self) -> bool:
        legs = [half.source for half in self._halves]
        return self.over or any(leg.gone for leg in legs) or all(leg.parted for leg in legs)

    def leave(self) -> None:
        """Tell both peers that the process is about to end."""
        self._end(GOING_AWAY, GOING_AWAY)

    def refused(self, error: BaseException, direction: Direction) -> None:
        """Tell both peers that a message was refused, and pass no other."""
        known = deliberate(error)
        code = code_of(known)
        self._note(known, direction)
        self._end(code, code, known.code)

    def client_lost(self) -> None:
        """Pass no more: nothing more can reach the client."""
        self._lost = True
        self.changed()

    def breached(self, breach: Breach, leg: Leg) -> None:
        """Tell a peer that it broke the protocol, and the other that it is gone."""
        from_client = leg is self._client
        if from_client:
            self._note(MalformedRequest(f"websocket-{breach.reason}"), "request")
            self._end(breach.code, GOING_AWAY)
        else:
            self._note(UpstreamFailed(f"websocket-{breach.reason}"), "response")
            self._end(BAD_GATEWAY, breach.code)
        leg.reader.closed = True

    def carried(self, arrived: Arrived, direction: Direction) -> bytes:
        """Return what a control frame carries on in a direction."""
        return self._controls.carried(arrived.opcode, arrived.payload, direction)

    def sent(self, size: int, *, upward: bool) -> None:
        """Take note of bytes that went."""
        if not upward:
            self.record.response_bytes += size

    def changed(self) -> None:
        """Look again at how things stand."""
        for half in self._halves:
            if half.source.parted and not half.ended_towards:
                half.end_towards()
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _note(self, error: TrafficError, direction: Direction) -> None:
        self.record.direction = direction
        self.steps.note_refusal(error, self.record)

    def _end(self, to_client: int, to_upstream: int, reason: str = "") -> None:
        self.over = True
        for half in self._halves:
            code = to_client if half.source is self._client else to_upstream
            self.sent(half.source.close(code, reason), upward=half.source is not self._client)
        self.changed()


class _Half:
    """What goes in one direction: it receives what the source sends, and sends it to the sink."""

    __slots__ = (
        "_hold",
        "_messages",
        "_prepared",
        "_relay",
        "_sink",
        "_slow",
        "_upward",
        "_waiting",
        "ended_towards",
        "source",
    )

    def __init__(
        self, relay: Relay, source: Leg, sink: Leg, messages: Messages, hold: Hold
    ) -> None:
        self._hold = hold
        self._relay = relay
        self.source = source
        self._sink = sink
        self._slow = False
        self._messages = messages
        self._upward = messages.direction == "request"
        self._prepared: dict[int, PreparedMessages | None] = {}
        self._waiting: asyncio.Task[None] | None = None
        self.ended_towards = False

    def begin(self) -> None:
        """Take what the source sends from now on, and what it has sent already."""
        early = self.source.connection.divert(self)
        self.source.connection.resume()
        if early:
            self.received(early)

    def abandon(self) -> None:
        """Wait for nothing any more, and hold nothing."""
        self._hold.release()
        if self._waiting is not None:
            self._waiting.cancel()

    def end_towards(self) -> None:
        """End the connection to the source, with whom all has been said."""
        self.ended_towards = True
        self.source.end()

    # --- called by the connection of the source -----------------------------------------------

    def received(self, data: bytes) -> None:
        """Take bytes of the source."""
        relay, reader = self._relay, self.source.reader
        relay.active = True
        if self._upward:
            relay.record.request_bytes += len(data)
        reader.put(data)
        if self._waiting is None:
            self._go_on()
        if reader.held or self._hold.size or self._slow:
            self._weigh()

    def _weigh(self) -> None:
        """Count what is held for the source; where there is no memory for it, end both.

        That is of messages to come, and of those to it that it does not read.
        """
        held = self.source.reader.held + (self.source.connection.unsent() if self._slow else 0)
        size = held if held > SMALL_BYTES else 0
        if self._waiting is not None:  # more is reserved for the message that is worked at
            size = max(size, self._hold.size)
        try:
            self._hold.grows(size)
        except Busy as busy:
            self._give_up(busy)

    def _give_up(self, busy: Busy) -> None:
        if not self._relay.over:
            self._relay.refused(busy, self._messages.direction)

    def ended(self) -> None:
        """Learn that the source sends no more: without a close frame the sink learns the same."""
        if self.source.gone:
            return
        self.source.gone = True
        if self._upward and not (self._relay.over or self._sink.gone or self._sink.reader.closed):
            self._relay.abandoned = not self.source.reader.closed
        if not self._sink.close_sent and self._waiting is None:
            self._sink.end()
        self._relay.changed()

    def lost(self) -> None:
        """Learn that the source is gone."""
        self.ended()
        if self._upward:
            self._relay.client_lost()

    def leaving(self) -> None:
        """Let both peers know that the process is about to end."""
        self._relay.leave()

    def writable(self, *, yes: bool) -> None:
        """Let the other peer wait while this one is slow to read."""
        self._slow = not yes
        if yes:
            self._hold.unwatch()
            self._sink.go_on("slow")
        else:
            self._sink.rest("slow")
            connection = self.source.connection
            unread = connection.unsent()
            self._hold.watch(
                lambda: unread - connection.unsent(), lambda: self._give_up(Busy("memory"))
            )
        self._weigh()

    # --- message by message -------------------------------------------------------------------

    def _go_on(self) -> None:
        """Pass what has come, up to where keys must be waited for."""
        try:
            self._take_all()
        except Breach as breach:
            if not self._relay.over:
                self._relay.breached(breach, self.source)
            self.source.reader.closed = True
        except Exception as error:  # noqa: BLE001 - nothing may pass, nor escape into a log
            self._relay.refused(error, self._messages.direction)
        if self.source.reader.closed:
            self._relay.changed()
        if (record := self._relay.record).unopened:  # reported behind what is sent, as answers are
            asyncio.get_running_loop().call_soon(self._relay.steps.report_unopened, record)

    def _take_all(self) -> None:
        """Send what has come in one write, as far as it goes."""
        left, following = _AT_ONCE, self.source.reader.next
        try:
            while self._waiting is None and (arrived := following()) is not None:
                self._take(arrived)
                left -= 1
                if not left and self._waiting is None and not self._relay.over:
                    self._begin_to_wait(partial(asyncio.sleep, 0))
        finally:
            self._sink.flush()

    def _take(self, arrived: Arrived) -> None:
        if self._relay.over or arrived is FRAGMENT:
            if arrived.opcode == CLOSE:
                self._relay.changed()
            return
        if arrived.opcode not in _DATA:
            carried = self._relay.carried(arrived, self._messages.direction)
            size = self._sink.control(arrived.opcode, carried)
            self._relay.sent(size, upward=self._upward)
            return
        coded = arrived.compressed and len(arrived.payload) > COMPRESSED_AT_ONCE
        if coded or arrived.packed:
            self._begin_to_wait(partial(self._pass, None, arrived))
            return
        changed = self._change(arrived)
        if changed is not None:
            self._send(self._sink.framed(changed, compressed=arrived.compressed))
            return
        plan = None
        if not is_long(arrived.payload):
            steps = self._relay.steps
            plan = self._plan(arrived)
            keys = steps.warm(plan)
            if keys is not None and (steps.opens is None or not plan.needs.opens):
                message = steps.apply(plan, keys, self._record(), piece="message")
                self._send(self._sink.framed(message, compressed=arrived.compressed))
                return
        self._begin_to_wait(partial(self._pass, plan, arrived))

    def _begin_to_wait(self, what: Callable[[], Awaitable[None]]) -> None:
        self.source.rest("keys")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_task(self._wait(what))

    def _change(self, arrived: Arrived) -> Changed | None:
        """Return a message changed without a plan; None where it is planned."""
        steps, opcode, known = self._relay.steps, arrived.opcode, self._prepared
        if opcode not in known:
            known[opcode] = steps.prepared_messages(
                self._messages, self._relay.record, binary=opcode == BINARY
            )
        prepared = known[opcode]
        if prepared is None or not may_go_at_once(arrived.payload):
            return None
        return steps.change(prepared, arrived.payload, self._record())

    def _plan(self, arrived: Arrived) -> Plan:
        binary = arrived.opcode == BINARY
        return self._relay.steps.plan_message(self._messages, arrived.payload, binary=binary)

    def _record(self) -> MessageRecord:
        record = self._relay.record
        record.direction = self._messages.direction
        return record

    def _send(self, message: MessageFrame) -> None:
        self._relay.sent(self._sink.send(message), upward=self._upward)

    async def _pass(self, plan: Plan | None, arrived: Arrived) -> None:
        """Unpack and plan a message in slices if that is left to do, wait for keys, and pass it."""
        steps = self._relay.steps
        await self._hold.works_at(
            arrived.payload,
            limit=steps.body_limit(self._messages.exchange.decision),
            coded=arrived.packed,
            answer=not self._upward,
        )
        async with steps.slices.turn(long=plan is None) as run:
            if arrived.packed:
                arrived = await run(self.source.reader.unpacked, arrived)
            plan = plan or await run(self._plan, arrived)
            assert plan is not None  # noqa: S101 - for the type checker
            keys = await steps.resolve(plan.needs, self._record())
            if self._relay.over:
                return
            message = await steps.apply_in_turn(plan, keys, self._record(), run, piece="message")
            framed = await run(self._sink.framed, message, compressed=arrived.compressed)
        await steps.write_down(self._record())
        if not self._relay.over:
            self._send(framed)
        elif self._relay.record.written_down:
            self._relay.record.withheld = True

    async def _wait(self, what: Callable[[], Awaitable[None]]) -> None:
        """Wait for what there is to be done first, then go on behind it."""
        try:
            await what()
        except Breach as breach:
            if not self._relay.over:
                self._relay.breached(breach, self.source)
            self.source.reader.closed = True
        except BaseException as error:
            # Cancelled by whoever: a direction that waits for ever would look like a silent peer.
            if not self._relay.over:
                self._relay.refused(error, self._messages.direction)
            if not isinstance(error, Exception):
                raise
        self._waiting = None
        self._weigh()
        self.source.go_on("keys")
        self._go_on()
        if self.source.gone and not self._sink.close_sent and self._waiting is None:
            self._sink.end()
