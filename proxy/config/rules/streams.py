"""What a block says of streams of records: sentinels, and batches of deltas.

Whether that fits the rest of the block is checked once all of it is read.
"""

from __future__ import annotations

import re
from typing import Final

from ...core.crypto.token import JWE_PREFIX, SHORT_PREFIX
from ...core.errors import InvalidBody
from ...core.expressions.selectors import JsonSelector, Selector, Whole
from ...core.formats import json as json_format
from ...core.formats.table import RECORDS
from ...core.http.message import Direction
from ...core.rules.model import Batching, Item
from ..schema.stream_keys import AT_THE_END, BATCH, SENTINEL_MAX
from ..schema.tables import Fields
from ..yaml.nodes import Mapping, Place, Problems, Scalar, Sequence, show
from ..yaml.scalars import elements, positive_duration, texts
from .item_checks import overlap
from .item_reader import json_selectors
from .syntax import BlockSyntax, OptionsSyntax

_LONGEST: Final = 3600.0
_PREFIXES: Final = (JWE_PREFIX.decode(), SHORT_PREFIX.decode())
_UNPRINTED: Final = re.compile(r"[\x00-\x1f\x7f]")


def sentinels(place: Place | None, problems: Problems) -> tuple[tuple[str, ...], Place] | None:
    """Return the records that pass unread, None if not given."""
    if place is None:
        return None
    node = place.node
    places = [] if isinstance(node, Sequence) and not node.items else elements(place, problems)
    found: list[str] = []
    for word, at in texts(places, problems):
        fault, hint = _fault(word)
        if fault:
            problems.add(at, f"{show(word)} {fault}", hint)
        else:
            found.append(word)
        if word == "DONE":
            problems.warn(
                at, "is the text `DONE`, without brackets; the text in brackets is `'[DONE]'`"
            )
    return tuple(found), place


def _fault(word: str) -> tuple[str, str]:
    """Return what is wrong with a sentinel, and what to do; empty texts if nothing is."""
    if len(word) > SENTINEL_MAX:
        return f"is longer than {SENTINEL_MAX} characters", "a sentinel is one fixed text"
    if word != word.strip() or _UNPRINTED.search(word):
        return "has blanks around it, or control characters", "write the text alone"
    if word.startswith(_PREFIXES):
        return "begins like a token", "sealed values never pass unread"
    try:
        json_format.validate(word.encode())
    except InvalidBody:
        return "", ""
    return "is JSON, so its values would pass unread", "select the values, or write `optional`"


def batch(place: Place | None, problems: Problems) -> tuple[Batching, Place] | None:
    """Return how deltas are joined, None if not given."""
    if place is None:
        return None
    said, ignored = place, json_selectors(None, problems)
    if isinstance(place.node, Mapping):
        fields = Fields(place, BATCH, problems)
        if not fields.whole:
            return None
        said, ignored = fields["for"], json_selectors(fields.get("ignore"), problems)
    if isinstance(said.node, Scalar) and said.node.text == AT_THE_END:
        return Batching(None, ignored), place
    seconds = positive_duration(said, problems, high=_LONGEST)
    return None if seconds is None else (Batching(seconds, ignored), place)


def check_sentinels(block: BlockSyntax, problems: Problems) -> tuple[str, ...] | None:
    """Return the records that pass unread; report them where the block reads no records."""
    if block.sentinels is None:
        return None
    texts, place = block.sentinels
    selectors: list[Selector] = [one.selector for one in (*block.encrypt, *block.decrypt)]
    selectors += [selector for selector, _ in block.absent]
    if not any(isinstance(one, JsonSelector) or one is Whole.TEXT for one in selectors):
        problems.add(place, "only applies with JSON selectors or `text`", "delete it")
    return texts


def check_batch(
    block: BlockSyntax,
    encrypt: tuple[Item, ...],
    options: OptionsSyntax,
    direction: Direction,
    problems: Problems,
) -> Batching | None:
    """Return how the deltas of a block are joined; report where they cannot be."""
    if block.batch is None:
        return None
    said, place = block.batch
    paths = [one.selector for one in encrypt if isinstance(one.selector, JsonSelector)]
    limited = [one.field for one in encrypt if one.max_chars is not None]
    kind = None if block.format is None else block.format[0]
    if direction == "request":
        problems.add(place, "only applies to responses", "delete it")
    elif not paths or len(paths) < len(encrypt):
        problems.add(
            place, "only applies if the block seals JSON strings, and nothing else", "delete it"
        )
    elif kind is not None and (kind not in RECORDS or RECORDS[kind].splitter is None):
        problems.add(
            place, f"only applies to streams of records, which {show(kind)} is not", "delete it"
        )
    elif limited:
        problems.add(
            place,
            f"joins values without a limit, but {show(limited[0])} has `max_chars`",
            "delete one of them",
        )
    elif options.already_sealed not in {None, "seal"}:
        problems.add(
            place, "joins values before any is read as a token", "write `already_sealed: seal`"
        )
    elif any(overlap(one, path) for one in said.ignored for path in paths):
        problems.add(place, "ignores a value that the block seals", "delete one of them")
    return said
