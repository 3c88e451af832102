"""Memory of large messages: reused between them, and returned once there are no more.

glibc asks the system for each large block and gives it back with the block, so that a body of
megabytes costs thousands of page faults at each step that copies it: a third of its CPU time. Here
the allocator keeps what becomes free, up to a bound, and every few seconds the system gets back
what was free then. Where there is another C library, all stays as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .policy import (
    COLLECTED_SECONDS,
    GROWN_BYTES,
    KEPT_BYTES,
    LARGEST_BYTES,
    PRESSED_SECONDS,
    PRESSED_SHARE,
    WORTH_BYTES,
)

_M_ARENA_MAX: Final = -8
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_NEVER: Final = 1_000_000_000


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def use_one_arena() -> None:
    """Let all threads allocate from the same memory; call it before there are any.

    Each would get memory of its own, and keep what becomes free in it. No two allocate at the same
    time anyway: Python runs one of them.
    """
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class Memory:
    """The allocator of this process. `kept` says whether it can be tuned."""

    __slots__ = ("_free", "_library", "kept")

    def __init__(self) -> None:
        """Change nothing yet."""
        self._library: Any = ctypes.CDLL(None)
        self._free = 0
        self.kept = False

    def keep(self) -> None:
        """Keep from now on what becomes free, up to 64 MiB. What is free now goes back.

        What there is now stays: no collection of cycles looks at it again, which would take some
        dozen milliseconds each time.
        """
        gc.collect()
        gc.freeze()
        try:
            self._library.malloc_trim(0)
            self._library.mallinfo2.restype = _Mallinfo2
            self.kept = all(
                self._library.mallopt(option, size) == 1
                for option, size in (
                    (_M_MMAP_THRESHOLD, LARGEST_BYTES),
                    (_M_TRIM_THRESHOLD, KEPT_BYTES),
                )
            )
        except AttributeError:  # not glibc, or one before 2.33
            return

    def give_back(self) -> None:
        """Give back what is free, where that is worth a look: some milliseconds at most."""
        if not self.kept:
            return
        free: int = self._library.mallinfo2().fordblks
        # What has been given back counts as free all the same.
        if free > WORTH_BYTES and free != self._free:
            self._library.malloc_trim(0)
            free = self._library.mallinfo2().fordblks
        self._free = free


class Garbage:
    """Full collections of cycles: none by the way while it is held, but one where it is due.

    To look at all that the plans of long messages hold takes some dozen milliseconds, in which the
    process does nothing else, and finds nothing. But cycles could hold bodies that the budget of
    bytes no longer counts, or does while nobody needs them.
    """

    __slots__ = ("_collected", "_held", "_resident", "_taken", "_thresholds")

    def __init__(self, taken: Callable[[], float] = float) -> None:
        """`taken` returns which share of the budget of bytes is taken."""
        self._taken = taken
        self._held = False
        self._collected = 0.0
        self._resident = 0
        self._thresholds = gc.get_threshold()

    def hold(self, now: float) -> None:
        """Suspend collections until `release`; where they are, collect if it is due at `now`."""
        if not self._held:
            self._held = True
            self._thresholds = gc.get_threshold()
            gc.set_threshold(*self._thresholds[:2], _NEVER)
        elif not self._due(now - self._collected):
            return
        else:
            gc.collect()
        self._collected, self._resident = now, resident_bytes()

    def release(self) -> None:
        """Let the interpreter collect as it does."""
        self._held = False
        gc.set_threshold(*self._thresholds)

    def _due(self, lasted: float) -> bool:
        return lasted > COLLECTED_SECONDS or (
            lasted > PRESSED_SECONDS
            and (self._taken() >= PRESSED_SHARE or resident_bytes() - self._resident > GROWN_BYTES)
        )


_STATM: Final = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return the memory that the process holds now, or at most held where only that is known."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cpu_seconds() -> float:
    """Return the CPU time that the process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
