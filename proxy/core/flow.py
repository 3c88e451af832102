"""Flows: bodies that change while they pass, piece by piece, in the memory that a piece takes."""

from __future__ import annotations

from typing import Protocol

from .digests import Digests


class Flow(Protocol):
    """Changes one body: bytes in, bytes out, and no wait for anything but the body's own bytes.

    What came out before `end` has returned is no whole body, and after an error nothing more comes:
    whoever sends it on must let its receiver see that it was cut.
    """

    @property
    def holds_head(self) -> bool:
        """Whether the head of the message waits for the first bytes that come out.

        A body that fails before them is answered with a problem, and nobody has seen any of it.
        """

    def length(self, length: int | None) -> int | None:
        """Return how many bytes will come out where `length` go in, None where nobody can tell.

        Raises MessageError where a body of that length cannot be right.
        """

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body and return what may go on now, maybe nothing.

        Raises MessageError.
        """

    def end(self) -> bytes:
        """Learn that the body ends here, and return the rest of what may go on.

        Raises MessageError where it cannot be all of the body.
        """


class CheckedFlow:
    """A flow whose body must be the one that its digests tell of: else it never ends."""

    __slots__ = ("_digests", "_flow")

    def __init__(self, flow: Flow, digests: Digests) -> None:
        """Begin; the digests are of what goes in."""
        self._flow = flow
        self._digests = digests

    @property
    def holds_head(self) -> bool:
        """Whether the head waits, as for the flow itself."""
        return self._flow.holds_head

    def length(self, length: int | None) -> int | None:
        """Return how many bytes will come out."""
        return self._flow.length(length)

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body."""
        self._digests.update(data)
        return self._flow.feed(data)

    def end(self) -> bytes:
        """Return the rest; raise DigestMismatch before any of it where the body is another one."""
        self._digests.check()
        return self._flow.end()
