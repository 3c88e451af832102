"""Bodies of records that change while they pass: each record is planned once all of it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..compiled.block import CompiledBlock
from ..errors import BodyTooLarge
from ..formats.body_format import Kind, Splitter
from ..formats.table import FORMATS, RECORDS, kind_of
from ..http.content_coding import coding_of
from ..http.digests import promised
from ..http.message import RequestHead, ResponseHead, media_type
from ..policy import RECORDS_WHOLE_BYTES
from ..slices import paused
from .plan import Plan, PlannedFlow

if TYPE_CHECKING:  # imported with the rules that join them
    from .deltas import DeltaJoiner, DeltaRun


class RecordFlow(PlannedFlow):
    """Gives whole records to be planned as they come, or what was made of them at once.

    Nothing that came in comes out otherwise. In whatever pieces a body comes, it comes to the same:
    of records that come together and are not taken together, those before the fault go on.
    """

    __slots__ = ("_joiner", "_plan", "_records", "_refuse_none", "_splitter", "_way", "open_ended")

    def __init__(  # noqa: PLR0913 - what is known of a stream
        self,
        splitter: Splitter,
        plan: Callable[[bytes], Plan],
        refuse_none: Callable[[], None],
        joiner: DeltaJoiner | None = None,
        way: Callable[[bytes], bytes | None] | None = None,
        *,
        open_ended: bool = False,
    ) -> None:
        """Begin; `plan` makes a plan of some whole records, `joiner` fewer records of them.

        `refuse_none` raises where a body without a record must not pass. `way` changes some whole
        records at once, or returns None where they are to be planned. `open_ended` is as
        `RecordFormat` has it.
        """
        self._splitter = splitter
        self._plan = plan
        self._refuse_none = refuse_none
        self._joiner = joiner
        self._way = way
        self.open_ended = open_ended
        self._records = 0  # in what was planned; those changed at once count as one

    @property
    def held(self) -> int:
        """How many bytes there are of a record that is not whole."""
        return self._splitter.held

    @property
    def joins(self) -> bool:
        """Whether records may be held back until others come."""
        return self._joiner is not None

    @property
    def run(self) -> DeltaRun | None:
        """The records that are held back, which `flush` lets go; None for none."""
        return None if self._joiner is None else self._joiner.run

    def feed(self, data: bytes) -> Iterator[bytes | Records]:
        """Take bytes; yield what to do with the records that are whole with them, if any are.

        Raises BodyTooLarge behind those before a record that has more bytes than the limit.
        """
        yield from self._given(self._splitter.feed(data))
        if self._splitter.over:
            yield from self.flush()
            raise BodyTooLarge("record")

    def at_once(self, data: bytes) -> bytes | None:
        """Return what becomes at once of whole records behind others that were whole.

        None, and nothing is taken, where they are to be fed.
        """
        if self._way is None or self._joiner is not None or not self._splitter.passes(data):
            return None
        changed = self._way(data)
        if changed is not None:
            self._splitter.feed(data)
            self._records = 1
        return changed

    def flush(self) -> Iterator[Records]:
        """Yield the records that are held back, if there are any."""
        held = b"" if self._joiner is None else self._joiner.flush()
        if held:
            yield Records(self, held)

    def end(self) -> Iterator[bytes | Records]:
        """Learn that the body ends here; yield what to do with the rest.

        Raises MissingValue where there was no record, and one is needed.
        """
        yield from self._given(self._splitter.end())
        yield from self.flush()
        if not self._records:
            self._refuse_none()

    def planned(self, records: bytes) -> Plan:
        """Return the plan for some whole records."""
        plan = self._plan(records)
        self._records += plan.records
        return plan

    def halves(self, records: bytes) -> tuple[bytes, ...]:
        """Return some whole records in two parts; nothing for a single one."""
        splitter = type(self._splitter)(len(records))
        lines = paused(records.splitlines(keepends=True))
        singly = [one for line in lines if (one := splitter.feed(line))]
        if rest := splitter.end():
            singly.append(rest)
        middle = len(singly) // 2
        return (b"".join(singly[:middle]), b"".join(singly[middle:])) if middle else ()

    def _given(self, records: bytes) -> Iterator[bytes | Records]:
        if not records:
            return
        changed = None if self._way is None else self._way(records)
        if changed is None:
            yield Records(self, records, None if self._joiner is None else self._joiner.feed)
        else:
            self._records = 1
            yield changed


class Records:
    """Whole records of a stream, `body`, that are still to be planned."""

    __slots__ = ("_flow", "_join", "body")

    def __init__(
        self, flow: RecordFlow, body: bytes, join: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Take the flow that plans them; `join` makes fewer records of them before."""
        self.body = body
        self._flow = flow
        self._join = join

    def plan(self) -> Plan | None:
        """Return their plan, once; None where all of them are held back."""
        if self._join is not None:
            self.body = self._join(self.body)
        return self._flow.planned(self.body) if self.body else None

    def halves(self) -> tuple[Records, ...]:
        """Return both halves of records that failed; nothing for a single one."""
        return tuple(Records(self._flow, one) for one in self._flow.halves(self.body))


def streamed_request(compiled: CompiledBlock, head: RequestHead) -> Kind | None:
    """Return the kind of records of a request that passes record by record; None: it is read whole.

    It is read whole where something must be known of all of it: digests, names that its answer
    needs, values of its head, what its declared type makes of it.
    """
    if compiled.keeps or compiled.traits.changes_head or promised(head.facts):
        return None
    declared = kind_of(media_type(head.facts))
    if declared is not None and FORMATS[declared].misreads:
        return None
    return _kind(compiled, head)


def streamed_response(
    compiled: CompiledBlock, head: ResponseHead, length: int | None
) -> Kind | None:
    """Return the kind of records of a response that passes record by record; None for no such one.

    `length` is its Content-Length. Values of its head are known only once it is read whole.
    """
    if compiled.traits.changes_head or (length is not None and length <= RECORDS_WHOLE_BYTES):
        return None
    return _kind(compiled, head)


def _kind(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> Kind | None:
    if coding_of(head.facts) is not None:
        return None
    kind = compiled.records(media_type(head.facts))
    return None if kind is None or RECORDS[kind].splitter is None else kind
