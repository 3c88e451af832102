"""From a message and a block to its values: selected, bound, and what must not be there."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from ..compiled.block import CompiledBlock
from ..compiled.closed_world import ClosedWorld
from ..compiled.flat_json import add_opened
from ..errors import ForbiddenValue, InvalidBody, MissingValue, UnlistedName, UnsupportedBody
from ..formats import token_places
from ..formats.body_format import Kind, Selection
from ..formats.escaping import EXACT, IN_HTML, Manner, Span
from ..formats.json import Findings, FoundValue
from ..formats.json import Selection as JsonSelection
from ..formats.multipart.selection import PartFindings
from ..formats.table import FORMATS, RECORDS, kind_of
from ..http.message import Head, RequestHead, ResponseHead, SocketHead, media_type
from ..leaves.lax_json import masked
from ..rules.model import Placed
from ..slices import paused
from ..values.hows import Open
from ..values.table import Values
from .binding import Binder
from .block_choice import alternatives, choose
from .exchange import Exchange
from .find_in_head import add_head
from .find_in_records import add_records, compare_record
from .find_values import (
    ItemSealing,
    add_others,
    found_token,
    how_to_open,
    is_text,
    open_value,
)
from .find_whole import add_whole
from .flat_values import add_flat
from .refusals import (
    pass_unsealed,
    refuse_in_packets,
    refuse_masked,
    refuse_nested,
    refuse_unsealed_elements,
    shield_page,
)


def find_values(
    exchange: Exchange,
    compiled: CompiledBlock,
    head: Head,
    body: bytes,
    *,
    measured: bool = True,
) -> Values:
    """Return what the block does to the message, unsorted; raise MessageError where it cannot.

    `measured`: the body is complete and its message declared its length.
    """
    kind = compiled.records(media_type(head.facts)) if body else None
    values = Values()
    if compiled.block.accept and compiled.reads_as_json(media_type(head.facts)):
        body, values.masked = masked(body, compiled.block.accept)
    if isinstance(head, RequestHead):
        refuse_elsewhere(exchange, compiled, head, body)
    if kind is not None:
        count = _add_records(values, exchange, compiled, head, body, kind)
        if not count and RECORDS[kind].packets is None and not RECORDS[kind].has_controls:
            refuse_missing(compiled, None)
        binder = Binder(compiled, exchange, values)  # no record's names are those of the head
    else:
        binder = _add_text(values, exchange, compiled, head, body, measured=measured)
    if type(head) is ResponseHead:
        values.passes_plain = compiled.passes_plain(head.status)
    shield_page(compiled, head, values)
    if compiled.in_head and not isinstance(head, SocketHead):
        add_head(binder, head)
    if values.masked:
        refuse_masked(
            values.masked,
            (values.span(row) for row in range(len(values)) if row not in values.heads),
        )
    if compiled.traits.optional and body and kind is None and not values.seals:
        pass_unsealed(compiled, values)
    return values


def piece_values(
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    records: bytes,
) -> tuple[Values, int]:
    """Return what the block does to some whole records of a stream, and how many there are.

    Sentinels do not count. Raises as `find_values`.
    """
    kind = compiled.records(media_type(head.facts))
    assert kind is not None  # noqa: S101 - a stream of records is one
    values = Values()
    count = _add_records(values, exchange, compiled, head, records, kind)
    if type(head) is ResponseHead:
        values.passes_plain = compiled.passes_plain(head.status)
    shield_page(compiled, head, values)
    return values, count


def refuse_elsewhere(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead, body: bytes
) -> None:
    """Refuse a name that a block reads where it occurs in another place of the request as well.

    Raises ForbiddenValue for what it selects, AmbiguousRequest for what binds it unless it is the
    same there.
    """
    for one in alternatives(exchange, compiled, head):
        refuse_in_head(exchange, one, head)
        if body and not one.traits.takes_body:
            _refuse_in_body(exchange, one, head, body)


def refuse_in_head(exchange: Exchange, compiled: CompiledBlock, head: RequestHead) -> None:
    """Do as `refuse_elsewhere` for what is in the head, and note what must be the same."""
    if compiled.elsewhere is not None:
        compiled.elsewhere.refuse_in_head(head)
    if compiled.sources_elsewhere is not None:
        compiled.sources_elsewhere.note_head(exchange)
    if compiled.block.format is not None:
        FORMATS[compiled.block.format].check_query(head.query or "")


def _refuse_in_body(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead, body: bytes
) -> None:
    """Do as `refuse_elsewhere` for what is in the body and is read from the head, or beside."""
    elsewhere, sources = compiled.elsewhere, compiled.sources_elsewhere
    if head.facts.plain_json and compiled.query is None and sources is None:
        return
    declared = kind_of(media_type(head.facts))
    kind = compiled.block.format or declared
    if elsewhere is not None and declared is not None and compiled.traits.reads_members:
        elsewhere.refuse_misread(FORMATS[declared], body)
    if kind is None:
        return
    if elsewhere is not None and compiled.query is not None:
        elsewhere.refuse_in_body(head, FORMATS[kind], body)
    if sources is not None:
        sources.compare_body(exchange, head, FORMATS[kind], body)


def head_values(exchange: Exchange, compiled: CompiledBlock, head: ResponseHead) -> Values:
    """Return what the block does to a response without a body; raise as `find_values` does."""
    values = Values()
    values.passes_plain = compiled.passes_plain(head.status)
    add_head(Binder(compiled, exchange, values), head, bodiless=True)
    return values


def _add_text(  # noqa: PLR0913 - those of find_values
    values: Values,
    exchange: Exchange,
    compiled: CompiledBlock,
    head: Head,
    body: bytes,
    *,
    lenient: bool = False,
    measured: bool = True,
) -> Binder:
    """Add the values of a body, or of one record; return who binds what else there is.

    In what is no JSON, nothing is selected where that is `lenient`.
    """
    if (
        compiled.flat is not None
        and head.facts.plain_json
        and not exchange.elsewhere
        and add_flat(values, exchange, compiled.flat, body)
    ):
        return Binder(compiled, exchange, values)
    others = compiled.other_selections
    kind = compiled.kind(media_type(head.facts)) if others else ""
    selection = others.get(kind, compiled.selection)
    try:
        findings = _walk(compiled, selection, head, body)
    except InvalidBody:
        if not lenient:
            raise
        findings = None
    if values.masked and findings is not None:
        refuse_masked(values.masked, (one[1:3] for each in findings.found for one in each))
    parts = _part_findings(compiled, head, body) if compiled.parts is not None and body else None
    found = findings if parts is None else parts.values
    binder = Binder(compiled, exchange, values, body, found)
    if compiled.keeps:
        binder.keep_facts()
    rendered = _rendered(compiled, findings)
    unmet: list[FoundValue] = []
    if compiled.in_elements and findings is not None:
        from .in_elements import keep_met  # noqa: PLC0415 - loaded with its rules

        unmet = keep_met(compiled, findings, body)
    if parts is not None:
        from .find_in_parts import add_parts  # noqa: PLC0415 - loaded with its rules

        add_parts(binder, parts, body)
    else:
        _add_selected(binder, selection, findings, body, rendered)
    if compiled.closed is not None and body:
        _add_others(binder, compiled.closed, selection, found, parts, body, unmet)
    if compiled.traits.takes_whole:
        add_whole(binder, head, body, measured=measured, rendered=rendered)
    return binder


def _add_records(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    values: Values,
    exchange: Exchange,
    compiled: CompiledBlock,
    head: Head,
    body: bytes,
    kind: Kind,
) -> int:
    """Add the values of every record, each with a block and names of its own.

    Return how many records there are, as `add_records`.
    """
    compiled_blocks = alternatives(exchange, compiled, head)
    body_format = RECORDS[kind]
    opens = all(one.traits.only_opens_responses for one in compiled_blocks)
    lenient = body_format.mixed and opens
    by_look = head.facts.by_look and opens  # then its first record alone has told the type

    def values_of(text: bytes) -> tuple[Values, CompiledBlock | None]:
        found = Values()
        if by_look and not token_places.any_in(text):
            return found, None
        taker = choose(compiled_blocks, text, head, lenient=lenient)
        if taker is None:
            return found, None
        _add_text(found, exchange, taker, head, text, lenient=lenient)
        compare_record(exchange, taker, text)
        if taker.traits.optional and text and not found.seals:
            pass_unsealed(taker, found)
        if taker is not compiled and taker.records(media_type(head.facts)) != kind:
            raise UnsupportedBody("block-reads-no-records")
        return found, taker

    if exchange.sought or any(one.search for one in compiled_blocks):
        from .find_searched import refuse_records  # noqa: PLC0415 - loaded with its rules

        refuse_records(exchange, compiled_blocks, kind, body)
    packets = body_format.packets
    if packets is not None and isinstance(head, ResponseHead) and body in packets.receipts:
        return 0
    body_format.check_head(head, body)
    announced = list(exchange.announced.get(compiled.direction, ()))
    records = body_format.records(body, strict=not lenient, awaited=len(announced))
    sentinels = frozenset[bytes]().union(*(one.sentinels for one in compiled_blocks))
    count = add_records(values, exchange, compiled, records, values_of, sentinels, announced)
    if packets is not None:
        if values.refusal is not None:
            raise values.refusal[0]  # behind it, nothing that packets announce could be told
        from .attachments import add_attachments  # noqa: PLC0415 - loaded with its rules

        add_attachments(values, exchange, compiled, packets, body, announced)
        refuse_in_packets(compiled_blocks, packets, body)
    return count


def _walk(
    compiled: CompiledBlock, selection: Selection | None, head: Head, body: bytes
) -> Findings | None:
    """Return what the block's selectors find; None where the body is none that they read."""
    if selection is None or not body:
        return None
    media = media_type(head.facts)
    if not compiled.reads and not (media is not None and media.is_json):
        return None  # only names of the rule would be read from it
    compiled.require_charset(media, body)
    if compiled.guards_request:
        selection.refuse_other(body)
    findings = selection.find(body, lenient=compiled.traits.only_opens_responses)
    _refuse_second_readings(compiled, findings)
    if compiled.parents & findings.missing and isinstance(selection, JsonSelection):
        walked = findings if selection.finder is None else selection.walk(body)
        if walked.misfit(compiled.parents):
            raise ForbiddenValue(
                "parent-of-another-type",
                detail="A list, an object or a text of JSON stands where the rule has another.",
            )
    return findings


