"""What the code of a failed migration means, and what to do.

Texts of databases are not shown: they may hold values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ...core.errors import MigrationFailed

_NO_TABLE: Final = "a table or a column of the job does not exist there; compare `tables`"
_NO_RIGHT: Final = "the user may not do this; grant it SELECT and UPDATE on the tables"
_NO_LOGIN: Final = "the user or the password is wrong; correct `source`"
_AWAY: Final = "the server cannot be reached; start it, or correct its address in `source`"
_BUSY: Final = "another process holds a lock; run it again to go on"
_FULL: Final = "the disk of the database is full; free it, and run it again to go on"
_WORDS: Final = {
    "SQLITE_CANTOPEN": "the file of `sqlite` is not there or cannot be opened; correct its path",
    "SQLITE_NOTADB": "the file of `sqlite` is no database; correct its path",
    "SQLITE_READONLY": "the file of `sqlite` may not be written; change its rights",
    "SQLITE_ERROR": _NO_TABLE,
    "SQLITE_BUSY": _BUSY,
    "SQLITE_FULL": _FULL,
    "sqlstate 28P01": _NO_LOGIN,
    "sqlstate 28000": _NO_LOGIN,
    "sqlstate 3D000": "there is no such database; correct `source`",
    "sqlstate 42P01": _NO_TABLE,
    "sqlstate 42703": _NO_TABLE,
    "sqlstate 42501": _NO_RIGHT,
    "sqlstate 53100": _FULL,
    "sqlstate 55P03": _BUSY,
    "OperationalError": _AWAY,
    "error 1045": _NO_LOGIN,
    "error 1049": "there is no such database; correct `source`",
    "error 1054": _NO_TABLE,
    "error 1142": _NO_RIGHT,
    "error 1146": _NO_TABLE,
    "error 2002": _AWAY,
    "error 2003": _AWAY,
    "connection-refused": _AWAY,
    "name-not-resolved": "the host of the upstream is unknown; correct its name, or DNS",
    "certificate-not-trusted": "the certificate of the backend is not trusted; see `upstream_tls`",
    "no-answer-in-time": "the backend does not answer in time; run it again to go on",
    "answer-not-json": "the backend answers something else than JSON; compare `list` and `items`",
    "quote-not-closed": "a quoted cell has no end; is the format that of `pipe`?",
    "not-csv": "the record is no CSV of RFC 4180; is the format that of `pipe`?",
    "not-an-object": "the record is no JSON object; is the format that of `pipe`?",
    "record-too-long": "a record is longer than a run reads; is the format that of `pipe`?",
    "too-few-cells": "the record has fewer cells than the header; is the export whole?",
    "too-many-cells": "the record has more cells than the header; is the export whole?",
    "no-such-column": "no column has that name; compare `columns` with the header",
    "column-twice": "two columns have that name; export them under other names",
}
_CODE: Final = re.compile(r"(?:record \d+: )?(?P<code>[^:]+)")


@contextmanager
def in_words() -> Iterator[None]:
    """Give a failed migration that has only a code what it means and what to do."""
    try:
        yield
    except MigrationFailed as failed:
        code = _CODE.match(failed.reason)
        words = None if code is None else _WORDS.get(code["code"])
        if failed.detail or words is None:
            raise
        raise MigrationFailed(failed.reason, detail=words) from None
