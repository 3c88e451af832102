"""A plan described beside its keys, as it is carried out: what is shown is what is done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from ..crypto import token
from ..crypto.context import Context
from ..crypto.derivation import COMMITMENT_BYTES, PACKAGE_COMMITMENT_BYTES, SID_BYTES
from ..crypto.token import KeyId
from ..errors import OpenFailed, SealyardError
from ..formats.embedded_tokens import FoundToken, around
from ..formats.markup import Spelling
from ..http.message import Head, SocketHead
from ..planning.plan import Plan
from ..values.carry_out import CarriedOut
from ..values.head_values import QUERY, with_changes
from ..values.hows import Seal, Seek, Span
from ..values.key_needs import Keys, KeysInUse
from ..values.part_streams import PartStream
from ..values.streams import Framing
from ..values.table import Values, splice
from .dry_run import AssumedSession
from .explanation import Described, ExplainedValue

if TYPE_CHECKING:  # loaded with its rules
    from ..search.queries import Query
    from ..values.sieve import Sieve

_NOTES: Final[dict[Spelling, str]] = {
    "exact": "",
    "plain": "as it is, unless that makes a tag",
    "text": "escaped as HTML",
    "attribute": "escaped as HTML",
    "closed": "in markup that can hold no text there",
}
_AS_IT_WAS: Final = frozenset({"kept", "already_sealed", "in_markup", "token"})
_ASSUMED_END: Final = 4_000_000_000
"""An end of as many digits as all of them have until 2286."""


def describe(plan: Plan, keys: Keys, now: float) -> Described:
    """Return what carrying out a plan comes to, value by value. It never raises MessageError."""
    table, values = plan.values, list[ExplainedValue]()
    body: list[Span] = []
    head: list[tuple[int, Span]] = []
    for row in range(len(table)):
        value = _tried(table, row, keys, now)
        values.append(value)
        if value.action in _AS_IT_WAS:
            continue
        mask = _spelled(table, row, _stand_in(value))
        if row in table.heads:
            head.append((table.heads[row], (value.start, value.end, mask)))
        else:
            body.append((value.start, value.end, mask))
    body += table.replaced
    if table.sieve is not None:
        values += _sifted(table.sieve, values, CarriedOut(table, keys, now))
        body += table.sieve.dropped((), (), [])[0]
    values += [_passed(start, end) for outcome, start, end in table.noted if outcome == "sentinel"]
    values.sort(key=lambda one: one.place != "body")
    for framing in table.framing:
        whole = _whole(plan, framing, keys, now)
        values.append(whole)
        if whole.action not in _AS_IT_WAS:
            body.append((0, len(plan.body), _stand_in(whole)))
    outgoing = splice(plan.body, _apart(body)) if body else plan.body
    masked = _with_masks(plan.head, head)
    lines = sorted({place for place, _ in head if place != QUERY})
    headers = () if isinstance(masked, SocketHead) else tuple(masked.headers[at] for at in lines)
    return Described(tuple(values), outgoing, masked, headers)


def _spelled(table: Values, row: int, mask: bytes) -> bytes:
    """Return a mask as the JSON that carries the value spells it, elsewhere as it is."""
    for spell in table.hows[row].spells:
        spelled = spell(mask)
        mask = spelled if b"<" in spelled else mask
    return mask


def _apart(changes: list[Span]) -> list[Span]:
    """Return the changes without those that overlap another: the message is refused for them."""
    kept: list[Span] = []
    for one in sorted(changes, key=lambda change: change[0]):
        if not kept or kept[-1][1] <= one[0]:
            kept.append(one)
    return kept


def _with_masks(head: Head, masks: list[tuple[int, Span]]) -> Head:
    if not masks or isinstance(head, SocketHead):
        return head
    return with_changes(head, masks)


def _tried(table: Values, row: int, keys: Keys, now: float) -> ExplainedValue:
    """Return a value with what becomes of it."""
    value, what = _value(table, row, keys), table.what[row]
    if isinstance(what, PartStream) and what.rest is not None:  # the rest is still to come
        return value
    done = CarriedOut(table.only(row), keys, now)
    if done.failed is not None:
        return replace(value, action="refused", note=done.failed.reason, characters=None)
    (outcome,) = done.counts
    if outcome != "sealed":
        value = replace(value, characters=None)
    note = value.note or (what.reason if isinstance(what, OpenFailed) else "")
    if outcome == "kept" and note in _NOTES.values() and done.keys.unopened:
        note = done.keys.unopened[-1].reason
    how = table.hows[row]
    item = how.item if type(how) is Seal and outcome == "sealed" else None
    if item is not None and item.index is not None and (text := done.texts[0]) is not None:
        return _with_tags(value, item.tags_member, text)
    return replace(value, action=outcome, note=note)


def _with_tags(value: ExplainedValue, member: str | None, sealed: bytes) -> ExplainedValue:
    if member is not None:
        return replace(value, note=f"its tags in `{member}` beside it")
    return replace(value, characters=len(sealed.strip(b'"')), note="its tags behind it")


def _whole(plan: Plan, framing: Framing, keys: Keys, now: float) -> ExplainedValue:
    """Return what becomes of a body that is sealed as a stream, or is one."""
    assert plan.compiled is not None  # noqa: S101 - only a compiled block has streams
    item, in_use = framing.item, KeysInUse(keys)
    name = item.field if item is not None else framing.context.field or "value"
    value = ExplainedValue("sealed", name, 0, len(plan.body), framing.context, None)
    try:
        outcome = framing.begin(in_use, plan.compiled.block, now, plan.body).outcome
    except SealyardError as error:
        return replace(value, action="refused", note=error.reason)
    unopened = in_use.unopened[-1].reason if in_use.unopened else ""
    note = "as a stream" if outcome == "sealed" else unopened
    return replace(value, action=outcome, note=note)


def _sifted(
    sieve: Sieve, values: Sequence[ExplainedValue], done: CarriedOut
) -> list[ExplainedValue]:
    """Return what becomes of the elements of an answer to a search, by what its values hold.

    What is assumed to open is taken to have what is searched for.
    """
    if done.failed is not None:
        return []
    assumed = any(isinstance(one, AssumedSession) for one in done.found.opening.values())
    for row in sieve.rows if assumed else ():
        if values[row].action == "opened":
            sieve.take(row, None)
    found = ("found", "if its text has what is searched for" if assumed else "")
    filtered = ("filtered", "has not what is searched for")
    return [
        ExplainedValue(action, "element", one.start, one.end, Context(), None, note)
        for one, stays in zip(sieve.elements, sieve.stays, strict=True)
        for action, note in [found if stays else filtered]
    ]


def _stand_in(value: ExplainedValue) -> bytes:
    size = f", {value.characters} characters" if value.characters is not None else ""
    text = f"<{value.field} {value.action}{size}>".encode()
    return b'"%b"' % text if value.quoted else text


def _passed(start: int, end: int) -> ExplainedValue:
    """Return a record that passes because its block names it."""
    return ExplainedValue("sentinel", "record", start, end, Context(), None, "passes unread")


def _value(table: Values, row: int, keys: Keys) -> ExplainedValue:
    how, what = table.hows[row], table.what[row]
    context, place = table.contexts[row], "body"
    start, end = table.starts[row], table.ends[row]
    if row in table.heads:
        place = "query" if table.heads[row] == QUERY else "header"
    if isinstance(what, PartStream):
        return _stream(what, start, end, context or Context())
    if type(how) is Seek:
        words = len(cast("Query", what).words)
        note = f"{f'the tag of one of its {words} words' if words > 1 else 'its tag'} in its place"
        bound = context or Context()
        return ExplainedValue(
            "searched", how.item.field, start, end, bound, None, note, place=place
        )
    if type(how) is Seal:
        assert context is not None  # noqa: S101 - what is sealed is bound
        start, end, size = *table.span(row), _characters(table, row, how, context, keys)
        field, quoted = how.item.field, how.quoted or how.between
        return ExplainedValue(
            "sealed", field, start, end, context, size, quoted=quoted, place=place
        )
    if isinstance(what, FoundToken):
        before, behind = around(what)
        return _embedded(what, start + before, end - behind, context)
    note = what.reason if isinstance(what, OpenFailed) else _NOTES[how.place.spelling]  # type: ignore[union-attr]  # the other of the two
    bound = context or Context()
    quoted = how.shape == "json"  # type: ignore[union-attr]  # as above
    field = bound.field or "value"
    return ExplainedValue(
        "opened", field, start, end, bound, None, note, quoted=quoted, place=place
    )


def _embedded(found: FoundToken, start: int, end: int, context: Context | None) -> ExplainedValue:
    spelling = found.place.spelling
    action = "kept" if spelling == "closed" else "opened"
    note = _NOTES[spelling]
    if context is None:
        note = "a name that binds it is missing"
    elif found.token is None:
        note = "cut"
    return ExplainedValue(action, "token", start, end, context or Context(), None, note)


def _stream(what: PartStream, start: int, end: int, context: Context) -> ExplainedValue:
    if what.item is not None:
        field, note = what.item.field, "as a stream"
        return ExplainedValue("sealed", field, start, end, context, None, note)
    note = what.stream.reason if isinstance(what.stream, OpenFailed) else "a stream"
    return ExplainedValue("opened", context.field or "value", start, end, context, None, note)


def _characters(table: Values, row: int, how: Seal, context: Context, keys: Keys) -> int:
    text, item = table.what[row], how.item
    assert isinstance(text, bytes)  # noqa: S101 - it is to be sealed
    size = len(text)
    if item.form == "short":
        return token.short_length(size)
    if item.form == "equal":
        return token.equal_length(size)
    packaged, kek_id = context.scope.parties is not None, None
    with suppress(SealyardError):
        kek_id = keys.sealing[context.scope].kek_id
    key_id = KeyId(bytes(SID_BYTES), kek_id=kek_id)
    commitment = bytes(PACKAGE_COMMITMENT_BYTES if packaged else COMMITMENT_BYTES)
    end = None if item.expires is None else _ASSUMED_END
    head = token.encode_header(key_id, commitment, table.ctys[row], end)
    if item.form == "base64":
        return token.base64_length(head, max(size // 4 * 3 - text.count(b"=", -2), 0))
    return token.jwe_length(head, size)
