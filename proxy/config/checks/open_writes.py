"""Whether writes that no rule takes pass beside what a listener seals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...core.expressions.routes import Pattern
from ..rules.resolve import ResolvedRule
from ..yaml.nodes import Place, Problems, show

_WRITES: Final = ("POST", "PUT", "PATCH")


def check(rules: Iterable[ResolvedRule], place: Place, problems: Problems) -> None:
    """Warn, at the `unmatched: pass` of a listener, of the first area that is left open.

    A rule that seals requests is for one spelling of one route; backends have others for the same
    (versions, aliases, new ones after an update), and what comes there passes as it is.
    """
    named = [(one, pattern) for one in rules for pattern in one.rule.patterns]
    closing = [pattern for one, pattern in named if pattern.rest and not one.rule.observes]
    for one, pattern in named:
        if _seals_writes(one, pattern) and not _is_closed(pattern, closing):
            area = _area(pattern)
            problems.warn(
                place,
                f"writes that no rule takes pass as they are, also beside what"
                f" {show(one.rule.name)} seals; say `unmatched: reject`, or end the rules with one"
                f" for all of the area, such as `match: {','.join(_WRITES)} {area}` with"
                " `request: reject`",
            )
            return


def _seals_writes(one: ResolvedRule, pattern: Pattern) -> bool:
    if pattern.websocket or one.rule.observes or not any(map(pattern.takes, _WRITES)):
        return False
    return any(item.action == "encrypt" and item.direction == "request" for item in one.items)


def _is_closed(pattern: Pattern, closing: Iterable[Pattern]) -> bool:
    around = [one for one in closing if _covers(one, pattern)]
    return all(any(one.takes(method) for one in around) for method in _WRITES)


def _covers(closing: Pattern, pattern: Pattern) -> bool:
    """Tell whether a pattern takes all below some beginning of another.

    `/a/{id}/**` begins no area of `/a/{id}`: `/a` and its like stay open.
    """
    if len(closing.segments) == len(pattern.segments) and closing.segments[-1:] == (None,):
        return pattern.rest
    begun = pattern.segments[: len(closing.segments)]
    return len(begun) == len(closing.segments) and all(
        mine is None or mine == theirs for mine, theirs in zip(closing.segments, begun, strict=True)
    )


def _area(pattern: Pattern) -> str:
    """Return what takes everything beside a route: all below the literals that it begins with."""
    literals: list[str] = []
    for segment in pattern.segments[:-1]:
        if segment is None:
            break
        literals.append(segment)
    return "/".join(["", *literals, "**"])
