"""A plan described beside its keys, as it is carried out: what is shown is what is done."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from ..crypto import token
from ..crypto.context import Context
from ..crypto.derivation import COMMITMENT_BYTES, PACKAGE_COMMITMENT_BYTES, SID_BYTES
from ..crypto.token import KeyId, Token
from ..edits.edit_types import NothingEdit, RefusedEdit, ValueEdit
from ..edits.edits import Change, EmbeddedEdit, KeysInUse, OpenEdit, SealEdit
from ..edits.head_values import QUERY, HeadEdit, with_changes
from ..edits.key_needs import Keys
from ..edits.part_edits import BegunEdit, OpenFrameEdit, PartEdit, SealFrameEdit
from ..edits.splice import splice
from ..edits.stream_edits import FrameEdit, SealFrame
from ..edits.wrapped import CarriedEdit, OwnEdit
from ..errors import OpenFailed, SealyardError
from ..formats.markup import Spelling
from ..http.message import Head, SocketHead
from ..planning.plan import Plan
from .explanation import Described, ExplainedValue

_NOTES: Final[dict[Spelling, str]] = {
    "exact": "",
    "plain": "as it is, unless that makes a tag",
    "text": "escaped as HTML",
    "attribute": "escaped as HTML",
    "closed": "in markup that can hold no text there",
}
_AS_IT_WAS: Final = frozenset({"kept", "already_sealed", "in_markup"})
_ASSUMED_END: Final = 4_000_000_000
"""An end of as many digits as all of them have until 2286."""


def describe(plan: Plan, keys: Keys, now: float) -> Described:
    """Return what carrying out a plan comes to, value by value. It never raises MessageError."""
    in_use, values = KeysInUse(keys), list[ExplainedValue]()
    body: list[Change] = []
    head: list[tuple[int, Change]] = []
    for edit in plan.edits:
        if isinstance(edit, NothingEdit):
            values += [] if edit == NothingEdit() else [_passed(edit)]
            continue
        if isinstance(edit, RefusedEdit):
            continue  # what is wrong is told beside the values
        value = _tried(edit, plan, in_use, now)
        values.append(value)
        if value.action in _AS_IT_WAS:
            continue
        mask = Change(value.start, value.end, _spelled(edit, _masked(value)), "sealed")
        if isinstance(edit, HeadEdit):
            head.append((edit.place, mask))
        else:
            body.append(mask)
    if plan.framing is not None:
        whole = _whole(plan, plan.framing, in_use, now)
        values.append(whole)
        if whole.action not in _AS_IT_WAS:
            body.append(Change(0, len(plan.body), _masked(whole), "sealed"))
    outgoing = splice(plan.body, _apart(body)) if body else plan.body
    masked = _with_masks(plan.head, head)
    lines = sorted({place for place, _ in head if place != QUERY})
    headers = () if isinstance(masked, SocketHead) else tuple(masked.headers[at] for at in lines)
    return Described(tuple(values), outgoing, masked, headers)


def _spelled(edit: ValueEdit | BegunEdit, mask: bytes) -> bytes:
    """Return a mask as the JSON that carries the value spells it, elsewhere as it is."""
    edit = edit.edit if isinstance(edit, HeadEdit | PartEdit | OwnEdit) else edit
    if not isinstance(edit, CarriedEdit):
        return mask
    inner = _spelled(edit.edit, mask)
    spelled = edit.spell(inner)
    return spelled if b"<" in spelled else inner


def _apart(changes: list[Change]) -> list[Change]:
    """Return the changes without those that overlap another: the message is refused for them."""
    kept: list[Change] = []
    for one in sorted(changes, key=lambda change: change.start):
        if not kept or kept[-1].end <= one.start:
            kept.append(one)
    return kept


def _with_masks(head: Head, masks: list[tuple[int, Change]]) -> Head:
    if not masks or isinstance(head, SocketHead):
        return head
    return with_changes(head, masks)


def _tried(edit: ValueEdit | BegunEdit, plan: Plan, keys: KeysInUse, now: float) -> ExplainedValue:
    """Return a value with what becomes of it."""
    assert plan.compiled is not None  # noqa: S101 - only a compiled block makes edits
    if isinstance(edit, BegunEdit):  # the rest of the content is still to come
        return _value(edit.edit, keys)
    value, tried = _value(edit, keys), len(keys.unopened)
    try:
        outcome = edit.carry_out(keys, plan.compiled.block, now).outcome
    except SealyardError as error:
        return replace(value, action="refused", note=error.reason, characters=None)
    if outcome != "sealed":
        value = replace(value, characters=None)
    note = value.note or _reason(edit)
    if outcome == "kept" and note in _NOTES.values():
        note = _why_unopened(keys, tried) or note
    return replace(value, action=outcome, note=note)


def _reason(edit: ValueEdit) -> str:
    """Return why a value that is to be opened is not a token; empty where it is one."""
    edit = edit.edit if isinstance(edit, HeadEdit | PartEdit | OwnEdit) else edit
    failed = getattr(edit, "token", None)
    return failed.reason if isinstance(failed, SealyardError) else ""


def _why_unopened(keys: KeysInUse, tried: int) -> str:
    """Return why a token did not open after so many others had not; empty where it did."""
    return keys.unopened[-1].reason if len(keys.unopened) > tried else ""


def _whole(plan: Plan, edit: FrameEdit, keys: KeysInUse, now: float) -> ExplainedValue:
    """Return what becomes of a body that is sealed as a stream, or is one."""
    assert plan.compiled is not None  # noqa: S101 - only a compiled block has streams
    name = edit.item.field if isinstance(edit, SealFrame) else edit.context.field or "value"
    value = ExplainedValue("sealed", name, 0, len(plan.body), edit.context, None)
    tried = len(keys.unopened)
    try:
        outcome = edit.begin(keys, plan.compiled.block, now, plan.body).outcome
    except SealyardError as error:
        return replace(value, action="refused", note=error.reason)
    note = "as a stream" if outcome == "sealed" else _why_unopened(keys, tried)
    return replace(value, action=outcome, note=note)


def _masked(value: ExplainedValue) -> bytes:
    size = f", {value.characters} characters" if value.characters is not None else ""
    text = f"<{value.field} {value.action}{size}>".encode()
    return b'"%b"' % text if value.quoted else text


def _passed(edit: NothingEdit) -> ExplainedValue:
    """Return a record that passes because its block names it."""
    note = "passes unread"
    return ExplainedValue(edit.outcome, "record", edit.start, edit.end, Context(), None, note)


def _value(edit: ValueEdit, keys: KeysInUse) -> ExplainedValue:
    if isinstance(edit, HeadEdit):
        place = "query" if edit.place == QUERY else "header"
        return replace(_value(edit.edit, keys), place=place)
    edit = edit.edit if isinstance(edit, PartEdit | OwnEdit) else edit
    if isinstance(edit, SealFrameEdit | OpenFrameEdit):
        return _frame(edit)
    if isinstance(edit, CarriedEdit):
        value = _value(edit.edit, keys)
        return replace(value, start=edit.at(value.start), end=edit.at(value.end))
    if isinstance(edit, SealEdit):
        size = _characters(edit, keys)
        return ExplainedValue(
            "sealed",
            edit.item.field,
            edit.start,
            edit.end,
            edit.context,
            size,
            quoted=edit.quoted,
        )
    if isinstance(edit, OpenEdit):
        field = edit.context.field or "value"
        note = _NOTES[edit.place.spelling] if isinstance(edit.token, Token) else edit.token.reason
        quoted = edit.shape == "json"
        return ExplainedValue(
            "opened", field, edit.start, edit.end, edit.context, None, note, quoted=quoted
        )
    return _embedded(edit)


def _embedded(edit: EmbeddedEdit) -> ExplainedValue:
    found, context = edit.found, edit.context or Context()
    spelling = found.place.spelling
    action = "kept" if spelling == "closed" else "opened"
    note = _NOTES[spelling]
    if edit.context is None:
        note = "a name that binds it is missing"
    elif found.token is None:
        note = "cut"
    return ExplainedValue(action, "token", found.start, found.end, context, None, note)


def _frame(edit: SealFrameEdit | OpenFrameEdit) -> ExplainedValue:
    start, end = edit.part.start, edit.part.end
    if isinstance(edit, SealFrameEdit):
        field, note = edit.item.field, "as a stream"
        return ExplainedValue("sealed", field, start, end, edit.context, None, note)
    note = edit.head.reason if isinstance(edit.head, OpenFailed) else "a stream"
    return ExplainedValue(
        "opened", edit.context.field or "value", start, end, edit.context, None, note
    )


def _characters(edit: SealEdit, keys: KeysInUse) -> int:
    size = len(edit.plaintext)
    if edit.item.form == "short":
        return token.short_length(size)
    packaged, kek_id = edit.context.scope.parties is not None, None
    with suppress(SealyardError):
        kek_id = keys.seal_for(edit.context.scope).kek_id
    key_id = KeyId(bytes(SID_BYTES), kek_id=kek_id)
    commitment = bytes(PACKAGE_COMMITMENT_BYTES if packaged else COMMITMENT_BYTES)
    end = None if edit.item.expires is None else _ASSUMED_END
    head = token.encode_header(key_id, commitment, edit.cty, end)
    if edit.item.form == "base64":
        return token.base64_length(head, max(size // 4 * 3 - edit.plaintext.count(b"=", -2), 0))
    return token.jwe_length(head, size)
