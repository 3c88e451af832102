"""Items that apply in some elements of a list alone: which of their values these are."""

from __future__ import annotations

from ..compiled.block import CompiledBlock
from ..compiled.element_conditions import ElementCondition, InElements
from ..errors import ForbiddenValue, MissingValue
from ..formats.json import Findings, FoundValue, Path
from ..rules.conditions import is_one_of


def keep_met(compiled: CompiledBlock, findings: Findings, body: bytes) -> list[FoundValue]:
    """Keep the values in elements that meet the conditions of their items; return the others.

    Raises MissingValue where such an element lacks a value, ForbiddenValue where a backend may
    decide otherwise about one; what only opens leaves its values as they are.
    """
    others: list[FoundValue] = []
    for one in compiled.in_elements:
        met, index = _met(compiled, one, findings, body), one.placed.index
        found = findings.found[index]
        kept = [each for each in found if each.path[: one.depth] in met]
        if one.placed.item.needed_where and not compiled.traits.only_opens_responses:
            _refuse_lacking(one, met, kept)
        if len(kept) < len(found):
            others += [each for each in found if each.path[: one.depth] not in met]
            findings.found[index] = kept
    return others


def _refuse_lacking(one: InElements, met: set[Path], kept: list[FoundValue]) -> None:
    if met - {each.path[: one.depth] for each in kept}:
        field = one.placed.item.field
        raise MissingValue("missing-value", detail=f"{field}: a value is needed.")


def _met(compiled: CompiledBlock, one: InElements, findings: Findings, body: bytes) -> set[Path]:
    """Return the elements that meet all conditions of an item."""
    lenient = compiled.traits.only_opens_responses
    each = [
        _met_by(condition, one.depth, findings, body, lenient=lenient)
        for condition in one.conditions
    ]
    return set.intersection(*each)


def _met_by(
    condition: ElementCondition, depth: int, findings: Findings, body: bytes, *, lenient: bool
) -> set[Path]:
    raws: dict[Path, list[bytes]] = {}
    for found in findings.found[condition.number]:
        raws.setdefault(found.path[:depth], []).append(found.raw(body))
    unclear = {path[:depth] for path, selectors in findings.twins if condition.number in selectors}
    met = set()
    for path, values in raws.items():
        try:
            if path not in unclear and is_one_of(values, condition.values, condition.near):
                met.add(path)
        except ForbiddenValue:
            if not lenient:
                raise
    return met
