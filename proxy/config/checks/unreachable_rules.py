"""Rules that can never match, since earlier ones take all that they could."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...core.expressions.routes import Pattern
from ..rules.syntax import RuleSyntax
from ..yaml.nodes import Problems, show

_Taken = tuple[frozenset[str], bool]


@dataclass(slots=True)
class _Node:
    """Where patterns go on, end, or take all that follows; each with the rule that said it."""

    literals: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    ends: dict[_Taken, str] = field(default_factory=dict)
    rests: dict[_Taken, str] = field(default_factory=dict)


def check(rules: Iterable[RuleSyntax], problems: Problems) -> None:
    """Warn of each rule of a listener whose every pattern is covered by earlier rules."""
    root = _Node()
    for rule in rules:
        covers = [_cover(root, pattern) for pattern, _ in rule.patterns]
        earlier = covers[0] if covers else None
        if earlier is not None and all(covers):
            problems.warn(rule.place, f"can never match: {show(earlier)} comes before it")
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
    """Return the name of an earlier rule that takes all that `pattern` could."""
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
