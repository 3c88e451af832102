"""Bodies that are planned piece by piece while they come: records, and parts of a form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .pipeline import Plan


class PlannedFlow(ABC):
    """Gives bytes that may go on as they are, and plans; what these become is for `apply`.

    Each plan must be carried out before the next step is asked for. After an error nothing more
    comes: whoever sends the pieces on must let their receiver see that they were cut.
    """

    __slots__ = ()

    @property
    def holds(self) -> bool:
        """Whether nothing of what has come out may go on yet."""
        return False

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[bytes | Plan]:
        """Take bytes; yield what there is to do with them. Raises MessageError."""

    @abstractmethod
    def end(self) -> Iterator[bytes | Plan]:
        """Learn that the body ends here; yield what is left to do. Raises MessageError."""
