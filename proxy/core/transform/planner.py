"""From a message and its block to a plan: what is to be done, and the keys that it takes."""

from __future__ import annotations

from dataclasses import replace

from ..compiled.block import CompiledBlock
from ..errors import BodyTooLarge, InvalidBody, UnsupportedBody
from ..expressions.selectors import Whole
from ..formats.token_places import without_tags
from ..http.content_coding import coding_of, decode
from ..http.digests import Digests, digests_of, verify
from ..http.message import Head, RequestHead, ResponseHead, SocketHead, media_type
from ..leaves.lax_json import masked
from ..planning.block_choice import (
    alternatives,
    choose,
    fits,
    fitting,
    flows_as_one,
    flows_in_parts,
    refuse_unfit,
)
from ..planning.exchange import Exchange, Messages
from ..planning.find import find_values, head_values, piece_values, refuse_in_head
from ..planning.overrides import refuse_in_body
from ..planning.plan import Plan
from ..planning.refusals import refuse_masked
from ..rules.conditions import Conditions
from ..values.table import Values


def plan_bodiless(exchange: Exchange, compiled: CompiledBlock, head: ResponseHead) -> Plan:
    """Return what a block does to the head of a response without a body (`HeadOnly`)."""
    values = head_values(exchange, compiled, head)
    decision = exchange.decision
    return Plan(
        as_asked(exchange, head),
        b"",
        compiled,
        values,
        values.needs(),
        decision.may_read_response,
        varies=decision.varies,
        for_caller=exchange.for_caller,
    )


def plan_request(
    exchange: Exchange, body: bytes, limit: int | None = None, *, measured: bool = True
) -> Plan:
    """Return what the rule does to a request; `limit` and the rule bound its body.

    `measured` says that it has a Content-Length. Raises MessageError where it cannot be done.
    """
    compiled_rule = exchange.decision.compiled_rule
    head = exchange.head
    exchange.refuse_unclear()
    if body and exchange.decision.takes_no_body:
        exchange.refuse_body()
    if compiled_rule is None or not compiled_rule.request:
        if not exchange.decision.takes_no_body:
            message = "a request that no rule reads has no plan"
            raise TypeError(message)
        return _plan(exchange, None, head, body, limit, measured=measured)
    facts = head.facts
    if body:
        compiled = fitting(compiled_rule.request, media_type(facts), None)
        if compiled is None:
            raise UnsupportedBody(
                "request-fits-no-block",
                detail="The rule reads no body of this type: `format: json` reads one of any type.",
            )
    else:
        # An empty body fits any block, so what any of them forbids in the head is forbidden.
        for one in compiled_rule.request:
            refuse_in_head(exchange, one, head)
        compiled = next((one for one in compiled_rule.request if one.when is None), None)
    if not facts.plain_json:
        verify(facts, body)
    plan = _plan(exchange, compiled, head, body, limit, measured=measured)
    exchange.refuse_unseen(plan.values, body)
    if exchange.decision.overridable and plan.body and not _hidden(compiled):
        refuse_in_body(head, plan.body)
    return plan


def plan_response(  # noqa: PLR0913 - the message and what is known of it
    exchange: Exchange,
    compiled: CompiledBlock,
    head: ResponseHead,
    body: bytes,
    limit: int | None = None,
    *,
    measured: bool = True,
    cuts: bool = True,
) -> Plan:
    """Return what a block, or one that follows it, does to a response (`ReadResponse`).

    `cuts` says that tags behind tokens are left out first, which no client gets.
    """
    return _plan(exchange, compiled, head, body, limit, measured=measured, cuts=cuts)


