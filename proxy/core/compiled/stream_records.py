"""What a block says of streams of records: which pass unread, and which are parts of one text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

from ..errors import InvalidBody
from ..expressions.selectors import JsonSelector, Selector
from ..formats.json import Selection
from ..rules.model import Block

_DONE: Final = ("[DONE]",)
"""What ends the event streams of chat completions, as OpenAI began them. It is no JSON."""


def sentinels(block: Block, selectors: Iterable[Selector]) -> frozenset[bytes]:
    """Return the records that pass unread: those that a block names, or what ends such streams."""
    named = block.sentinels
    if named is None:
        named = _DONE if any(isinstance(one, JsonSelector) for one in selectors) else ()
    return frozenset(one.encode() for one in named)


class Delta(NamedTuple):
    """A value of a record: a part of a text where it is `joined`, else one that may differ."""

    start: int
    end: int
    joined: bool


class Deltas:
    """What finds the deltas of records, and how long one may wait for the next.

    `delay` is in seconds; None: until a record comes that continues none, or the stream ends.
    """

    __slots__ = ("_joined", "_selection", "delay")

    def __init__(self, block: Block) -> None:
        """Make ready what a block with a `batch` seals."""
        if block.batch is None:
            raise TypeError("a block without a batch has no deltas")
        sealed = [one.selector for one in block.encrypt]
        joined = tuple(one for one in sealed if isinstance(one, JsonSelector))
        self.delay = block.batch.delay
        self._joined = len(joined)
        self._selection = Selection((*joined, *block.batch.ignored))

    def find(self, text: bytes) -> list[Delta]:
        """Return the deltas of a record in order; none where a value is neither string nor null.

        Raises InvalidBody where the record is no JSON, or one value lies in another.
        """
        found = sorted(
            Delta(one.start, one.end, index < self._joined)
            for index, values in enumerate(self._selection.find(text).found)
            for one in values
            if not text.startswith(b"null", one.start)
        )
        if any(one.joined and not text.startswith(b'"', one.start) for one in found):
            return []
        if any(one.end > other.start for one, other in pairwise(found)):
            raise InvalidBody("spans-overlap")
        return found if any(one.joined for one in found) else []


def deltas(block: Block) -> Deltas | None:
    """Return what finds the deltas of a block; None where it seals each value by itself."""
    return None if block.batch is None else Deltas(block)
