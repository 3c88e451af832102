"""The sources of a job's tables. A new kind of place is one more function here."""

from __future__ import annotations

from typing import BinaryIO

from ..job.model import Job, Pipe, Sqlite, StoredTable
from .pipe import PipeSource
from .source import Source
from .sqlite import SqliteSource


def open_source(job: Job, table: StoredTable, streams: tuple[BinaryIO, BinaryIO | None]) -> Source:
    """Return the rows of a table; `streams` are what a pipe reads, and what it writes to, if any.

    Raises MigrationFailed where they cannot be read.
    """
    place = job.place
    if isinstance(place, Pipe):
        return PipeSource(place.format, table, *streams)
    assert isinstance(place, Sqlite)  # noqa: S101 - there is no other place
    return SqliteSource(place.file, table)
