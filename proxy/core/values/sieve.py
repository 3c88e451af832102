"""Which elements of an answer stay: those in which an opened value fits what was searched for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from .hows import Span

if TYPE_CHECKING:
    from ..formats.json import FoundValue
    from ..search.queries import Query  # loaded with its rules


class Sieve:
    """The elements of one answer, and the texts that have been opened in them.

    `rows` tells for the rows of searched fields in which element they lie, and the field. `totals`
    are the places of counts that no longer hold where an element is dropped.
    """

    __slots__ = ("_lacking", "elements", "rows", "totals")

    def __init__(
        self,
        queries: tuple[Query, ...],
        elements: Sequence[FoundValue],
        rows: dict[int, tuple[int, str]],
        totals: list[Span],
    ) -> None:
        """Begin with no text; elements are in the order of the body."""
        self.elements = elements
        self._lacking: list[Sequence[Query]] = [queries] * len(elements)
        self.rows = rows
        self.totals = totals

    def take(self, row: int, text: bytes | None) -> None:
        """Take the text of a row, as it was before it was sealed; other rows are ignored.

        None is a text that nobody knows, and is taken to fit.
        """
        if row not in self.rows:
            return
        at, field = self.rows[row]
        if lacking := self._lacking[at]:
            self._lacking[at] = [
                one
                for one in lacking
                if one.sought.field != field or not (text is None or one.fits(text))
            ]

    @property
    def stays(self) -> list[bool]:
        """Whether each element fits all that was searched for."""
        return [not one for one in self._lacking]

    def dropped(
        self, starts: Sequence[int], in_head: Container[int], replaced: list[Span]
    ) -> tuple[list[Span], list[int]]:
        """Return what is `replaced` beside the rows, and the rows that are dropped.

        Rows begin at `starts`, those `in_head` elsewhere.
        """
        cuts = self._cuts()
        if not cuts:
            return replaced, []
        within = CutSpans(cuts)
        rows = [row for row, start in enumerate(starts) if row not in in_head and within.has(start)]
        return [*cuts, *(one for one in replaced if not within.has(one[0]))], rows

    def _cuts(self) -> list[Span]:
        """Return what is cut: elements that do not fit, each with a comma; and what counts them."""
        if not any(self._lacking):
            return []
        found: list[Span] = []
        elements, lists = self.elements, [one.path[:-1] for one in self.elements]
        before: int | None = None  # the last one that stays, in whatever list
        for at, (lacking, one) in enumerate(zip(self._lacking, elements, strict=True)):
            if not lacking:
                before = at
            elif before is not None and lists[before] == lists[at]:
                found.append((elements[at - 1].end, one.end, b""))
            elif lists[at + 1 : at + 2] == [lists[at]]:
                found.append((one.start, elements[at + 1].start, b""))
            else:
                found.append((one.start, one.end, b""))
        return found + self.totals


class CutSpans:
    """Tells whether a place lies in one of some spans that do not overlap."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, spans: list[Span]) -> None:
        """Put them in order."""
        ordered = sorted(spans)
        self._starts = [start for start, _, _ in ordered]
        self._ends = [end for _, end, _ in ordered]

    def has(self, place: int) -> bool:
        """Return whether a place lies in one of them."""
        at = bisect_right(self._starts, place) - 1
        return at >= 0 and place < self._ends[at]
