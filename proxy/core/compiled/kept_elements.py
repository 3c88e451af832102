"""Which elements of an answer stay where its request has searched: what finds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import InvalidExpression
from ..expressions.selectors import Any, Inside, JsonSelector, Step
from ..rules.model import KeptResults, Placed


class KeptElements(NamedTuple):
    """The selectors of elements and of totals, of which the first has the index `first`.

    An element has so many steps as `depth`. `values` are what is opened in elements, with the
    field: by their words elements stay or not. `matching` are the names of the searches.
    """

    first: int
    depth: int
    selectors: tuple[JsonSelector, ...]
    values: tuple[Placed, ...]
    matching: tuple[str, ...]

    @property
    def totals(self) -> range:
        """The indexes of the totals."""
        return range(self.first + 1, self.first + len(self.selectors))


def kept(keep: KeptResults, decrypt: Iterable[Placed], *, first: int) -> KeptElements:
    """Return what finds the elements that a block keeps.

    Raises InvalidExpression where no value is opened in them, or in a text that holds JSON.
    """
    steps = (*keep.items.steps, Step(Any.MEMBER))
    values = tuple(one for one in decrypt if _is_within(one, steps))
    if not values:
        told = f"no value is opened in elements of `{keep.items.text}`"
        raise InvalidExpression(told, hint=f"for example `decrypt: {keep.items.text}.*.content`")
    selectors = (JsonSelector(keep.items.text, steps), *keep.total)
    if any(one.deep or one.key is Inside.JSON for each in selectors for one in each.steps):
        raise InvalidExpression("`keep` takes paths without `..` and `json:`")
    return KeptElements(first, len(steps), selectors, values, keep.matching)


def _is_within(placed: Placed, steps: tuple[Step, ...]) -> bool:
    """Return whether a value lies in an element that some steps lead to, and in no text there."""
    selector = placed.item.selector
    if not isinstance(selector, JsonSelector) or selector.steps[: len(steps)] != steps:
        return False
    return not any(one.deep or one.key is Inside.JSON for one in selector.steps)