def _refuse_second_readings(compiled: CompiledBlock, findings: Findings) -> None:
    refuse_variants(compiled, findings.variants)
    if findings.hidden and findings.hidden & compiled.twins_checked:
        raise ForbiddenValue(
            "name-hidden", detail="Some parsers may read a selected member from another place."
        )


def refuse_variants(compiled: CompiledBlock, variants: set[int]) -> None:
    """Raise ForbiddenValue where a name that the rule reads occurs in another spelling."""
    if variants and variants & compiled.variants_checked:
        raise ForbiddenValue(
            "name-variant",
            detail="A name that the rule reads occurs in another spelling as well: use one, or set"
            " `case_variants: allow`.",
        )


def _part_findings(compiled: CompiledBlock, head: Head, body: bytes) -> PartFindings:
    assert compiled.parts is not None  # noqa: S101 - called only there
    lenient = compiled.traits.only_opens_responses
    findings = compiled.parts.find(body, head.facts.get(b"content-type", ()), lenient=lenient)
    refuse_variants(compiled, findings.variants)
    _refuse_second_readings(compiled, findings.values)
    refuse_nested(compiled, findings.values)
    refuse_missing(compiled, findings.missing)
    return findings


def _add_others(  # noqa: PLR0913, PLR0917 - the message and what is known of it
    binder: Binder,
    closed: ClosedWorld,
    selection: Selection | None,
    findings: Findings | None,
    parts: PartFindings | None,
    body: bytes,
    unmet: list[FoundValue],
) -> None:
    """Refuse what is not listed, or add the rows of what is sealed of it.

    So are values in elements in which their items do not apply, which are `unmet`. In mode
    `permissive` a refusal waits for the time at which the message is carried out.
    """
    compiled, values = binder.compiled, binder.values
    read = findings if parts is None else parts
    refusal = None if read is None else read.refusal
    try:
        if refusal is not None:
            raise refusal
        if parts is not None:
            from .find_in_parts import add_other_parts  # noqa: PLC0415 - loaded with its rules

            add_other_parts(binder, parts.others, body)
        elif selection is not None and selection.spell is not None:
            add_others(binder, selection, findings.others if findings else (), body)
        elif closed.rest is None:
            if not closed.json.is_clear(body):
                closed.json.refuse_others(body)
            for one in unmet:
                closed.refuse_unmet(one, body)
        else:
            others = [one for one in unmet if not closed.is_plain(one, body)]
            others += [FoundValue(*one) for one in closed.json.others(body)]
            add_others(binder, JsonSelection, others, body)
    except UnlistedName as error:
        if compiled.block.permissive_until is None:
            raise
        values.unlisted = error, compiled.block


