"""A migration job as values: tables, columns, and where the names that bind values are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...config.settings import SecretReference
from ...core.crypto.joined_names import JoinKind
from ...core.crypto.token import Form
from ...core.expressions.selectors import JsonSelector, parse_json_selector
from .collections import Http, HttpCollection

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


@dataclass(frozen=True, slots=True)
class Binding:
    """What the values of a column are bound to. None: not bound to that part."""

    tenant: NameSource | None = None
    conversation: NameSource | None = None
    field: str | None = None
    message: NameSource | None = None
    purpose: str | None = None

    @property
    def reads(self) -> Iterator[Read]:
        """Yield what must be read from a row to bind its values."""
        for source in (self.tenant, self.conversation, self.message):
            yield from _reads(source)


def _reads(source: NameSource | None) -> Iterator[Read]:
    if isinstance(source, JoinedSource):
        for part in source.parts:
            yield from _reads(part)
    elif isinstance(source, ColumnSource | SqlSource):
        yield source


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose values are sealed: the whole text, or what `selector` finds in its JSON.

    Values of `former` bindings open too, and `reseal` gives them the current one. `lookalikes` says
    that `seal` also seals what begins like a token and does not open.
    """

    name: str
    binding: Binding
    selector: JsonSelector | None = None
    form: Form = "jwe"
    max_chars: int | None = None
    former: tuple[Binding, ...] = ()
    lookalikes: bool = False


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table: its rows are read by `key` in batches, those that `where` (SQL) leaves.

    An empty `key` is the primary key. `header` names the columns of a stream that has no header.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    where: str | None = None
    batch: int = DEFAULT_ROWS
    header: tuple[str, ...] = ()

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

    database: str
    host: str = "127.0.0.1"
    port: int = 3306
    user: str = "root"
    password: SecretReference | None = None
    socket: str | None = None
    ca: Path | None = None

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"mysql:{self.socket or f'{self.host}:{self.port}'}/{self.database}"


Place = Pipe | Sqlite | Postgresql | Mysql | Http


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
