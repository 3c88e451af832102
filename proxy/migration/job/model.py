"""A migration job as values: tables, columns, and where the names that bind values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from ...config.declared.addresses import Secret
from ...config.declared.kinds import (
    ByShape,
    Choice,
    File,
    ListOf,
    Named,
    Number,
    OneOrMore,
    Placed,
    Text,
    Version,
)
from ...config.declared.section import Fields, Key, Section, inline, one_of, setting
from ...config.rules.items import JSON_SELECTOR
from ...config.rules.options import BIND, BindSyntax
from ...config.settings import SecretReference
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems, show
from ...core.crypto.joined_names import JoinKind
from ...core.crypto.token import FORMS, Form
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import JsonSelector, parse_json_selector
from ...core.rules.model import Part
from .collections import COLLECTION, HTTP, Http, HttpCollection, HttpKeys, lookalikes

Verb = Literal["plan", "seal", "verify", "reseal", "open"]
WRITING: Final[tuple[Verb, ...]] = ("seal", "reseal", "open")
"""The verbs that change what is stored."""

SEALING: Final[tuple[Verb, ...]] = ("seal", "reseal")
"""The verbs that seal under the primary KEK."""

PipeFormat = Literal["csv", "copy", "ndjson"]
PIPE_FORMATS: Final[tuple[PipeFormat, ...]] = ("csv", "copy", "ndjson")

MOST_ROWS: Final = 1000
"""How many rows a batch has at most."""
DEFAULT_ROWS: Final = 500


ROOT: Final = parse_json_selector("$")
"""The whole JSON text that a member of an object is."""


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """A name that a column of the row holds; of NDJSON, a member of the object."""

    column: str


@dataclass(frozen=True, slots=True)
class SqlSource:
    """A name that the database computes for each row: an expression, such as a subquery."""

    expression: str


@dataclass(frozen=True, slots=True)
class ConstSource:
    """A name that is the same for every row."""

    text: str


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """A name joined of several: a list in its order, or members in any order."""

    kind: JoinKind
    parts: tuple[NameSource, ...]


NameSource = ColumnSource | SqlSource | ConstSource | JoinedSource
Read = ColumnSource | SqlSource
"""What is read from each row beside the values."""


_SPELLED: Final[Mapping[str, Callable[[str], NameSource]]] = {
    "column": ColumnSource,
    "const": ConstSource,
    "sql": SqlSource,
}


def _source(written: str) -> NameSource:
    kind, colon, rest = written.partition(":")
    if not rest.strip() or kind not in _SPELLED:
        told = f"{show(written)} is not a source; one of: column:, const:, sql:"
        raise InvalidExpression(told, hint="" if colon else f"for example `column:{written}`")
    return _SPELLED[kind](rest)


_SOURCE: Final = Text(
    "source", parse=_source, pattern=rf"(?:{'|'.join(_SPELLED)}):[\s\S]*\S[\s\S]*"
)


def _joined(kind: JoinKind) -> ListOf:
    return ListOf(
        NAME, "list of sources", make=lambda parts: JoinedSource(kind, parts) if parts else None
    )


NAME: Final = Named(
    "name",
    lambda: ByShape(_SOURCE, _joined("list"), MEMBERS),
    "`column:name`, `const:text`, `sql:expression`, a list, `members`",
)


@dataclass(frozen=True, slots=True)
class _Members:
    """A name joined of members."""

    members: JoinedSource = setting(_joined("members"), "The same name in any order.")


MEMBERS: Final[Section[Any]] = Section(
    _Members, "members", "A joined name", make=lambda values, *_: values.get("members")
)


def _name(doc: str) -> Any:  # noqa: ANN401 - as `setting`
    return setting(NAME, doc, default=None, absent="{around}")


@dataclass(frozen=True, slots=True)
class _Names:
    """What a table gives its columns."""

    tenant: NameSource | None = _name("The tenant whose keys are used.")
    conversation: NameSource | None = _name("The conversation whose key is used.")
    message: NameSource | None = _name("The message id; with `bind`.")
    purpose: str | None = setting(
        Text(), "A constant; with `bind`.", default=None, absent="{around}"
    )


@dataclass(frozen=True, slots=True)
class Binding:
    """What the values of a column are bound to. None: not bound to that part.

    As it is written, it may lack what is given around it; `bind` then are the parts that count.
    """

    tenant: NameSource | None = _name("The tenant whose keys are used.")
    conversation: NameSource | None = _name("The conversation whose key is used.")
    field: str | None = setting(
        Text("name"), "The field that values are bound to.", default=None, absent="{field}"
    )
    message: NameSource | None = _name("The message id; with `bind`.")
    purpose: str | None = setting(
        Text(), "A constant; with `bind`.", default=None, absent="{around}"
    )
    bind: BindSyntax | None = setting(
        BIND,
        "What a sealed value is bound to; the same as in the rules of the sidecar.",
        default=None,
        absent="`[tenant, conversation, field]`, without those that are not given",
    )

    @property
    def reads(self) -> Iterator[Read]:
        """Yield what must be read from a row to bind its values."""
        for source in (self.tenant, self.conversation, self.message):
            yield from _reads(source)

    def within(self, around: Binding) -> Binding:
        """Return it with what is given around it, where it does not say something else."""
        return Binding(
            self.tenant or around.tenant,
            self.conversation or around.conversation,
            self.field or around.field,
            self.message or around.message,
            self.purpose or around.purpose,
            self.bind,
        )

    def bound(self, problems: Problems) -> Binding:
        """Return the parts that `bind` names, or those of the default; report those not given."""
        parts: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
        if self.bind is not None:
            parts = self.bind.parts
            for part in sorted(parts):
                if getattr(self, part) is None:
                    problems.add(self.bind.place, f"binds `{part}`, which is not given")
        return Binding(**{part: getattr(self, part) for part in parts})


def _reads(source: NameSource | None) -> Iterator[Read]:
    if isinstance(source, JoinedSource):
        for part in source.parts:
            yield from _reads(part)
    elif isinstance(source, ColumnSource | SqlSource):
        yield source


@dataclass(frozen=True, slots=True)
class _Former:
    """What values were bound to before."""

    binding: Binding = inline(
        Binding, of={"around": "that of the column", "field": "that of the column"}
    )


FORMER: Final[Section[Any]] = Section(
    _Former, "former", "`former`", make=lambda values, *_: values["binding"]
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose values are sealed: the whole text, or what `selector` finds in its JSON.

    Values of `former` bindings open too, and `reseal` gives them the current one. `lookalikes` says
    that `seal` also seals what begins like a token and does not open.
    """

    name: str = setting(Text("name"), "The column; of NDJSON, the member.", name="column")
    binding: Binding = inline(
        Binding,
        of={
            "around": "that of the table",
            "field": "the last name of `select`, else the name of the column",
        },
    )
    selector: JsonSelector | None = setting(
        JSON_SELECTOR,
        "The values inside the JSON that the column holds, such as `$[*].text`.",
        default=None,
        absent="the whole text",
        name="select",
    )
    form: Form = setting(Choice(*FORMS), "The wire form of the tokens.", default="jwe")
    max_chars: int | None = setting(
        Number(1, 1 << 30),
        "How many characters a sealed value may have; a longer one is left and reported.",
        default=None,
        absent="the width of the column",
    )
    former: tuple[Binding, ...] = setting(
        ListOf(FORMER, "list of bindings"),
        "What values were bound to before: such values open too, and `reseal` binds them anew.",
        default=(),
    )
    lookalikes: bool = lookalikes()

    def within(self, names: _Names, problems: Problems) -> Column:
        """Return it in a table that gives `names`; report what is bound and not given."""
        field = (self.selector and self.selector.field) or self.name
        given = self.binding.within(
            Binding(names.tenant, names.conversation, field, names.message, names.purpose)
        )
        former = tuple(one.within(given).bound(problems) for one in self.former)
        return replace(self, binding=given.bound(problems), former=former)