def _rendered(compiled: CompiledBlock, findings: Findings | None) -> tuple[Span, ...]:
    """Return the places of what the block says is HTML, in order and apart."""
    if findings is None or not compiled.rendered:
        return ()
    apart: list[Span] = []
    for start, end in sorted(
        (start, end) for index in compiled.rendered for _, start, end, _ in findings.found[index]
    ):
        if not apart or apart[-1][1] <= start:  # what lies within another is with it
            apart.append((start, end))
    return tuple(apart)


def _add_selected(
    binder: Binder,
    selection: Selection | None,
    findings: Findings | None,
    body: bytes,
    rendered: tuple[Span, ...],
) -> None:
    compiled = binder.compiled
    if findings is None or findings.missing:
        refuse_missing(compiled, None if findings is None else findings.missing)
    if findings is None or selection is None:
        return
    refuse_nested(compiled, findings)
    if compiled.around.selectors:
        refuse_unsealed_elements(compiled, findings)
    for placed in compiled.encrypt:
        sealing = ItemSealing(selection, placed.item, compiled)
        for found in paused(findings.found[placed.index]):
            sealing.add(binder.values, binder.context(placed, found.path), body, found)
    manner = Manner(compiled.escape, rendered=rendered)
    for placed in compiled.decrypt:
        _add_opened(binder, selection, placed, findings.found[placed.index], body, manner)
    if compiled.search or (binder.exchange.sought and compiled.direction == "response"):
        from .find_searched import add_searches  # noqa: PLC0415 - loaded with its rules

        add_searches(binder, selection, findings, body)


