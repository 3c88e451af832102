"""What needs one process, and may meet several workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ...core.formats.table import RECORDS
from ...core.rules.model import Block, Rule

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
