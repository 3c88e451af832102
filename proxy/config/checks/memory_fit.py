"""How the memory that the processes may take is divided: for themselves, and for messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..limits import MEBIBYTE, TrafficLimits
from ..policy import (
    LEAST_DIVIDED_BYTES,
    OWN_BYTES,
    SMALL_BYTES,
    SUPERVISOR_BYTES,
    WORK_TIMES,
)
from ..settings import ListenerSettings
from ..yaml.nodes import Place, Problems


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """Bytes of one process that carries traffic, by what they are for.

    Attributes:
        limit: All of it.
        own: The process itself: code, keys, caches.
        small: Bodies that are too short to be counted, as many as may be under way or wait.
        largest: The largest body of all listeners while it is worked at; kept aside for one.
        divided: What is left, for all that messages hold beside that.
    """

    limit: int
    own: int
    small: int
    largest: int

    @property
    def divided(self) -> int:
        """The budget of bytes."""
        return max(LEAST_DIVIDED_BYTES, self.limit - self.own - self.small - self.largest)

    @property
    def missing(self) -> int:
        """How many bytes more there should be; 0: the limits fit."""
        return max(0, self.own + self.small + self.largest + LEAST_DIVIDED_BYTES - self.limit)


def check(
    place: Place | None,
    limit: int | None,
    listeners: Sequence[ListenerSettings],
    problems: Problems,
) -> None:
    """Warn of a limit into which the limits of the listeners do not fit, even in one process."""
    if place is None or limit is None:
        return
    parts = divide(limit, [one.limits for one in listeners])
    if parts.missing:
        problems.warn(
            place,
            f"the limits of the listeners need {-(-parts.missing // MEBIBYTE)} MiB more: one body"
            f" of `limits.body` takes {WORK_TIMES} times its length (docs/reference/memory.md)",
        )


def divide(
    limit: int, listeners: Sequence[TrafficLimits], *, processes: int = 1, own: int = OWN_BYTES
) -> MemoryParts:
    """Divide `limit` bytes of all processes; `own` is what one takes, where that is more."""
    supervisor = SUPERVISOR_BYTES if processes > 1 else 0
    return MemoryParts(
        limit=(limit - supervisor) // processes,
        own=max(own, OWN_BYTES),
        small=sum(SMALL_BYTES * (2 * one.connections + one.waiting) for one in listeners),
        largest=WORK_TIMES * max((one.body for one in listeners), default=0),
    )
