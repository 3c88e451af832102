"""What is told of one message that is over: its line in the log, and what is counted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Refusal(NamedTuple):
    """Why Sealyard refused a message: the code that the client got, the cause, the direction."""

    error: str
    reason: str
    direction: str


@dataclass(slots=True)
class MessageLine:
    """Names, codes, sizes and times of one message: never a value.

    `counts` says by name how many values met which fate, of both directions and of the response
    alone. `told` holds what few messages have: what a rule that only observes would have done, and
    the shape of what no rule covers. `upstream_ms` is None where nothing was sent. `trace_id` is
    hexadecimal, and empty where the message is not traced; it is not in the line.

    It is written in while the message is on its way, and told once, when the message is over.
    """

    request_id: str
    listener: str
    method: str
    rule: str | None
    status: int
    request_bytes: int
    response_bytes: int
    duration_ms: float
    counts: dict[str, int]
    told: dict[str, str]
    upstream_ms: float | None = None
    refusal: Refusal | None = None
    trace_id: str = ""

    @property
    def event(self) -> str:
        """The event of the table."""
        return "message.handled" if self.refusal is None else "message.refused"

    def fields(self) -> dict[str, object]:
        """Return what the table declares for the line, in its order there."""
        fields: dict[str, object] = {
            "request_id": self.request_id,
            "listener": self.listener,
            "method": self.method,
            "rule": self.rule,
            "status": self.status,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "duration_ms": self.duration_ms,
            **self.counts,
            **self.told,
        }
        if self.upstream_ms is not None:
            fields["upstream_ms"] = self.upstream_ms
        return fields if self.refusal is None else {**fields, **self.refusal._asdict()}
