"""Plan and apply: the two pure functions that change a message, with one key look-up between them.

A plan finds the spans to change and says which keys that needs; `apply` splices. Only here are
Forwardables made, so whatever leaves Sealyard has passed the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from .alternatives import alternatives, choose, fits, refuse_unfit
from .any_edit import Edit
from .blueprint import JOSE, Blueprint
from .coding import coding_of, decode
from .digests import verify
from .edits import AtHand, Change, Fate, OpenEdit, SealEdit
from .errors import OpenFailed, RejectedByRule, Unopened, UnsupportedBody
from .exchange import Exchange
from .finding import find_edits, head_edits, needs_of, refuse_present
from .finding_in_head import HeadEdit
from .finding_parts import refuse_new_delimiters
from .formats.cutting import cutter
from .formats.kinds import Kind
from .forwardable import Forwardable, mint
from .head_values import with_changes
from .marks import request_marks, response_marks, vary
from .message import (
    Head,
    Headers,
    MediaType,
    RequestHead,
    ResponseHead,
    SocketHead,
    media_type,
)
from .messages import Messages
from .needs import Keys, Needs
from .record_flow import RecordFlow, streamed_request, streamed_response
from .rulebook import Blueprints
from .rules import Verdict
from .selectors import Whole
from .session import Session
from .splicing import splice
from .token import Token


class Plan(NamedTuple):
    """What will be done to one message: its edits, and the keys that they need.

    `body` is what the edits are for, those of the head aside; `decoded` says that it has lost its
    content coding. `varies` are the request headers that a response depends on.
    """

    head: Head
    body: bytes
    blueprint: Blueprint | None
    edits: tuple[Edit, ...]
    needs: Needs
    ruled: bool
    decoded: bool = False
    varies: tuple[bytes, ...] = ()


class Applied(NamedTuple):
    """A message that may be forwarded, how many values met which fate, and who opened them.

    `proven` are the sessions with which a tag has verified, worth keeping in a cache; `unopened`
    are tokens that did not open and may stay.
    """

    forwardable: Forwardable
    counts: Mapping[Fate, int]
    proven: tuple[Session, ...]
    unopened: tuple[Unopened, ...] = ()


def pass_request(exchange: Exchange) -> Forwardable:
    """Return the request to be forwarded with its body unread: its rule has no block for it."""
    if exchange.decision.reads_request:
        message = "a request that a rule reads cannot pass unread"
        raise TypeError(message)
    return mint(exchange.head, ruled=exchange.decision.may_read_response)


def pass_handshake(exchange: Exchange) -> Forwardable:
    """Return the handshake of a WebSocket whose messages are read, each by itself.

    Raises ForbiddenValue for what the rule forbids in its head, RejectedByRule where the rule
    rejects what the backend would say.
    """
    _refuse_rejected(exchange)
    compiled = exchange.decision.compiled
    for one in compiled.request if compiled is not None else ():
        refuse_present(exchange.head, one, b"")
    return mint(exchange.head, ruled=exchange.decision.may_read_response)


def pass_response(exchange: Exchange, head: ResponseHead, *, bodiless: bool) -> Forwardable:
    """Return a response to be relayed with its body unread.

    `bodiless` says that the response has no body by HTTP's own rules (HEAD, 204, 304). It must not
    fit a block. Raises RejectedByRule where the rule rejects all responses.
    """
    _refuse_rejected(exchange)
    choose = choose_bodiless if bodiless else choose_response
    if choose(exchange, head) is not None:
        message = "a response that a rule reads cannot pass unread"
        raise TypeError(message)
    ruled = bodiless and exchange.decision.may_read_response
    return mint(head, ruled=ruled, marks=vary(head, exchange.decision.varies) if ruled else ())


def choose_response(exchange: Exchange, head: ResponseHead) -> Blueprint | None:
    """Return the block that takes a response, or None where it passes as it is.

    Raises UnsupportedBody where a block that encrypts cannot read it, RejectedByRule where the rule
    rejects all responses.
    """
    _refuse_rejected(exchange)
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.response:
        return None
    encrypting = compiled.seals_response and any(
        one.block.encrypt and one.fits_status(head.status) for one in compiled.response
    )
    try:
        media = media_type(head.told)
    except UnsupportedBody:
        if encrypting:
            raise
        media = None  # of a type that nobody can tell: it fits no block that reads a type
    blueprint = _fitting(compiled.response, media, head.status)
    if blueprint is not None:
        coding_of(head.told)
    elif encrypting:
        raise UnsupportedBody("response-fits-no-block")
    return blueprint


def choose_bodiless(exchange: Exchange, head: ResponseHead) -> Blueprint | None:
    """Return the block that does something in the head of a response without a body, or None."""
    compiled = exchange.decision.compiled
    for one in compiled.response if compiled is not None else ():
        if one.heeds_head and one.fits_status(head.status):
            return one
    return None


def plan_bodiless(exchange: Exchange, blueprint: Blueprint, head: ResponseHead) -> Plan:
    """Return what a block that `choose_bodiless` gave does to a response without a body."""
    edits = head_edits(exchange, blueprint, head)
    decision = exchange.decision
    return Plan(
        head,
        b"",
        blueprint,
        edits,
        needs_of(edits),
        decision.may_read_response,
        varies=decision.varies,
    )


def plan_request(exchange: Exchange, body: bytes, limit: int | None = None) -> Plan:
    """Return what the rule does to a request; `limit` bounds its body once decoded.

    Raises MessageError where it cannot be done.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.request:
        message = "a request that no rule reads has no plan"
        raise TypeError(message)
    head = exchange.head
    blueprint: Blueprint | None
    if body:
        blueprint = _fitting(compiled.request, media_type(head.told), None)
        if blueprint is None:
            raise UnsupportedBody("request-fits-no-block")
    else:
        # No body tells the blocks apart, so what any of them forbids in the head is forbidden.
        for one in compiled.request:
            refuse_present(head, one, body)
        blueprint = next((one for one in compiled.request if one.when is None), None)
    verify(head.told, body)
    return _plan(exchange, blueprint, head, body, limit)


