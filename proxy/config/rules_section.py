"""The rules of a listener, with its defaults."""

from __future__ import annotations

from typing import Final

from . import coverage, end_to_end, name_checks, rule_syntax, websockets
from .fields import Fields
from .limits import TrafficLimits
from .positions import Place, Sequence
from .problems import Problems, show
from .rulebook import ResolvedRule, Surroundings, resolve
from .syntax import CommonSyntax, RuleSyntax
from .values import expected

MAX_RULES: Final = 100_000


def rules(
    fields: Fields,
    common: CommonSyntax,
    limits: TrafficLimits,
    *,
    trusted_names: bool,
    problems: Problems,
) -> tuple[ResolvedRule, ...]:
    """Return the rules of the listener that `fields` holds; what is wrong with them is told."""
    defaults = rule_syntax.defaults(fields.get("defaults"), problems)
    around = Surroundings(common, defaults, limits.body)
    place = fields.get("rules")
    written = [] if place is None else _written(place, problems)
    _check_names(written, problems)
    coverage.check(written, problems)
    resolved = tuple(resolve(one, around, problems) for one in written)
    for one in resolved:
        name_checks.check(one, trusted_names=trusted_names, problems=problems)
        end_to_end.check(one, trusted_names=trusted_names, problems=problems)
        websockets.check(one, problems)
    return resolved


def _written(place: Place, problems: Problems) -> list[RuleSyntax]:
    node = place.node
    if not isinstance(node, Sequence):
        expected(place, "a list of rules", problems)
        return []
    if len(node.items) > MAX_RULES:
        problems.add(place, f"{len(node.items)} rules are too many; {MAX_RULES} at most")
        return []
    found = [
        rule_syntax.rule(place.element(at, one), problems) for at, one in enumerate(node.items)
    ]
    return [one for one in found if one is not None]


def _check_names(written: list[RuleSyntax], problems: Problems) -> None:
    first: dict[str, RuleSyntax] = {}
    for one in written:
        earlier = first.setdefault(one.name, one)
        if earlier is not one:
            line = earlier.place.node.position.line
            problems.add(one.place, f"the rule {show(one.name)} stands on line {line} already")
