"""Plan and apply: the two pure functions that change a message, with one key look-up between them.

A plan finds the spans to change and says which keys that needs; `apply` splices. Only here are
Forwardables made, so whatever leaves Sealyard has passed the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple, cast

from .alternatives import alternatives, choose, fits, refuse_unfit
from .any_edit import Edit, PieceEdit
from .blueprint import JOSE, Blueprint
from .choosing import (
    choose_bodiless,
    choose_response,
    fitting,
    flowing_request,
    flows,
    flows_as_one,
    flows_in_parts,
    refuse_rejected,
    streaming_request,
    streaming_response,
    suffices,
)
from .coding import coding_of, decode
from .digests import Digests, digests_of, verify
from .edits import AtHand, Change, Fate, OpenEdit, SealEdit
from .errors import InvalidBody, OpenFailed, Unopened, UnsupportedBody
from .exchange import Exchange
from .finding import find_edits, head_edits, needs_of, refuse_present
from .finding_in_head import HeadEdit
from .finding_parts import refuse_new_delimiters
from .flow import CheckedFlow
from .form_flow import FormFlow, form_that_passes
from .formats.cutting import cutter
from .formats.kinds import Kind
from .forwardable import Forwardable, mint
from .frame_edits import Begun, FrameEdit
from .head_values import with_changes
from .marks import request_marks, response_marks, vary
from .message import Head, Headers, RequestHead, ResponseHead, SocketHead, media_type
from .messages import Messages
from .method_override import refuse_in_body
from .needs import Keys, Needs
from .record_flow import RecordFlow
from .selectors import Whole
from .session import Session
from .splicing import splice
from .token import Token

__all__ = [
    "Applied",
    "Plan",
    "apply",
    "begin_stream",
    "choose_bodiless",
    "choose_response",
    "flowing_request",
    "flows",
    "pass_request",
    "pass_response",
    "plan_bodiless",
    "plan_flowing_request",
    "plan_flowing_response",
    "plan_records",
    "plan_request",
    "plan_response",
    "streaming_request",
    "streaming_response",
    "suffices",
]


Edits = tuple[PieceEdit, ...]


class Plan(NamedTuple):
    """What will be done to one message: its edits, and the keys that they need.

    `body` is what the edits are for, those of the head aside; `decoded` says that it has lost its
    content coding. `varies` are the request headers that a response depends on. `framing` is the
    change of the body to or from a frame. Where the body `flows`, `body` is only its beginning, and
    `digests` are what the whole of it must fit; `form` is what is done to one that is a form.
    """

    head: Head
    body: bytes
    blueprint: Blueprint | None
    edits: Edits
    needs: Needs
    ruled: bool
    decoded: bool = False
    varies: tuple[bytes, ...] = ()
    framing: FrameEdit | None = None
    flows: bool = False
    digests: Digests | None = None
    form: FormFlow | None = None


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
    refuse_rejected(exchange)
    compiled = exchange.decision.compiled
    for one in compiled.request if compiled is not None else ():
        refuse_present(exchange.head, one, b"")
    return mint(exchange.head, ruled=exchange.decision.may_read_response)


def pass_response(exchange: Exchange, head: ResponseHead, *, bodiless: bool) -> Forwardable:
    """Return a response to be relayed with its body unread.

    `bodiless` says that the response has no body by HTTP's own rules (HEAD, 204, 304). It must not
    fit a block. Raises RejectedByRule where the rule rejects all responses.
    """
    refuse_rejected(exchange)
    choose = choose_bodiless if bodiless else choose_response
    if choose(exchange, head) is not None:
        message = "a response that a rule reads cannot pass unread"
        raise TypeError(message)
    ruled = bodiless and exchange.decision.may_read_response
    return mint(head, ruled=ruled, marks=vary(head, exchange.decision.varies) if ruled else ())


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


def plan_request(
    exchange: Exchange, body: bytes, limit: int | None = None, *, measured: bool = True
) -> Plan:
    """Return what the rule does to a request; `limit` bounds its body once decoded.

    `measured` says that the request told its length. Raises MessageError where it cannot be done.
    """
    compiled = exchange.decision.compiled
    if compiled is None or not compiled.request:
        message = "a request that no rule reads has no plan"
        raise TypeError(message)
    head = exchange.head
    blueprint: Blueprint | None
    if body:
        first = compiled.request[0]
        if first.ordinary is not None and head.told.plain_json:
            blueprint = first
        else:
            blueprint = fitting(compiled.request, media_type(head.told), None)
            if blueprint is None:
                raise UnsupportedBody("request-fits-no-block")
    else:
        # No body tells the blocks apart, so what any of them forbids in the head is forbidden.
        for one in compiled.request:
            refuse_present(head, one, body)
        blueprint = next((one for one in compiled.request if one.when is None), None)
    if not head.told.plain_json:
        verify(head.told, body)
    plan = _plan(exchange, blueprint, head, body, limit, measured=measured)
    if exchange.decision.overridable and plan.body and not _hidden(blueprint):
        refuse_in_body(head, plan.body)
    return plan


def plan_response(  # noqa: PLR0913 - the message and what is known of it
    exchange: Exchange,
    blueprint: Blueprint,
    head: ResponseHead,
    body: bytes,
    limit: int | None = None,
    *,
    measured: bool = True,
) -> Plan:
    """Return what a block that `choose_response` gave does to a response, or one behind it."""
    return _plan(exchange, blueprint, head, body, limit, measured=measured)


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
    return _plan(messages.exchange, blueprint, head, body, None, measured=True)


def plan_flowing_request(
    exchange: Exchange, blueprint: Blueprint, beginning: bytes, limit: int
) -> Plan:
    """Return what a block that `flowing_request` gave does to a request.

    `beginning` is as much of the body as `suffices` asks for, and not empty; `limit` is for the
    parts of a form that must be there whole. Raises MessageError where it cannot be done.
    """
    digests = digests_of(exchange.head.told)
    if blueprint.flows_in_parts:
        return _plan_form(exchange, blueprint, exchange.head, beginning, limit, digests)
    return _plan_flowing(exchange, blueprint, exchange.head, beginning)._replace(digests=digests)


def plan_flowing_response(
    exchange: Exchange, blueprint: Blueprint, head: ResponseHead, beginning: bytes, limit: int
) -> Plan:
    """Return what a block does to a response that `flows`."""
    if blueprint.flows_in_parts:
        return _plan_form(exchange, blueprint, head, beginning, limit, None)
    return _plan_flowing(exchange, blueprint, head, beginning)


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
    counts = _foreseen(alternatives(exchange, blueprint, head))
    if isinstance(head, RequestHead):
        marks = request_marks(head, counts)
    else:
        marks = response_marks(head, counts, exchange.decision.varies, opaque=False)
    ruled = exchange.decision.may_read_response
    return mint(head, changed=True, ruled=ruled, marks=marks, flow=flow)


def _foreseen(takers: Iterable[Blueprint]) -> dict[Fate, int]:
    """Return what a message is marked by of whose values nothing is known yet."""
    blocks = [one.block for one in takers]
    counts: dict[Fate, int] = {}
    if any(one.encrypt for one in blocks):
        counts["sealed"] = 1
    if any(one.decrypt for one in blocks):
        counts["opened"] = 1
    return counts


def plan_records(
    exchange: Exchange, blueprint: Blueprint, head: RequestHead | ResponseHead, records: bytes
) -> Plan:
    """Return what a block does to a piece of a body of records: some whole ones, or none."""
    edits = cast("Edits", find_edits(exchange, blueprint, head, records, piece=True))
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
        _, _, text, fate, session, also = change
        counts[fate] = counts.get(fate, 0) + 1
        if session is not None:
            proven.append(session)
        if text is not None:
            if type(edit) is HeadEdit:
                head_changes.append((edit.place, change))
            else:
                changes.append(change)
        if also:
            beside.update(dict.fromkeys(also))
    begun: Begun | None = None
    try:
        begun = _begun(plan, at_hand, now)
    except OpenFailed as error:
        failed = failed or error
    if failed is not None:
        failed.unopened = tuple(at_hand.unopened)
        raise failed
    head = _changed(plan.head, head_changes) if head_changes else plan.head
    forwardable = _passing(plan, begun, head, counts, proven)
    if forwardable is None:
        changes += beside
        forwardable = mint(
            head,
            _spliced(plan, changes) if changes else plan.body,
            changed=bool(changes or head_changes) or plan.decoded,
            decoded=plan.decoded,
            ruled=plan.ruled,
            media_type=_new_media_type(plan) if changes else None,
            marks=_marks(plan, counts),
        )
    return Applied(forwardable, counts, tuple(proven), tuple(at_hand.unopened))


def _changed(head: Head, changes: list[tuple[int, Change]]) -> Head:
    assert not isinstance(head, SocketHead)  # noqa: S101 - it has nothing to change
    return with_changes(head, changes)


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


def _begun(plan: Plan, keys: AtHand, now: float) -> Begun | None:
    """Begin to change the body as one, where the plan says so; raise OpenFailed."""
    if plan.framing is None:
        return None
    assert plan.blueprint is not None  # noqa: S101 - only a blueprint makes edits
    return plan.framing.begin(keys, plan.blueprint.block, now, plan.body)


def _passing(
    plan: Plan, begun: Begun | None, head: Head, counts: dict[Fate, int], proven: list[Session]
) -> Forwardable | None:
    """Return a message whose body changes as one or part by part; None for any other."""
    if begun is not None:
        proven += [begun.session] if begun.session is not None else []
        return _framed(plan, begun, head, counts)
    if plan.form is None:
        return None
    assert plan.blueprint is not None  # noqa: S101 - a form passes by a block
    marks = _marks(plan, _foreseen((plan.blueprint,)))
    return mint(head, changed=True, ruled=plan.ruled, marks=marks, flow=plan.form)


def _framed(plan: Plan, begun: Begun, head: Head, counts: dict[Fate, int]) -> Forwardable:
    """Return a message whose body becomes a frame or comes out of one, now or while it passes."""
    counts[begun.fate] = counts.get(begun.fate, 0) + 1
    body, flow = None if plan.flows else plan.body, begun.flow
    if flow is not None and body is not None:
        body, flow = flow.feed(body) + flow.end(), None
    if flow is not None and plan.digests is not None:
        flow = CheckedFlow(flow, plan.digests)
    return mint(
        head,
        body,
        changed=begun.flow is not None or head is not plan.head or plan.decoded,
        decoded=plan.decoded,
        ruled=plan.ruled,
        media_type=begun.media_type,
        marks=_marks(plan, counts),
        flow=flow,
    )


def _plan(  # noqa: PLR0913 - the message and what is known of it
    exchange: Exchange,
    blueprint: Blueprint | None,
    head: Head,
    body: bytes,
    limit: int | None,
    *,
    measured: bool,
) -> Plan:
    decision = exchange.decision
    if body and blueprint is not None and blueprint.ordinary is not None and head.told.plain_json:
        ordinary = blueprint.ordinary.find(body, exchange.facts, exchange.name)
        if ordinary is not None:
            ruled, varies = decision.may_read_response, decision.varies
            return Plan(head, body, blueprint, *ordinary, ruled, varies=varies)
    original = body
    coding = coding_of(head.told) if body else None
    if coding is not None:
        assert decision.rule is not None  # noqa: S101 - only a rule has blueprints
        body = decode(body, coding, decision.rule.max_body if limit is None else limit)
    if blueprint is not None and blueprint.when is not None:
        blueprint = _taking(exchange, blueprint, head, body)
    found: tuple[Edit | FrameEdit, ...] = ()
    if blueprint is not None:
        found = find_edits(exchange, blueprint, head, body, measured=measured)
    else:
        body, coding = original, None  # it passes as it came
    takes_body = blueprint is not None and blueprint.takes_body
    edits, framing = _apart(found) if takes_body else (cast("Edits", found), None)
    return Plan(
        head,
        body,
        blueprint,
        edits,
        needs_of(found),
        decision.may_read_response,
        decoded=coding is not None,
        varies=decision.varies,
        framing=framing,
    )


def _hidden(blueprint: Blueprint | None) -> bool:
    """Tell whether the backend gets a sealed body, in which it finds no field."""
    whole = None if blueprint is None else blueprint.whole_encrypt
    return whole is not None and whole.selector is Whole.BODY


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


def _plan_flowing(
    exchange: Exchange, blueprint: Blueprint, head: RequestHead | ResponseHead, beginning: bytes
) -> Plan:
    if not flows_as_one(blueprint, head, None) or not beginning:
        message = "a body that a rule must read whole does not flow"
        raise TypeError(message)
    plan = _plan(exchange, blueprint, head, beginning, None, measured=False)
    assert plan.framing is not None  # noqa: S101 - what else could flow is refused above
    return plan._replace(flows=True)


def _plan_form(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    exchange: Exchange,
    blueprint: Blueprint,
    head: RequestHead | ResponseHead,
    beginning: bytes,
    limit: int,
    digests: Digests | None,
) -> Plan:
    if not flows_in_parts(blueprint, head) or not beginning:
        message = "a body that a rule must read whole does not flow"
        raise TypeError(message)
    decision = exchange.decision
    form, edits = form_that_passes(
        exchange, blueprint, head, beginning, limit=limit, digests=digests
    )
    ruled = decision.may_read_response

    def plan(text: bytes, of_part: Edits) -> Plan:
        return Plan(head, text, blueprint, of_part, needs_of(of_part), ruled)

    return Plan(
        head,
        beginning,
        blueprint,
        edits,
        needs_of(edits),
        ruled,
        varies=decision.varies,
        flows=True,
        form=FormFlow(form, plan),
    )


def _apart(found: tuple[Edit | FrameEdit, ...]) -> tuple[Edits, FrameEdit | None]:
    """Return the edits of spans, and the one of all of the body if there is one."""
    edits = tuple(one for one in found if not isinstance(one, FrameEdit))
    framing = [one for one in found if isinstance(one, FrameEdit)]
    if len(framing) > 1 or (framing and any(type(one) is not HeadEdit for one in edits)):
        raise InvalidBody("spans-overlap")
    return edits, framing[0] if framing else None


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
