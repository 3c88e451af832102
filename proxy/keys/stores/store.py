"""What a store is: records that expire, and one atomic way to agree on them.

All records of a conversation have its `name`, a keyed hash: the current session, the keys of its
ephemeral sessions, its revocation, and its fence, under which the keys are kept.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from ..policy import (
    CANCEL_AGAIN_SECONDS,
    FENCE_MARGIN_MS,
    FENCE_MS,
    HELD_UP_SECONDS,
    MAX_SKEW_SECONDS,
)

CLOCK_SKEW_MS: Final = MAX_SKEW_SECONDS * 1000

CURRENT: Final = "cur"
REVOCATION: Final = "rev"
NOTE: Final = "note"
FENCE: Final = "fence"


def key_place(key_id: str) -> str:
    """Return the place of an ephemeral session's key, below the conversation's name."""
    return f"k:{key_id}"


def erased(name: str) -> str:
    """Return what is published when the session keys of a conversation were destroyed."""
    return f"{name}!"


@dataclass(frozen=True, slots=True)
class Under:
    """The fence that a record is kept under: the one `seen`, or `first` where none was and is.

    Whoever has seen a fence keeps nothing where it is missing or another.
    """

    seen: bytes | None
    first: bytes = b""


def fence_ms(keep_ms: int) -> int:
    """Return how long a fence stands at least that something is kept under for `keep_ms`."""
    return min(keep_ms + FENCE_MARGIN_MS, FENCE_MS)


@dataclass(frozen=True, slots=True)
class Offer:
    """A session record that a process offers under `name`, current for `ttl_ms` milliseconds.

    An ephemeral session is also kept under its `key_id`, for `keep_ms`. `made_ms` is when it was
    made (milliseconds since 1970; 0 is not compared with the store's clock). `under` is the fence
    to compare; None compares none.
    """

    name: str
    record: bytes
    ttl_ms: int
    key_id: str = ""
    keep_ms: int = 0
    made_ms: int = 0
    under: Under | None = None


@dataclass(frozen=True, slots=True)
class HeldRecords:
    """What the store holds, for how many more milliseconds by its clock, and the revocation.

    The store is not trusted: records authenticate themselves, and the time left is capped.
    """

    record: bytes
    remaining_ms: int
    revocation: bytes | None = None


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """The revocation of a conversation, and each key that was asked for (None: there is none).

    `current` is the record of its current session, and `fence` the fence of its keys, if there is
    one and it was asked for.
    """

    revocation: bytes | None
    keys: tuple[HeldRecords | None, ...]
    current: bytes | None = None
    fence: bytes | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The revocation that a store holds, and what has it: so many replicas, and its disk or not.

    None where that is not known.
    """

    revocation: bytes | None
    replicas: int | None = None
    disk: bool | None = None


Changed = Callable[[str | None], None]
"""Called with the name of a conversation that another process rotated or revoked, or `erased` of
it; with None, any may have changed."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a store has room for, and what of it is taken: keys in memory, pages in SQLite."""

    taken: int
    most: int


class Store(Protocol):
    """Keeps records of all processes that share a keyring.

    Operations are atomic among those processes and judge time by the store's clock alone. They
    raise StoreFailed when the store does not answer, StoreFull where a record that may be the only
    copy of a key finds no room: none that has not ended makes room for it.

    A store cannot tell whether a record is authentic, so it compares no contents: a record replaces
    the one that the caller has `seen` and verified, or none. If the store holds another one by
    then, that one stays and is returned, for the caller to verify.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes use the same store."""

    @property
    def subscribed(self) -> bool:
        """Whether changes by other processes are notified; else they are read later."""

    @property
    def room(self) -> Room | None:
        """How much of the room for keys is taken; None where it is not limited here."""

    @property
    def keeps_time(self) -> bool:
        """Whether the store has a clock of its own, which decides where others differ."""

    def time(self) -> float | None:
        """Return the time of the store's own clock, in seconds since 1970.

        None as long as it is not known: it comes with the first answer.
        """

    async def open(self, changed: Changed) -> None:
        """Prepare, and from now on call `changed` for what other processes change, where possible.

        It waits for nothing on the network. Raises UnfitEnvironment for files that cannot be used.
        """

    async def get_or_create(self, offer: Offer) -> HeldRecords:
        """Return the current session of the name; where there is none, keep the offer first.

        Of any number of concurrent calls under one name, all return the same record. Raises Fenced
        where the offer would be kept and its fence is not the one that stands.
        """

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Replace the record seen, or none, by the offer; return what the store then holds.

        Keys of earlier sessions stay as they are. Raises Fenced as `get_or_create` does.
        """

    async def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Return the revocation of the conversation and the keys of ephemeral sessions.

        Its current session and its fence are returned as well where they are asked for.
        """

    async def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Replace the revocation seen by this endless one; return what the store then holds.

        `not_before` (seconds since 1970) is the time that it says. A store with a clock of its own
        raises ClockRefused for a time in the future.
        """

    async def note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Replace the note seen by this one; return what the store then holds.

        It has no end. Its name is published if `publish`. None only reads.
        """

    async def keep(  # noqa: PLR0913 - what is kept, where, and what it is compared with
        self,
        name: str,
        key_id: str,
        record: bytes,
        keep_ms: int,
        *,
        seen: bytes | None = None,
        under: Under | None = None,
    ) -> HeldRecords:
        """Replace the record seen under a key id by this one; return what the store then holds.

        It ends after `keep_ms` and is not published. `find` finds it as it finds the key of an
        ephemeral session. Raises Fenced where the fence that stands is not the one in `under`; None
        compares none.
        """

    async def kept(self, name: str) -> dict[str, bytes]:
        """Return all that is kept under a name by key ids, keys of ephemeral sessions included."""

    async def listed(self, name: str, key_id: str) -> bool:
        """Return whether `kept` looks for a key id: in Redis a list says so.

        Any client may edit it, so who relies on being found asks.
        """

    async def erase(
        self,
        name: str,
        fence: bytes,
        *,
        seen: bytes | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, bytes]:
        """Destroy the current session and all session keys; return what the latter were, by id.

        In the same step the fence takes the place of the one seen, for FENCE_MS: nothing is kept
        any more under the former one. With `only`, the keys of these ids are destroyed, and the
        current session stays. Revocations stay. `erased(name)` is published. Any client of the
        store may have written records: the caller verifies them. Raises Fenced where another fence
        stands than the one seen; then nothing is destroyed.
        """

    async def runs(self) -> int:
        """Return a number that grows whenever the store may have lost what it acknowledged.

        That is where a connection was made after one was lost.
        """

    async def settled(self, name: str) -> Settled | None:
        """Wait until what was written under a name outlasts a crash and a failover, if it can.

        That takes some seconds at most. None where a write that is acknowledged has settled.
        """

    async def elsewhere(self) -> str:
        """Return who may have written to another copy of the store, unknown to this one.

        It is empty where there is one copy, or one that takes no writes alone.
        """

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place, to look for leaks."""

    async def close(self) -> None:
        """Close all connections and drop records in memory."""


class OneCopy:
    """What stores have in common that only the processes of one machine use, so with one clock."""

    subscribed = False
    keeps_time = False

    def time(self) -> float | None:
        """Return None: those processes have one clock."""
        return None

    async def runs(self) -> int:
        """Return 0: it loses nothing without losing this process's connection for good."""
        return 0

    async def elsewhere(self) -> str:
        """Return that there is no other copy."""
        return ""

    async def settled(self, name: str) -> Settled | None:
        """Return None: there are no replicas, and what is acknowledged is where it stays."""
        return None


class StoreFailed(Exception):
    """The store did not answer as it should. It never reaches a client; `str` is a reason code."""

    usual = "store-failed"

    def __init__(self, reason: str = "", *, errno: str = "") -> None:
        """Keep the reason for the log, or the usual one of the class.

        `errno` is the name of the error that the system or SQLite gave, if it did.
        """
        super().__init__(reason or self.usual)
        self.errno = errno


class Told(str):
    """A reason code for the log, with the name of the error below it."""

    __slots__ = ("errno",)
    errno: str

    @classmethod
    def of(cls, reason: str, error: BaseException) -> Told:
        """Return the reason, with what the error says."""
        made = cls(reason)
        made.errno = error.errno if isinstance(error, StoreFailed) else errno_of(error)
        return made


def errno_of(error: BaseException) -> str:
    """Return the name of the error of the system or of SQLite; "" for any other."""
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, "")
    return str(getattr(error, "sqlite_errorname", ""))


