"""The ids that a request brings along, for its line and for the response that refuses it.

X-Request-Id names a request for everything that it passes, and `traceparent` (W3C Trace Context)
its trace. Both are texts of the client: what is taken holds no token, no line break and nothing
that a log or a terminal would act upon. Any other text is forwarded as it came, and Sealyard's own
id names the request. A listener may add that one to what has none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ...core.compiled.rule_table import CompiledRule, RuleTable
from ...core.expressions.name_readings import fold_header
from ...core.expressions.selectors import NamedSelector
from ...core.http.header_names import HeaderNames
from ...core.http.message import header_values
from ..http1.forwarding_headers import Forwarding
from ..http1.gate import RawRequest
from ..http1.outgoing_heads import REQUEST_ID, id_line
from ..message_record import MessageRecord
from .admission import AdmittedExchange

_SAMPLED: Final = 1
"""The flag of traces that are recorded."""
_FIT: Final = re.compile(rb"(?!eyJ|sy1\.)[A-Za-z0-9_.:+/=-]{1,64}")
_TRACE: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]([0-9a-f])(?:-.*)?"
)
_FOLDED: Final = fold_header(REQUEST_ID)


def _lone(names: HeaderNames) -> tuple[int | None, int | None]:
    """Return where X-Request-Id and `traceparent` stand, each if it stands once."""
    request_id, trace = (names.places.get(one, ()) for one in (REQUEST_ID, b"traceparent"))
    return request_id[0] if len(request_id) == 1 else None, trace[0] if len(trace) == 1 else None


class RequestIds:
    """Takes the ids of the requests of one listener, and `adds` X-Request-Id where that is wanted.

    Where a rule reads X-Request-Id as a name, or seals it, that header is a value: it is not taken.
    """

    __slots__ = ("_takes_id", "adds")

    def __init__(self, rule_table: RuleTable, *, adds: bool = False) -> None:
        self.adds: Final = adds
        self._takes_id = not any(map(_reads_id, rule_table.rules))

    def take(self, record: MessageRecord, raw: RawRequest) -> None:
        """Take what a head has, unless it has it more than once.

        An id has at most 64 letters, digits and `_.:+/=-`, and does not begin as a token does. Of
        a `traceparent` its trace id is taken, and whether the trace is recorded.
        """
        request_id, trace = raw.names[_lone]
        if request_id is not None and self._takes_id:
            value = raw.headers[request_id][1]
            if _FIT.fullmatch(value):
                record.own_id, record.request_id = record.request_id, value.decode("ascii")
        if trace is not None and (match := _TRACE.fullmatch(raw.headers[trace][1])):
            record.trace_id = match[1].decode("ascii")
            record.sampled = bool(int(match[2], 16) & _SAMPLED)

    def added(self, record: MessageRecord) -> bytes | None:
        """Return the id that a response gets if it has none; None where none is added."""
        return record.request_id.encode("ascii") if self.adds else None

    def forwarding(self, admitted: AdmittedExchange, record: MessageRecord) -> Forwarding:
        """Return what changes in a request: it gets an id if it has none."""
        forwarding = admitted.forwarding
        if not self.adds or header_values(admitted.request.head.headers, REQUEST_ID):
            return forwarding
        line = id_line(record.request_id.encode("ascii"))
        return replace(forwarding, lines=(*forwarding.lines, line))


def _reads_id(compiled: CompiledRule) -> bool:
    """Return whether a rule reads a name from the header, or changes it."""
    if compiled.names is not None and compiled.names.reads(frozenset({REQUEST_ID})):
        return True
    blocks = [one.block for one in compiled.request]
    selectors = (item.selector for one in blocks for item in one.items)
    return any(
        isinstance(one, NamedSelector)
        and one.place == "header"
        and fold_header(one.name.encode()) == _FOLDED
        for one in selectors
    )
