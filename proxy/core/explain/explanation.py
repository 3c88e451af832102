"""What would happen to a message, found without keys: its rule, its values, what is forwarded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, cast

from ..compiled.rule_table import Decision, RuleTable
from ..crypto import token
from ..crypto.context import Context
from ..crypto.derivation import COMMITMENT_BYTES, PACKAGE_COMMITMENT_BYTES, SID_BYTES
from ..crypto.joined_names import to_json
from ..crypto.token import ASSUMED_KEK_ID, KeyId, Token
from ..edits.edit_types import Edit, NothingEdit, ValueEdit
from ..edits.edits import Change, EmbeddedEdit, OpenEdit, SealEdit
from ..edits.fit_values import require_base64, require_text
from ..edits.head_values import QUERY, HeadEdit
from ..edits.part_edits import OpenFrameEdit, PartEdit, SealFrameEdit
from ..edits.splice import splice
from ..edits.stream_edits import FrameEdit, SealFrame
from ..edits.wrapped import CarriedEdit, OwnEdit
from ..errors import OpenFailed, SealyardError
from ..expressions.routes import Pattern
from ..formats.markup import Spelling
from ..http import path as paths
from ..http.message import Headers, RequestHead, ResponseHead
from ..http.path import CanonicalPath
from ..planning.exchange import Exchange
from ..planning.mistyped_response import Look
from ..planning.plan import Plan
from ..planning.planner import plan_request, plan_response
from ..planning.treatment import LookAt, ReadResponse, treat_response, treat_seen
from ..rules.model import Block, Rule

_NOTES: Final[dict[Spelling, str]] = {
    "exact": "",
    "plain": "as it is, unless that makes a tag",
    "text": "escaped as HTML",
    "attribute": "escaped as HTML",
    "closed": "in markup that can hold no text there",
}
_ASSUMED_END: Final = 4_000_000_000
"""An end of as many digits as all of them have until 2286."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was looked at, and why it does not take the request (None: it does)."""

    rule: str
    because: str | None


