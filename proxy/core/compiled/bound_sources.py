"""Where the names that bind a block's values are read, and which of them one value shares."""

from __future__ import annotations

from ..expressions.selectors import Any, JsonSelector, NamedSelector
from ..expressions.sources import JsonSource, Source
from ..http.message import Direction
from ..rules.model import NAMED_PARTS, NamedPart, Names


def choose_sources(
    own: Names, inherited: Names, direction: Direction
) -> tuple[dict[NamedPart, Source], frozenset[NamedPart]]:
    """Return the source of each part, and the parts read from the message at hand.

    What a block of responses inherits was kept from the request.
    """
    sources: dict[NamedPart, Source] = {}
    for part in NAMED_PARTS:
        source = own.get(part) or inherited.get(part)
        if source is not None:
            sources[part] = source
    here = (part for part in sources if own.get(part) is not None or direction == "request")
    return sources, frozenset(here)


def single_from(source: JsonSource) -> int:
    """Return how many leading steps must be fixed for a source to give one value at most."""
    steps = source.selector.steps
    many = (at for at, step in enumerate(steps, 1) if step.deep or isinstance(step.key, Any))
    return max(many, default=0)


def shared_steps(
    selector: JsonSelector | NamedSelector, source: JsonSelector | NamedSelector
) -> int:
    """Return the length of the common beginning up to its last `.*`; 0 where none is shared."""
    shared = 0
    for at, (mine, theirs) in enumerate(zip(selector.steps, source.steps, strict=False)):
        if mine != theirs or mine.deep:
            break
        if isinstance(mine.key, Any):
            shared = at + 1
    return shared
