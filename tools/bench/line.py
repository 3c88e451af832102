"""What log lines cost, `python -m tools.bench.line`: made and counted, but not written.

CPU time of this process, the least of several rounds: other work on the machine only adds to it.
Writing the line is one system call, which depends on what reads the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, get_args

from structlog.typing import EventDict

from proxy.telemetry.logs.access_line import MessageLine, Refusal
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.logs.processors import Format
from proxy.telemetry.reporter import CountingReporter, MessageReporter

ROUNDS: Final = 7
LINES: Final = 20_000
TURN: Final = 16
"""Messages that end in one turn of the event loop, and are reported together."""

REST: Final = ("api", "POST", "send", 201, 1234, 2345, 1.2345678)
SEALED: Final = (("sealed", 1),)
OPENED: Final = (("opened", 1),)
UPSTREAM_MS: Final = 0.98765
REFUSAL: Final = Refusal("open-failed", "tag", "request")


def _message(number: int, refusal: Refusal | None = None) -> MessageLine:
    # As for a real message: an id of its own.
    request_id = f"abcdef012345-{number:x}"
    return MessageLine(request_id, *REST, SEALED, OPENED, {}, UPSTREAM_MS, refusal)


def _least(write: Callable[[int], None]) -> float:
    """Return the microseconds of one line in the best of several rounds; a call writes a turn's."""

    def once() -> float:
        began = time.process_time()
        for number in range(0, LINES, TURN):
            write(number)
        return (time.process_time() - began) / LINES * 1_000_000

    return min(once() for _ in range(ROUNDS))


def _nowhere(line: bytes) -> None:
    """Write nothing."""


def _as_it_is(_logger: object, _level: str, entry: EventDict) -> EventDict:
    return entry


def _handled(reporter: MessageReporter, number: int) -> None:
    reporter.messages([_message(number + at) for at in range(TURN)])


def _refused(reporter: MessageReporter, number: int) -> None:
    reporter.messages([_message(number + at, REFUSAL) for at in range(TURN)])


def _event(logs: Logs, _: int) -> None:
    sid = "mPw2fJq0RzK7t5XyV1bNcQ"
    for _ in range(TURN):
        logs.report(
            "key.session_rotated", sid=sid, kek="k1abcd", mode="durable", cause="age", ttl_s=60
        )


def _show(name: str, cost: float) -> None:
    print(f"{name:32}{cost:6.2f} µs")  # noqa: T201 - the result


if __name__ == "__main__":
    for log_format in get_args(Format):
        logs = Logs(_nowhere, log_format)
        _show(f"{log_format}, message", _least(partial(_handled, logs)))
        _show(f"{log_format}, refused message", _least(partial(_refused, logs)))
        _show(f"{log_format}, other event", _least(partial(_event, logs)))
    _show("json, message, counted", _least(partial(_handled, CountingReporter(Logs(_nowhere)))))
    own = Logs(_nowhere, processors={"tools.bench.line:as_it_is": _as_it_is})
    _show("json, message, own processor", _least(partial(_handled, own)))
