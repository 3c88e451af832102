"""A migration job as values: tables, columns, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ...config.declared.composed import ListOf, OneOrMore, WithPlace
from ...config.declared.kinds import HOUR, Choice, Duration, File, PlainText, Version, WholeNumber
from ...config.declared.section import Fields, Key, LazySection, Section, inline, one_of, setting
from ...config.rules.conditions import JSON_SELECTOR
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems
from ...core.crypto.token import FORMS, Form
from ...core.expressions.selectors import JsonSelector, parse_json_selector
from .collections import COLLECTION, HttpCollection, lookalikes
from .names import Binding, Read, TableNames
from .places import SOURCE, HttpKeys, Place, RulesKey

if TYPE_CHECKING:  # loaded with columns that have one
    from ...core.search.model import FieldIndex

Verb = Literal["plan", "seal", "verify", "reseal", "open", "scrub", "index", "drop-index"]
WRITING: Final[tuple[Verb, ...]] = ("seal", "reseal", "open", "index", "drop-index")
"""The verbs that change what is stored."""

SEALING: Final[tuple[Verb, ...]] = ("seal", "reseal")
"""The verbs that seal under the primary KEK."""

MOST_ROWS: Final = 1000
"""How many rows a batch has at most."""
DEFAULT_ROWS: Final = 500


ROOT: Final = parse_json_selector("$")
"""The whole JSON text that a member of an object is."""


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

    name: str = setting(PlainText("name"), "The column; of NDJSON, the member.", name="column")
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
        absent="the whole text",
        name="select",
    )
    form: Form = setting(Choice(*FORMS), "The wire form of the tokens.", default="jwe")
    max_chars: int | None = setting(
        WholeNumber(1, 1 << 30),
        "How many characters a sealed value may have; a longer one is left and reported.",
        absent="the width of the column",
    )
    former: tuple[Binding, ...] = setting(
        ListOf(FORMER, "list of bindings"),
        "What values were bound to before: such values open too, and `reseal` binds them anew.",
        default=(),
    )
    lookalikes: bool = lookalikes()
    index: FieldIndex | None = setting(
        LazySection("rules.indexes:INDEX"),
        "How the values can be found, as `fields` of the configuration has it; tags stand behind"
        " the tokens. With `tags_of`: how those of that column can be.",
        default=None,
    )
    tags_of: str | None = setting(
        PlainText("name"),
        "The column whose tags this one holds and nothing else, as `index: {as: …}` of a rule"
        " writes them.",
        default=None,
    )

    @property
    def field(self) -> str:
        """The name of the field, be it bound or not."""
        return self.binding.field or (self.selector and self.selector.field) or self.name

    def within(self, names: TableNames, problems: Problems) -> Column:
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

    name: str = setting(PlainText("name"), "The table, with its schema if need be.", name="table")
    columns: tuple[Column, ...] = setting(
        ListOf(WithPlace(COLUMN), "list of columns"),
        "The columns whose values are sealed, each once: for each further `select`, a job.",
    )
    key: tuple[str, ...] = setting(
        OneOrMore(PlainText("name"), "list of columns"),
        "Columns without nulls that together are unique: rows are read in their order.",
        default=(),
        absent="the primary key",
    )
    where: str | None = setting(
        PlainText("SQL"), "Only the rows for which this is true.", default=None
    )
    batch: int = setting(
        WholeNumber(1, MOST_ROWS),
        "How many rows are read and written at once.",
        default=DEFAULT_ROWS,
    )
    header: tuple[str, ...] = setting(
        OneOrMore(PlainText("name"), "list of names"),
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

    @property
    def indexed(self) -> tuple[str, ...]:
        """Return how reports name the columns that have tags."""
        pairs = zip(self.labels, self.columns, strict=True)
        return tuple(label for label, one in pairs if one.index is not None)

    def limits(self, widths: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return how many characters each cell may have, by its column and by the job."""
        return tuple(
            width if column.selector else min(filter(None, (width, column.max_chars)), default=None)
            for column, width in zip(self.columns, widths, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TableKeys(StoredTable):
    """A table as it is written: with the names that its columns take from it."""

    names: TableNames = inline(TableNames, of={"around": "not bound"})


def _check_tags(columns: Sequence[tuple[Column, yaml.Place]], problems: Problems) -> None:
    """Report columns of tags that have no values, or no index, or hold something else as well."""
    known = {one.name: one for one, _ in columns}
    for one, place in columns:
        if one.tags_of is None:
            continue
        source = known.get(one.tags_of)
        if source is None or source.tags_of or source.selector or source.index or one.selector:
            told = "`tags_of` is the name of a column of this table, of whole texts without `index`"
            problems.add(place, told)
        elif one.index is None:
            problems.add(place, "`tags_of` goes with `index`", "add the `index` of the field")


def _table(
    values: dict[str, Any], _: Fields, problems: Problems
) -> tuple[StoredTable, tuple[yaml.Place, ...]] | None:
    """Return a table, and the places of its columns."""
    if not {"name", "columns"} <= values.keys():
        return None
    columns, names = values.pop("columns"), values.pop("names")
    _check_tags(columns, problems)
    read = tuple(column.within(names, problems) for column, _ in columns)
    return StoredTable(columns=read, **values), tuple(place for _, place in columns)


TABLE: Final = Section(_TableKeys, "table", "`tables`", make=_table)


@dataclass(frozen=True, slots=True)
class Throttle:
    """Beyond what a run that writes waits; None is not asked for."""

    lag: float | None = setting(
        Duration(high=HOUR),
        "A run waits while a replica is behind by more. PostgreSQL asks for `pg_monitor`; replicas"
        " of MariaDB and MySQL are asked themselves, by `report_host`, as the user of the job.",
        absent="not asked",
    )
    sessions: int | None = setting(
        WholeNumber(1, 100_000),
        "A run waits while more sessions of others are active in the database.",
        absent="not asked",
    )
    load: int | None = setting(
        WholeNumber(1, 10_000),
        "A run waits while the load average (one minute) of the machine that it runs on is above.",
        absent="not asked",
    )


THROTTLE: Final = Section(Throttle, "throttle", "`throttle`")


@dataclass(frozen=True, slots=True)
class JobKeys:
    """A job as it is written: `listed` are its tables or collections, by that name, with places."""

    version: int = setting(Version(1), "The version of the format.")
    source: Place | HttpKeys = setting(SOURCE, "Where the values are stored.")
    listed: tuple[str, tuple[Any, ...], yaml.Place] = one_of(
        Key(
            "tables",
            WithPlace(ListOf(TABLE, "list of tables")),
            "The tables of a database; a stream has one.",
        ),
        Key(
            "collections",
            WithPlace(ListOf(COLLECTION, "list of collections")),
            "The collections of a backend over HTTP.",
        ),
        make=lambda name, found: (name, *found),
    )
    rules: RulesKey | None = setting(
        WithPlace(File()),
        "The configuration of the sidecar. What the columns bind, in which field and form, must be"
        " what one of its rules opens. Of `http`, `config` names it.",
        absent="nothing is compared",
    )
    throttle: Throttle = setting(
        THROTTLE, "When a run that writes waits.", make=Throttle, absent="never"
    )
    accept: tuple[str, ...] = setting(
        OneOrMore(PlainText("name"), "list of names"),
        "What may receive plaintext while `seal` runs, each by the name that `plan` gives it.",
        default=(),
        absent="`seal` refuses to start beside such",
    )


JOB: Final = Section(JobKeys, "job", "The job file")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be migrated, and where it is stored.

    `digest` is the SHA-256 of the file, hex; with rules, of it and of the configuration. `given`
    is that of the values of `${env:…}` in them, which may be secret: it goes into no report.
    `ruled` says that rules describe it.
    """

    place: Place
    tables: tuple[StoredTable, ...] | tuple[HttpCollection, ...]
    digest: str
    given: str = ""
    accept: tuple[str, ...] = ()
    throttle: Throttle = Throttle()
    ruled: bool = True
