"""Modes, what happens on errors, and what is bound."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final, cast

from ..core.formats.escaping import ESCAPES, Escape
from ..core.rules.model import PARTS, Part
from .fields import Fields
from .positions import Place, Scalar
from .problems import Problems, show, suggest
from .rule_keys import ALREADY_SEALED, CASE_VARIANTS, ELSEWHERE, NEVER, ON_ERROR
from .syntax import AlreadySealed, BindSyntax, Mode, OptionsSyntax
from .values import choice, elements, positive_duration, text, texts

_LONGEST: Final = 10 * 365 * 86_400.0
_UNTIL: Final = re.compile(r"permissive until ([0-9]{4}-[0-9]{2}-[0-9]{2})")


def options(fields: Fields, problems: Problems) -> OptionsSyntax:
    """Return the options that `defaults`, a rule or a block says."""
    mode = fields.get("mode")
    on_error = _word(fields.get("on_error"), ON_ERROR, problems)
    escape = _word(fields.get("escape"), ESCAPES, problems)
    already = _word(fields.get("already_sealed"), ALREADY_SEALED, problems)
    variants = _word(fields.get("case_variants"), CASE_VARIANTS, problems)
    elsewhere = _word(fields.get("elsewhere"), ELSEWHERE, problems)
    return OptionsSyntax(
        mode=None if mode is None else _mode(mode, problems),
        keep_unopened=None if on_error is None else on_error == "keep",
        escape=cast("Escape | None", escape),
        already_sealed=cast("AlreadySealed | None", already),
        case_variants_allowed=None if variants is None else variants == "allow",
        elsewhere_allowed=None if elsewhere is None else elsewhere == "allow",
        expires=expires(fields.get("expires"), problems),
    )


def expires(place: Place | None, problems: Problems) -> int | None:
    """Return for how many seconds sealed values open, 0 for ever, or None where it is not said."""
    if place is None:
        return None
    if isinstance(place.node, Scalar) and place.node.text == NEVER:
        return 0
    seconds = positive_duration(place, problems, high=_LONGEST)
    return None if seconds is None else math.ceil(seconds)


def bind(fields: Fields, problems: Problems) -> BindSyntax | None:
    """Return the `bind` that is said."""
    place = fields.get("bind")
    if place is None:
        return None
    parts: set[Part] = set()
    for word, at in texts(elements(place, problems), problems):
        if word not in PARTS:
            problems.add(at, f"{show(word)} is unknown", suggest(word, PARTS))
        elif word in parts:
            problems.add(at, f"{show(word)} stands twice")
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
        problems.add(place, f"{show(match[1])} is not a day of the calendar")
        return None
    return Mode(day.timestamp())


def _word(place: Place | None, known: tuple[str, ...], problems: Problems) -> str | None:
    return None if place is None else choice(place, known, problems)
