"""The sources of a job's tables. A new kind of place is one more function here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import BinaryIO, Final

from ...config.settings import SecretReference
from ...core.errors import MigrationFailed
from ...keys.private_file import read_line
from ...keys.sessions.sessions import Sessions
from ..job.collections import HttpCollection
from ..job.model import DEFAULT_ROWS, Job, StoredTable, Verb
from ..job.places import Http, Mysql, Pipe, Postgresql, Sqlite
from ..policy import PASSWORD_BYTES
from ..values.sealing import RunSessions
from ..values.treatment import RowTreatment, Treatment
from .pipe import PipeSource
from .source import Source

_VISIBLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


def open_source(
    job: Job,
    table: StoredTable | HttpCollection,
    streams: tuple[BinaryIO, BinaryIO | None],
    environ: Mapping[str, str],
) -> Source:
    """Return the rows of a table; `streams` are what a pipe reads, and what it writes to, if any.

    Raises MigrationFailed where they cannot be read.
    """
    place = job.place
    if isinstance(table, HttpCollection):
        assert isinstance(place, Http)  # noqa: S101 - the reader lets no other place have them
        return _http(place, table, environ)
    if isinstance(place, Pipe):
        return PipeSource(place.format, table, *streams)
    if isinstance(place, Sqlite):
        from .sqlite import SqliteSource  # noqa: PLC0415 - takes memory

        return SqliteSource(place.file, table)
    if isinstance(place, Postgresql):
        _require("psycopg", "postgresql")
        from .postgresql import PostgresqlSource  # noqa: PLC0415 - an extra

        return PostgresqlSource(place.address, _secret(place.password, environ), table)
    assert isinstance(place, Mysql)  # noqa: S101 - as above
    _require("pymysql", "mysql")
    from .mysql import MysqlSource  # noqa: PLC0415 - an extra

    return MysqlSource(place, _secret(place.password, environ), table)


def treatment(
    source: Source,
    verb: Verb,
    sessions: Sessions,
    sealing: RunSessions,
    only: str | None = None,
) -> RowTreatment:
    """Return what treats the rows of a source: the columns of a table, or the rules of a list.

    It changes values of `only` one conversation; None: of all.
    """
    table = source.table
    if isinstance(table, StoredTable):
        return Treatment(table, verb, sessions, sealing, source.widths(), only=only)
    from .http import HttpSource  # noqa: PLC0415 - rules take memory

    assert isinstance(source, HttpSource)  # noqa: S101 - no other has a collection
    return source.treatment(verb, sessions, sealing, only)


def scopes(table: StoredTable | HttpCollection) -> int:
    """Return how many conversations the values of a batch can be of."""
    if isinstance(table, HttpCollection):
        return 2 * DEFAULT_ROWS * len(table.labels)
    return table.batch * sum(1 + len(column.former) for column in table.columns)


def _http(place: Http, table: HttpCollection, environ: Mapping[str, str]) -> Source:
    from .http import HttpSource  # noqa: PLC0415 - rules take memory

    headers: dict[str, str] = {}
    for name, given in place.headers:
        value = given if isinstance(given, str) else _secret(given, environ) or ""
        if not _VISIBLE.fullmatch(value):
            raise MigrationFailed("not-a-header", detail=name)
        headers[name] = value
    return HttpSource(place, headers, table)


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        detail = f"install it: pip install 'sealyard[{extra}]'"
        raise MigrationFailed("driver-missing", detail=detail)


def _secret(reference: SecretReference | None, environ: Mapping[str, str]) -> str | None:
    """Return a password; raise KeyringError for a file that others can read."""
    if reference is None:
        return None
    if reference.file is not None:
        return read_line(reference.file, PASSWORD_BYTES).decode()
    password = environ.get(reference.env or "")
    if not password:
        raise MigrationFailed("no-password", detail=f"the variable {reference.env} is not set")
    return password