def plan_message(messages: Messages, body: bytes, *, binary: bool = False) -> Plan:
    """Return what the rule does to the next message of a WebSocket; each is planned once, in order.

    Raises MessageError where it cannot be done: then no other may follow.
    """
    head = SocketHead(messages.direction, binary)
    compiled = next((one for one in messages.compiled_blocks if fits(one, head)), None)
    if compiled is None:
        refuse_unfit(messages.compiled_blocks)
    else:
        messages.begin(compiled, body, binary=binary)
        if binary and compiled.packets is not None:
            return _plan_attachment(messages, compiled, head, body)
        if not binary and _is_sentinel(messages, body):
            compiled = None
    plan = _plan(messages.exchange, compiled, head, body, None, measured=True)
    plan.until = messages.exchange.until
    if messages.direction == "request":
        messages.exchange.refuse_unseen(plan.values)
    return plan


def _plan_attachment(
    messages: Messages, compiled: CompiledBlock, head: SocketHead, body: bytes
) -> Plan:
    attachment = messages.next_attachment()
    values = Values()
    if attachment is not None:
        from ..planning.attachments import add_attachment  # noqa: PLC0415 - loaded with its rules

        add_attachment(values, attachment, body, 0, len(body))
    exchange = messages.exchange
    ruled, until = exchange.decision.may_read_response, exchange.until
    return Plan(head, body, compiled, values, values.needs(), ruled, until=until)


def _is_sentinel(messages: Messages, body: bytes) -> bool:
    text = body.strip(b" \t\r\n")
    return any(text in one.sentinels and not one.packets for one in messages.compiled_blocks)


def plan_flowing_request(
    exchange: Exchange, compiled: CompiledBlock, beginning: bytes, limit: int
) -> Plan:
    """Return what a block does to a request whose body streams (`StreamBody`).

    `beginning` is as much of the body as `suffices` asks for, and not empty; `limit` is for the
    parts of a form that must be there whole. Raises MessageError where it cannot be done.
    """
    exchange.refuse_unclear()
    exchange.refuse_unseen(None)
    digests = digests_of(exchange.head.facts)
    if compiled.traits.flows_in_parts:
        return _plan_form(exchange, compiled, exchange.head, beginning, limit, digests)
    return replace(_plan_flowing(exchange, compiled, exchange.head, beginning), digests=digests)


def plan_flowing_response(
    exchange: Exchange, compiled: CompiledBlock, head: ResponseHead, beginning: bytes, limit: int
) -> Plan:
    """Return what a block does to a response whose body streams (`StreamBody`)."""
    if compiled.traits.flows_in_parts:
        return _plan_form(exchange, compiled, head, beginning, limit, None)
    return _plan_flowing(exchange, compiled, head, beginning)


def plan_records(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead, records: bytes
) -> Plan:
    """Return what a block does to a piece of a body of records: some whole ones, or none."""
    if _is_answer(head):
        records = without_tags(records, exchange.decision.tagged)
    values, count = piece_values(exchange, compiled, head, records)
    ruled = exchange.decision.may_read_response
    needs, until = values.needs(), exchange.until
    return Plan(head, records, compiled, values, needs, ruled, records=count, until=until)


def _plan(  # noqa: PLR0913 - the message and what is known of it
    exchange: Exchange,
    compiled: CompiledBlock | None,
    head: Head,
    body: bytes,
    limit: int | None,
    *,
    measured: bool,
    cuts: bool = True,
) -> Plan:
    decision = exchange.decision
    original = body
    coding = coding_of(head.facts) if body else None
    if coding is not None:
        assert decision.rule is not None  # noqa: S101 - only a rule has compiled blocks
        most = decision.rule.max_body
        body = decode(body, coding, most if limit is None else min(most, limit))
    if isinstance(head, ResponseHead):
        head = as_asked(exchange, head)
    coded = body
    if cuts and _is_answer(head):
        body = without_tags(body, decision.tagged)
    cut = body is not coded
    if body and compiled is not None and type(head) is ResponseHead:
        body = _joined(exchange, compiled, head, body)
    if compiled is not None and compiled.when is not None:
        compiled = _taking(exchange, compiled, head, body)
    if compiled is not None:
        values = find_values(exchange, compiled, head, body, measured=measured)
        _refuse_beside_framing(values)
    else:
        values = Values()
        if not cut:
            body, coding = original, None  # it passes as it came
    needs = values.needs()
    needs.seeks = bool(exchange.sought) and isinstance(head, RequestHead)
    # A token is many times as long as an empty text: so they are counted before any is sealed.
    if compiled is not None and sum(needs.seals.values()) > compiled.block.max_values:
        raise BodyTooLarge("too-many-values")
    return Plan(
        head,
        body,
        compiled,
        values,
        needs,
        decision.may_read_response,
        decoded=coding is not None,
        cut=cut,
        varies=decision.varies,
        for_caller=exchange.for_caller,
    )


