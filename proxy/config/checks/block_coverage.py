"""Which messages the blocks of a rule take, and which blocks and statuses none is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...core.compiled.message_match import MessageMatch
from ...core.errors import InvalidExpression
from ...core.http.message import Direction
from ...core.rules.model import Block
from ..rules.blocks import BlockSyntax
from ..rules.resolve import ResolvedRule
from ..yaml.nodes import Problems

_DIRECTIONS: Final[tuple[Direction, ...]] = ("request", "response")
_STATUSES: Final = range(100, 600)
_Taken = tuple[MessageMatch, frozenset[int]]
"""What a block requires of a message, and the statuses of responses that it takes."""


def check(resolved: ResolvedRule, problems: Problems) -> None:
    """Warn of each block behind one without conditions that takes all of its messages.

    Only what is sure is told: of two blocks that say their types, or that both go by what they
    select; or behind one that takes every type.
    """
    for direction in _DIRECTIONS:
        blocks = resolved.rule.behaviour(direction)
        said = resolved.shared.request if direction == "request" else resolved.shared.response
        if not isinstance(blocks, tuple) or not isinstance(said, tuple):
            continue
        before: list[_Taken] = []
        taken = _taken(blocks, direction)
        if direction == "response":
            _warn_of_unsealed_statuses(taken, said, problems)
        for at, later in enumerate(taken):
            if any(_covers(one, later) for one in before):
                problems.warn(
                    said[at].place,
                    "never applies: a block before it without `when` takes the same messages;"
                    " put this one first",
                )
            if not later[0].block.when and later[0].block.records is None:
                before.append(later)


def _warn_of_unsealed_statuses(
    taken: Sequence[_Taken], said: Sequence[BlockSyntax], problems: Problems
) -> None:
    """Warn of a rule that seals responses of some statuses alone, because it names these."""
    sealing = [at for at, (match, _) in enumerate(taken) if match.block.encrypt]
    if not any(taken[at][0].block.statuses for at in sealing):
        return
    sealed = frozenset[int]().union(*(taken[at][1] for at in sealing))
    if len(sealed) < len(_STATUSES):
        problems.warn(
            said[sealing[0]].place,
            "seals responses of some statuses alone: what the backend puts into the others, such as"
            " the echo of a refused value, reaches clients in plaintext; delete `status`",
        )


def _taken(blocks: Sequence[Block], direction: Direction) -> list[_Taken]:
    try:
        matches = [MessageMatch(block, direction) for block in blocks]
    except InvalidExpression:  # it is reported with the rule
        return []
    return [(one, frozenset(filter(one.fits_status, _STATUSES))) for one in matches]


def _covers(earlier: _Taken, later: _Taken) -> bool:
    """Whether every message that fits the later block certainly fits the earlier one."""
    (mine, my_statuses), (theirs, their_statuses) = earlier, later
    types, their_types = mine.block.types, theirs.block.types
    if not their_statuses <= my_statuses:
        return False
    if types:
        return bool(their_types) and all(_has_type(types, one) for one in their_types)
    if mine.block.format is not None or not (mine.reads or mine.whole_decrypt):
        return True
    by_selectors = not their_types and theirs.block.format is None
    return by_selectors and bool(theirs.reads) and theirs.reads <= mine.reads


def _has_type(types: tuple[str, ...], one: str) -> bool:
    return not {one, "*/*", one.partition("/")[0] + "/*"}.isdisjoint(types)
