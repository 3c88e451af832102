"""From a job file to a job, or to all mistakes in it, each with its line and column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from ...config.declared.addresses import SecretSource
from ...config.declared.kinds import File
from ...config.rules.options import BIND
from ...config.schema.tables import Members
from ...config.yaml import composer
from ...config.yaml import nodes as yaml
from ...config.yaml.composer import compose
from ...config.yaml.nodes import Problems, show
from ...config.yaml.scalars import choice, elements, format_version, text, whole
from ...core.crypto.token import FORMS, Form
from ...core.errors import ConfigurationError
from ...core.rules.model import Part
from . import job_keys
from .collections import Http
from .http_keys import LOOKALIKES
from .model import (
    DEFAULT_ROWS,
    MOST_ROWS,
    PIPE_FORMATS,
    ROOT,
    Binding,
    Column,
    ColumnSource,
    ConstSource,
    Job,
    JoinedSource,
    Mysql,
    NameSource,
    Pipe,
    PipeFormat,
    Place,
    Postgresql,
    Sqlite,
    SqlSource,
    StoredTable,
)
from .readings import selector, text_of, words

_PASSWORD: Final = re.compile(r"password|://[^/@]*:[^/@]*@", re.IGNORECASE)
_NAMED: Final = ("tenant", "conversation", "message")
_SPELLED: Final[Mapping[str, Callable[[str], NameSource]]] = {
    "column": ColumnSource,
    "const": ConstSource,
    "sql": SqlSource,
}


def load(path: Path, environ: Mapping[str, str]) -> Job:
    """Return the job in the file at `path`; raise ConfigurationError with all its mistakes.

    `environ` has the values of `${env:NAME}`. Nothing is connected to, opened or changed.
    """
    problems = Problems(str(path), Path.cwd() / path.parent)
    content = composer.read(path, problems)
    problems.raise_if_any()
    asked = _Asked(environ)
    root = compose(content or "", asked, problems)
    job = None
    if root is not None:
        digest = hashlib.sha256((content or "").encode()).hexdigest()
        reader = _Job(asked, problems)
        job = reader.read(yaml.Place(root, ""), digest)
    problems.raise_if_any()
    if job is None:
        raise ConfigurationError((f"{path}: not understood",))
    return replace(job, given=asked.digest)


class _Asked(Mapping[str, str]):
    """An environment that notes which of its variables are asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self._names.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    @property
    def digest(self) -> str:
        """The SHA-256 of what was asked for, hex."""
        given = [(name, self._environ.get(name)) for name in sorted(self._names)]
        return hashlib.sha256(repr(given).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class _Job:
    """Reads a job; `environ` is for the configuration that it may name."""

    environ: Mapping[str, str]
    problems: Problems

    def read(self, place: yaml.Place, digest: str) -> Job | None:
        """Return the job in a file of that SHA-256, or None after reporting what is wrong."""
        problems = self.problems
        fields = Members(place, job_keys.JOB, problems)
        version, source = map(fields.get, ("version", "source"))
        if version is not None:
            format_version(version, job_keys.VERSION, problems)
        found = None if source is None else self._place(source)
        kind = fields.alternative(problems)
        if kind is None:
            return None
        listed = fields[kind]
        if found is not None and isinstance(found, Http) != (kind == "collections"):
            problems.add(listed, "`collections` are of `http`, `tables` of every other source")
            return None
        if kind == "collections":
            return self._of_collections(found, listed, digest)
        read = (_table(one, found, problems) for one in elements(listed, problems))
        made = tuple(one for one in read if one is not None)
        if isinstance(found, Pipe):
            _check_pipe(found, made, listed, problems)
            if found.format == "ndjson":
                made = tuple(map(_in_json, made))
        return None if found is None else Job(found, made, digest)

    def _of_collections(self, found: Place | None, listed: yaml.Place, digest: str) -> Job | None:
        from .http_reader import read_collection  # noqa: PLC0415 - rules take memory

        http = found if isinstance(found, Http) else None
        read = [
            read_collection(one, http, self.problems) for one in elements(listed, self.problems)
        ]
        if http is None:
            return None
        digest = hashlib.sha256(f"{digest} {http.digest}".encode()).hexdigest()
        return Job(http, tuple(one for one in read if one is not None), digest)

    def _place(self, place: yaml.Place) -> Place | None:
        problems = self.problems
        fields = Members(place, job_keys.PLACE, problems)
        kind = fields.alternative(problems)
        if kind == "pipe":
            word = choice(fields["pipe"], PIPE_FORMATS, problems)
            return None if word is None else Pipe(cast("PipeFormat", word))
        if kind == "sqlite":
            file = File().read(fields["sqlite"], problems)
            return None if file is None else Sqlite(file)
        if kind == "postgresql":
            return _postgresql(fields, problems)
        if kind == "mysql":
            return _mysql(fields, problems)
        if kind is None:
            return None
        from .http_reader import read_backend  # noqa: PLC0415 - rules take memory

        return read_backend(fields[kind], self.environ, problems)


def _postgresql(fields: Members, problems: Problems) -> Place | None:
    place, secret = fields["postgresql"], fields.get("password")
    address = text(place, problems)
    if address is not None and _PASSWORD.search(address):
        # It is not shown.
        problems.at(place.node.position, place.path, "a password must not be written in the file")
        return None
    password = None if secret is None else SecretSource().read(secret, problems)
    return None if address is None else Postgresql(address, password)


def _mysql(around: Members, problems: Problems) -> Place | None:
    fields = Members(around["mysql"], job_keys.MYSQL, problems)
    port, ca, secret = fields.get("port"), fields.get("ca"), around.get("password")
    database, user = text_of(fields, "database", problems), text_of(fields, "user", problems)
    number = None if port is None else whole(port, problems, low=1, high=65535)
    password = None if secret is None else SecretSource().read(secret, problems)
    if database is None or user is None:
        return None
    return Mysql(
        database,
        text_of(fields, "host", problems) or "127.0.0.1",
        number or 3306,
        user,
        password,
        text_of(fields, "socket", problems),
        None if ca is None else File().read(ca, problems),
    )


def _check_pipe(
    pipe: Pipe, made: tuple[StoredTable, ...], place: yaml.Place, problems: Problems
) -> None:
    """Report what a stream of records has no place for."""
    if len(made) > 1:
        problems.add(place, "a stream has one table", "write a job for each")
    for table in made:
        if any(isinstance(one, SqlSource) for one in table.reads):
            problems.add(place, "a stream has no `sql:` names", "add a column to the stream")
        if table.key or table.where:
            problems.add(place, "a stream has no `key` and no `where`", "delete them")
        if pipe.format == "copy" and not table.header:
            problems.add(place, "the text form of COPY names no columns", "give `header`")
        if pipe.format == "ndjson" and table.header:
            problems.add(place, "JSON objects name their members", "delete `header`")


def _in_json(table: StoredTable) -> StoredTable:
    """Return a table whose cells are JSON texts, whatever the member is."""
    columns = (
        column if column.selector else replace(column, selector=ROOT) for column in table.columns
    )
    return replace(table, columns=tuple(columns))


def _table(place: yaml.Place, source: Place | None, problems: Problems) -> StoredTable | None:
    fields = Members(place, job_keys.TABLE, problems)
    name, columns = fields.get("table"), fields.get("columns")
    names = _Names(problems).of(fields, Binding())
    places = elements(columns, problems) if columns else []
    read = [_column(one, names, problems) for one in places]
    _check_once(places, read, problems, folds=isinstance(source, Sqlite | Mysql))
    batch, where = fields.get("batch"), fields.get("where")
    size = None if batch is None else whole(batch, problems, low=1, high=MOST_ROWS)
    written = None if name is None else text(name, problems)
    if written is None:
        return None
    return StoredTable(
        written,
        tuple(one for one in read if one is not None),
        words(fields.get("key"), problems),
        None if where is None else text(where, problems),
        size or DEFAULT_ROWS,
        words(fields.get("header"), problems),
    )


def _check_once(
    places: Sequence[yaml.Place], read: Sequence[Column | None], problems: Problems, *, folds: bool
) -> None:
    """Report columns that are there before; `folds` says that the case of a name is the same."""
    seen: set[str] = set()
    for place, column in zip(places, read, strict=True):
        if column is not None:
            name = column.name.lower() if folds else column.name
            if name in seen:
                problems.add(
                    place,
                    f"the column {show(column.name)} is listed twice: only one of them is written",
                    "write a job for each `select`",
                )
            seen.add(name)


def _column(place: yaml.Place, around: Binding, problems: Problems) -> Column | None:
    fields = Members(place, job_keys.COLUMN, problems)
    place_of_name, max_chars = fields.get("column"), fields.get("max_chars")
    name = None if place_of_name is None else text(place_of_name, problems)
    selects = selector(fields.get("select"), problems)
    names = _Names(problems)
    own = names.of(fields, around)
    field = text_of(fields, "field", problems) or (selects and selects.field) or name
    binding = names.bound(
        fields, Binding(own.tenant, own.conversation, field, own.message, own.purpose)
    )
    form, lookalikes = fields.get("form"), fields.get("lookalikes")
    former = fields.get("former")
    places = [] if former is None else elements(former, problems)
    if name is None:
        return None
    return Column(
        name,
        binding,
        selects,
        cast("Form", (form and choice(form, FORMS, problems)) or "jwe"),
        None if max_chars is None else whole(max_chars, problems, low=1, high=job_keys.MOST_CHARS),
        tuple(_former(one, own, field, problems) for one in places),
        bool(lookalikes and choice(lookalikes, LOOKALIKES, problems) == "seal"),
    )


def _former(place: yaml.Place, own: Binding, field: str | None, problems: Problems) -> Binding:
    fields = Members(place, job_keys.FORMER, problems)
    names = _Names(problems)
    before = names.of(fields, own)
    field = text_of(fields, "field", problems) or field
    return names.bound(
        fields,
        Binding(before.tenant, before.conversation, field, before.message, before.purpose),
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """Reads the sources of names, and which of them values are bound to."""

    problems: Problems

    def of(self, fields: Members, around: Binding) -> Binding:
        """Return every name that is given here or around."""
        read = {part: self._named(fields.get(part)) for part in _NAMED}
        return Binding(
            read["tenant"] or around.tenant,
            read["conversation"] or around.conversation,
            None,
            read["message"] or around.message,
            text_of(fields, "purpose", self.problems) or around.purpose,
        )

    def bound(self, fields: Members, given: Binding) -> Binding:
        """Return the parts that `bind` names; without it, those of the default."""
        place = fields.get("bind")
        said = None if place is None else BIND.read(place, self.problems)
        parts: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
        if said is not None and place is not None:
            parts = said.parts
            for part in sorted(parts):
                if getattr(given, part) is None:
                    self.problems.add(place, f"binds `{part}`, which is not given")
        return Binding(
            given.tenant if "tenant" in parts else None,
            given.conversation if "conversation" in parts else None,
            given.field if "field" in parts else None,
            given.message if "message" in parts else None,
            given.purpose if "purpose" in parts else None,
        )

    def _named(self, place: yaml.Place | None) -> NameSource | None:
        if place is None:
            return None
        if isinstance(place.node, yaml.Sequence):
            return self._joined(place, "list")
        if isinstance(place.node, yaml.Mapping):
            fields = Members(place, job_keys.NAME, self.problems)
            members = fields.get("members")
            return None if members is None else self._joined(members, "members")
        written = text(place, self.problems)
        if written is None:
            return None
        kind, colon, rest = written.partition(":")
        if not colon or not rest.strip() or kind not in _SPELLED:
            self.problems.add(
                place,
                f"{show(written)} is not a source; one of: column:, const:, sql:",
                f"for example `column:{written}`" if not colon else "",
            )
            return None
        return _SPELLED[kind](rest)

    def _joined(self, place: yaml.Place, kind: str) -> NameSource | None:
        parts = [self._named(one) for one in elements(place, self.problems)]
        whole_parts = tuple(one for one in parts if one is not None)
        if not whole_parts or len(whole_parts) != len(parts):
            return None
        return JoinedSource("members" if kind == "members" else "list", whole_parts)
