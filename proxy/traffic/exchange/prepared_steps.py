"""The steps of what is changed without a plan: messages of WebSockets and records of streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from ...core.compiled.block import CompiledBlock
from ...core.crypto.session_cipher import Session
from ...core.errors import SealyardError, Unopened
from ...core.formats.body_format import Kind
from ...core.http.message import RequestHead, ResponseHead
from ...core.planning.exchange import Exchange, Messages
from ...core.planning.treatment import ResponseTreatment
from ...core.transform import (
    Changed,
    Lacking,
    Prepared,
    PreparedJson,
    PreparedMessages,
    PreparedRecords,
    prepare_messages,
    prepare_records,
    prepare_request,
    prepare_response,
)
from ...core.values.key_needs import Attempt, Keys, Needs
from ..interfaces import OpensLog
from ..message_record import MessageRecord
from ..slices import Slices, may_go_at_once, may_go_in_records
from ..waits import outliving
from .place_names import PlaceNames

if TYPE_CHECKING:  # imported where the configuration has it
    from ...telemetry.tap import Tap


class KeySource(Protocol):
    """Where the sessions of plans come from."""

    @property
    def shut(self) -> AbstractSet[tuple[str, str]]:
        """Listeners and rules that refuse all messages."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are cached."""

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions, waiting for the store if need be."""

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which a tag has verified."""

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        """Report tokens that did not open; return whether a poison token is among them."""


@runtime_checkable
class KnowsParticipants(Protocol):
    """A key source of rules that seal end to end."""

    async def require_participants(self, needs: Needs) -> None:
        """Raise KeyUnavailable where a sender or recipient has no key; make no session."""


class PreparedSteps:
    """Where keys come from, who watches, and what is changed without a plan.

    `clock` returns seconds since 1970. Where `opens` has it, nothing that was opened goes on before
    `write_down`; messages and records that open something are planned then.

    `slices` are for those steps of a long message that would hold the event loop for long.
    """

    place_names: PlaceNames

    def __init__(
        self,
        keys: KeySource,
        tap: Tap | None,
        clock: Callable[[], float],
        slices: Slices,
        opens: OpensLog | None,
    ) -> None:
        self.keys = keys
        self.opens: Final = opens
        self.tap: Final = tap
        self.clock: Final = clock
        self.slices: Final = slices

    async def at_once(
        self,
        exchange: Exchange,
        body: bytes,
        record: MessageRecord,
        answer: tuple[ResponseTreatment, ResponseHead] | None = None,
        *,
        long: bool,
    ) -> Changed | None:
        """Return a message changed without a plan, in slices if it is long; None: it is planned.

        It is the request, whose names are kept for its response, or the `answer` treated so.
        """
        prepared = self._prepared(exchange, record, answer)
        if prepared is None:
            return None
        kept = () if answer is None else exchange.kept
        began, changed = time.perf_counter(), None
        if not long or may_go_at_once(body):
            changed = prepared.change(body, self.keys, self.clock(), kept)
            if isinstance(changed, Lacking):
                found = await self.resolve(changed.needs, record)
                began = time.perf_counter()
                changed = prepared.sealed(body, changed, found)
        if changed is None and long and isinstance(prepared, PreparedJson):
            async with self.slices.turn(long=long, answer=answer is not None) as run:
                began = time.perf_counter()
                now, change = self.clock(), prepared.change
                changed = await run(change, body, self.keys, now, kept, any_number=True)
        if not isinstance(changed, Changed):
            return None
        if answer is None:
            exchange.keep(changed.kept)
        if changed.counts:
            self._count(changed, record)
            record.changed(began)
        return changed

    def _prepared(
        self,
        exchange: Exchange,
        record: MessageRecord,
        answer: tuple[ResponseTreatment, ResponseHead] | None,
    ) -> Prepared | None:
        if record.watch is not None or (self.tap is not None and self.tap.watched):
            return None  # whoever watches sees what was planned
        if answer is None:
            prepared = prepare_request(exchange)
        elif exchange.decision.observes is not None:
            return None
        else:
            prepared = prepare_response(exchange, *answer)
        return None if isinstance(prepared, Changed) else prepared

    async def resolve(self, needs: Needs, record: MessageRecord) -> Keys:
        """Return the keys of a message, waiting for the store if need be.

        What is agreed with the store is agreed on, also where the client has gone.
        """
        try:
            return await outliving(self.keys.resolve(needs))
        except SealyardError as error:
            if record.watch is not None:
                record.watch.without_keys(error.code)
            raise

    async def write_down(self, record: MessageRecord) -> None:
        """Write down what was opened of a message, before it goes on.

        Raises KeyUnavailable where that is not possible: then it must not.
        """
        if record.opened and self.opens is not None:
            opened, record.opened = record.opened, ()
            for one in opened:
                await self.opens.attempt(self.place_names.told(one))
                record.written_down = True

    def prepared_messages(
        self, messages: Messages, record: MessageRecord, *, binary: bool
    ) -> PreparedMessages | None:
        """Return what changes the messages of a WebSocket without a plan, if anything does."""
        opens = any(one.block.decrypt for one in messages.compiled_blocks)
        if record.watch is not None or (opens and self.opens is not None):
            return None
        return prepare_messages(messages, binary=binary)

    def prepared_records(
        self,
        exchange: Exchange,
        block: CompiledBlock,
        head: RequestHead | ResponseHead,
        kind: Kind,
        record: MessageRecord,
    ) -> Callable[[bytes], Changed | None] | None:
        """Return what changes the records of a stream without a plan, if anything does."""
        if record.watch is not None or (block.decrypt and self.opens is not None):
            return None
        prepared = prepare_records(exchange, block, head, kind)
        if prepared is None:
            return None
        return lambda some: self.change(prepared, some, record) if may_go_in_records(some) else None

    def change(
        self, prepared: PreparedMessages | PreparedRecords, data: bytes, record: MessageRecord
    ) -> Changed | None:
        """Return a message or records changed; None where they are planned."""
        # Whoever watches sees what was planned.
        if (self.tap is not None and self.tap.watched) or self.keys.shut:
            return None
        changed = prepared.change(data, self.keys, self.clock())
        if changed is not None and changed.counts:
            self._count(changed, record)
        return changed

    def _count(self, changed: Changed, record: MessageRecord) -> None:
        record.count(changed.counts, changed.keys)
        if self.opens is not None:
            record.note_opened(changed.counts, changed.proven, changed.tally, changed.shown)
