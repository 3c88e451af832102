"""What rules and listeners need beside what every process has: imported with the configuration.

Whatever only some configurations need is imported where it is used, inside a function. Here it is
imported before: off the event loop, and while nothing waits. After the start nothing is imported
but by a reload whose configuration needs it (tests/process/test_imports.py).
"""

# ruff: noqa: F401, PLC0415 - to import it is all that is done here

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ...config.settings import ListenerSettings, Settings
from ...core.compiled.block import CompiledBlock
from ...core.compiled.rule_table import CompiledRule, RuleTable


def load(settings: Settings, rule_tables: Iterable[RuleTable]) -> None:
    """Import what the keys of a configuration need, and what its operators may ask for."""
    keys, parties = settings.keys, any(one.end_to_end for one in rule_tables)
    if parties:
        from ...keys.end_to_end import key_source
        from ...keys.participants import package_jwe
    if keys.verify_reports:
        from ...migration import report
    if settings.admin is None:
        return
    from ...keys.operations import session_operations

    if settings.admin.by_hand:
        from ...keys.operations import value_operations
    if keys.store.address != "memory":
        from ...keys.end_to_end import package_store
        from ...keys.fleet import fence_log, presence
    if parties or keys.store.address != "memory":
        from ...keys.operations import participant_operations
        from ...keys.participants import key_generation, pins, registry
    if parties or keys.store.address != "memory" or keys.sessions.mode == "ephemeral":
        from ...keys.operations import erase_receipt


def load_for_listener(settings: ListenerSettings, rule_table: RuleTable) -> None:
    """Import what a listener and its rules need."""
    raised = rule_table.raised
    seen = (*rule_table.rules, *(() if raised is None else raised.rules))
    rules = [each for one in seen for each in (one, *one.views.values())]
    if settings.proxy_protocol:
        from ...traffic.downstream import proxy_protocol
    if settings.accept:
        from ...traffic.http1 import accepted
    if settings.callers:
        from ...traffic.callers import callers
    if raised is not None:
        from ...traffic.exchange import websocket_dry_run
    elif settings.ladder.finds_sensitive:
        from ...traffic.exchange import dry_run
    if any(_reads_messages(one) for one in rules):
        from ...traffic.exchange import websocket_relay
    if settings.pass_unmatched or any(_passes_messages(one) for one in rules):
        from ...traffic.exchange import tunnel
    if any(one.asks for one in rules):
        from ...core.planning import asked
    for block in chain.from_iterable((*one.request, *one.response) for one in rules):
        _load_for_block(block)


def _load_for_block(block: CompiledBlock) -> None:
    items = block.block.items
    if any(one.index or one.sought or one.form == "equal" for one in items):
        from ...core.formats import spelled
        from ...core.planning import echoed_tags, find_searched, tags_cut
        from ...core.search import tags
        from ...keys.sessions import index_in_use
    if any(one.audience for one in items):
        from ...core.values import left_out, masks
    if block.in_elements:
        from ...core.planning import in_elements
    if block.parts is not None:
        from ...core.planning import find_in_parts
    if block.traits.flows_in_parts:
        from ...core.planning import multipart_stream
    if block.deltas is not None:
        from ...core.planning import deltas
    if block.packets is not None:
        from ...core.planning import attachments
        from ...traffic.exchange import announcements


def _passes_messages(one: CompiledRule) -> bool:
    silent = one.rule.observes or not (one.request or one.response)
    return silent and any(way.websocket for way in one.rule.patterns)


def _reads_messages(one: CompiledRule) -> bool:
    return bool(one.request or one.response) and any(way.websocket for way in one.rule.patterns)