def as_asked(exchange: Exchange, head: ResponseHead) -> ResponseHead:
    """Return the head of an answer; where its headers have a tag, what the client has asked for."""
    if not exchange.sought:
        return head
    from ..planning.find_searched import told_back  # noqa: PLC0415 - loaded with its rules

    return told_back(exchange, head)


def _is_answer(head: Head) -> bool:
    """Return whether tags are cut from a message: nobody but the backend gets any."""
    return isinstance(head, ResponseHead) or getattr(head, "direction", None) == "response"


def _hidden(compiled: CompiledBlock | None) -> bool:
    """Tell whether the backend gets a sealed body, in which it finds no field."""
    whole = None if compiled is None else compiled.whole_encrypt
    return whole is not None and whole.selector is Whole.BODY


def _taking(
    exchange: Exchange, compiled: CompiledBlock, head: Head, body: bytes
) -> CompiledBlock | None:
    """Return the block that takes a body, that or one behind it; records choose one each."""
    if compiled.records(media_type(head.facts)) is not None:
        return compiled
    text, places = masked(body, compiled.block.accept)
    blocks = alternatives(exchange, compiled, head)
    if places and isinstance(head, RequestHead):
        deciding = (one.when for one in blocks if isinstance(one.when, Conditions))
        refuse_masked(places, (span for when in deciding for span in when.spans(text)))
    return choose(blocks, text, head)


def _plan_flowing(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead, beginning: bytes
) -> Plan:
    if not flows_as_one(compiled, head, None) or not beginning:
        message = "a body that a rule must read whole does not flow"
        raise TypeError(message)
    plan = _plan(exchange, compiled, head, beginning, None, measured=False)
    assert plan.values.framing  # noqa: S101 - what else could flow is refused above
    return replace(plan, flows=True)


def _plan_form(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    beginning: bytes,
    limit: int,
    digests: Digests | None,
) -> Plan:
    if not flows_in_parts(compiled, head) or not beginning:
        message = "a body that a rule must read whole does not flow"
        raise TypeError(message)
    from ..planning.multipart_stream import FormFlow, form_that_passes  # noqa: PLC0415 - loaded with its rules

    decision = exchange.decision
    form, values = form_that_passes(exchange, compiled, head, limit=limit, digests=digests)
    ruled = decision.may_read_response

    def plan(text: bytes, of_part: Values) -> Plan:
        return Plan(head, text, compiled, of_part, of_part.needs(), ruled)

    return Plan(
        head,
        beginning,
        compiled,
        values,
        values.needs(),
        ruled,
        varies=decision.varies,
        flows=True,
        for_caller=exchange.for_caller,
        form=FormFlow(form, plan),
    )


def _joined(exchange: Exchange, compiled: CompiledBlock, head: ResponseHead, body: bytes) -> bytes:
    """Return a response's body with its deltas joined, where a block asks for that."""
    blocks = alternatives(exchange, compiled, head)
    if all(one.deltas is None for one in blocks):
        return body
    from ..planning.deltas import joined_body  # noqa: PLC0415 - loaded with its rules

    return joined_body(blocks, compiled, head, body)


def _refuse_beside_framing(values: Values) -> None:
    """Raise InvalidBody where what takes all of a body takes a part of it as well."""
    framings = len(values.framing)
    if framings > 1 or (framings and len(values) > len(values.heads)):
        raise InvalidBody("spans-overlap")