def _add_opened(  # noqa: PLR0913, PLR0917 - what is found, and how it is written
    binder: Binder,
    selection: Selection,
    placed: Placed,
    some: Sequence[FoundValue],
    body: bytes,
    manner: Manner,
) -> None:
    """Add the rows of the values of one item that are opened."""
    compiled = binder.compiled
    exact, in_html = (
        how_to_open(selection, compiled, placed.item, one) for one in (EXACT, IN_HTML)
    )
    heeds = manner.heeds_whole_values
    plain = type(selection) is JsonSelection and compiled.packets is None
    if plain and not heeds and _open_alike(binder, exact, placed, some, body):
        return
    for found in paused(some):
        if compiled.packets is not None and not is_text(selection, found, body):
            from .attachments import open_attached  # noqa: PLC0415 - loaded with its rules

            open_attached(binder, placed, found, body)
            continue
        token = found_token(selection, binder, placed, found, body)
        is_html = heeds and manner.of_string(found.start).escape == "html"
        open_value(binder, in_html if is_html else exact, placed, found, token)


def _open_alike(
    binder: Binder, how: Open, placed: Placed, found: Sequence[FoundValue], body: bytes
) -> bool:
    """Add the rows of values that are opened with one context; return whether they are such."""
    is_same = bool(found) and binder.is_same_for_all(placed)
    if not is_same or any(one.within is not None for one in found):
        return False
    try:
        context = binder.context(placed, ())
    except MissingValue:  # it matters for tokens alone
        return False
    add_opened(binder.values, how, context, body, [at for one in found for at in one[1:3]])
    return True


def refuse_missing(compiled: CompiledBlock, missing: AbstractSet[int] | None) -> None:
    """Raise MissingValue for what is not optional and missing; None means all."""
    checked: tuple[Placed, ...] = compiled.encrypt
    if compiled.direction == "request":
        checked += compiled.decrypt
    for placed in checked:
        if (missing is None or placed.index in missing) and not placed.item.optional:
            raise MissingValue("missing-value", detail=f"{placed.item.field}: a value is needed.")
