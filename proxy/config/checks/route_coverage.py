"""Which requests rules match: rules that never do, and writes that no rule does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ...core.expressions.routes import Pattern
from ..rules.resolve import ResolvedRule
from ..rules.syntax import RuleSyntax
from ..yaml.nodes import Place, Problems, show

_WRITES: Final = ("POST", "PUT", "PATCH")
_Taken = tuple[frozenset[str], bool]


@dataclass(slots=True)
class _Node:
    """Where patterns continue, end, or match all that follows; each with the name of its rule."""

    literals: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    ends: dict[_Taken, str] = field(default_factory=dict)
    rests: dict[_Taken, str] = field(default_factory=dict)


def check_reachable(rules: Iterable[RuleSyntax], problems: Problems) -> None:
    """Warn of each rule of a listener whose every pattern is covered by earlier rules."""
    root = _Node()
    for rule in rules:
        covers = [_cover(root, pattern) for pattern, _ in rule.patterns]
        earlier = covers[0] if covers else None
        if earlier is not None and all(covers):
            problems.warn(
                rule.place,
                f"never matches: rule {show(earlier)} before it matches the same requests",
            )
        for pattern, _ in rule.patterns:
            _insert(root, pattern, rule.name)


def _insert(node: _Node, pattern: Pattern, rule: str) -> None:
    for segment in pattern.segments:
        if segment is None:
            node.any = node.any or _Node()
            node = node.any
        else:
            node = node.literals.setdefault(segment, _Node())
    taken = node.rests if pattern.rest else node.ends
    taken.setdefault((pattern.methods, pattern.websocket), rule)


def _cover(root: _Node, pattern: Pattern) -> str | None:
    """Return the name of an earlier rule that matches all that `pattern` could."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        at_end = depth == len(pattern.segments)
        for taken in (node.rests, node.ends if at_end and not pattern.rest else {}):
            for (methods, websocket), rule in taken.items():
                wider = not methods or (bool(pattern.methods) and pattern.methods <= methods)
                if wider and websocket == pattern.websocket:
                    return rule
        if not at_end:
            waiting.extend((child, depth + 1) for child in _next(node, pattern.segments[depth]))
    return None


def _next(node: _Node, segment: str | None) -> list[_Node]:
    found = [node.any] if node.any is not None and segment != "" else []
    if segment is not None and segment in node.literals:
        found.append(node.literals[segment])
    return found


def check_open_writes(rules: Iterable[ResolvedRule], place: Place, problems: Problems) -> None:
    """Warn, at the `unmatched: pass` of a listener, of the first rule whose area is left open.

    A rule that seals requests covers one spelling of one route; backends have others for the same
    (versions, aliases, new ones after an update), and requests to those pass unsealed.
    """
    named = [(one, pattern) for one in rules for pattern in one.rule.patterns]
    closing = [pattern for one, pattern in named if pattern.rest and not one.rule.observes]
    for one, pattern in named:
        if _seals_writes(one, pattern) and not _is_closed(pattern, closing):
            area = _area(pattern)
            problems.warn(
                place,
                f"writes that no rule matches pass unsealed, even beside what {show(one.rule.name)}"
                " seals; write `unmatched: reject`, or end the rules with one for the whole area,"
                f" such as `match: {','.join(_WRITES)} {area}` with `request: reject`",
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
    """Tell whether a pattern covers everything below some ancestor of another.

    `/a/{id}/**` covers no such area of `/a/{id}`: `/a` and the like stay open.
    """
    if len(closing.segments) == len(pattern.segments) and closing.segments[-1:] == (None,):
        return pattern.rest
    begun = pattern.segments[: len(closing.segments)]
    return len(begun) == len(closing.segments) and all(
        mine is None or mine == theirs for mine, theirs in zip(closing.segments, begun, strict=True)
    )


def _area(pattern: Pattern) -> str:
    """Return the pattern of the area of a route: everything below its first literal segments."""
    literals: list[str] = []
    for segment in pattern.segments[:-1]:
        if segment is None:
            break
        literals.append(segment)
    return "/".join(["", *literals, "**"])