COLUMN: Final = Section(Column, "column", "`columns`")


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table: its rows are read by `key` in batches, those that `where` (SQL) leaves.

    An empty `key` is the primary key. `header` names the columns of a stream that has no header.
    """

    name: str = setting(Text("name"), "The table, with its schema if need be.", name="table")
    columns: tuple[Column, ...] = setting(
        ListOf(Placed(COLUMN), "list of columns"),
        "The columns whose values are sealed, each once: for each further `select`, a job.",
    )
    key: tuple[str, ...] = setting(
        OneOrMore(Text("name"), "list of columns"),
        "Columns without nulls that together are unique: rows are read in their order.",
        default=(),
        absent="the primary key",
    )
    where: str | None = setting(Text("SQL"), "Only the rows for which this is true.", default=None)
    batch: int = setting(
        Number(1, MOST_ROWS), "How many rows are read and written at once.", default=DEFAULT_ROWS
    )
    header: tuple[str, ...] = setting(
        OneOrMore(Text("name"), "list of names"),
        "The columns of a stream, in order, if its first line does not name them.",
        default=(),
    )

    @property
    def excluded(self) -> str:
        """What a report says that it is not about, if anything."""
        return f"rows of {self.name} other than: {self.where}" if self.where else ""

    @property
    def reads(self) -> tuple[Read, ...]:
        """Return what is read from each row beside the values, each once."""
        found: dict[Read, None] = {}
        for column in self.columns:
            for binding in (column.binding, *column.former):
                found.update(dict.fromkeys(binding.reads))
        return tuple(found)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return how reports name each column."""
        return tuple(
            f"{self.name}.{one.name}"
            + (f" {one.selector.text}" if one.selector and one.selector is not ROOT else "")
            for one in self.columns
        )

    def limits(self, widths: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return how many characters each cell may have, by its column and by the job."""
        return tuple(
            width if column.selector else min(filter(None, (width, column.max_chars)), default=None)
            for column, width in zip(self.columns, widths, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TableKeys(StoredTable):
    """A table as it is written: with the names that its columns take from it."""

    names: _Names = inline(_Names, of={"around": "not bound"})


def _table(
    values: dict[str, Any], _: Fields, problems: Problems
) -> tuple[StoredTable, tuple[yaml.Place, ...]] | None:
    """Return a table, and the places of its columns."""
    if not {"name", "columns"} <= values.keys():
        return None
    columns, names = values.pop("columns"), values.pop("names")
    read = tuple(column.within(names, problems) for column, _ in columns)
    return StoredTable(columns=read, **values), tuple(place for _, place in columns)


TABLE: Final = Section(_TableKeys, "table", "`tables`", make=_table)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Records from stdin to stdout."""

    format: PipeFormat

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"pipe:{self.format}"


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A database file of SQLite."""

    file: Path

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"sqlite:{self.file.resolve()}"


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A database of PostgreSQL: `address` is for libpq, as a URI or `key=value` pairs."""

    address: str
    password: SecretReference | None = None

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"postgresql:{self.address}"


@dataclass(frozen=True, slots=True)
class Mysql:
    """A database of MySQL or MariaDB; with `ca`, over TLS that is verified."""

    database: str = setting(Text("name"), "The database.")
    user: str = setting(Text("name"), "The user.")
    host: str = setting(Text("name"), "The server.", default="127.0.0.1")
    port: int = setting(Number(1, 65535), "Its port.", default=3306)
    password: SecretReference | None = None
    socket: str | None = setting(
        Text("path"), "The Unix socket of the server, instead of host and port.", default=None
    )
    ca: Path | None = setting(
        File(),
        "The CA certificates (PEM) that verify the server. Without it, the connection is not"
        " encrypted.",
        default=None,
    )

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"mysql:{self.socket or f'{self.host}:{self.port}'}/{self.database}"


MYSQL: Final = Section(Mysql, "mysql", "`mysql`")
Place = Pipe | Sqlite | Postgresql | Mysql | Http
_ADDRESS: Final = r"(?![\s\S]*(?:[Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]|://[^/@]*:[^/@]*@))[\s\S]*"


def _placed(name: str, value: Any) -> Place | HttpKeys:  # noqa: ANN401 - what a key was read to
    if name == "sqlite":
        return Sqlite(value)
    if name == "postgresql":
        return Postgresql(value)
    place: Place | HttpKeys = value
    return place


@dataclass(frozen=True, slots=True)
class _SourceKeys:
    """Where the values of a job are stored."""

    place: Place | HttpKeys = one_of(
        Key(
            "pipe",
            Choice(**{one: Pipe(one) for one in PIPE_FORMATS}),
            "Records from stdin to stdout: CSV (RFC 4180), the text form of PostgreSQL's `COPY`, or"
            " a JSON object a line.",
        ),
        Key("sqlite", File(), "A database file of SQLite."),
        Key(
            "postgresql",
            Text(
                "address",
                re.compile(_ADDRESS),
                "a password must not be written in the file",
                secret=True,
            ),
            "A database of PostgreSQL, as libpq reads it: `host=db dbname=clinic user=sealyard"
            " sslmode=verify-full`, or a URI. It must not hold a password.",
        ),
        Key("mysql", MYSQL, "A database of MySQL or MariaDB."),
        Key("http", HTTP, "The backend of a sidecar, by its rules."),
        make=_placed,
    )
    password: SecretReference | None = setting(
        Secret(),
        "The password of `postgresql` or `mysql`; libpq also looks where it always does.",
        default=None,
    )


def _stored(values: dict[str, Any], _: Fields, __: Problems) -> Place | HttpKeys | None:
    place = values.get("place")
    if isinstance(place, Postgresql | Mysql):
        return replace(place, password=values.get("password"))
    return place


SOURCE: Final[Section[Any]] = Section(_SourceKeys, "source", "`source`", make=_stored)


@dataclass(frozen=True, slots=True)
class JobKeys:
    """A job as it is written: `listed` are its tables or collections, by that name, with places."""

    version: int = setting(Version(1), "The version of the format.")
    source: Place | HttpKeys = setting(SOURCE, "Where the values are stored.")
    listed: tuple[str, tuple[Any, ...], yaml.Place] = one_of(
        Key(
            "tables",
            Placed(ListOf(TABLE, "list of tables")),
            "The tables of a database; a stream has one.",
        ),
        Key(
            "collections",
            Placed(ListOf(COLLECTION, "list of collections")),
            "The collections of a backend over HTTP.",
        ),
        make=lambda name, found: (name, *found),
    )


JOB: Final = Section(JobKeys, "job", "The job file")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be migrated, and where it is stored.

    `digest` is the SHA-256 of the file, hex; with `http`, of it and of the configuration. `given`
    is that of the values of `${env:…}` in them, which may be secret: it goes into no report.
    """

    place: Place
    tables: tuple[StoredTable, ...] | tuple[HttpCollection, ...]
    digest: str
    given: str = ""
