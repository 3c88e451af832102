"""What clients were promised, and what became of each request: the oracle's memory."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Final, Literal

from tools.chaos.sealyard import MODES, Mode

Kind = Literal["messages", "forms", "sockets", "files", "streams"]
LISTED: Final = frozenset({"messages", "forms", "sockets"})
CALM: Final = "no fault"
BUSY: Final = "machine too busy to tell"
_EXAMPLES: Final = 12
_BEYOND_ASCII: Final = '"ä€\U0001f600\\" '


def text(canary: str, number: int, size: int) -> str:
    """Return the plaintext of a message: about `size` characters, not all of them ASCII."""
    noise = hashlib.shake_256(f"{canary} {number}".encode()).hexdigest(size // 2)
    return f"{canary} {number} {_BEYOND_ASCII if number % 2 else ''}{noise}"


def binary(canary: str, number: int, size: int) -> bytes:
    """Return the plaintext of a file: `size` bytes, which begin and end with the canary."""
    mark = f"{canary} {number} ".encode()
    noise = hashlib.shake_256(mark).digest(max(size - 2 * len(mark), 0))
    return mark + noise + mark


@dataclass(frozen=True, slots=True)
class Message:
    """One that was acknowledged, at `at` (seconds of the monotonic clock)."""

    number: int
    mode: Mode
    room: str
    kind: Kind
    size: int
    at: float


@dataclass(slots=True)
class Row:
    """What happened while a fault lasted, and two seconds longer."""

    times: int = 0
    requests: int = 0
    acknowledged: int = 0
    cut: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Window:
    """When a fault lasted, and for how many seconds more requests may suffer from it."""

    name: str
    layer: str
    began: float
    after: float
    ended: float = math.inf

    @property
    def over(self) -> float:
        """Until when requests may suffer from it."""
        return self.ended + self.after


class Journal:
    """All acknowledged messages, the faults, and every breach of a promise."""

    def __init__(self, canary: str) -> None:
        self.canary = canary
        self.acknowledged: dict[Mode, list[Message]] = {mode: [] for mode in MODES}
        self.rooms: dict[str, list[Message]] = defaultdict(list)
        self.windows: list[Window] = []
        self.rows: dict[str, Row] = defaultdict(Row)
        self.breaches: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.expected_causes: list[tuple[str, str, str]] = []
        self._ended: dict[Mode, float] = dict.fromkeys(MODES, 0.0)
        self._revoked: dict[str, float] = {}
        self.flushes: dict[Mode, int] = dict.fromkeys(MODES, 0)
        self._busy_until = 0.0
        self.busy_seconds = 0.0
        self._number = 0

    # --- messages -----------------------------------------------------------------------------

    def next_number(self) -> int:
        """Return a number that no message has."""
        self._number += 1
        return self._number

    def acknowledge(self, message: Message) -> None:
        """Keep a message that a client was told is stored."""
        self.acknowledged[message.mode].append(message)
        if message.kind in LISTED:
            self.rooms[message.room].append(message)

    def alive(self, message: Message) -> bool:
        """Whether it must open: neither a flush nor a revocation has ended its session."""
        ended = max(self._ended[message.mode], self._revoked.get(message.room, 0.0))
        return message.at > ended

    def pick(self, mode: Mode, random: Random, kinds: frozenset[str]) -> Message | None:
        """Return an acknowledged message, mostly a recent one, that must open."""
        known = self.acknowledged[mode]
        for _ in range(8):
            if not known:
                return None
            recent = random.random() < 0.7  # noqa: PLR2004 - a share
            first = max(len(known) - 300, 0) if recent else 0
            found = known[random.randrange(first, len(known))]
            if found.kind in kinds and self.alive(found):
                return found
        return None

    def end(self, mode: Mode, at: float) -> None:
        """Note that what was acknowledged up to then need not open any more."""
        self._ended[mode] = max(self._ended[mode], at)
        # From here on rooms have other names: a process that cannot ask Redis goes on to seal under
        # the lost keys that it has cached of the old ones, until their soft end.
        self.flushes[mode] += 1

    def revoke(self, room: str, at: float) -> None:
        """Note the same for one room; an infinite time while the revocation spreads."""
        self._revoked[room] = at

    def settling(self, room: str) -> bool:
        """Whether a revocation of a room is spreading."""
        return math.isinf(self._revoked.get(room, 0.0))

    # --- faults and breaches --------------------------------------------------------------------

    def blame(self, began: float) -> Window | None:
        """Return the fault that a request which began then, and ends now, may suffer from."""
        for window in reversed(self.windows[-8:]):
            if window.over >= began:
                return window
        return None

    def row(self, began: float) -> Row:
        """Return the row of a request that began then, and ends now."""
        window = self.blame(began)
        if window is not None:
            return self.rows[window.name]
        return self.rows[BUSY if self.busy(began) else CALM]

    def late(self, since: float, after: float) -> None:
        """Note that the machine gave this process no time from then until now."""
        now = time.monotonic()
        self.busy_seconds += now - since
        self._busy_until = max(self._busy_until, now + after)

    def busy(self, began: float) -> bool:
        """Whether the machine was too busy for a request that began then, and ends now."""
        return self._busy_until >= began

    def recovered(self, window: Window, seconds: float, promised: float) -> bool:
        """Note how long a recovery took; return whether that was in time, or cannot be told."""
        untold = seconds > promised and self.busy(window.ended)
        self.rows[window.name].times += 1
        self.rows[BUSY if untold else window.name].recoveries.append(seconds)
        return untold or seconds <= promised

    def disturbed(self, layer: str, for_seconds: float) -> bool:
        """Whether a fault of that layer lasts, or ended less than that long ago."""
        now = time.monotonic()
        recent = self.windows[-8:]
        return any(one.layer == layer and one.ended + for_seconds > now for one in recent)

    def breach(self, kind: str, what: str) -> None:
        """Note that a promise was broken."""
        self.breaches[kind] += 1
        if len(self.examples[kind]) < _EXAMPLES:
            self.examples[kind].append(what)

    def requested(self, began: float) -> Row:
        """Count a request that ended now, and return its row."""
        row = self.row(began)
        row.requests += 1
        return row

    def calm(self, began: float) -> bool:
        """Whether neither a fault nor the machine can excuse a request that began then."""
        return self.blame(began) is None and not self.busy(began)

    def alive_by_room(self, mode: Mode) -> Iterator[list[Message]]:
        """Yield, room by room, the listed messages that must open."""
        for found in self.rooms.values():
            must = [one for one in found if one.mode == mode and self.alive(one)]
            if must:
                yield must
