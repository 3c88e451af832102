"""What the engine asks of a place where rows are stored.

A place that cannot be read or written raises MigrationFailed, whose reason is a code such as an
SQLSTATE: the messages of databases hold values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from ...core.errors import MigrationFailed
from ..job.collections import HttpCollection
from ..job.model import StoredTable
from ..values.treatment import Key, StoredRow
from .keepers import Inspection

Replaced = tuple[StoredRow, Sequence[bytes | None]]
"""A row as it was read, and its new cells; None keeps a cell."""

Look = Callable[[], None]
"""Raises where what is about to be written must not be."""


class Source(Protocol):
    """The rows of one table, in the order of their keys."""

    name: str
    """What distinguishes this place and table from another, without a secret."""
    look: Look
    """Called before a transaction commits or a request writes: what it raises undoes that."""

    @property
    def table(self) -> StoredTable | HttpCollection:
        """The table; what the place knows of its columns goes before what the job says."""

    @property
    def refused(self) -> Mapping[Key, str]:
        """The rows that the last `write` did not write since the place does not take them, and why.

        The reason is a code.
        """

    def widths(self) -> tuple[int | None, ...]:
        """Return how many characters each column may hold; None for no limit."""

    def widen(self, column: int, characters: int) -> str:
        """Return the statement that makes a column so wide."""

    def count(self) -> int | None:
        """Return about how many rows there are, if that can be told."""

    def borders(self, parts: int) -> list[Key]:
        """Return keys that part the rows into so many ranges of about the same size, or fewer.

        None where one process has to read all of them.
        """

    def begin_proof(self, state: str | None = None) -> str | None:
        """Read one state of the table from now on, and write nothing; None if that cannot be.

        Returns a name by which sources in other processes read the same state for as long as this
        one is open, or "" where they cannot. `state` is such a name.
        """

    def page(self, after: Key | None, until: Key | None) -> list[StoredRow]:
        """Return the next rows with a key above `after`, up to `until`; none at the end.

        None stands for the beginning, or the end.
        """

    def again(self, after: Key | None, last: Key, keys: Collection[Key]) -> list[StoredRow]:
        """Return rows of the page behind `after` that ended with `last`, as they are now.

        They are found by their keys, whatever has been inserted between them; rows that are gone
        are not.
        """

    def write(self, rows: Sequence[Replaced]) -> Collection[Key]:
        """Replace cells of rows. All are written when it returns.

        Returns the keys of the rows that were written. The others were changed since `page`
        returned them, or are `refused`.
        """

    def edition(self) -> str:
        """Return what is another one once rows may have other keys; empty where they keep them."""

    def exclude(self) -> None:
        """Keep other runs that write from the table for as long as it is open.

        Raises MigrationFailed (`table-in-use`) where another run has it.
        """

    def lag(self) -> float:
        """Return how many seconds the slowest replica is behind.

        Raises MigrationFailed (`throttle-blind`) where that cannot be told, as `sessions` does.
        """

    def sessions(self) -> int:
        """Return how many sessions of others are active."""

    def inspection(self) -> Inspection | None:
        """Return what tells who else has values; None where nothing can be asked."""

    def close(self) -> None:
        """Give back what it holds. A write that has not returned is undone, or was done whole."""


def nothing() -> None:
    """Look at nothing."""


class ReadInOrder:
    """What is the same for all that one process reads from its beginning to its end."""

    look: Look = staticmethod(nothing)

    @property
    def refused(self) -> Mapping[Key, str]:
        """None: a stream takes all."""
        return {}

    def widen(self, column: int, characters: int) -> str:
        """Return nothing: no value has a column of a database."""
        return ""

    def count(self) -> int | None:
        """Return None: only its end tells."""
        return None

    def borders(self, parts: int) -> list[Key]:
        """Return none: it has one reader."""
        return []

    def edition(self) -> str:
        """Return nothing: no row has another key later."""
        return ""

    def exclude(self) -> None:
        """Do nothing: it has one reader, and a backend compares what it writes."""

    def lag(self) -> float:
        """Raise MigrationFailed: no database is known."""
        raise MigrationFailed("throttle-blind", detail="only servers of databases have replicas")

    def sessions(self) -> int:
        """Raise MigrationFailed, as `lag`."""
        raise MigrationFailed("throttle-blind", detail="only servers of databases have sessions")

    def inspection(self) -> Inspection | None:
        """Return None: what a stream was made from, and what a backend keeps, is not known."""
        return None

    def begin_proof(self, state: str | None = None) -> str | None:
        """Return None: what is read first may be older than what is read last."""
        return None
