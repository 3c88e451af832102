"""What is done to honest messages: classes of things that parsers read in more than one way."""

from __future__ import annotations

import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..draft import Draft
from . import bodies, heads, multipart, names, paths

Mutator = Callable[[Draft, random.Random], bool]
"""Changes a draft in place; returns whether there was something that it could change."""

MUTATORS: Final[Mapping[str, Mutator]] = {
    **names.MUTATORS,
    **bodies.MUTATORS,
    **multipart.MUTATORS,
    **paths.MUTATORS,
    **heads.MUTATORS,
}
_BODILESS: Final = {*names.MUTATORS, *paths.MUTATORS, *heads.MUTATORS}
_HOW_MANY: Final = (0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4)
_TRIES: Final = 12


def mutate(draft: Draft, rng: random.Random, chosen: Sequence[str] = ()) -> None:
    """Do a few things to a draft, or none; their names stand in it afterwards.

    `chosen` are the names of mutators, where not all of them are to be drawn.
    """
    left = rng.choice(_HOW_MANY)
    known = [name for name in chosen or MUTATORS if draft.kind != "none" or name in _BODILESS]
    for _ in range(_TRIES):
        if left == 0 or not known:
            return
        name = rng.choice(known)
        if MUTATORS[name](draft, rng):
            draft.mutators.append(name)
            left -= 1