@dataclass(frozen=True, slots=True)
class ExplainedValue:
    """One value that would change: what happens, where it lies, what it is bound to.

    `characters` is the length of the sealed value; None for values to be opened. `quoted` says that
    it is a JSON value, so that its token is a string, `place` where it lies.
    """

    action: str
    field: str
    start: int
    end: int
    context: Context
    characters: int | None
    note: str = ""
    quoted: bool = False
    place: str = "body"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to one message. `outgoing` has the changed values masked.

    `refusal` is the error that a client would get, where Sealyard would refuse.
    """

    considered: tuple[Considered, ...]
    rule: str | None
    values: tuple[ExplainedValue, ...] = ()
    outgoing: bytes | None = None
    refusal: SealyardError | None = None


def consider(
    rule_table: RuleTable, method: str, path: CanonicalPath, *, websocket: bool = False
) -> tuple[Considered, ...]:
    """Return the rules in order up to the one that takes the request, each with its reason."""
    seen: list[Considered] = []
    for compiled_rule in rule_table.rules:
        because = _mismatch(compiled_rule.rule, method, path, websocket=websocket)
        seen.append(Considered(compiled_rule.rule.name, because))
        if because is None:
            break
    return tuple(seen)


def explain_request(
    rule_table: RuleTable, head: RequestHead, path: CanonicalPath, body: bytes
) -> tuple[Explanation, Exchange | None]:
    """Return what would happen to a request, and the exchange for its answer if it goes on."""
    considered = consider(rule_table, head.method, path)
    decision: Decision | None = None
    try:
        decision = rule_table.decide(head.method, path)
        exchange = Exchange(decision, head)
        exchange.refuse_unclear()
        if not decision.reads_request:
            return Explanation(considered, _name(decision), outgoing=body), exchange
        plan = plan_request(exchange, body)
        values, outgoing = _mask(plan)
    except SealyardError as error:
        rule = _name(decision) if decision is not None else _taking(considered)
        return Explanation(considered, rule, refusal=error), None
    return Explanation(considered, _name(decision), values, outgoing), exchange


def explain_response(exchange: Exchange, head: ResponseHead, body: bytes) -> Explanation:
    """Return what would happen to the answer of a request that was explained."""
    rule = _name(exchange.decision)
    try:
        treatment = treat_response(exchange, head, length=len(body))
        if isinstance(treatment, LookAt):
            look = Look(treatment.block, head, len(body), len(body))
            look.feed(body)
            look.end()
            head, treatment = treat_seen(exchange, head, look)
        if not isinstance(treatment, ReadResponse):
            return Explanation((), rule, outgoing=body)
        values, outgoing = _mask(plan_response(exchange, treatment.block, head, body))
    except SealyardError as error:
        return Explanation((), rule, refusal=error)
    return Explanation((), rule, values, outgoing)


def _name(decision: Decision) -> str | None:
    return decision.rule.name if decision.rule is not None else None


def _taking(considered: tuple[Considered, ...]) -> str | None:
    return next((one.rule for one in considered if one.because is None), None)


def _mismatch(rule: Rule, method: str, path: CanonicalPath, *, websocket: bool) -> str | None:
    reasons = [_pattern_mismatch(one, method, path, websocket) for one in rule.patterns]
    if None in reasons:
        return None
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _pattern_mismatch(
    pattern: Pattern,
    method: str,
    path: CanonicalPath,
    websocket: bool,  # noqa: FBT001 - private
) -> str | None:
    if pattern.websocket != websocket:
        return "it is for WebSockets" if pattern.websocket else "it is not for WebSockets"
    because = _path_mismatch(pattern, path)
    if because is None and not pattern.takes(method):
        because = f"{method} is not {', '.join(sorted(pattern.methods))}"
    return because


def _path_mismatch(pattern: Pattern, path: CanonicalPath) -> str | None:
    for at, segment in enumerate(pattern.segments):
        if at >= len(path.segments):
            return f"the path ends before `{segment or '*'}`"
        actual = path.segments[at]
        if segment != actual if segment is not None else not actual:
            return f"`{actual}` is not `{segment or '*'}`"
    if len(path.segments) > len(pattern.segments) and not pattern.rest:
        return f"the path goes on after `/{'/'.join(path.segments[: len(pattern.segments)])}`"
    return None


def _mask(plan: Plan) -> tuple[tuple[ExplainedValue, ...], bytes]:
    edits = cast("tuple[Edit, ...]", plan.edits)  # the others are of pieces of a message
    for edit in edits:
        assert plan.compiled is not None  # noqa: S101 - only a compiled block makes edits
        _refuse_unfit(edit, plan.compiled.block)
    values = tuple(
        _passed(edit) if isinstance(edit, NothingEdit) else _value(edit)
        for edit in edits
        if edit != NothingEdit()
    )
    if plan.framing is not None:
        values += (_whole(plan.framing, len(plan.body)),)
    in_body = [one for one in values if one.place == "body"]
    changed = [one for one in in_body if one.action != "kept"]
    changes = [Change(one.start, one.end, _masked(one), "sealed") for one in changed]
    return values, splice(plan.body, changes) if changes else plan.body


def _refuse_unfit(edit: Edit, block: Block) -> None:
    """Raise UnfitValue for what carrying out would refuse; what may be kept takes keys to tell."""
    if isinstance(edit, OwnEdit):
        block = edit.block
    if isinstance(edit, OwnEdit | PartEdit | HeadEdit):
        return _refuse_unfit(edit.edit, block)
    edit = edit.innermost if isinstance(edit, CarriedEdit) else edit
    if isinstance(edit, SealEdit) and (edit.token is None or block.already_sealed == "seal"):
        require_text(edit.item, edit.plaintext, edit.cty)
        if edit.item.form == "base64":
            require_base64(edit.item, edit.plaintext, edit.cty)
    return None


def _whole(edit: FrameEdit, size: int) -> ExplainedValue:
    context = edit.context
    if isinstance(edit, SealFrame):
        return ExplainedValue("sealed as a stream", edit.item.field, 0, size, context, None)
    note = edit.head.reason if isinstance(edit.head, OpenFailed) else ""
    return ExplainedValue("opened", context.field or "value", 0, size, context, None, note)


def _masked(value: ExplainedValue) -> bytes:
    size = f", {value.characters} characters" if value.characters is not None else ""
    text = f"<{value.field} {value.action}{size}>".encode()
    return b'"%b"' % text if value.quoted else text


def _passed(edit: NothingEdit) -> ExplainedValue:
    """Return a record that passes because its block names it."""
    note = "passes unread"
    return ExplainedValue("kept", edit.outcome, edit.start, edit.end, Context(), None, note)


def _value(edit: ValueEdit) -> ExplainedValue:
    if isinstance(edit, HeadEdit):
        return replace(_value(edit.edit), place="query" if edit.place == QUERY else "header")
    edit = edit.edit if isinstance(edit, PartEdit | OwnEdit) else edit
    if isinstance(edit, SealFrameEdit | OpenFrameEdit):
        return _frame(edit)
    if isinstance(edit, CarriedEdit):
        value = _value(edit.edit)
        return replace(value, start=edit.at(value.start), end=edit.at(value.end))
    if isinstance(edit, SealEdit):
        size = _characters(edit)
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


def _characters(edit: SealEdit) -> int:
    size = len(edit.plaintext)
    if edit.item.form == "short":
        return token.short_length(size)
    packaged = edit.context.scope.parties is not None
    key_id = KeyId(bytes(SID_BYTES), kek_id=None if packaged else ASSUMED_KEK_ID)
    commitment = bytes(PACKAGE_COMMITMENT_BYTES if packaged else COMMITMENT_BYTES)
    end = None if edit.item.expires is None else _ASSUMED_END
    head = token.encode_header(key_id, commitment, edit.cty, end)
    if edit.item.form == "base64":
        return token.base64_length(head, max(size // 4 * 3 - edit.plaintext.count(b"=", -2), 0))
    return token.jwe_length(head, size)


def explain_target(
    rule_table: RuleTable, method: str, target: str, headers: Headers, body: bytes
) -> tuple[Explanation, Exchange | None]:
    """Return what would happen to a request for `target`, a path with or without a query.

    The exchange is for its answer; there is none where the request would be refused.
    """
    raw_path, question, query = target.partition("?")
    try:
        path = paths.canonical(raw_path)
    except SealyardError as error:
        return Explanation((), None, refusal=error), None
    head = RequestHead(method, path.text, query if question else None, headers)
    return explain_request(rule_table, head, path, body)


def document(one: Explanation) -> dict[str, object]:
    """Return an explanation as JSON holds it."""
    refusal = one.refusal
    return {
        "rule": one.rule,
        "considered": [{"rule": each.rule, "because": each.because} for each in one.considered],
        "values": [_value_as_json(value) for value in one.values],
        "outgoing": one.outgoing.decode("utf-8", "replace") if one.outgoing is not None else None,
        "refusal": {"code": refusal.code, "reason": refusal.reason, "detail": refusal.detail}
        if refusal is not None
        else None,
    }


def bound_parts(context: Context) -> dict[str, object]:
    """Return the parts that a context binds, by their names; joined ones as JSON spells them."""
    parts = {
        "tenant": context.scope.tenant,
        "conversation": context.scope.conversation,
        "field": context.field,
        "message": context.message,
        "purpose": context.purpose,
        "kind": context.kind,
    }
    return {part: to_json(name) for part, name in parts.items() if name is not None}


def _value_as_json(value: ExplainedValue) -> dict[str, object]:
    return {
        "action": value.action,
        "field": value.field,
        "place": value.place,
        "bytes": [value.start, value.end],
        "bound_to": bound_parts(value.context),
        "characters": value.characters,
        "note": value.note,
    }
