"""What a block refuses: values in each other, selected names in packets, nothing sealed."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ..compiled.block import CompiledBlock
from ..errors import BodyTooLarge, ForbiddenValue, InvalidBody, NothingSealed
from ..expressions.name_readings import first_step_of_member, fold_member
from ..expressions.selectors import JsonSelector
from ..formats.body_format import Packets
from ..formats.json import Findings
from ..formats.markup import MARKUP, surroundings_of
from ..http.message import Head, ResponseHead, media_type
from ..policy import OPENING_PACKET_BYTES
from ..slices import paused
from ..values.table import Values
from .exchange import Exchange


def refuse_nested(compiled: CompiledBlock, findings: Findings) -> None:
    """Raise InvalidBody for a value to be sealed that lies in another, before they are copied.

    In a hundred levels of `$..content`, a body could be copied a hundred times.
    """
    if not compiled.around.may_nest:
        return
    spans = sorted(
        (one.start, one.end)
        for placed in compiled.encrypt
        for one in paused(findings.found[placed.index])
    )
    if any(end > start for (_, end), (start, _) in pairwise(paused(spans))):
        raise InvalidBody("spans-overlap")


def refuse_in_packets(
    compiled_blocks: Iterable[CompiledBlock], packets: Packets, body: bytes
) -> None:
    """Refuse packets that are no events where they could carry what events would.

    What a client says to connect (a token, say) passes if it has no member of a selected name.

    Raises:
        ForbiddenValue: It has one, is no object, or only a server sends such packets.
        BodyTooLarge: It is longer than OPENING_PACKET_BYTES.
    """
    sealing = [one for one in compiled_blocks if one.block.encrypt or one.closed]
    if not sealing:
        return
    names = frozenset(map(fold_member, _selected(sealing)))
    for kind, text in packets.others(body):
        if sealing[0].direction == "request" and (kind != "connect" or text[:1] == b'"'):
            raise ForbiddenValue("packet-of-servers", detail="Only servers send such packets.")
        if len(text) > OPENING_PACKET_BYTES:
            raise BodyTooLarge("packet-too-long")
        if text:
            _refuse_named(text, names)


def _selected(compiled_blocks: Iterable[CompiledBlock]) -> Iterable[str]:
    for compiled in compiled_blocks:
        for item in compiled.block.encrypt:
            if isinstance(item.selector, JsonSelector):
                yield from (one.key for one in item.selector.steps if isinstance(one.key, str))


def _refuse_named(text: bytes, names: frozenset[str]) -> None:
    def look(pairs: list[tuple[str, object]]) -> None:
        for name, _ in pairs:
            twin = fold_member(name) in names or first_step_of_member(name) in names
            if twin or name == "__proto__":
                raise ForbiddenValue(
                    "name-in-packet",
                    detail="A name that the rule selects occurs in a packet that is no event.",
                )

    json.JSONDecoder(object_pairs_hook=look, parse_int=len, parse_float=len).decode(text.decode())


def refuse_masked(places: Sequence[int], spans: Iterable[tuple[int, int]]) -> None:
    """Raise InvalidBody where a value that is read has what readers differ over; in order."""
    for start, end in paused(spans):
        if bisect_left(places, start) < bisect_left(places, end):
            raise InvalidBody(
                "lax-value", detail="A value that the rule reads has half of a pair, or is NaN."
            )


def refuse_renamed(exchange: Exchange, renamed: frozenset[str]) -> None:
    """Refuse a request whose answer has other names where its rule selects values by theirs.

    `renamed` are such names, and those that come in their place. Raises ForbiddenValue.
    """
    compiled_rule = exchange.decision.compiled_rule
    if not renamed or compiled_rule is None:
        return
    for compiled in compiled_rule.response:
        for item in compiled.block.items:
            steps = item.selector.steps if isinstance(item.selector, JsonSelector) else ()
            if any(one.key in renamed for one in steps):
                raise ForbiddenValue(
                    "field-renamed", detail=f"{item.field}: the rule allows no alias of it."
                )


def pass_unsealed(compiled: CompiledBlock, values: Values) -> None:
    """Note a message or record in which nothing was sealed.

    Raises NothingSealed where the block lets none pass.
    """
    if compiled.block.nothing == "refuse":
        raise NothingSealed("nothing-sealed", detail=_needed(compiled))
    values.noted.append(("unsealed", 0, 0))


def refuse_unsealed_elements(compiled: CompiledBlock, findings: Findings) -> None:
    """Raise NothingSealed for an element of a batch that holds none of the values.

    Each element of the outermost list that some selectors go through is a record of its own.
    """
    for index, depth, items in compiled.around.batches:
        covered = {one.path[:depth] for item in items for one in findings.found[item]}
        if any(one.path not in covered for one in paused(findings.found[index])):
            raise NothingSealed("element-with-nothing-sealed", detail=_needed(compiled))


def _needed(compiled: CompiledBlock) -> str:
    fields = dict.fromkeys(one.field for one in compiled.block.encrypt)
    return f"At least one of these is needed: {', '.join(fields)}."


def shield_page(compiled: CompiledBlock, head: Head, values: Values) -> None:
    """Let no tag be made of what is opened, where the body may be a page."""
    if type(head) is ResponseHead and compiled.escape != "none":
        media = media_type(head.facts)
        page = (media is None or not media.is_json) and surroundings_of(media) in MARKUP
        if page or head.facts.as_page:
            values.shield()
