"""From the rows of a batch to their new cells: each value is read, opened, and what a verb asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ...core.crypto.context import Context, Scope
from ...core.crypto.joined_names import Joined, Name
from ...core.crypto.token import CTY_JSON, Form, without_tags
from ...core.errors import BodyTooLarge, InvalidBody, NotIndexable, UnfitValue
from ...core.leaves.tokens import TAGS_PATTERN
from ...core.values.key_needs import KeysInUse
from ...keys.operations.values import sealed_bytes
from ...keys.sessions.sessions import Sessions
from ..job.model import Column, StoredTable, Verb
from ..job.names import Binding, ConstSource, JoinedSource, NameSource, Read
from ..policy import CONTEXTS_KEPT
from .cells import ABSENT, NOT_TEXT, Cell, Cells, NoText, Stored, cells
from .sealing import RunSessions
from .states import Outcome
from .value_treatment import Opened, Value, ValueTreatment, token_of

if TYPE_CHECKING:  # loaded with jobs that have an index
    from ...core.search.tags import IndexKeys

_NO_TAGS: Final = b"~"
_EMPTY: Final = re.compile(rb"\s*(?:null|\[\s*\]|\{\s*\})\s*")

Key = tuple[str | int | float | bytes, ...]


class StoredRow(NamedTuple):
    """A row as a source has it: `names` and `cells` in the order of the table's.

    `version` is what the source compares before it writes the row, if it has such a thing.
    """

    key: Key
    names: tuple[str | None, ...]
    cells: tuple[Cell, ...]
    version: str = ""


class ChangedValue(NamedTuple):
    """A value that changes: its column, what it is, and what it is once the row is written."""

    column: int
    before: Outcome
    after: Outcome


@dataclass(slots=True)
class Treated:
    """A row, the values that stay (with their column), those that change, and its new cells.

    None stands for a cell that stays.
    """

    row: StoredRow
    kept: list[tuple[int, Outcome]] = field(default_factory=list)
    changed: list[ChangedValue] = field(default_factory=list)
    cells: list[bytes | None] = field(default_factory=list)


class RowTreatment(Protocol):
    """Treats the rows of one table with a verb."""

    async def treat(self, rows: Sequence[StoredRow]) -> list[Treated]:
        """Return what each row is and is to be.

        Raises KeyUnavailable where an ephemeral session must be asked for and the store fails.
        """


@dataclass(frozen=True, slots=True)
class _Worked:
    """A column made ready: `max_chars` limits a token, `width` the whole cell."""

    column: Column
    cells: Cells
    max_chars: int | None
    width: int | None

    @property
    def form(self) -> Form:
        """The wire form of what is sealed."""
        return self.column.form

    @property
    def lookalikes(self) -> bool:
        """Whether what begins like a token and does not open is sealed."""
        return self.column.lookalikes

    def seal(self, value: Stored, context: Context, keys: KeysInUse, exp: int | None) -> Stored:
        """Return a value sealed."""
        text = keys.seal_for(context.scope, self.form).seal(
            sealed_bytes(value.text, self.form, json_value=value.is_json),
            context,
            cty=CTY_JSON if value.is_json else None,
            form=self.form,
            exp=exp,
            max_chars=self.max_chars,
        )
        if self.column.index is None:
            return Stored(text)
        return self._tagged(text, value, context, keys.keys.standing.index)

    def open(self, opened: Opened) -> Stored:
        """Return what a token holds."""
        return opened.text

    def tagged(
        self, value: Stored, opened: Opened | None, keys: Sequence[IndexKeys], verb: Verb
    ) -> Stored | None:
        """Return a token with other tags; None where it has the right ones, or has no index."""
        had, bare = value.string, without_tags(value.string)
        if self.column.index is None:  # a proof tells of tags that are to be gone
            return Stored(bare) if verb == "verify" and bare != had else None
        if verb == "verify" and opened is None:
            return None
        new = Stored(bare)
        if verb != "drop-index" and opened is not None:
            new = self._tagged(bare, opened.text, opened.context, keys)
        return None if new.text == had else new

    def _tagged(
        self, bare: bytes, text: Stored, context: Context, keys: Sequence[IndexKeys]
    ) -> Stored:
        from ...core.search import tags  # noqa: PLC0415 - loaded with jobs that have an index

        column = self.column
        if text.is_json or column.form == "base64" or column.index is None:
            raise UnfitValue("not-a-string")
        found = tags.of_value(column.index, keys, context.scope, column.field, text.text)
        return Stored(tags.within(self.max_chars, tags.behind(bare.decode(), found), column.field))


class Treatment:
    """Treats the rows of one table with a verb; `widths` are how long the cells may be.

    `plan` is `seal`, whose new cells are not to be written: it says how long cells would be.
    """

    def __init__(  # noqa: PLR0913 - the table, and how
        self,
        table: StoredTable,
        verb: Verb,
        sessions: Sessions,
        sealing: RunSessions,
        widths: Sequence[int | None] = (),
        *,
        only: str | None = None,
    ) -> None:
        """Make the columns ready; `only` is as of `ValueTreatment`."""
        self._binder = RowBinder(table)
        self._verb = verb
        places = {one.name: at for at, one in enumerate(table.columns)}
        self._tags = [
            (at, places[one.tags_of])
            for at, one in enumerate(table.columns)
            if one.tags_of is not None
        ]
        self._values = ValueTreatment(verb, sessions, sealing, only)
        plans = verb == "plan"
        every = widths or (None,) * len(table.columns)
        self._columns = [
            _Worked(
                one,
                cells(one.selector),
                _least(one, width) if one.selector or not plans else None,
                None if plans else width,
            )
            for one, width in zip(table.columns, every, strict=True)
        ]

    async def treat(self, rows: Sequence[StoredRow]) -> list[Treated]:
        """Return what each row is and is to be.

        Raises KeyUnavailable where an ephemeral session must be asked for and the store fails.
        """
        read = [[self._read(row, at) for at in range(len(self._columns))] for row in rows]
        keys = await self._values.keys(_each(read))
        now = self._values.now()
        return [self._treated(row, cells, keys, now) for row, cells in zip(rows, read, strict=True)]

    async def opened(self, rows: Sequence[StoredRow]) -> list[tuple[Stored, Stored]]:
        """Return each token in rows that opens, with the value that it holds; the verb is `open`.

        Raises KeyUnavailable as `treat`.
        """
        read = [[self._read(row, at) for at in range(len(self._columns))] for row in rows]
        values = list(_each(read))
        keys, now = await self._values.keys(values), self._values.now()
        held = [(one, self._values.treat(self._columns[0], one, keys, now)[2]) for one in values]
        return [(one.stored, text) for one, text in held if text is not None]

    def _read(self, row: StoredRow, at: int) -> list[Value] | Outcome:
        """Return the values of a cell, or why there are none."""
        cell, worked = row.cells[at], self._columns[at]
        if cell is None or worked.column.tags_of is not None:
            return Outcome("null")
        if cell is NOT_TEXT:
            return Outcome("not-text")
        if cell is ABSENT:
            return Outcome("absent")
        column = worked.column
        contexts = self._binder.contexts((column.binding, *column.former), row.names)
        try:
            stored = worked.cells.read(cell)
        except (InvalidBody, BodyTooLarge) as error:
            return Outcome("not-json", "", error.reason)
        if not stored:
            return Outcome("null" if _EMPTY.fullmatch(cell) else "unselected")
        return [Value(one, token_of(one), contexts) for one in stored]

    def _treated(
        self, row: StoredRow, read: Sequence[list[Value] | Outcome], keys: KeysInUse, now: float
    ) -> Treated:
        made = Treated(row)
        for at, values in enumerate(read):
            made.cells.append(None)
            if self._columns[at].column.tags_of is not None:
                continue
            if isinstance(values, Outcome):
                made.kept.append((at, values))
                continue
            worked = self._columns[at]
            new = [self._values.treat(worked, value, keys, now) for value in values]
            texts = [text for _, _, text in new]
            cell = self._fitting(worked, row.cells[at], texts)
            for before, after, text in new:
                if text is None:
                    made.kept.append((at, before))
                elif cell is None:
                    made.kept.append((at, Outcome("too-long")))
                else:
                    made.changed.append(ChangedValue(at, before, after))
            made.cells[at] = cell
        for at, source in self._tags:
            self._add_tags(made, at, source, read[source], keys, now)
        return made

    def _add_tags(  # noqa: PLR0913, PLR0917 - a column of tags, and that of its values
        self,
        made: Treated,
        at: int,
        source: int,
        values: list[Value] | Outcome,
        keys: KeysInUse,
        now: float,
    ) -> None:
        """Add what a column of tags holds, by the value that they are of."""
        worked, had, of = self._columns[at], made.row.cells[at], self._columns[source].column
        index = worked.column.index
        if isinstance(values, Outcome) or index is None or isinstance(had, NoText):
            made.kept.append((at, values if isinstance(values, Outcome) else Outcome("not-text")))
            return
        try:
            outcome, new = self._values.tags(index, of.field, values[0], keys, now)
        except (NotIndexable, UnfitValue) as error:
            made.kept.append((at, Outcome("unfit", "", error.reason)))
            return
        if had and had != _NO_TAGS and TAGS_PATTERN.fullmatch(had) is None:
            made.kept.append((at, Outcome("unfit", outcome.kek, "tags-in-a-member")))
            return
        drops = new == _NO_TAGS and self._verb in {"drop-index", "open"}
        stays = outcome.state == "plain" and made.cells[source] is None
        if new is None or new == had or (drops and not had) or stays:
            made.kept.append((at, outcome))
        elif self._verb == "verify":
            made.kept.append((at, Outcome("untagged", outcome.kek)))
        elif worked.width is not None and len(new) > worked.width:
            made.kept.append((at, Outcome("too-long", outcome.kek)))
        else:
            after = Outcome("unindexed" if drops else "indexed", outcome.kek)
            made.changed.append(ChangedValue(at, Outcome("untagged", outcome.kek), after))
            made.cells[at] = new

    def _fitting(self, worked: _Worked, cell: Cell, new: list[Stored | None]) -> bytes | None:
        """Return the new cell; None where nothing changes, or it does not fit its column."""
        if not isinstance(cell, bytes) or not any(text is not None for text in new):
            return None
        made = worked.cells.write(cell, new)
        if worked.width is not None and len(made.decode()) > worked.width:
            return None
        return made


def _each(read: Iterable[Sequence[list[Value] | Outcome]]) -> Iterator[Value]:
    """Yield the values of rows that were read."""
    return (value for row in read for cell in row if isinstance(cell, list) for value in cell)


def _least(column: Column, width: int | None) -> int | None:
    """Return how many characters a token may have."""
    if column.selector is not None or width is None:
        return column.max_chars
    return width if column.max_chars is None else min(width, column.max_chars)


class RowBinder:
    """Binds the values of one table's rows; `names` of a row are in the order of `table.reads`."""

    def __init__(self, table: StoredTable) -> None:
        """Find where each name of a row is."""
        self._at = {source: at for at, source in enumerate(table.reads)}

    def contexts(
        self, bindings: Sequence[Binding], names: Sequence[str | None]
    ) -> tuple[Context | None, ...]:
        """Return the context by each binding; None where the row lacks a name, or it is empty."""
        return tuple(self._context(one, names) for one in bindings)

    def _context(self, binding: Binding, names: Sequence[str | None]) -> Context | None:
        found: list[Name | None] = []
        for source in (binding.tenant, binding.conversation, binding.message):
            name = None if source is None else _name(source, names, self._at)
            if source is not None and not name:
                return None
            found.append(name)
        tenant, conversation, message = found
        return _shared(tenant, conversation, binding.field, message, binding.purpose)


@lru_cache(maxsize=CONTEXTS_KEPT)
def _shared(
    tenant: Name | None,
    conversation: Name | None,
    field: str | None,
    message: Name | None,
    purpose: str | None,
) -> Context:
    """Return one object for equal contexts: a session finds what it has of one by identity."""
    return Context(Scope(tenant, conversation), field, message, purpose)


def _name(source: NameSource, names: Sequence[str | None], at: Mapping[Read, int]) -> Name | None:
    if isinstance(source, ConstSource):
        return source.text
    if isinstance(source, JoinedSource):
        parts = [_name(one, names, at) for one in source.parts]
        whole = [one for one in parts if one]
        return Joined(source.kind, whole) if len(whole) == len(parts) else None
    return names[at[source]]
