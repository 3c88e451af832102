"""The sources of a job's tables. A new kind of place is one more function here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import BinaryIO

from ...config.settings import SecretReference
from ...core.errors import MigrationFailed
from ...keys.private_file import read_line
from ..job.model import Job, Mysql, Pipe, Postgresql, Sqlite, StoredTable
from .pipe import PipeSource
from .source import Source
from .sqlite import SqliteSource

_MOST_BYTES = 4096


def open_source(
    job: Job,
    table: StoredTable,
    streams: tuple[BinaryIO, BinaryIO | None],
    environ: Mapping[str, str],
) -> Source:
    """Return the rows of a table; `streams` are what a pipe reads, and what it writes to, if any.

    Raises MigrationFailed where they cannot be read.
    """
    place = job.place
    if isinstance(place, Pipe):
        return PipeSource(place.format, table, *streams)
    if isinstance(place, Sqlite):
        return SqliteSource(place.file, table)
    if isinstance(place, Postgresql):
        return _postgresql(place, table, environ)
    return _mysql(place, table, environ)


def _postgresql(place: Postgresql, table: StoredTable, environ: Mapping[str, str]) -> Source:
    _require("psycopg", "postgresql")
    from .postgresql import PostgresqlSource  # noqa: PLC0415 - an extra

    return PostgresqlSource(place.address, _secret(place.password, environ), table)


def _mysql(place: Mysql, table: StoredTable, environ: Mapping[str, str]) -> Source:
    _require("pymysql", "mysql")
    from .mysql import MysqlSource  # noqa: PLC0415 - an extra

    return MysqlSource(place, _secret(place.password, environ), table)


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        detail = f"install it: pip install 'sealyard[{extra}]'"
        raise MigrationFailed("driver-missing", detail=detail)


def _secret(reference: SecretReference | None, environ: Mapping[str, str]) -> str | None:
    """Return a password; raise KeyringError for a file that others can read."""
    if reference is None:
        return None
    if reference.file is not None:
        return read_line(reference.file, _MOST_BYTES).decode()
    password = environ.get(reference.env or "")
    if not password:
        raise MigrationFailed("no-password", detail=f"the variable {reference.env} is not set")
    return password
