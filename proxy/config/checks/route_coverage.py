"""Which requests rules match: rules that never do, and writes that no rule does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...core.expressions.routes import Pattern
from ...core.http.message import Direction
from ...core.rules.model import Verdict
from ..rules.resolve import ResolvedRule
from ..yaml.nodes import Place, Problems, show

_WRITES: Final = ("POST", "PUT", "PATCH")
_DIRECTIONS: Final[tuple[Direction, ...]] = ("request", "response")
_Taken = tuple[frozenset[str], bool]


@dataclass(slots=True)
class _Node:
    """Where patterns continue, end, or match all that follows; each with its rule's number."""

    literals: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    ends: dict[_Taken, int] = field(default_factory=dict)
    rests: dict[_Taken, int] = field(default_factory=dict)


def check_reachable(rules: Sequence[ResolvedRule], problems: Problems) -> None:
    """Warn of each rule of a listener whose every pattern is covered by earlier rules.

    Where only some are, warn of those that the later rule would seal and the earlier one passes.
    """
    root = _Node()
    for at, one in enumerate(rules):
        patterns = one.syntax.patterns
        covers = [_cover(root, pattern) for pattern, _ in patterns]
        covered = [rules[earlier] for earlier in covers if earlier is not None]
        if covered and len(covered) == len(covers):
            problems.warn(
                one.syntax.place,
                f"never matches: rule {show(covered[0].rule.name)} before it matches the same"
                " requests",
            )
        else:
            for (_, place), earlier in zip(patterns, covers, strict=True):
                if earlier is not None and _unseals(rules[earlier], one):
                    problems.warn(
                        place,
                        f"never matches: rule {show(rules[earlier].rule.name)} before it matches"
                        " the same requests, and passes what this rule seals",
                    )
        for pattern, _ in patterns:
            _insert(root, pattern, at)


def _unseals(earlier: ResolvedRule, later: ResolvedRule) -> bool:
    """Whether the earlier rule passes what the later one seals."""
    return any(
        _seals(later, direction) and not _seals(earlier, direction)
        for direction in _DIRECTIONS
        if earlier.rule.observes
        or Verdict.REJECT not in {earlier.rule.request, earlier.rule.behaviour(direction)}
    )


def _insert(node: _Node, pattern: Pattern, rule: int) -> None:
    for segment in pattern.segments:
        if segment is None:
            node.any = node.any or _Node()
            node = node.any
        else:
            node = node.literals.setdefault(segment, _Node())
    taken = node.rests if pattern.rest else node.ends
    taken.setdefault((pattern.methods, pattern.websocket), rule)


def _cover(root: _Node, pattern: Pattern) -> int | None:
    """Return the number of the first rule that matches all that `pattern` could."""
    found: list[int] = []
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        at_end = depth == len(pattern.segments)
        for taken in (node.rests, node.ends if at_end and not pattern.rest else {}):
            for (methods, websocket), rule in taken.items():
                wider = not methods or (bool(pattern.methods) and pattern.methods <= methods)
                if wider and websocket == pattern.websocket:
                    found.append(rule)
        if not at_end:
            waiting.extend((child, depth + 1) for child in _next(node, pattern.segments[depth]))
    return min(found, default=None)


def _next(node: _Node, segment: str | None) -> list[_Node]:
    found = [node.any] if node.any is not None and segment != "" else []
    if segment is not None and segment in node.literals:
        found.append(node.literals[segment])
    return found


def check_open_writes(
    rules: Sequence[ResolvedRule], unmatched: Place, problems: Problems, *, passes: bool
) -> None:
    """Warn of the first rule that seals requests and whose area is left open.

    Such a rule covers one spelling of one route; backends have others for the same (versions,
    aliases, new ones after an update), and requests to those pass unsealed: by the `unmatched` of
    the listener where it `passes`, or by a rule for all of the area that says nothing of requests.
    """
    rests = [
        (one, pattern)
        for one in rules
        for pattern in one.rule.patterns
        if pattern.rest and not one.rule.observes
    ]
    told: set[str] = set()
    for one in rules:
        for pattern in one.rule.patterns if _seals(one, "request") else ():
            for by in _left_open(pattern, rests, passes=passes):
                name = "" if by is None else by.rule.name
                if name not in told:
                    _warn_open(one, _area(pattern), by, unmatched, problems)
                told.add(name)


def _left_open(
    pattern: Pattern, rests: Iterable[tuple[ResolvedRule, Pattern]], *, passes: bool
) -> Iterator[ResolvedRule | None]:
    """Yield what lets writes beside a route pass: a rule, or None for the listener itself."""
    if pattern.websocket or not any(map(pattern.takes, _WRITES)):
        return
    around = [(one, rest) for one, rest in rests if _covers(rest, pattern)]
    for method in _WRITES:
        first = next((one for one, rest in around if rest.takes(method)), None)
        if (first is None and passes) or (first is not None and not _closes(first)):
            yield first


def _closes(one: ResolvedRule) -> bool:
    """Whether a rule says what becomes of requests that were not thought of."""
    return isinstance(one.shared.request, Verdict) or _seals(one, "request")


def _seals(one: ResolvedRule, direction: Direction) -> bool:
    return not one.rule.observes and any(
        item.action == "encrypt" and item.direction == direction for item in one.items
    )


def _warn_open(
    sealing: ResolvedRule, area: str, by: ResolvedRule | None, unmatched: Place, problems: Problems
) -> None:
    beside, closing = show(sealing.rule.name), f"`match: {','.join(_WRITES)} {area}`"
    if by is None:
        problems.warn(
            unmatched,
            f"writes that no rule matches pass unsealed, even beside what {beside} seals; write"
            " `unmatched: reject`, or end the rules with one for the whole area, such as"
            f" {closing} with `request: reject`",
        )
        return
    problems.warn(
        by.syntax.place,
        f"writes that it matches pass unsealed, even beside what {beside} seals; write"
        " `request: pass` if they shall, else put a rule before it for the whole area, such as"
        f" {closing} with `request: reject`",
    )


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
