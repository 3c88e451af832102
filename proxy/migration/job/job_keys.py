"""The keys of a job file. The reader, the JSON Schema and the reference read these tables."""

from __future__ import annotations

from typing import Final

from ...config.declared.addresses import SECRET
from ...config.schema import tables
from ...config.schema.declarations import tables_of
from ...config.schema.tables import Schema, Table, TableRow
from ...core.crypto.token import FORMS
from ...core.rules.model import PARTS
from .http_keys import COLLECTION, GUARD, HTTP, LOOKALIKES_KEY, PAGING
from .model import DEFAULT_ROWS, MOST_ROWS, PIPE_FORMATS

VERSION: Final = 1
MOST_CHARS: Final = 1 << 30
SOURCE: Final = "`column:name`, `const:text`, `sql:expression`, a list, `members`"
_SOURCE_SCHEMA: Final[Schema] = tables.table("name")
_BIND: Final = TableRow(
    "bind",
    "list of `tenant`, `conversation`, `field`, `message`, `purpose`",
    "What a sealed value is bound to; the same as in the rules of the sidecar.",
    tables.many(tables.choice(PARTS)),
    "`[tenant, conversation, field]`, without those that are not given",
)


def _names(default: str) -> tuple[TableRow, ...]:
    return (
        TableRow("tenant", SOURCE, "The tenant whose keys are used.", _SOURCE_SCHEMA, default),
        TableRow(
            "conversation", SOURCE, "The conversation whose key is used.", _SOURCE_SCHEMA, default
        ),
        TableRow("message", SOURCE, "The message id; with `bind`.", _SOURCE_SCHEMA, default),
        TableRow("purpose", "text", "A constant; with `bind`.", tables.TEXT, default),
    )


NAME: Final = Table(
    "members",
    "A joined name",
    (
        TableRow(
            "members",
            "list of sources",
            "The same name in any order.",
            tables.many(tables.table("name")),
            required=True,
        ),
    ),
)
FORMER: Final = Table(
    "former",
    "`former`",
    (
        *_names("that of the column"),
        TableRow("field", "name", "The field.", tables.TEXT, "that of the column"),
        _BIND,
    ),
)
COLUMN: Final = Table(
    "column",
    "`columns`",
    (
        TableRow(
            "column", "name", "The column; of NDJSON, the member.", tables.TEXT, required=True
        ),
        TableRow(
            "select",
            "selector",
            "The values inside the JSON that the column holds, such as `$[*].text`.",
            tables.TEXT,
            "the whole text",
        ),
        TableRow(
            "field",
            "name",
            "The field that the values are bound to.",
            tables.TEXT,
            "the last name of `select`, else the name of the column",
        ),
        TableRow(
            "form",
            ", ".join(f"`{one}`" for one in FORMS),
            "The wire form of the tokens.",
            tables.choice(FORMS),
            "`jwe`",
        ),
        TableRow(
            "max_chars",
            "whole number",
            "How many characters a sealed value may have; a longer one is left and reported.",
            tables.number(1, MOST_CHARS),
            "the width of the column",
        ),
        *_names("that of the table"),
        _BIND,
        TableRow(
            "former",
            "list of bindings",
            "What values were bound to before: such values open too, and `reseal` binds them anew.",
            tables.many(tables.table("former")),
        ),
        LOOKALIKES_KEY,
    ),
)
TABLE: Final = Table(
    "table",
    "`tables`",
    (
        TableRow(
            "table", "name", "The table, with its schema if need be.", tables.TEXT, required=True
        ),
        TableRow(
            "key",
            "list of columns",
            "Columns without nulls that together are unique: rows are read in their order.",
            tables.one_or_more(tables.TEXT),
            "the primary key",
        ),
        TableRow("where", "SQL", "Only the rows for which this is true.", tables.TEXT),
        TableRow(
            "batch",
            "whole number",
            "How many rows are read and written at once.",
            tables.number(1, MOST_ROWS),
            str(DEFAULT_ROWS),
        ),
        TableRow(
            "header",
            "list of names",
            "The columns of a stream, in order, if its first line does not name them.",
            tables.many(tables.TEXT),
        ),
        *_names("not bound"),
        TableRow(
            "columns",
            "list of columns",
            "The columns whose values are sealed, each once: for each further `select`, a job.",
            tables.many(tables.table("column")),
            required=True,
        ),
    ),
)
MYSQL: Final = Table(
    "mysql",
    "`mysql`",
    (
        TableRow("database", "name", "The database.", tables.TEXT, required=True),
        TableRow("host", "name", "The server.", tables.TEXT, "127.0.0.1"),
        TableRow("port", "whole number", "Its port.", tables.number(1, 65535), "3306"),
        TableRow(
            "socket",
            "path",
            "The Unix socket of the server, instead of host and port.",
            tables.TEXT,
        ),
        TableRow("user", "name", "The user.", tables.TEXT, required=True),
        TableRow(
            "ca",
            "path",
            "The CA certificates (PEM) that verify the server. Without it, the connection is not"
            " encrypted.",
            tables.TEXT,
        ),
    ),
)
PLACE: Final = Table(
    "source",
    "`source`",
    (
        TableRow(
            "pipe",
            "`csv`, `copy`, `ndjson`",
            "Records from stdin to stdout: CSV (RFC 4180), the text form of PostgreSQL's `COPY`, or"
            " a JSON object a line.",
            tables.choice(PIPE_FORMATS),
        ),
        TableRow("sqlite", "path", "A database file of SQLite.", tables.TEXT),
        TableRow(
            "postgresql",
            "address",
            "A database of PostgreSQL, as libpq reads it: `host=db dbname=clinic user=sealyard"
            " sslmode=verify-full`, or a URI. It must not hold a password.",
            tables.TEXT,
        ),
        TableRow("mysql", "mapping", "A database of MySQL or MariaDB.", tables.table("mysql")),
        TableRow(
            "http", "mapping", "The backend of a sidecar, by its rules.", tables.table("http")
        ),
        TableRow(
            "password",
            "secret",
            "The password of `postgresql` or `mysql`; libpq also looks where it always does.",
            tables.table("secret"),
        ),
    ),
    alternatives=(("pipe",), ("sqlite",), ("postgresql",), ("mysql",), ("http",)),
)
JOB: Final = Table(
    "job",
    "The job file",
    (
        TableRow(
            "version",
            f"`{VERSION}`",
            "The version of the format.",
            {"const": VERSION},
            required=True,
        ),
        TableRow(
            "source",
            "mapping",
            "Where the values are stored.",
            tables.table("source"),
            required=True,
        ),
        TableRow(
            "tables",
            "list of tables",
            "The tables of a database; a stream has one.",
            tables.many(tables.table("table")),
        ),
        TableRow(
            "collections",
            "list of collections",
            "The collections of a backend over HTTP.",
            tables.many(tables.table("collection")),
        ),
    ),
    alternatives=(("tables",), ("collections",)),
)
TABLES: Final = (
    JOB, PLACE, MYSQL, HTTP, *tables_of(SECRET), TABLE, COLUMN, FORMER, NAME, COLLECTION, PAGING,
    GUARD,
)  # fmt: skip


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of a job file."""
    from ...config.schema.json_schema import document  # noqa: PLC0415 - for one command alone

    name = {"anyOf": [tables.TEXT, tables.many(tables.table("name")), tables.table("members")]}
    return document("Sealyard migration job", TABLES, {"name": name})
