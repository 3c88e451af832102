"""The names that a configuration says itself, and that may therefore be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.rules import NAMED_PARTS, Behaviour, Names, Rule, Verdict
from ..core.selectors import JsonSelector, NamedSelector, Selector
from ..core.sources import Source, json_sources


def known_names(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the names of members and parameters that rules select or read."""
    return frozenset(name for rule in rules for name in _of_rule(rule))


def _of_rule(rule: Rule) -> Iterator[str]:
    yield from _of_names(rule.names)
    yield from _of_behaviour(rule.request)
    yield from _of_behaviour(rule.response)


def _of_behaviour(behaviour: Behaviour) -> Iterator[str]:
    for block in () if isinstance(behaviour, Verdict) else behaviour:
        yield from _of_names(block.names)
        for item in (*block.encrypt, *block.decrypt):
            yield from _of_selector(item.selector)
        for selector in block.absent:
            yield from _of_selector(selector)


def _of_names(names: Names) -> Iterator[str]:
    for part in NAMED_PARTS:
        yield from _of_source(names.get(part))


def _of_source(source: Source | None) -> Iterator[str]:
    for one in json_sources(source):
        yield from _of_selector(one.selector)


def _of_selector(selector: Selector) -> Iterator[str]:
    if isinstance(selector, JsonSelector):
        yield from (step.key for step in selector.steps if isinstance(step.key, str))
    elif isinstance(selector, NamedSelector):
        yield selector.name
