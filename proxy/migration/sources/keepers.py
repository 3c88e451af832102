"""What keeps or receives plaintext beside the rows of a table, what a run costs, what cleans up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

Run = Callable[..., Sequence[Sequence[Any]]]
"""Returns the rows of SQL with its values; raises MigrationFailed with the code of an error."""

Effect = Literal["receives", "keeps", "shows"]
"""`receives`: `seal` writes plaintext there anew. `keeps`: what is there stays until it is cleaned.

`shows`: it stores nothing, and has tokens where it had values.
"""


class Keeper(NamedTuple):
    """Something that depends on a table: `name` is what a job accepts it by.

    `told` says what it does with values, `cure` what to do about it.
    """

    name: str
    effect: Effect
    told: str
    cure: str


class Change(NamedTuple):
    """What `seal` changes in a table: so many rows, whose cells have so many bytes."""

    rows: int
    before: int
    after: int


class Cost(NamedTuple):
    """What a run costs, in bytes: what files grow by, and what the log of changes receives.

    `free` is what is free on the disk of the files, if that can be told from here.
    """

    disk: int
    log: int
    log_name: str
    free: int | None


class ScrubStep(NamedTuple):
    """A statement that removes old values, and what from."""

    sql: str
    removes: str


class Inspection(Protocol):
    """What a database says of a table. Its methods raise MigrationFailed with a code."""

    snapshot: str
    """What the snapshot of `verify` holds back for as long as it is read."""

    def keepers(self) -> Iterator[Keeper]:
        """Yield what depends on the columns of the job."""

    def cost(self, change: Change) -> Cost:
        """Return what a change costs, about."""

    def steps(self) -> Iterator[ScrubStep]:
        """Yield what removes old values from files, in the order in which it is to be done."""

    def clean(self, step: ScrubStep) -> None:
        """Do a step."""

    def files(self) -> Sequence[Path]:
        """Return the data files, where they are known without asking."""


def free_bytes(folder: str | None) -> int | None:
    """Return how much is free where a folder of this machine is; None for one that is not here."""
    try:
        return None if folder is None else shutil.disk_usage(folder).free
    except OSError:
        return None


def place_of(name: str) -> tuple[str | None, str]:
    """Return the schema of a table of a job, if it is named, and its name in it."""
    schema, _, table = name.rpartition(".")
    return schema or None, table


LOCAL = frozenset({"", "127.0.0.1", "::1", "localhost"})
"""Hosts whose folders are those of this machine."""
