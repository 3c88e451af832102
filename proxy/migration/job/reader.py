"""From a job file to a job, or to all mistakes in it, each with its line and column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...config.yaml import composer
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems, show
from ...core.errors import JobError
from .model import JOB, ROOT, Job, JobKeys, StoredTable
from .names import SqlSource
from .places import HttpKeys, Mysql, Pipe, Sqlite


def load(path: Path, environ: Mapping[str, str]) -> Job:
    """Return the job in the file at `path`; raise JobError with all its mistakes.

    `environ` has the values of `${env:NAME}`. Nothing is connected to, opened or changed.
    """
    problems = Problems(str(path), Path.cwd() / path.parent, JobError)
    content = composer.read(path, problems)
    problems.raise_if_any()
    asked = _Asked(environ)
    root = composer.compose(content or "", asked, problems)
    keys = None if root is None else JOB.read(yaml.Place(root, ""), problems)
    digest = hashlib.sha256((content or "").encode()).hexdigest()
    job = None if keys is None else _job(keys, digest, asked, problems)
    problems.raise_if_any()
    if job is None:
        raise JobError((f"{path}: not understood",))
    if keys is not None:
        job = replace(job, accept=keys.accept, throttle=keys.throttle)
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


def _job(keys: JobKeys, digest: str, environ: Mapping[str, str], problems: Problems) -> Job | None:
    """Return the job in a file of that SHA-256; `environ` is for a configuration it may name."""
    kind, found, place = keys.listed
    source = keys.source
    if isinstance(source, HttpKeys) != (kind == "collections"):
        problems.add(
            place,
            "`collections` are of `http`, `tables` of every other source",
            f"write `{'tables' if kind == 'collections' else 'collections'}`",
        )
    elif isinstance(source, HttpKeys):
        if keys.rules is not None:
            problems.add(keys.rules[1], "`config` of `http` names the rules", "delete it")
        from .backend import backend, ruled  # noqa: PLC0415 - rules take memory

        http = backend(source, environ, problems)
        if http is not None:
            digest = hashlib.sha256(f"{digest} {http.digest}".encode()).hexdigest()
            made = (ruled(one, http.rules, fields, problems) for one, fields in found)
            return Job(http, tuple(made), digest)
    else:
        if keys.rules is not None:
            from .rules import compare  # noqa: PLC0415 - rules take memory

            rules = compare(found, keys.rules, environ, problems)
            digest = hashlib.sha256(f"{digest} {rules}".encode()).hexdigest()
        for table, places in found:
            _check_once(places, table, problems, folds=isinstance(source, Sqlite | Mysql))
        tables = tuple(table for table, _ in found)
        if isinstance(source, Pipe):
            _check_pipe(source, tables, place, problems)
            if source.format == "ndjson":
                tables = tuple(map(_in_json, tables))
        return Job(source, tables, digest, ruled=keys.rules is not None)
    return None


def _check_pipe(
    pipe: Pipe, made: tuple[StoredTable, ...], place: yaml.Place, problems: Problems
) -> None:
    """Report what a stream of records has no place for."""
    if len(made) > 1:
        problems.add(place, "a stream has one table", "write a job for each")
    for table in made:
        if any(one.tags_of for one in table.columns):
            problems.add(place, "a stream has no `tags_of`", "migrate the database itself")
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


def _check_once(
    places: Sequence[yaml.Place], table: StoredTable, problems: Problems, *, folds: bool
) -> None:
    """Report columns that are there before; `folds` says that the case of a name is the same."""
    seen: set[str] = set()
    for place, column in zip(places, table.columns, strict=True):
        name = column.name.lower() if folds else column.name
        if name in seen:
            told = f"the column {show(column.name)} is listed twice: only one of them is written"
            problems.add(place, told, "write a job for each `select`")
        seen.add(name)
