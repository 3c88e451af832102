"""Messages that may be forwarded without a plan of all their body: unread, or record by record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..compiled.block import CompiledBlock
from ..expressions.sources import AskSource
from ..formats.body_format import Kind
from ..formats.table import RECORDS, splitter
from ..http.message import RequestHead, ResponseHead
from ..planning.block_choice import (
    alternatives,
    choose_bodiless,
    choose_response,
    refuse_rejected,
)
from ..planning.exchange import Exchange
from ..planning.find import refuse_elsewhere, refuse_missing
from ..planning.record_stream import RecordFlow
from .added_headers import (
    added_to_bodiless,
    added_to_request,
    added_to_response,
    added_to_unread,
    expected_outcomes,
)
from .forwardable import Changed, Forwardable, mint, mint_changed
from .planner import as_asked, plan_records


def pass_request(exchange: Exchange) -> Forwardable:
    """Return the request to be forwarded with its body unread: its rule has no block for it."""
    if exchange.decision.reads_request:
        message = "a request that a rule reads cannot pass unread"
        raise TypeError(message)
    exchange.refuse_unclear()
    decision = exchange.decision
    return mint(exchange.head, ruled=decision.may_read_response, for_caller=exchange.for_caller)


def ask_backend(exchange: Exchange, source: AskSource) -> tuple[Forwardable, RequestHead]:
    """Return what asks the backend for a name that a request lacks, and its head.

    Raises AmbiguousRequest and MissingValue as `question` does.
    """
    from ..planning.asked import question  # noqa: PLC0415 - loaded with the rules that ask

    head = question(exchange, source)
    return mint(head, b"", ruled=True), head


def pass_handshake(exchange: Exchange) -> Forwardable:
    """Return the handshake of a WebSocket whose messages are read, each by itself.

    Raises UnlistedName for a name in its query that the rule does not list, RejectedByRule where
    the rule rejects what the backend would say.
    """
    refuse_rejected(exchange)
    exchange.refuse_unclear()
    decision = exchange.decision
    return mint(exchange.head, ruled=decision.may_read_response, for_caller=exchange.for_caller)


def pass_response(
    exchange: Exchange, head: ResponseHead, *, bodiless: bool, unread: bool = False
) -> Forwardable:
    """Return a response to be relayed with its body unread.

    `unread` says that it contains something sealed, `bodiless` that the response has no body by
    HTTP's own rules (HEAD, 204, 304). It must not fit a block. Where it may have tags, it loses
    them on its way. Raises RejectedByRule where the rule rejects all responses, UpstreamFailed
    where tags could not be found in it.
    """
    decision, head = exchange.decision, as_asked(exchange, head)
    ruled, flow = decision.tagged is not None, None
    if decision.tagged is not None and not bodiless:
        from ..planning.echoed_tags import cutting  # noqa: PLC0415 - loaded with its rules
        from ..planning.tags_cut import refuse_uncuttable  # noqa: PLC0415 - as there

        refuse_uncuttable(head)
        flow = cutting(exchange)
    if decision.compiled_rule is None:
        return mint(head, ruled=ruled, flow=flow)  # no rule is there that could reject or read it
    refuse_rejected(exchange)
    choose = choose_bodiless if bodiless else choose_response
    if choose(exchange, head) is not None:
        message = "a response that a rule reads cannot pass unread"
        raise TypeError(message)
    varies, for_caller = decision.varies, exchange.for_caller
    if not (bodiless and decision.may_read_response):
        added = added_to_unread(head, varies, unread=unread, for_caller=for_caller)
        return mint(head, ruled=ruled, for_caller=for_caller, added_headers=added, flow=flow)
    opens = decision.may_open_response
    added = added_to_bodiless(head, varies, opens=opens, for_caller=for_caller)
    return mint(head, ruled=True, private=opens, for_caller=for_caller, added_headers=added)


def begin_stream(  # noqa: PLR0913 - the message and what is known of it
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    kind: Kind,
    limit: int,
    *,
    way: Callable[[bytes], Changed | None] | None = None,
) -> Forwardable:
    """Return a message whose records are planned as they come, each of `limit` bytes at most.

    A `way` may change some of them at once; it returns None for those to be planned.

    The outcome of its values is not known yet, so its headers are those of a message all of whose
    values are sealed or opened.
    """
    blocks, joins = alternatives(exchange, compiled, head), None
    if not isinstance(head, RequestHead) and any(one.deltas is not None for one in blocks):
        from ..planning.deltas import joiner  # noqa: PLC0415 - loaded with its rules

        joins = joiner(blocks, head, kind)
    plan = partial(plan_records, exchange, compiled, head)
    quick = None if way is None or joins is not None else partial(_changed, way)
    refuse_none = partial(refuse_missing, compiled, None)
    cuts, open_ended = splitter(kind, limit), RECORDS[kind].open_ended
    flow = RecordFlow(cuts, plan, refuse_none, joins, quick, open_ended=open_ended)
    counts, for_caller = expected_outcomes(blocks), exchange.for_caller
    if isinstance(head, RequestHead):
        exchange.refuse_unclear()
        exchange.refuse_unseen(None)
        refuse_elsewhere(exchange, compiled, head, b"")
        added = added_to_request(head, counts)
    else:
        head, varies = as_asked(exchange, head), exchange.decision.varies
        added = added_to_response(head, counts, varies, opaque=False, for_caller=for_caller)
    return mint(
        head,
        changed=True,
        ruled=exchange.decision.may_read_response,
        private="opened" in counts,
        for_caller=for_caller,
        added_headers=added,
        flow=flow,
    )


def _changed(way: Callable[[bytes], Changed | None], records: bytes) -> bytes | None:
    """Return some whole records changed at once; None where they are to be planned."""
    changed = way(records)
    if changed is None:
        return None
    if not isinstance(changed, Changed) or changed.body is None:
        raise TypeError("only what is prepared changes records without a plan")
    return changed.body


def passes(message: Forwardable) -> Changed:
    """Return a message that passes for others with its head, whatever their bodies."""
    return mint_changed(message.frame, None, {})
