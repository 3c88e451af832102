"""Whether a rule selects only what messages of WebSockets have, and what workers can serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ...core.expressions.selectors import NamedSelector
from ...core.expressions.sources import giving, json_sources
from ...core.formats.table import RECORDS
from ...core.rules.model import NAMED_PARTS, Block, Rule
from ..rules.blocks import BlockSyntax
from ..rules.item_checks import plain_in
from ..rules.options import SourceSyntax
from ..rules.resolve import ResolvedRule
from ..yaml.nodes import Problems, show

_ESSENCES: Final = frozenset({"text/plain", "text/*", "application/octet-stream", "application/*"})
_ANY: Final = "*/*"


def check(resolved: ResolvedRule, problems: Problems) -> None:
    """Report selectors, types and names that no message of a WebSocket has."""
    patterns = resolved.rule.patterns
    if not any(one.websocket for one in patterns):
        return
    for block in resolved.shared.blocks:
        _check_selectors(block, problems)
        if all(one.websocket for one in patterns):
            if block.types:
                _check_types(block, problems)
            if block.batch is not None:
                place = block.batch[1]
                problems.add(place, "a WebSocket has no stream of records to join", "delete it")
    for part, kept in _kept(resolved):
        problems.add(
            kept.place,
            f"a WebSocket has no single request to read the {part} from, but rule"
            f" {show(resolved.rule.name)} needs it",
            "give the source in the block of the response, or use `path:` or `query:`",
        )


def _check_selectors(block: BlockSyntax, problems: Problems) -> None:
    written = [(one.selector, one.place) for one in block.items]
    for selector, place in (*written, *plain_in(block)):
        if isinstance(selector, NamedSelector):
            problems.add(
                place,
                f"no message of a WebSocket has {show(selector.text)}",
                "write a separate rule for requests",
            )


def _check_types(block: BlockSyntax, problems: Problems) -> None:
    if not any(one == _ANY or one in _ESSENCES for one in block.types):
        problems.add(
            block.place,
            "messages of a WebSocket are `text/plain` or `application/octet-stream`",
            "delete `type`",
        )


def _kept(resolved: ResolvedRule) -> Iterator[tuple[str, SourceSyntax]]:
    """Yield the rule's names that are in bodies and that a response needs."""
    for part in NAMED_PARTS:
        kept: SourceSyntax | None = getattr(resolved.shared.names, part)
        if kept is None or not any(True for _ in json_sources(giving(kept.source))):
            continue
        for placed in resolved.items:
            inherits = getattr(placed.block.names, part) is None
            if placed.direction == "response" and part in placed.item.bind and inherits:
                yield part, kept
                break


_ONE_WORKER: Final = (
    "attachments that are polled must reach the worker that has seen their packet, and may reach"
    " another, which refuses them; use one worker, or WebSockets alone"
)


def warnings_for_workers(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """Yield the name of each rule whose messages several workers may refuse, and why."""
    for rule in rules:
        polled = any(not one.websocket for one in rule.patterns)
        if polled and any(map(_selects_in_packets, rule.blocks)):
            yield rule.name, _ONE_WORKER


def _selects_in_packets(block: Block) -> bool:
    named = None if block.format is None else RECORDS.get(block.format)
    return named is not None and named.packets is not None and bool(block.encrypt or block.decrypt)