def plan_response(
    exchange: Exchange,
    blueprint: Blueprint,
    head: ResponseHead,
    body: bytes,
    limit: int | None = None,
) -> Plan:
    """Return what a block that `choose_response` gave does to a response, or one behind it."""
    return _plan(exchange, blueprint, head, body, limit)


def plan_message(messages: Messages, body: bytes, *, binary: bool = False) -> Plan:
    """Return what the rule does to the next message of a WebSocket; each is planned once, in order.

    Raises MessageError where it cannot be done: then no other may follow.
    """
    head = SocketHead(messages.direction, binary, messages.awaited)
    blueprint = next((one for one in messages.blueprints if fits(one, head)), None)
    if blueprint is None:
        refuse_unfit(messages.blueprints)
    elif messages.take_note(blueprint, body, binary=binary):
        blueprint = None
    return _plan(messages.exchange, blueprint, head, body, None)


def streaming_request(
    exchange: Exchange, length: int | None, limit: int
) -> tuple[Blueprint, Kind] | None:
    """Return the block that takes a request record by record, and the kind of its records.

    None: it is read whole, and so it is up to `limit` bytes where it tells its `length`. Raises
    UnsupportedBody where nobody can tell its type or coding.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.request or (length is not None and length <= limit):
        return None
    blueprint = _fitting(compiled.request, media_type(exchange.head.told), None)
    kind = None if blueprint is None else streamed_request(blueprint, exchange.head)
    return None if blueprint is None or kind is None else (blueprint, kind)


def streaming_response(blueprint: Blueprint, head: ResponseHead, length: int | None) -> Kind | None:
    """Return the kind of records of a response that passes record by record; None for no such.

    `blueprint` is what `choose_response` gave, `length` what the response tells.
    """
    return streamed_response(blueprint, head, length)


def begin_stream(
    exchange: Exchange,
    blueprint: Blueprint,
    head: RequestHead | ResponseHead,
    kind: Kind,
    limit: int,
) -> Forwardable:
    """Return a message whose records are planned as they come, each of `limit` bytes at most.

    What becomes of its values is not known yet: it is marked as if all were sealed or opened.
    """
    flow = RecordFlow(cutter(kind, limit), partial(plan_records, exchange, blueprint, head))
    counts: dict[Fate, int] = {}
    if blueprint.block.encrypt:
        counts["sealed"] = 1
    if blueprint.block.decrypt:
        counts["opened"] = 1
    if isinstance(head, RequestHead):
        marks = request_marks(head, counts)
    else:
        marks = response_marks(head, counts, exchange.decision.varies, opaque=False)
    ruled = exchange.decision.may_read_response
    return mint(head, changed=True, ruled=ruled, marks=marks, flow=flow)


def plan_records(
    exchange: Exchange, blueprint: Blueprint, head: RequestHead | ResponseHead, records: bytes
) -> Plan:
    """Return what a block does to a piece of a body of records: some whole ones, or none."""
    edits = find_edits(exchange, blueprint, head, records, piece=True)
    ruled = exchange.decision.may_read_response
    return Plan(head, records, blueprint, edits, needs_of(edits), ruled)


def apply(plan: Plan, keys: Keys, now: float) -> Applied:
    """Return the message with every edit carried out; no other byte differs.

    `now` is in seconds since 1970. Raises MessageError, and then nothing may be forwarded.
    """
    block = plan.blueprint.block if plan.blueprint else None
    at_hand = AtHand(keys)
    counts: dict[Fate, int] = {}
    proven: list[Session] = []
    changes: list[Change] = []
    beside: dict[Change, None] = {}  # more than one value may ask for the same
    head_changes: list[tuple[int, Change]] = []
    failed: OpenFailed | None = None
    for edit in plan.edits:
        assert block is not None  # noqa: S101 - only a blueprint makes edits
        try:
            change = edit.carry_out(at_hand, block, now)
        except OpenFailed as error:
            # The others are tried all the same: else the time would tell which of many it was.
            failed = failed or error
            continue
        counts[change.fate] = counts.get(change.fate, 0) + 1
        if change.session is not None:
            proven.append(change.session)
        if change.text is not None:
            if type(edit) is HeadEdit:
                head_changes.append((edit.place, change))
            else:
                changes.append(change)
        if change.also:
            beside.update(dict.fromkeys(change.also))
    if failed is not None:
        failed.unopened = tuple(at_hand.unopened)
        raise failed
    head = plan.head
    if head_changes:
        assert not isinstance(head, SocketHead)  # noqa: S101 - it has nothing to change
        head = with_changes(head, head_changes)
    changes += beside
    body = _spliced(plan, changes) if changes else plan.body
    forwardable = mint(
        head,
        body,
        changed=bool(changes or head_changes) or plan.decoded,
        decoded=plan.decoded,
        ruled=plan.ruled,
        media_type=_new_media_type(plan) if changes else None,
        marks=_marks(plan, counts),
    )
    return Applied(forwardable, counts, tuple(proven), tuple(at_hand.unopened))


def _spliced(plan: Plan, changes: list[Change]) -> bytes:
    """Return the changed body; raise MessageError where it would not be read as it was meant."""
    body = splice(plan.body, changes)
    if _has_parts(plan):
        refuse_new_delimiters(plan.head.told, plan.body, body)
    if isinstance(plan.head, SocketHead) and not plan.head.binary:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise OpenFailed("not-text") from None
    return body


def _refuse_rejected(exchange: Exchange) -> None:
    rule = exchange.decision.rule
    if rule is not None and rule.response is Verdict.REJECT:
        raise RejectedByRule("rule-rejects-response")


def _fitting(
    blueprints: Blueprints, media: MediaType | None, status: int | None
) -> Blueprint | None:
    for one in blueprints:
        if one.fits(media, status):
            return one
    return None


def _plan(
    exchange: Exchange,
    blueprint: Blueprint | None,
    head: Head,
    body: bytes,
    limit: int | None,
) -> Plan:
    decision = exchange.decision
    original = body
    coding = coding_of(head.told) if body else None
    if coding is not None:
        assert decision.rule is not None  # noqa: S101 - only a rule has blueprints
        body = decode(body, coding, decision.rule.max_body if limit is None else limit)
    if blueprint is not None and blueprint.when is not None:
        blueprint = _taking(exchange, blueprint, head, body)
    edits: tuple[Edit, ...] = ()
    if blueprint is not None:
        edits = find_edits(exchange, blueprint, head, body)
    else:
        body, coding = original, None  # it passes as it came
    return Plan(
        head,
        body,
        blueprint,
        edits,
        needs_of(edits),
        decision.may_read_response,
        decoded=coding is not None,
        varies=decision.varies,
    )


def _has_parts(plan: Plan) -> bool:
    blueprint = plan.blueprint
    if blueprint is None or "multipart" not in blueprint.reads:
        return False
    return blueprint.kind(media_type(plan.head.told)) == "multipart"


def _taking(exchange: Exchange, blueprint: Blueprint, head: Head, body: bytes) -> Blueprint | None:
    """Return the block that takes a body, that or one behind it; records choose one each."""
    if blueprint.records(media_type(head.told)) is not None:
        return blueprint
    return choose(alternatives(exchange, blueprint, head), body)


def _new_media_type(plan: Plan) -> str | None:
    """Return the new Content-Type: JOSE once sealed whole, the old one once opened whole."""
    if plan.blueprint is None or not plan.blueprint.takes_whole:
        return None
    for edit in plan.edits:
        if isinstance(edit, SealEdit) and edit.item.selector is Whole.BODY:
            return JOSE
        if isinstance(edit, OpenEdit) and edit.shape == "body" and isinstance(edit.token, Token):
            return edit.token.cty or ""
    return None


def _marks(plan: Plan, counts: Mapping[Fate, int]) -> Headers:
    if isinstance(plan.head, RequestHead):
        return request_marks(plan.head, counts)
    if isinstance(plan.head, SocketHead):
        return ()
    whole = plan.blueprint.whole_encrypt if plan.blueprint is not None else None
    opaque = whole is not None and whole.selector is Whole.BODY and bool(plan.body)
    return response_marks(plan.head, counts, plan.varies, opaque=opaque)
