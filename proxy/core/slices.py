"""Where long work may pause: between steps of a millisecond or so.

The core waits for nothing and reads no clock. Whoever runs it says by `pausing` what a pause is;
without that, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from .policy import PIECE_BYTES

_T = TypeVar("_T")
_pause: Callable[[], None] | None = None


def pause() -> None:
    """Let others run if this slice has used up its time. Raises what `pausing` was given."""
    if _pause is not None:
        _pause()


def paused(items: Iterable[_T]) -> Iterator[_T]:
    """Yield each item after a pause."""
    for item in items:
        pause()
        yield item


def pieces(text: bytes, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield a text in pieces of so many bytes, each after a pause."""
    for at in range(0, len(text), size):
        pause()
        yield text[at : at + size]


@contextmanager
def pausing(how: Callable[[], None]) -> Iterator[None]:
    """Let every `pause` in the block call `how`, in whatever thread it is."""
    global _pause  # noqa: PLW0603 - a parameter of all that the core does, which few of its callers need
    _pause = how
    try:
        yield
    finally:
        _pause = None
