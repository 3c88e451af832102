"""Which items of one block cannot stand together, since they would change the same bytes."""

from __future__ import annotations

from itertools import combinations

from ..core.selectors import Any, JsonSelector, Selector, Step, Whole
from .problems import Problems, show
from .syntax import BlockSyntax, ItemSyntax


def check(block: BlockSyntax, problems: Problems) -> None:
    """Tell of every item that overlaps an earlier one of its block."""
    placed = [(item, "encrypt") for item in block.encrypt]
    placed += [(item, "decrypt") for item in block.decrypt]
    for (first, first_action), (second, second_action) in combinations(placed, 2):
        if _may_stand_together(first, second, same_action=first_action == second_action):
            continue
        problems.add(
            second.place,
            f"{_name(second.selector)} overlaps {_name(first.selector)} in {first_action}",
        )


def overlap(first: JsonSelector, second: JsonSelector) -> bool:
    """Tell whether some value that one selects is, or lies within, one that the other selects.

    Selectors with `..` meet almost everything; of them, only selecting the same value counts.
    """
    deep = any(step.deep for step in (*first.steps, *second.steps))
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        ends = (state[0] == len(first.steps), state[1] == len(second.steps))
        if all(ends) or (any(ends) and not deep):
            return True
        waiting.extend(_together(first, second, state))
    return False


def _may_stand_together(first: ItemSyntax, second: ItemSyntax, *, same_action: bool) -> bool:
    one, other = first.selector, second.selector
    if isinstance(one, JsonSelector) and isinstance(other, JsonSelector):
        return not overlap(one, other)
    tokens = Whole.TOKENS in {one, other}
    json = isinstance(one, JsonSelector) or isinstance(other, JsonSelector)
    # Sealing a member and opening tokens elsewhere in the body is fine.
    return tokens and json and not same_action


def _together(
    first: JsonSelector, second: JsonSelector, state: tuple[int, int]
) -> list[tuple[int, int]]:
    return [
        (at, other)
        for at, key in _moves(first.steps, state[0])
        for other, other_key in _moves(second.steps, state[1])
        if Any.MEMBER in {key, other_key} or (type(key) is type(other_key) and key == other_key)
    ]


def _moves(steps: tuple[Step, ...], at: int) -> list[tuple[int, str | int | Any]]:
    if at == len(steps):
        return []
    moves: list[tuple[int, str | int | Any]] = [(at + 1, steps[at].key)]
    if steps[at].deep:
        moves.append((at, Any.MEMBER))
    return moves


def _name(selector: Selector) -> str:
    if isinstance(selector, JsonSelector):
        return show(selector.text)
    return show(selector.value if isinstance(selector, Whole) else selector.name)
