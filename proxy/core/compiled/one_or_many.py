"""Bodies that are one record or a list of them: selectors are relative to a record.

Such a block is compiled twice, once for each of the two, and the body decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from ..errors import ForbiddenValue
from ..expressions.selectors import Any, JsonSelector, Selector, Step
from ..formats.json import Selection
from ..http.message import RequestHead
from ..rules.conditions import Conditions
from ..rules.model import Block, Item

_BLANK: Final = b" \t\r\n"
_FIRST: Final = b'"0"', b"\\u0030"
"""How a first element begins where it is a member of an object."""
Placeable = TypeVar("Placeable", bound=Selector)


class RecordShape:
    """One of the two: whether the value `at` a place of the body is a list. It is a condition.

    `steps` lead to a record.
    """

    __slots__ = ("_first", "_selection", "many", "steps")

    def __init__(self, at: JsonSelector, *, many: bool) -> None:
        """Take a place that has no `*`."""
        self.many = many
        self.steps = (*at.steps, Step(Any.MEMBER)) if many else at.steps
        self._selection = Selection((at,)) if at.steps else None
        self._first = Selection((JsonSelector("$[0]", (*at.steps, Step(0))),))

    @property
    def depth(self) -> int:
        """How many steps lead to a record of a list; 0 where the body has one record."""
        return len(self.steps) if self.many else 0

    def met(self, body: bytes, head: RequestHead | None = None) -> bool:
        """Return whether a body has this shape; raise InvalidBody for what is no JSON.

        Raises ForbiddenValue where the place occurs in another spelling, or twice; in a request,
        which has a `head`, also for an object that is a list to PHP, since it has a member `0`.
        """
        if self._selection is None:
            met = body.lstrip(_BLANK).startswith(b"[") is self.many
        else:
            met = self._met_at(self._selection, body)
        if met and not self.many and head is not None and self._has_first(body):
            told = "An object has a member `0`, as if it were the list of records."
            raise ForbiddenValue("name-hidden", detail=told)
        return met

    def _has_first(self, body: bytes) -> bool:
        mentioned = any(one in body for one in _FIRST)
        return mentioned and bool(self._first.find(body, lenient=True).hidden)

    def _met_at(self, selection: Selection, body: bytes) -> bool:
        findings = selection.find(body, lenient=True)
        if findings.twins or findings.variants or findings.hidden:
            told = "The place of the records occurs in another spelling."
            raise ForbiddenValue("name-variant", detail=told)
        return any(one.raw(body).startswith(b"[") for one in findings.found[0]) is self.many

    def of(self, selector: Placeable) -> Placeable:
        """Return where a selector of a record selects in the body; it is told as it is written."""
        if not isinstance(selector, JsonSelector):
            return selector
        steps = (*self.steps, *selector.steps)
        return JsonSelector(selector.text, steps)  # type: ignore[return-value]  # of its own kind

    def of_body(self, selector: JsonSelector) -> JsonSelector:
        """Return where a selector of a body with one record selects in a body of this shape."""
        at, steps = len(self.steps) - self.many, selector.steps
        if steps[:at] != self.steps[:at]:
            return selector
        return JsonSelector(selector.text, (*self.steps, *steps[at:]))

    def place(self, block: Block) -> Block:
        """Return a block with selectors of the body for those of a record."""
        return replace(
            block,
            encrypt=tuple(map(self._item, block.encrypt)),
            decrypt=tuple(map(self._item, block.decrypt)),
            search=tuple(map(self._item, block.search)),
            plain=tuple(map(self.of, block.plain)),
            rendered=tuple(map(self.of, block.rendered)),
        )

    def _item(self, item: Item) -> Item:
        return replace(item, selector=self.of(item.selector))


def shapes(block: Block) -> tuple[RecordShape | None, ...]:
    """Return the shapes that the bodies of a block may have, None for any."""
    if block.records is None:
        return (None,)
    return tuple(RecordShape(block.records, many=many) for many in (False, True))


Deciding = Conditions | RecordShape
"""What decides by a body whether a block takes it."""
