"""Options of rules and blocks: modes, what happens on errors, what is bound, what is logged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, cast

from ...core.errors import InvalidExpression
from ...core.expressions.sources import FirstSource, ListSource, MembersSource, Source, parse_source
from ...core.formats.escaping import ESCAPES, Escape
from ...core.rules.model import NAMED_PARTS, PARTS, Part
from ..schema.listener_keys import LEVELS, LOG
from ..schema.rule_keys import ALREADY_SEALED, CASE_VARIANTS, ELSEWHERE, NEVER, ON_ERROR, SOURCES
from ..schema.tables import Fields
from ..settings import RuleLog
from ..yaml.nodes import Mapping, Place, Problems, Scalar, Sequence, show, suggest
from ..yaml.scalars import (
    choice,
    elements,
    expected,
    is_bare,
    positive_duration,
    share,
    text,
    texts,
)
from .syntax import AlreadySealed, BindSyntax, Mode, NamesSyntax, OptionsSyntax, SourceSyntax

_LONGEST: Final = 10 * 365 * 86_400.0
_UNTIL: Final = re.compile(r"permissive until ([0-9]{4}-[0-9]{2}-[0-9]{2})")


def options(fields: Fields, problems: Problems) -> OptionsSyntax:
    """Return the options of `defaults`, a rule or a block."""
    on_error = fields.read("on_error", choice, ON_ERROR, problems)
    escape = fields.read("escape", choice, ESCAPES, problems)
    already = fields.read("already_sealed", choice, ALREADY_SEALED, problems)
    variants = fields.read("case_variants", choice, CASE_VARIANTS, problems)
    elsewhere = fields.read("elsewhere", choice, ELSEWHERE, problems)
    return OptionsSyntax(
        mode=fields.read("mode", _mode, problems),
        keep_unopened=None if on_error is None else on_error == "keep",
        escape=cast("Escape | None", escape),
        already_sealed=cast("AlreadySealed | None", already),
        case_variants_allowed=None if variants is None else variants == "allow",
        elsewhere_allowed=None if elsewhere is None else elsewhere == "allow",
        expires=expires(fields.get("expires"), problems),
    )


def expires(place: Place | None, problems: Problems) -> int | None:
    """Return for how many seconds sealed values open; 0 for ever, None if not given."""
    if place is None:
        return None
    if isinstance(place.node, Scalar) and place.node.text == NEVER:
        return 0
    seconds = positive_duration(place, problems, high=_LONGEST)
    return None if seconds is None else math.ceil(seconds)


def bind(fields: Fields, problems: Problems) -> BindSyntax | None:
    """Return the `bind`, None if not given."""
    place = fields.get("bind")
    if place is None:
        return None
    parts: set[Part] = set()
    for word, at in texts(elements(place, problems), problems):
        if word not in PARTS:
            problems.add(at, f"{show(word)} is unknown", suggest(word, PARTS))
        elif word in parts:
            problems.add(at, f"{show(word)} is listed twice", "delete one")
        else:
            parts.add(word)
    return BindSyntax(frozenset(parts), place) if parts else None


def _mode(place: Place, problems: Problems) -> Mode | None:
    word = text(place, problems)
    if word is None:
        return None
    if word == "enforce":
        return Mode()
    if word == "observe":
        return Mode(observes=True)
    match = _UNTIL.fullmatch(word)
    if match is None:
        hint = "`permissive until 2027-03-31`" if word.startswith("permissive") else ""
        message = (
            f"{show(word)} is not a mode; one of: enforce, observe, permissive until YYYY-MM-DD"
        )
        problems.add(place, message, f"for example {hint}" if hint else "")
        return None
    try:
        day = datetime.strptime(match[1], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        problems.add(place, f"{show(match[1])} is not a calendar day", "for example `2027-03-31`")
        return None
    return Mode(day.timestamp())


Joined = ListSource | MembersSource | FirstSource
_KINDS: Final[dict[str, Callable[[tuple[Source, ...]], Joined]]] = {
    "members": MembersSource,
    "first": FirstSource,
}


def names(fields: Fields, problems: Problems) -> NamesSyntax:
    """Return the sources of a rule or block."""
    return NamesSyntax(**{part: fields.read(part, _named, problems) for part in NAMED_PARTS})


def source(place: Place, problems: Problems) -> Source | None:
    """Return a source, or None after reporting what is wrong."""
    node = place.node
    if isinstance(node, Sequence):
        return _joined(place, ListSource, problems)
    if isinstance(node, Mapping) and not is_bare(node):
        fields = Fields(place, SOURCES, problems)
        kind = fields.alternative(problems)
        return None if kind is None else _joined(fields[kind], _KINDS[kind], problems)
    written = text(place, problems)
    if written is None:
        return None
    try:
        return parse_source(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None


def _joined(
    place: Place, kind: Callable[[tuple[Source, ...]], Joined], problems: Problems
) -> Source | None:
    if not isinstance(place.node, Sequence):
        expected(place, "a list of sources", problems)
        return None
    places = elements(place, problems)
    parts = [source(one, problems) for one in places]
    whole = tuple(one for one in parts if one is not None)
    return kind(whole) if whole and len(whole) == len(parts) else None


def _named(place: Place, problems: Problems) -> SourceSyntax | None:
    found = source(place, problems)
    return None if found is None else SourceSyntax(found, place)


def rule_log(place: Place | None, problems: Problems) -> RuleLog | None:
    """Return the settings of `log`, None if not given; report what is wrong."""
    if place is None:
        return None
    fields = Fields(place, LOG, problems)
    sample = fields.read("sample", share, problems)
    level = fields.read("level", choice, LEVELS, problems)
    return RuleLog(1.0 if sample is None else sample, errors_only=level == "warning")
