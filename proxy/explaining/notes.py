"""Notes of what each plan of a message comes to, and of why it is refused: for `explain`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.errors import TrafficError
from ..core.explain.describe import describe
from ..core.explain.explanation import Described
from ..core.http.message import Direction
from ..core.planning.plan import Plan
from ..core.values.key_needs import Keys
from ..traffic.message_record import MessageRecord, MessageWatch


@dataclass(slots=True)
class Notes:
    """What has happened to the messages of one exchange so far.

    `failed` is a plan that could not be carried out, and may be tried again in smaller steps.
    """

    plans: list[tuple[Direction, Described]] = field(default_factory=list)
    failed: tuple[Direction, Described] | None = None
    refusals: list[tuple[Direction, TrafficError, int]] = field(default_factory=list)
    record: MessageRecord | None = None


class NotedMessage(MessageWatch):
    """Notes what happens to one message."""

    __slots__ = ("_notes", "_record")

    def __init__(self, notes: Notes, record: MessageRecord) -> None:
        self._notes = notes
        self._record = notes.record = record

    def carrying_out(self, plan: Plan, keys: Keys, now: float) -> None:
        """Note what a plan comes to, should it fail."""
        self._notes.failed = self._record.direction, describe(plan, keys, now)

    def carried_out(self) -> None:
        """Note what it has come to."""
        failed, self._notes.failed = self._notes.failed, None
        if failed is not None:
            self._notes.plans.append(failed)

    def refused(self, error: TrafficError, status: int) -> None:
        """Note that the message was refused, and why."""
        self.carried_out()
        self._notes.refusals.append((self._record.direction, error, status))
