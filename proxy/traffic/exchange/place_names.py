"""Places and fields as logs may spell them: names of the configuration, hashes of others.

A client can put values into names. So what follows the last known name of a path is only told apart
from other places, by a hash under a key of the keyring. It is the same in every process that has
that keyring, and nobody without it can try out names.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

from ...core.crypto.context import KIND_BODY, KIND_STREAM
from ...core.expressions.selectors import JsonSelector, NamedSelector, Selector
from ...core.expressions.sources import Source, json_sources
from ...core.rules.model import NAMED_PARTS, Names, Rule
from ...core.values.hows import Shape
from ...core.values.key_needs import Opening
from ...core.values.outcomes import Outcome
from ..policy import PLACE_HASH_CHARS, PLACE_STEPS

_OURS: Final = frozenset({"", "$", KIND_BODY, KIND_STREAM, *get_args(Shape)})  # of no field


class PlaceNames:
    """Spells the places of one listener; `known` are the names in its rules."""

    __slots__ = ("_fields", "_key", "_known")

    def __init__(self, known: frozenset[str], key: bytes) -> None:
        self._known = known
        self._fields = known | _OURS
        self._key = key

    def spelled(self, path: Sequence[str | int], *, in_query: bool = False) -> str:
        """Return a path as `$.payment.*#3f9a1c`: its known beginning, and a hash of the rest."""
        made = "?" if in_query else "$"
        for at, step in enumerate(path):
            if isinstance(step, int):
                made += "[*]"
            elif step in self._known and at < PLACE_STEPS:
                made += step if in_query else f".{step}"
            else:
                rest = ["*" if isinstance(one, int) else one for one in path[at:]]
                return f"{made}{'' if in_query else '.'}*#{self._hash(rest)}"
        return made

    def told(self, one: Opening) -> Opening:
        """Return what was opened, with a hash in place of each field that is not known."""
        if self._fields.issuperset(field for field, _ in one.counts):
            return one
        counts: dict[tuple[str, Outcome], int] = {}
        for (field, how), number in one.counts.items():
            told = self._field(field), how
            counts[told] = counts.get(told, 0) + number  # hashes are short: two may be equal
        return one._replace(counts=counts)

    def _field(self, field: str) -> str:
        known = field in self._fields or self._known.issuperset(field.split("/"))
        return field if known else f"*#{self._hash([field])}"

    def _hash(self, rest: Sequence[str]) -> str:
        text = json.dumps(rest).encode()
        return hmac.digest(self._key, text, "sha256").hex()[:PLACE_HASH_CHARS]


def known_names(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the names of fields, members and parameters that rules select or read."""
    return frozenset(name for rule in rules for name in _of_rule(rule))


def _of_rule(rule: Rule) -> Iterator[str]:
    yield from _of_names(rule.names)
    for block in rule.blocks:
        yield from _of_names(block.names)
        for item in block.items:
            yield item.field
            yield from _of_selector(item.selector)
        for selector in block.plain:
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
        yield from (() if selector.inner is None else _of_selector(selector.inner))
