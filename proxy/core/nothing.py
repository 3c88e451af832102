"""Messages and records of which nothing is sealed, since all that their block seals is optional.

What a client renames is no longer selected: such a message would carry its values past the rule in
plaintext. So a block says whether one with none of them is refused, or passes and is counted.
"""

from __future__ import annotations

from .any_edit import NothingEdit
from .blueprint import Blueprint
from .errors import NothingSealed
from .formats.json import Findings


def pass_unsealed(blueprint: Blueprint) -> NothingEdit:
    """Return what becomes of a message or record of which nothing was sealed.

    Raises NothingSealed where the block lets none pass.
    """
    if blueprint.block.nothing == "refuse":
        raise NothingSealed("nothing-sealed", detail=_needed(blueprint))
    return NothingEdit()


def refuse_unsealed_elements(blueprint: Blueprint, findings: Findings) -> None:
    """Raise NothingSealed for an element of a batch that holds none of the values.

    Each element of the outermost list that some selectors go through is a record of its own.
    """
    for index, depth, items in blueprint.around.batches:
        covered = {one.path[:depth] for item in items for one in findings.found[item]}
        if any(one.path not in covered for one in findings.found[index]):
            raise NothingSealed("element-with-nothing-sealed", detail=_needed(blueprint))


def _needed(blueprint: Blueprint) -> str:
    fields = dict.fromkeys(one.field for one in blueprint.block.encrypt)
    return f"One of these is needed: {', '.join(fields)}."