class Misshapen(StoreFailed):
    """The store's response has an unexpected shape."""

    usual = "store-misshapen"


class Stale(StoreFailed):
    """The store's response is that to an earlier question."""

    usual = "store-stale"


class StoreRefused(StoreFailed):
    """The store answers, and refuses the operation."""


class Fenced(StoreRefused):
    """Nothing was kept or destroyed: `fence` stands, and the caller has seen another, or none."""

    usual = "store-fenced"

    def __init__(self, fence: bytes | None) -> None:
        """Take the fence that stands; None where there is none any more."""
        super().__init__()
        self.fence = fence


class StoreFull(StoreRefused):
    """There is no room left but that of keys that still open something."""

    usual = "store-full"


class ClockRefused(StoreRefused):
    """The store answers, and its clock is too far from ours."""

    usual = "store-clock-skew"


async def end(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait until it has ended.

    Again and again: a cancellation that meets a time-out inside a library can get lost.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)


class Patience:
    """Raises TimeoutError where the block takes longer, but not for what this process itself lost.

    Where it was held up until then, as by others that use the processor or by a quota, an answer
    may lie unread in its socket: the event loop ends waits before it reads. So it waits once more,
    for as long as it was held up, at most `seconds`. `loop` is the one that runs.
    """

    __slots__ = ("_due", "_limit", "_seconds", "_timer", "loop")

    def __init__(self, seconds: float) -> None:
        """Be ready to wait."""
        self.loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        """Begin to wait."""
        self._due = self.loop.time() + self._seconds
        await self._limit.__aenter__()
        self._timer = self.loop.call_at(self._due, self._over)
        return self

    @property
    def left(self) -> float:
        """How many seconds are left of them."""
        return self._due - self.loop.time()

    async def __aexit__(self, *left: object) -> None:
        """Wait no more."""
        self._timer.cancel()
        await self._limit.__aexit__(*left)  # type: ignore[arg-type]  # it gets what this is given

    def _over(self) -> None:
        now = self.loop.time()
        late = now - self._due
        self._limit.reschedule(now + (min(late, self._seconds) if late > HELD_UP_SECONDS else 0))
