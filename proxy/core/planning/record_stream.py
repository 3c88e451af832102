"""Bodies of records that change while they pass: each record is planned once all of it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..compiled.block import CompiledBlock
from ..formats.body_format import Kind, Splitter
from ..formats.table import RECORDS
from ..http.content_coding import coding_of
from ..http.digests import promised
from ..http.message import RequestHead, ResponseHead, media_type
from .plan import Plan, PlannedFlow

WHOLE_MAX: Final = 64 * 1024
"""A response with a Content-Length up to this many bytes is read whole: if one record fails, all of
it is refused with a status, where a stream can only break off."""


class RecordFlow(PlannedFlow):
    """Gives a plan for whole records as they come. Nothing that came in comes out but as a plan."""

    __slots__ = ("_plan", "_splitter")

    def __init__(self, splitter: Splitter, plan: Callable[[bytes], Plan]) -> None:
        """Begin; `plan` makes a plan of some whole records."""
        self._splitter = splitter
        self._plan = plan

    def feed(self, data: bytes) -> Iterator[Plan]:
        """Take bytes; yield the plan for the records that are whole with them, if there are any."""
        records = self._splitter.feed(data)
        if records:
            yield self._plan(records)

    def end(self) -> Iterator[Plan]:
        """Learn that the body ends here; yield the plan for the rest."""
        rest = self._splitter.end()
        if rest:
            yield self._plan(rest)


def streamed_request(compiled: CompiledBlock, head: RequestHead) -> Kind | None:
    """Return the kind of records of a request that passes record by record; None: it is read whole.

    It is read whole where something must be known of all of it: digests, names that its answer
    needs, values of its head.
    """
    if compiled.keeps or compiled.traits.changes_head or promised(head.facts):
        return None
    return _kind(compiled, head)


def streamed_response(
    compiled: CompiledBlock, head: ResponseHead, length: int | None
) -> Kind | None:
    """Return the kind of records of a response that passes record by record; None for no such one.

    `length` is its Content-Length. Values of its head are known only once it is read whole.
    """
    if compiled.traits.changes_head or (length is not None and length <= WHOLE_MAX):
        return None
    return _kind(compiled, head)


def _kind(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> Kind | None:
    if coding_of(head.facts) is not None:
        return None
    kind = compiled.records(media_type(head.facts))
    return None if kind is None or RECORDS[kind].splitter is None else kind
