"""From the rows of a batch to their new cells: each value is read, opened, and what a verb asks.

Own tokens are recognised by opening them, never by how they begin: so nothing is sealed twice, and
what a user wrote that looks like a token is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from ...core.crypto import token
from ...core.crypto.context import Context, Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import CTY_JSON, KeyId, Token
from ...core.edits.edits import KeysInUse, as_text
from ...core.edits.key_needs import Keys, Needs
from ...core.errors import (
    BodyTooLarge,
    ForbiddenValue,
    InvalidBody,
    MissingValue,
    OpenFailed,
    UnfitValue,
    ValueTooLong,
)
from ...keys.keyring import poison
from ...keys.operations import token_check
from ...keys.operations.values import sealed_bytes
from ...keys.sessions.sessions import Sessions
from ..job.model import Column, StoredTable, Verb
from .binder import RowBinder
from .cells import NOT_TEXT, Cell, Cells, Stored, cells
from .sealing import RunSessions
from .states import Outcome

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


class _Value(NamedTuple):
    """A value with the token that it is, if it is one, and the contexts that it may be bound to."""

    stored: Stored
    token: Token | OpenFailed | None
    contexts: tuple[Context | None, ...]


class _Opened(NamedTuple):
    """What a token holds, who opened it, by which of the contexts (0: current), and how written."""

    session: Session
    text: Stored
    at: int
    written: Context


@dataclass(frozen=True, slots=True)
class _Worked:
    """A column made ready: `max_chars` limits a token, `width` the whole cell."""

    column: Column
    cells: Cells
    max_chars: int | None
    width: int | None


class Treatment:
    """Treats the rows of one table with a verb; `widths` are how long the cells may be.

    `plan` is `seal` without limits, whose new cells are not to be written.
    """

    def __init__(
        self,
        table: StoredTable,
        verb: Verb,
        sessions: Sessions,
        sealing: RunSessions,
        widths: Sequence[int | None] = (),
    ) -> None:
        """Make the columns ready."""
        self._binder = RowBinder(table)
        self._verb: Verb = "seal" if verb == "plan" else verb
        plans = verb == "plan"
        self._sessions = sessions
        self._sealing = sealing
        self._joins = table.joins
        every = widths or (None,) * len(table.columns)
        self._columns = [
            _Worked(
                one, cells(one.selector), *((None, None) if plans else (_least(one, width), width))
            )
            for one, width in zip(table.columns, every, strict=True)
        ]

    async def treat(self, rows: Sequence[StoredRow]) -> list[Treated]:
        """Return what each row is and is to be.

        Raises KeyUnavailable where an ephemeral session must be asked for and the store fails.
        """
        read = [[self._read(row, at) for at in range(len(self._columns))] for row in rows]
        opens: set[tuple[Scope, KeyId]] = set()
        for cell in (cell for row in read for cell in row if isinstance(cell, list)):
            for value in cell:
                if isinstance(value.token, Token):
                    key_id = value.token.key_id
                    opens.update((one.scope, key_id) for one in value.contexts if one is not None)
        found = await self._sessions.resolve(Needs({}, frozenset(opens), joined=self._joins))
        keys = KeysInUse(
            Keys(self._sealing, found.opening, found.decoys, found.refusals, found.joined_since)
        )
        now = self._sessions.now()
        return [self._treated(row, cells, keys, now) for row, cells in zip(rows, read, strict=True)]

    def _read(self, row: StoredRow, at: int) -> list[_Value] | Outcome:
        """Return the values of a cell, or why there are none."""
        cell, worked = row.cells[at], self._columns[at]
        if cell is None:
            return Outcome("null")
        if cell is NOT_TEXT:
            return Outcome("not-text")
        column = worked.column
        contexts = self._binder.contexts((column.binding, *column.former), row.names)
        try:
            stored = worked.cells.read(cell)
        except (InvalidBody, BodyTooLarge) as error:
            return Outcome("not-json", "", error.reason)
        return [_Value(one, _token(one), contexts) for one in stored]

    def _treated(
        self, row: StoredRow, read: Sequence[list[_Value] | Outcome], keys: KeysInUse, now: float
    ) -> Treated:
        made = Treated(row)
        for at, values in enumerate(read):
            made.cells.append(None)
            if isinstance(values, Outcome):
                made.kept.append((at, values))
                continue
            worked = self._columns[at]
            new = [self._value(worked, value, keys, now) for value in values]
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
        return made

    def _fitting(self, worked: _Worked, cell: Cell, new: list[Stored | None]) -> bytes | None:
        """Return the new cell; None where nothing changes, or it does not fit its column."""
        if not isinstance(cell, bytes) or not any(text is not None for text in new):
            return None
        made = worked.cells.write(cell, new)
        if worked.width is not None and len(made.decode()) > worked.width:
            return None
        return made

    def _value(
        self, worked: _Worked, value: _Value, keys: KeysInUse, now: float
    ) -> tuple[Outcome, Outcome, Stored | None]:
        """Return what a value is, what it is after the change, and the new one if it changes."""
        opened, outcome = self._opened(value, keys, now)
        try:
            if opened is not None:
                return self._of_token(worked, value, opened, outcome, keys)
            return self._of_other(worked, value, outcome, keys)
        except ValueTooLong:
            outcome = Outcome("too-long", outcome.kek)
        except (UnfitValue, ForbiddenValue, MissingValue) as error:
            outcome = Outcome("unfit", outcome.kek, error.reason)
        return outcome, outcome, None

    def _of_token(
        self, worked: _Worked, value: _Value, opened: _Opened, outcome: Outcome, keys: KeysInUse
    ) -> tuple[Outcome, Outcome, Stored | None]:
        if self._verb == "open":
            return outcome, Outcome("opened", outcome.kek), opened.text
        context, sealed = value.contexts[0], value.token
        if self._verb != "reseal" or context is None or not isinstance(sealed, Token):
            return outcome, outcome, None
        if self._is_current(worked, context, sealed, opened, keys):
            return outcome, outcome, None
        if worked.column.form == "short" and sealed.exp is not None:
            raise UnfitValue("short-form-has-no-end")
        new = self._sealed(worked, opened.text, context, keys, sealed.exp)
        return outcome, Outcome("resealed", self._sealing.primary), new

    def _of_other(
        self, worked: _Worked, value: _Value, outcome: Outcome, keys: KeysInUse
    ) -> tuple[Outcome, Outcome, Stored | None]:
        seals = outcome.state == "plain" or (
            outcome.state == "unreadable" and worked.column.lookalikes
        )
        context = value.contexts[0]
        if self._verb != "seal" or not seals or context is None:
            return outcome, outcome, None
        new = self._sealed(worked, value.stored, context, keys)
        return outcome, Outcome("sealed-now", self._sealing.primary), new

    def _sealed(
        self,
        worked: _Worked,
        value: Stored,
        context: Context,
        keys: KeysInUse,
        exp: int | None = None,
    ) -> Stored:
        session, written = keys.seal_for(context)
        form = worked.column.form
        text = session.seal(
            sealed_bytes(value.text, form, json_value=value.is_json),
            written,
            cty=CTY_JSON if value.is_json else None,
            form=form,
            exp=exp,
            max_chars=worked.max_chars,
        )
        return Stored(text)

    def _is_current(
        self, worked: _Worked, context: Context, sealed: Token, opened: _Opened, keys: KeysInUse
    ) -> bool:
        """Whether a token is as one that would be made now, so that no new one is."""
        return (
            opened.at == 0
            and opened.session.kek_id == self._sealing.primary
            and sealed.form == worked.column.form
            and (not context.joined or opened.written == keys.seal_for(context)[1])
        )

    def _opened(self, value: _Value, keys: KeysInUse, now: float) -> tuple[_Opened | None, Outcome]:
        """Return the opened value, if it opens, and what the value is."""
        sealed = value.token
        if sealed is None:
            bound = self._verb != "seal" or value.contexts[0] is not None
            return None, Outcome("plain" if bound else "nameless")
        if isinstance(sealed, OpenFailed):
            return None, Outcome("unreadable", "", sealed.reason)
        return self._tried(value, sealed, keys, now)

    def _tried(
        self, value: _Value, sealed: Token, keys: KeysInUse, now: float
    ) -> tuple[_Opened | None, Outcome]:
        """Return what a token holds, if it opens for one of the contexts, and what it is."""
        reasons: list[str] = []
        for at, context in enumerate(value.contexts):
            if context is not None:
                try:
                    session, plaintext, written = keys.open(sealed, context, now)
                    opened = _Opened(session, _as_stored(sealed, plaintext), at, written)
                except OpenFailed as failed:
                    reasons.append(failed.reason)
                else:
                    kek = session.kek_id or "ephemeral"
                    return opened, Outcome("former" if at else "sealed", kek)
        return None, self._unopened(value, sealed, reasons)

    def _unopened(self, value: _Value, sealed: Token, reasons: Sequence[str]) -> Outcome:
        """Return what a token is that does not open."""
        if not reasons:
            return Outcome("nameless", _named(sealed.key_id))
        if poison.planted(self._sessions.keyring, value.stored.text) is not None:
            return Outcome("poison")
        if "wrong-context" in reasons and (kek := self._misplaced(sealed, value)):
            return Outcome("misplaced", kek)
        return Outcome("unreadable", _named(sealed.key_id), reasons[0])

    def _misplaced(self, sealed: Token, value: _Value) -> str:
        """Return the KEK of a token of the same scope that is bound to something else, or ""."""
        for context in value.contexts:
            if context is not None:
                with suppress(OpenFailed):
                    return token_check.kek_of(self._sessions.keyring, sealed, context.scope)
        return ""


def _token(stored: Stored) -> Token | OpenFailed | None:
    """Return the token that a value is, or why it is none though it begins like one."""
    if stored.is_json or not token.has_prefix(stored.text):
        return None
    return token.decoded_token(stored.text)


def _as_stored(sealed: Token, plaintext: bytes) -> Stored:
    """Return what a token holds; raise OpenFailed for what is no text and no JSON."""
    text = sealed.as_text(plaintext)
    as_text(text, sealed.cty)
    return Stored(text, is_json=sealed.cty == CTY_JSON)


def _named(key_id: KeyId) -> str:
    """Return the KEK that a token names."""
    if key_id.kek_id is not None:
        return key_id.kek_id
    return "ephemeral" if key_id.kek_number is None else f"number {key_id.kek_number}"


def _least(column: Column, width: int | None) -> int | None:
    """Return how many characters a token may have."""
    if column.selector is not None or width is None:
        return column.max_chars
    return width if column.max_chars is None else min(width, column.max_chars)
