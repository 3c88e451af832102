"""Rules, defaults and fields as the file writes them."""

from __future__ import annotations

from ...core.errors import InvalidExpression
from ...core.expressions.routes import Pattern, parse_pattern
from ..schema.rule_keys import DEFAULTS, FIELD, MOST_CONNECTIONS, POISON, RULE
from ..schema.tables import Fields
from ..yaml.nodes import Mapping, Place, Problems
from ..yaml.scalars import choice, expected, one_or_more, text, texts, whole
from .block_reader import behaviour
from .item_reader import how_sealed
from .option_reader import bind, names, options, rule_log
from .syntax import FieldSyntax, RuleSyntax, SharedSyntax


def defaults(place: Place | None, problems: Problems) -> SharedSyntax:
    """Return the defaults of a listener."""
    if place is None:
        return SharedSyntax()
    return _shared(Fields(place, DEFAULTS, problems), problems)


def rule(place: Place, problems: Problems) -> RuleSyntax | None:
    """Return a rule, or None after reporting that it has no name."""
    fields = Fields(place, RULE, problems)
    shared = _shared(fields, problems)
    name = fields.read("name", text, problems)
    patterns = fields.read("match", _patterns, problems) or ()
    if name is None:
        return None
    connections = fields.read("connections", whole, problems, low=1, high=MOST_CONNECTIONS)
    return RuleSyntax(name, fields["name"], patterns, shared, connections)


def fields_by_name(place: Place | None, problems: Problems) -> dict[str, FieldSyntax]:
    """Return the settings of `fields` by name."""
    if place is None:
        return {}
    if not isinstance(place.node, Mapping):
        expected(place, "a mapping", problems)
        return {}
    found: dict[str, FieldSyntax] = {}
    for key, node in place.node.entries:
        fields = Fields(place.member(key.text, node), FIELD, problems)
        found[key.text] = FieldSyntax(*how_sealed(fields, problems), bind(fields, problems))
    return found


def _shared(fields: Fields, problems: Problems) -> SharedSyntax:
    on_poison = fields.read("poison", choice, POISON, problems)
    return SharedSyntax(
        names=names(fields, problems),
        purpose=fields.read("purpose", text, problems),
        purpose_place=fields.get("purpose"),
        request=fields.read("request", behaviour, "request", problems),
        response=fields.read("response", behaviour, "response", problems),
        options=options(fields, problems),
        bind=bind(fields, problems),
        log=rule_log(fields.get("log"), problems),
        shuts_on_poison=None if on_poison is None else on_poison == "shut",
    )


def _patterns(place: Place, problems: Problems) -> tuple[tuple[Pattern, Place], ...]:
    found: list[tuple[Pattern, Place]] = []
    for written, at in texts(one_or_more(place, problems), problems):
        try:
            pattern = parse_pattern(written)
        except InvalidExpression as error:
            problems.add(at, error.message, error.hint)
            continue
        found.append((pattern, at))
    return tuple(found)
