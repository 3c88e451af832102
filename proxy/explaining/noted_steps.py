"""The same steps and the same record, with a note of what each plan comes to: for `explain`.

Every message is planned, which is what all others are held to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..core.errors import TrafficError
from ..core.explain.describe import describe
from ..core.explain.explanation import Described
from ..core.http.message import Direction
from ..core.planning.exchange import Messages
from ..core.planning.plan import Plan
from ..core.transform import Forwardable
from ..core.values.key_needs import Keys
from ..telemetry.tap import Piece
from ..traffic.exchange.steps import Steps
from ..traffic.message_record import MessageRecord
from ..traffic.slices import Run


@dataclass(slots=True)
class Notes:
    """What has happened to the messages of one exchange so far.

    `failed` is a plan that could not be carried out, and may be tried again in smaller steps.
    """

    plans: list[tuple[Direction, Described]] = field(default_factory=list)
    failed: tuple[Direction, Described] | None = None
    refusals: list[tuple[Direction, TrafficError, int]] = field(default_factory=list)
    record: MessageRecord | None = None


class ExplainedRecord(MessageRecord):
    """A record that notes the error with which a message is refused."""

    __slots__ = ("_notes",)

    def __init__(self, request_id: str, listener: str, *, notes: Notes) -> None:
        super().__init__(request_id, listener)
        self._notes = notes
        notes.record = self

    def refused(self, error: TrafficError, status: int) -> None:
        """Note that the message was refused, and why."""
        super().refused(error, status)
        failed, self._notes.failed = self._notes.failed, None
        if failed is not None:
            self._notes.plans.append(failed)
        self._notes.refusals.append((self.direction, error, status))


class ExplainedSteps(Steps):
    """The steps of the messages of one exchange."""

    def __init__(self, *args: Any, notes: Notes, **named: Any) -> None:  # noqa: ANN401 - those of Steps
        super().__init__(*args, make_record=partial(ExplainedRecord, notes=notes), **named)
        self._notes = notes

    async def at_once(self, *_: object, **__: object) -> None:
        """Return None: the message is planned."""

    def prepared_messages(self, messages: Messages, *, binary: bool) -> None:
        """Return None, as `at_once`."""

    def prepared_records(self, *_: object) -> None:
        """Return None, as `at_once`."""
        return

    def apply(
        self, plan: Plan, keys: Keys, record: MessageRecord, *, piece: Piece = ""
    ) -> Forwardable:
        """Carry out a plan, and note what it comes to."""
        self._notes.plans.append(self._described(plan, keys, record))
        return super().apply(plan, keys, record, piece=piece)

    async def apply_in_turn(
        self, plan: Plan, keys: Keys, record: MessageRecord, run: Run, *, piece: Piece = ""
    ) -> Forwardable:
        """Do as `apply`, in slices if the work of the message is run so."""
        described = self._described(plan, keys, record)
        self._notes.failed = described
        message = await super().apply_in_turn(plan, keys, record, run, piece=piece)
        self._notes.failed = None
        self._notes.plans.append(described)
        return message

    def _described(
        self, plan: Plan, keys: Keys, record: MessageRecord
    ) -> tuple[Direction, Described]:
        return record.direction, describe(plan, keys, self.clock())
