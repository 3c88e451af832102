"""Bodies that are planned piece by piece while they pass: records, and parts of forms.

Each piece is changed and sent as soon as what its plan needs has come. The keys are resolved for
each piece, so a session that is revoked or ends during a stream opens and seals no more of it. A
failure raises in the middle of `chunks`: the sender then drops the connection, so that no receiver
takes a part for the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from itertools import chain
from typing import ClassVar

from ...config.policy import SMALL_BYTES, WORK_TIMES
from ...core.planning.plan import Plan, PlannedFlow, Step, Unplanned
from ...core.planning.record_stream import RecordFlow
from ...core.transform import Forwardable
from ..byte_budget import Hold
from ..http1.framing import CHUNKED
from ..interfaces import Change, Outlet, UpstreamResponse
from .due import until_due
from .transformed import DelegatingResponse, TransformedBody

Apply = Callable[[Plan | Unplanned], Awaitable[Forwardable | tuple[Unplanned, ...]]]
"""Returns what may go on, or the steps to carry out in place of this one."""


class StreamedBody(TransformedBody):
    """A body as its records or parts come out."""

    __slots__ = ("_apply", "_held", "_hold", "_incoming", "_stopped")
    _answer: ClassVar[bool] = False

    def __init__(
        self, incoming: AsyncIterator[bytes], message: Forwardable, apply: Apply, hold: Hold
    ) -> None:
        """Begin; `incoming` is the body as it comes, and `apply` carries out its steps.

        `hold` has the memory of what passes, and gets that of a record until it is through.
        """
        if not isinstance(message.flow, PlannedFlow):
            raise TypeError("the message is not planned piece by piece")
        super().__init__(message.flow, CHUNKED)
        self._incoming = incoming
        self._apply = apply
        self._hold = hold
        self._held: list[bytes] = []
        self._stopped = False
        self._changed = self._through(message.flow)

    async def prime(self) -> None:
        """Wait for the first piece; raise its error."""
        self._first = await anext(self._changed, b"")

    async def _through(self, flow: PlannedFlow) -> AsyncIterator[bytes]:
        records = flow if isinstance(flow, RecordFlow) else None
        joins = records if records is not None and records.joins else None
        incoming = self._incoming if joins is None else until_due(self._incoming, joins)
        passing = self._hold.size
        async for data in incoming:
            if records is not None:
                self._weigh(records, passing, len(data or b""))
            steps = flow.feed(data) if data is not None else _let_go(flow)
            async for pieces in self._let_out(flow, steps):
                yield pieces
            if records is not None:
                self._weigh(records, passing)
        # A stopped body has not ended: a part of a record is not a record.
        steps = flow.end() if not self._stopped else _let_go(flow)
        async for pieces in self._let_out(flow, steps):
            yield pieces
        self._whole = True

    def _weigh(self, records: RecordFlow, passing: int, size: int = 0) -> None:
        """Count a record, and `size` bytes that come, as far as what passes does not cover it.

        A request is refused where there is no room for more of a record: it has come uncalled, and
        with others of its kind, there might never be any.
        """
        held = records.held
        size += held
        needed = max(passing, WORK_TIMES * size) if size > SMALL_BYTES else passing
        self._hold.grows(needed, answer=self._answer or not held or needed == passing)

    async def _let_out(self, flow: PlannedFlow, steps: Iterable[Step]) -> AsyncIterator[bytes]:
        """Carry out steps, and yield what may go on; one that fails is taken apart if it can be."""
        left = iter(steps)
        while (step := next(left, None)) is not None:
            done = step if isinstance(step, bytes) else await self._apply(step)
            if isinstance(done, tuple):
                left = chain(done, left)
                continue
            self._held.append(done if isinstance(done, bytes) else _body_of(done))
            if not flow.holds:
                pieces = b"".join(self._held)
                self._held.clear()
                if pieces:
                    yield pieces


def _body_of(message: Forwardable) -> bytes:
    if message.body is None:
        raise TypeError("a changed piece has a body of bytes")
    return message.body


def _let_go(flow: PlannedFlow) -> Iterable[Step]:
    """Return what there is to do with whole records that are held back."""
    return flow.flush() if isinstance(flow, RecordFlow) else ()


class StreamedResponse(DelegatingResponse, StreamedBody):
    """A response of the upstream whose records or parts are changed as they come."""

    __slots__ = ("_response",)
    _answer = True

    def __init__(
        self,
        response: UpstreamResponse,
        incoming: AsyncIterator[bytes],
        message: Forwardable,
        apply: Apply,
        hold: Hold,
    ) -> None:
        """Begin; the response has a body, which comes from `incoming`."""
        super().__init__(incoming, message, apply, hold)
        self._response = response

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let pieces go at once that need no plan."""
        if isinstance(self.flow, RecordFlow) and change is None:
            self._response.offer(outlet, partial(self._at_once, self.flow))

    def _at_once(self, flow: RecordFlow, data: bytes) -> bytes | None:
        changed = flow.at_once(data)
        if changed is not None:
            self.arrived += len(changed)
        return changed

    def stop(self) -> None:
        """Let `chunks` end after the last complete record, although more would come."""
        if not isinstance(self.flow, RecordFlow):
            raise TypeError("a form is not ended early")
        self._stopped = True
        self._response.stop()
